/* The text form of modules: reads what print.c wrote, and refuses everything else with a position. */
#include "ir/loops/parse.h"
#include <string.h>

/* ---- Names ---- */

static uint32_t slot_of(const Names *n, const char *text) {
    uint64_t h = (uint64_t)(uintptr_t)text * 0x9e3779b97f4a7c15u;
    uint32_t s = (uint32_t)(h >> 32) & (n->cap - 1);
    while (n->slots[s].text && n->slots[s].text != text)
        s = (s + 1) & (n->cap - 1);
    return s;
}

Name *names_find(const Names *n, const char *text) {
    if (!n->cap)
        return NULL;
    Name *x = &n->slots[slot_of(n, text)];
    return x->text ? x : NULL;
}

void names_add(Arena *a, Names *n, const char *text, NameKind kind, uint32_t id) {
    if (n->len * 2 >= n->cap) {
        Names old = *n;
        n->cap = old.cap ? old.cap * 2 : 32;
        n->slots = NEW_ARRAY(a, Name, n->cap);
        for (uint32_t i = 0; i < old.cap; i++)
            if (old.slots[i].text)
                n->slots[slot_of(n, old.slots[i].text)] = old.slots[i];
    }
    n->slots[slot_of(n, text)] = (Name){text, kind, id};
    n->len++;
}

/* ---- Small things ---- */

bool parse_range(LoopParser *p, int64_t lo, int64_t hi, int64_t *out) {
    if (p->lx.tok.kind == TOK_INT && (p->lx.tok.i < lo || p->lx.tok.i > hi))
        return lex_invalid(&p->lx, "%s is out of range", lex_found(&p->lx));
    return lex_int(&p->lx, out);
}

bool parse_global(LoopParser *p, const char **out) {
    if (p->lx.tok.kind != TOK_GLOBAL)
        return lex_fail(&p->lx, "expected an @name, found %s", lex_found(&p->lx));
    *out = p->lx.tok.text;
    lex_next(&p->lx);
    return true;
}

bool parse_word_of(LoopParser *p, const char *const *names, int *out) {
    *out = -1;
    for (int i = 0; names[i]; i++)
        if (lex_is(&p->lx, names[i]))
            *out = i;
    return !p->lx.failed;
}

static bool quoted(LoopParser *p, const char **out) {
    if (p->lx.tok.kind != TOK_STRING)
        return lex_fail(&p->lx, "expected a string, found %s", lex_found(&p->lx));
    *out = p->lx.tok.text;
    lex_next(&p->lx);
    return true;
}

/* ---- Buffers ---- */

typedef struct Literals {
    VEC(int64_t) ints;
    VEC(double) floats;
} Literals;

static bool contents(LoopParser *p, ModBuf *b) {
    Lexer *lx = &p->lx;
    Literals l = {0};
    Arena *a = &p->cx->arena;
    bool real = dtype_is_float(b->type.dtype);
    int64_t want = modbuf_elems(b, p->m->batch), i;
    double f;
    if (!lex_expect(lx, "{"))
        return false;
    do {
        if (real ? !lex_number(lx, &f) : !lex_int(lx, &i))
            return false;
        if (real)
            vec_push(a, &l.floats, f);
        else
            vec_push(a, &l.ints, i);
    } while (lex_accept(lx, ","));
    uint32_t have = real ? l.floats.len : l.ints.len;
    if (have != want)
        return lex_invalid(lx, "@%s has %lld elements, but %u are given", b->name, (long long)want, have);
    void *data = arena_array(a, have, dtype_bytes(b->type.dtype));
    for (uint32_t e = 0; e < have; e++) {
        if (real)
            elem_put(b->type.dtype, data, e, l.floats.data[e]);
        else
            elem_put_int(b->type.dtype, data, e, l.ints.data[e]);
    }
    b->data = data;
    return lex_expect(lx, "}");
}

static bool state_role(LoopParser *p, StateRole *role) {
    for (uint32_t i = 0; i < ROLE_COUNT; i++)
        if (lex_accept(&p->lx, state_role_names[i])) {
            *role = (StateRole)i;
            return true;
        }
    return lex_fail(&p->lx, "expected what the state is, such as 'param', found %s", lex_found(&p->lx));
}

/* What follows the type. The alias is resolved when all buffers are known. */
static bool buf_attributes(LoopParser *p, ModBuf *b, const char **alias) {
    Lexer *lx = &p->lx;
    int64_t align = 64, group = 0;
    if (b->kind == MB_STATE && !state_role(p, &b->role))
        return false;
    b->target = b->kind == MB_IN && lex_accept(lx, "target");
    if (b->kind == MB_IN && !picture_parse(lx, &b->picture))
        return false;
    if (lex_accept(lx, "key") && !quoted(p, &b->key))
        return false;
    if (b->kind == MB_STATE && lex_accept(lx, "group") && !parse_range(p, 0, UINT32_MAX, &group))
        return false;
    b->group = (uint32_t)group;
    if (lex_accept(lx, "align") && !parse_range(p, 1, 4096, &align))
        return false;
    if (lex_accept(lx, "alias") && !parse_global(p, alias))
        return false;
    if (lex_accept(lx, "at") && !parse_range(p, 0, INT64_MAX, &b->offset))
        return false;
    b->align = (uint32_t)align;
    return !lex_accept(lx, "=") || contents(p, b);
}

static bool buffer(LoopParser *p, ModBufKind kind, const char **alias) {
    ModBuf b = {.kind = kind, .offset = -1, .alias = -1};
    if (!parse_global(p, &b.name))
        return false;
    if (names_find(&p->bufs, b.name))
        return lex_invalid(&p->lx, "two buffers are called @%s", b.name);
    if (kind == MB_IN || kind == MB_OUT || kind == MB_PARAM || kind == MB_STATE)
        b.key = b.name;
    if (!lex_expect(&p->lx, ":") || !type_parse(&p->lx, &b.type) || !buf_attributes(p, &b, alias))
        return false;
    names_add(&p->cx->arena, &p->bufs, b.name, NAME_BUF, loops_buf(p->m, b));
    return true;
}

static bool resolve_aliases(LoopParser *p, const char *const *alias) {
    for (uint32_t i = 0; i < p->m->bufs.len; i++) {
        const Name *to = alias[i] ? names_find(&p->bufs, alias[i]) : NULL;
        if (alias[i] && !to)
            return lex_invalid(&p->lx, "the alias @%s of @%s is no buffer", alias[i],
                               p->m->bufs.data[i].name);
        if (to)
            p->m->bufs.data[i].alias = (int32_t)to->id;
    }
    return true;
}

/* ---- Entries ---- */

static bool step_arg(LoopParser *p, StepArg *a) {
    const char *name = NULL;
    if (!parse_global(p, &name))
        return false;
    const Name *buf = names_find(&p->bufs, name);
    if (!buf)
        return lex_invalid(&p->lx, "@%s is no buffer", name);
    *a = (StepArg){.buf = buf->id};
    return !lex_accept(&p->lx, "+") || parse_range(p, 0, INT64_MAX, &a->offset);
}

static bool step_args(LoopParser *p, const Kernel *k, Step *s) {
    s->args = NEW_ARRAY(&p->cx->arena, StepArg, k->n_params);
    if (!lex_expect(&p->lx, "("))
        return false;
    for (uint32_t i = 0; i < k->n_params; i++)
        if ((i && !lex_expect(&p->lx, ",")) || !step_arg(p, &s->args[i]))
            return false;
    return lex_expect(&p->lx, ")");
}

static bool call(LoopParser *p, Entry *e) {
    Lexer *lx = &p->lx;
    const char *name = NULL;
    Step s = {.loc = lex_loc(lx)};
    if (!lex_expect(lx, "call") || !parse_global(p, &name))
        return false;
    const Name *kernel = names_find(&p->kernels, name);
    if (!kernel)
        return lex_invalid(lx, "@%s is no kernel", name);
    s.kernel = kernel->id;
    if (!step_args(p, p->m->kernels.data[s.kernel], &s))
        return false;
    s.checks = lex_accept(lx, "checks");
    if (lex_accept(lx, "layer") && !quoted(p, &s.name))
        return false;
    if (lex_accept(lx, "origin") && !parse_global(p, &s.origin))
        return false;
    if (lex_accept(lx, "loc") && !quoted(p, &s.loc.pointer))
        return false;
    s.loc.name = s.name;
    vec_push(&p->cx->arena, &e->steps, s);
    return true;
}

static bool entry(LoopParser *p) {
    const char *name = NULL;
    if (!parse_global(p, &name))
        return false;
    if (loops_entry(p->m, name))
        return lex_invalid(&p->lx, "two entries are called @%s", name);
    Entry *e = loops_add_entry(p->m, name);
    if (!lex_expect(&p->lx, "{"))
        return false;
    while (!lex_is(&p->lx, "}"))
        if (!call(p, e))
            return false;
    return lex_expect(&p->lx, "}");
}

/* ---- The module ---- */

static bool plan(LoopParser *p) {
    LoopModule *m = p->m;
    const char *const word[] = {"work", "prepare", "scratch", "const", "live"};
    int64_t *const to[] = {&m->work_bytes, &m->prepare_bytes, &m->scratch_bytes, &m->const_bytes,
                           &m->live_bytes};
    for (int i = 0; i < 5; i++)
        if (!lex_expect(&p->lx, word[i]) || !parse_range(p, 0, INT64_MAX, to[i]))
            return false;
    m->planned = true;
    return !lex_accept(&p->lx, "state") || parse_range(p, 0, INT64_MAX, &m->state_bytes);
}

static bool classes(LoopParser *p) {
    VEC(const char *) names = {0};
    const char *name = NULL;
    do {
        if (!quoted(p, &name))
            return false;
        vec_push(&p->cx->arena, &names, name);
    } while (lex_accept(&p->lx, ","));
    p->m->classes = names.data;
    p->m->n_classes = names.len;
    return true;
}

static bool kernel(LoopParser *p) {
    if (!parse_kernel(p))
        return false;
    if (names_find(&p->kernels, p->k->name))
        return lex_invalid(&p->lx, "two kernels are called @%s", p->k->name);
    names_add(&p->cx->arena, &p->kernels, p->k->name, NAME_KERNEL, p->m->kernels.len);
    vec_push(&p->cx->arena, &p->m->kernels, p->k);
    return true;
}

static bool items(LoopParser *p) {
    Lexer *lx = &p->lx;
    VEC(const char *) alias = {0};
    while (!lex_is(lx, "}")) {
        const char *to = NULL;
        bool ok;
        int kind;
        if (!parse_word_of(p, modbuf_kind_names, &kind))
            return false;
        if (kind >= 0) {
            lex_next(lx);
            ok = buffer(p, (ModBufKind)kind, &to);
            vec_push(&p->cx->arena, &alias, to);
        } else if (lex_accept(lx, "kernel")) {
            ok = kernel(p);
        } else if (lex_accept(lx, "entry")) {
            ok = entry(p);
        } else if (lex_accept(lx, "plan")) {
            ok = plan(p);
        } else if (lex_accept(lx, "classes")) {
            ok = classes(p);
        } else {
            return lex_fail(lx, "expected a buffer, kernel or entry, found %s", lex_found(lx));
        }
        if (!ok)
            return false;
    }
    return resolve_aliases(p, alias.data) && lex_expect(lx, "}");
}

static bool module(LoopParser *p) {
    Lexer *lx = &p->lx;
    const char *name = NULL;
    if (!lex_expect(lx, "module") || !parse_global(p, &name) || !lex_expect(lx, "batch"))
        return false;
    p->m = loops_new(p->cx, name);
    if (!parse_range(p, 1, INT32_MAX, &p->m->batch))
        return false;
    p->m->n_fixed = lex_accept(lx, "fixed");
    if (!lex_expect(lx, "{") || !items(p))
        return false;
    return lx->tok.kind == TOK_EOF || lex_fail(lx, "expected the end of the file, found %s", lex_found(lx));
}

LoopModule *loops_parse(Context *cx, const char *file, const char *text, size_t size) {
    LoopParser p = {.cx = cx};
    lex_init(&p.lx, cx, file, text, size);
    return module(&p) && loops_verify(p.m, false) ? p.m : NULL;
}
