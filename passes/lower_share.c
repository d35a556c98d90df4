/* One hash table over everything that graphs of a unit may have in common: names that are taken, leaves, and
 * what `prepare` computes. */
#include "passes/lower_share.h"
#include <string.h>

/* What one slot is about: a name, a leaf of kind, role and key, or a computation. */
typedef struct ShareSlot {
    uint64_t hash; /* 0: empty */
    const char *name;
    uint32_t buf;
    bool leaf;
    const Graph *g; /* a computation: whose */
    const Node *n;
    const uint32_t *args;
} ShareSlot;

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
    return h ? h : 1;
}

/* The first slot of that hash from `at` on, or the empty slot at which the search ends. */
static ShareSlot *next_slot(const LowerShare *sh, uint64_t hash, uint32_t *at) {
    for (;; ++*at) {
        ShareSlot *s = &sh->slots[*at & (sh->cap - 1)];
        if (!s->hash || s->hash == hash)
            return s;
    }
}

static uint32_t start(uint64_t hash) {
    return (uint32_t)(hash >> 32);
}

static void grow(LowerShare *sh) {
    const LowerShare old = *sh;
    if (sh->len * 2 < sh->cap)
        return;
    sh->cap = old.cap ? old.cap * 2 : 64;
    sh->slots = NEW_ARRAY(&sh->m->cx->arena, ShareSlot, sh->cap);
    for (uint32_t i = 0; i < old.cap; i++) {
        uint32_t at = start(old.slots[i].hash);
        while (old.slots[i].hash && sh->slots[at & (sh->cap - 1)].hash)
            at++;
        if (old.slots[i].hash)
            sh->slots[at & (sh->cap - 1)] = old.slots[i];
    }
}

/* ---- Names ---- */

/* False when it is taken already. */
static bool take_name(LowerShare *sh, const char *name) {
    const uint64_t hash = mix(1, (uint64_t)(uintptr_t)name);
    grow(sh);
    for (uint32_t at = start(hash);; at++) {
        ShareSlot *s = next_slot(sh, hash, &at);
        if (s->hash && (s->leaf || s->n || s->g || s->name != name))
            continue;
        if (s->hash)
            return false;
        *s = (ShareSlot){.hash = hash, .name = name};
        sh->len++;
        return true;
    }
}

const char *share_name(LowerShare *sh, const char *want, const char *entry) {
    const char *name = want;
    for (uint32_t i = 1; !take_name(sh, name); i++)
        name = i == 1 ? intern_f(sh->m->cx, "%s.%s", want, entry)
                      : intern_f(sh->m->cx, "%s.%s.%u", want, entry, i);
    return name;
}

/* ---- Leaves ---- */

static bool same_leaf(const ModBuf *a, const ModBuf *b) {
    if (a->kind != b->kind || a->role != b->role || a->key != b->key || !type_equal(&a->type, &b->type))
        return false;
    return !a->data || !memcmp(a->data, b->data, (size_t)type_physical_bytes(&a->type, 1));
}

static uint32_t leaf(LowerShare *sh, ModBuf b, const char *what, const char *entry) {
    const uint64_t hash = mix(mix(mix(2, b.kind), b.role), (uint64_t)(uintptr_t)what);
    grow(sh);
    for (uint32_t at = start(hash);; at++) {
        ShareSlot *s = next_slot(sh, hash, &at);
        if (s->hash && s->leaf && s->name == what && same_leaf(&sh->m->bufs.data[s->buf], &b))
            return s->buf;
        if (s->hash)
            continue;
        *s = (ShareSlot){.hash = hash, .name = what, .leaf = true, .buf = sh->m->bufs.len};
        sh->len++;
        b.name = share_name(sh, b.name, entry); /* may move the slots */
        return loops_buf(sh->m, b);
    }
}

uint32_t share_leaf(LowerShare *sh, ModBuf b, const char *entry) {
    return leaf(sh, b, b.key, entry);
}

uint32_t share_const(LowerShare *sh, ModBuf b, const char *entry) {
    return leaf(sh, b, b.name, entry);
}

/* ---- What prepare computes ---- */

static uint64_t load_hash(const Node *n, const uint32_t *args) {
    uint64_t h = mix(3, n ? n->op : OP_COUNT);
    for (uint32_t i = 0; i < (n ? n->n_operands : 1); i++)
        h = mix(h, args[i]);
    return n && n->attrs ? mix(h, attr_hash(&op_desc(n->op)->attrs, n->attrs)) : h;
}

static bool plain(const Node *n) {
    return !n || (!n->prologue && !n->epilogue && !n->choice);
}

static bool same_load(const ShareSlot *s, const Graph *g, const Node *n, const uint32_t *args) {
    if (s->leaf || !s->g || s->g == g || !plain(s->n) || !plain(n) || !s->n != !n)
        return false;
    if (!n)
        return s->args[0] == args[0];
    return s->n->op == n->op && s->n->n_operands == n->n_operands &&
           !memcmp(s->args, args, n->n_operands * sizeof *args) &&
           (!n->attrs || attr_equal(&op_desc(n->op)->attrs, n->attrs, s->n->attrs)) &&
           type_equal(&g->values.data[n->result].type, &s->g->values.data[s->n->result].type);
}

uint32_t *share_load(LowerShare *sh, const Graph *g, const Node *n, const uint32_t *args) {
    const uint64_t hash = load_hash(n, args);
    grow(sh);
    for (uint32_t at = start(hash);; at++) {
        ShareSlot *s = next_slot(sh, hash, &at);
        if (s->hash && same_load(s, g, n, args))
            return &s->buf;
        if (s->hash)
            continue;
        *s = (ShareSlot){.hash = hash, .g = g, .n = n, .buf = NO_BUF};
        s->args = arena_copy(&sh->m->cx->arena, args, (n ? n->n_operands : 1) * sizeof *args);
        sh->len++;
        return &s->buf;
    }
}
