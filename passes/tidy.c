/* Clean-up of kernels in two walks. Forwards: equal pure values are computed once where the first dominates
 * the second, values that a serial loop does not change move in front of it, branches and loops that are
 * decided go. Backwards: values, stores and allocations that nothing reads go, and then empty loops. Nothing
 * crosses the edge of a parallel loop, since its body becomes a function that takes pointers and scalars. */
#include "ir/loops/build.h"
#include "passes/passes.h"
#include <string.h>

#define NO_ENTRY UINT32_MAX
#define NO_SLOT UINT32_MAX
enum { MAX_SLOTS = 1 << 16 };

/* An element of a register array: what it is known to hold (forwards), or that it is written again before
 * anything reads it (backwards), while its epoch lasts. */
typedef struct Slot {
    LVal value;
    uint32_t epoch;
} Slot;

/* A block being rebuilt. */
typedef struct Frame {
    VEC(Stmt *) out;
    uint32_t id;
    bool serial;    /* the body of a serial loop: values may move out */
    bool runs;      /* that loop has at least one iteration */
    uint32_t loads; /* that moved out */
} Frame;

/* A value that was computed, for as long as its frame is open. */
typedef struct Known {
    const Stmt *stmt;
    uint32_t frame_id, depth, next;
} Known;

typedef struct Tidy {
    Context *cx;
    Kernel *k;
    Arena *a;
    const bool *constant; /* of each parameter: nothing writes its memory while the kernel runs */
    uint32_t max_loads;   /* that move out of one loop: registers are few */
    VEC(Frame) open;
    VEC(bool) frame_open; /* by id */
    uint32_t barrier;     /* values of frames further out may not be used */
    LVal *same;           /* value -> the equal one that stays */
    uint32_t *depth;      /* of the frame that defines each value */
    uint32_t *var_depth, *idx_depth;
    VEC(Known) known;
    uint32_t *bucket, buckets; /* a power of two */
    Slot *slots;               /* elements of register arrays */
    uint32_t *first_slot;      /* of each buffer; NO_SLOT: not tracked */
    uint32_t epoch;            /* changes wherever slots may change unseen: at the edges of blocks */
    bool *loaded, *touched;    /* of each buffer, for the walk back */
    bool *used;                /* of each value */
} Tidy;

static uint32_t depth_now(const Tidy *t) {
    return t->open.len - 1;
}

/* ---- Which values are equal ---- */

static bool has_index(const Stmt *s) {
    return s->op == LOP_INDEX || s->op == LOP_LOAD;
}

static uint64_t bits_of(double x) { /* -0 and 0 differ, a NaN equals itself */
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t hash_value(const Stmt *s) {
    uint64_t h = (uint64_t)s->op << 16 | (uint64_t)s->type.dtype << 8 | s->type.lanes;
    const uint64_t field[] = {s->arg[0],
                              s->arg[1],
                              s->arg[2],
                              bits_of(s->imm),
                              (uint64_t)s->imm_int,
                              has_index(s) ? s->index : 0,
                              s->op == LOP_LOAD ? s->buf : 0};
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        h = (h ^ field[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h;
}

static bool equal_values(const Stmt *x, const Stmt *y) {
    if (x->op != y->op || x->type.dtype != y->type.dtype || x->type.lanes != y->type.lanes ||
        memcmp(x->arg, y->arg, sizeof x->arg) != 0 || bits_of(x->imm) != bits_of(y->imm) ||
        x->imm_int != y->imm_int || (has_index(x) && x->index != y->index))
        return false;
    if (x->op == LOP_LOAD)
        return x->buf == y->buf && x->stride == y->stride && x->nontemporal == y->nontemporal;
    return x->op != LOP_SHUFFLE || memcmp(x->lane, y->lane, x->type.lanes) == 0;
}

/* An equal value that may be used here, or NULL. Entries of closed blocks are unlinked on the way. */
static const Known *find_equal(Tidy *t, const Stmt *s, uint64_t hash) {
    uint32_t *link = &t->bucket[hash & (t->buckets - 1)];
    while (*link != NO_ENTRY) {
        Known *e = &t->known.data[*link];
        if (!t->frame_open.data[e->frame_id]) {
            *link = e->next;
            continue;
        }
        if (e->depth >= t->barrier && equal_values(e->stmt, s))
            return e;
        link = &e->next;
    }
    return NULL;
}

static void remember(Tidy *t, const Stmt *s, uint64_t hash, uint32_t depth) {
    uint32_t *head = &t->bucket[hash & (t->buckets - 1)];
    vec_push(t->a, &t->known, (Known){s, t->open.data[depth].id, depth, *head});
    *head = t->known.len - 1;
}

/* ---- Register arrays ---- */

/* The slot that a load or store accesses whole, or NULL. */
static Slot *slot_of(const Tidy *t, const Stmt *s) {
    const LBuf *b = &t->k->bufs.data[s->buf];
    int64_t i;
    if (t->first_slot[s->buf] == NO_SLOT || s->type.dtype != b->dtype || s->type.lanes != b->lanes ||
        !ix_is_const(t->k, s->index, &i) || i < 0 || i >= b->extent.size)
        return NULL;
    return &t->slots[t->first_slot[s->buf] + (uint32_t)i];
}

static bool is_register(const Tidy *t, const Stmt *s) {
    return t->k->bufs.data[s->buf].kind == LB_REG;
}

/* A load of what is known: true, and the load goes. */
static bool forward_load(Tidy *t, const Stmt *s) {
    Slot *slot = slot_of(t, s);
    if (!slot)
        return false;
    if (slot->epoch == t->epoch) {
        t->same[s->result] = slot->value;
        return true;
    }
    *slot = (Slot){s->result, t->epoch};
    return false;
}

static void note_store(Tidy *t, const Stmt *s) {
    Slot *slot = slot_of(t, s);
    if (slot)
        *slot = (Slot){s->arg[0], t->epoch};
    else if (is_register(t, s))
        t->epoch++;
}

/* Backwards: is the store overwritten unread? */
static bool is_overwritten(Tidy *t, const Stmt *s) {
    Slot *slot = slot_of(t, s);
    if (!slot)
        return false;
    if (slot->epoch == t->epoch)
        return true;
    slot->epoch = t->epoch;
    return false;
}

static void note_load_back(Tidy *t, const Stmt *s) {
    Slot *slot = slot_of(t, s);
    if (slot)
        slot->epoch = 0;
    else if (is_register(t, s))
        t->epoch++;
}

static void number_slots(Tidy *t) {
    int64_t n = 0;
    t->first_slot = NEW_ARRAY(t->a, uint32_t, t->k->bufs.len);
    for (uint32_t b = 0; b < t->k->bufs.len; b++) {
        const LBuf *buf = &t->k->bufs.data[b];
        const bool tracked = buf->kind == LB_REG && buf->extent.size <= MAX_SLOTS - n;
        t->first_slot[b] = tracked ? (uint32_t)n : NO_SLOT;
        n += tracked ? buf->extent.size : 0;
    }
    t->slots = NEW_ARRAY(t->a, Slot, (size_t)n);
    t->epoch = 1;
}

/* ---- Where values may stand ---- */

/* The innermost loop whose variable x mentions, as a depth; 0: none. */
static uint32_t index_depth(Tidy *t, Idx x) {
    if (t->idx_depth[x])
        return t->idx_depth[x] - 1;
    const IdxNode *n = &t->k->idx.data[x];
    uint32_t depth = 0;
    if (n->kind == IX_VAR) {
        depth = t->var_depth[n->value];
    } else if (n->kind > IX_N) {
        const uint32_t a = index_depth(t, n->a), b = index_depth(t, n->b);
        depth = a > b ? a : b;
    }
    t->idx_depth[x] = depth + 1;
    return depth;
}

static uint32_t outermost_depth(Tidy *t, const Stmt *s) {
    uint32_t depth = has_index(s) ? index_depth(t, s->index) : 0;
    for (int i = 0; i < 3; i++)
        if (s->arg[i] != NO_LVAL && t->depth[s->arg[i]] > depth)
            depth = t->depth[s->arg[i]];
    return depth;
}

/* Same arguments, same result, wherever it is computed. */
static bool is_pure(const Tidy *t, const Stmt *s) {
    if (s->op == LOP_LOAD)
        return s->buf < t->k->n_params && t->constant[s->buf];
    return s->op != LOP_CLOCK;
}

/* A load may be out of bounds and an integer division by zero in iterations that never happen. */
static bool may_fault(const Stmt *s) {
    return s->op == LOP_LOAD || (s->op == LOP_DIV && !dtype_is_float(s->type.dtype));
}

static bool may_leave(const Tidy *t, const Frame *f, const Stmt *s) {
    return f->serial && (f->runs || !may_fault(s)) && (s->op != LOP_LOAD || f->loads < t->max_loads);
}

static void append(Tidy *t, uint32_t depth, Stmt *s) {
    vec_push(t->a, &t->open.data[depth].out, s);
    if (s->op < LOP_VALUE_COUNT)
        t->depth[s->result] = depth;
}

static void tidy_value(Tidy *t, Stmt *s) {
    uint32_t depth = depth_now(t);
    if (s->op == LOP_LOAD && forward_load(t, s))
        return;
    if (!is_pure(t, s)) {
        append(t, depth, s);
        return;
    }
    const uint64_t hash = hash_value(s);
    const Known *e = find_equal(t, s, hash);
    if (e) {
        t->same[s->result] = e->stmt->result;
        return;
    }
    for (const uint32_t least = outermost_depth(t, s); depth > least; depth--) {
        Frame *f = &t->open.data[depth];
        if (!may_leave(t, f, s))
            break;
        f->loads += s->op == LOP_LOAD;
    }
    append(t, depth, s);
    remember(t, s, hash, depth);
}

/* ---- The walk forwards ---- */

static void tidy_block(Tidy *t, const Block *b);

/* 1: true, 0: false, -1: not known here. The builder decides: it leaves out what needs no `if`. */
static int decide(Tidy *t, IfCmp cmp, Idx x, Idx y) {
    Block block = {0};
    LBuild b = lb_at(t->cx, t->k, &block);
    lb_if(&b, cmp, x, y);
    if (block.stmts.len)
        return -1;
    return b.open.data[b.open.len - 1] == &block;
}

static void tidy_body(Tidy *t, Block *body, bool serial, bool runs) {
    const Frame f = {.id = t->frame_open.len, .serial = serial, .runs = runs};
    vec_push(t->a, &t->frame_open, true);
    vec_push(t->a, &t->open, f);
    t->epoch++;
    tidy_block(t, body);
    t->epoch++;
    const Frame *done = &t->open.data[t->open.len - 1];
    body->stmts.data = done->out.data;
    body->stmts.len = done->out.len;
    body->stmts.cap = done->out.cap;
    t->frame_open.data[done->id] = false;
    t->open.len--;
}

static void tidy_for(Tidy *t, Stmt *s) {
    const int runs = decide(t, IF_LT, s->lo, s->hi);
    const uint32_t barrier = t->barrier;
    if (runs == 0)
        return;
    t->var_depth[s->var] = t->open.len;
    if (s->kind == FOR_PARALLEL)
        t->barrier = t->open.len;
    tidy_body(t, &s->body, s->kind == FOR_SERIAL || s->kind == FOR_NOUNROLL, runs == 1);
    t->barrier = barrier;
    append(t, depth_now(t), s);
}

static void tidy_if(Tidy *t, Stmt *s) {
    const int known = decide(t, s->cmp, s->lo, s->hi);
    if (known >= 0) {
        tidy_block(t, known ? &s->body : &s->orelse);
        return;
    }
    tidy_body(t, &s->body, false, false);
    tidy_body(t, &s->orelse, false, false);
    append(t, depth_now(t), s);
}

static void tidy_block(Tidy *t, const Block *b) {
    for (uint32_t i = 0; i < b->stmts.len; i++) {
        Stmt *s = b->stmts.data[i];
        for (int j = 0; j < 3; j++)
            if (s->arg[j] != NO_LVAL)
                s->arg[j] = t->same[s->arg[j]];
        if (s->op < LOP_VALUE_COUNT)
            tidy_value(t, s);
        else if (s->op == LOP_FOR)
            tidy_for(t, s);
        else if (s->op == LOP_IF)
            tidy_if(t, s);
        else
            append(t, depth_now(t), s);
        if (s->op == LOP_STORE)
            note_store(t, s);
    }
}

/* ---- The walk backwards ---- */

static void mark_loads(Tidy *t, const Block *b) {
    for (uint32_t i = 0; i < b->stmts.len; i++) {
        const Stmt *s = b->stmts.data[i];
        if (s->op == LOP_LOAD)
            t->loaded[s->buf] = true;
        mark_loads(t, &s->body);
        mark_loads(t, &s->orelse);
    }
}

static void drop_dead(Tidy *t, Block *b);

static bool is_live(Tidy *t, Stmt *s) {
    switch (s->op) {
    case LOP_STORE:
        return s->buf < t->k->n_params || (t->loaded[s->buf] && !is_overwritten(t, s));
    case LOP_PREFETCH:
        return true;
    case LOP_ALLOC:
        return t->touched[s->buf];
    case LOP_FOR:
    case LOP_IF:
        drop_dead(t, &s->orelse);
        drop_dead(t, &s->body);
        return s->body.stmts.len || s->orelse.stmts.len;
    default:
        return t->used[s->result];
    }
}

static void drop_dead(Tidy *t, Block *b) {
    uint32_t at = b->stmts.len; /* live statements gather at the end */
    t->epoch++;
    for (uint32_t i = b->stmts.len; i-- > 0;) {
        Stmt *s = b->stmts.data[i];
        if (!is_live(t, s))
            continue;
        for (int j = 0; j < 3; j++)
            if (s->arg[j] != NO_LVAL)
                t->used[s->arg[j]] = true;
        if (s->op == LOP_LOAD || s->op == LOP_STORE || s->op == LOP_PREFETCH)
            t->touched[s->buf] = true;
        if (s->op == LOP_LOAD)
            note_load_back(t, s);
        b->stmts.data[--at] = s;
    }
    t->epoch++;
    if (at == 0)
        return;
    memmove(b->stmts.data, b->stmts.data + at, (b->stmts.len - at) * sizeof *b->stmts.data);
    b->stmts.len -= at;
}

/* ---- A kernel ---- */

static void tidy_kernel(Unit *u, Kernel *k, const bool *constant) {
    Tidy t = {.cx = u->cx, .k = k, .a = &u->cx->arena, .constant = constant, .max_loads = 8};
    if (u->target && u->target->vector_regs > 16)
        t.max_loads = u->target->vector_regs / 2;
    t.same = NEW_ARRAY(t.a, LVal, k->vals.len);
    t.depth = NEW_ARRAY(t.a, uint32_t, k->vals.len);
    t.used = NEW_ARRAY(t.a, bool, k->vals.len);
    t.var_depth = NEW_ARRAY(t.a, uint32_t, k->vars.len);
    t.idx_depth = NEW_ARRAY(t.a, uint32_t, k->idx.len);
    t.loaded = NEW_ARRAY(t.a, bool, k->bufs.len);
    t.touched = NEW_ARRAY(t.a, bool, k->bufs.len);
    for (t.buckets = 64; t.buckets < k->vals.len; t.buckets *= 2)
        ;
    t.bucket = NEW_ARRAY(t.a, uint32_t, t.buckets);
    memset(t.bucket, 0xff, t.buckets * sizeof *t.bucket); /* NO_ENTRY */
    for (LVal v = 0; v < k->vals.len; v++)
        t.same[v] = v;
    number_slots(&t);
    tidy_body(&t, &k->body, false, false);
    mark_loads(&t, &k->body);
    drop_dead(&t, &k->body);
}

/* ---- Parameters that nothing writes during a call ---- */

static uint32_t storage(const LoopModule *m, uint32_t b) {
    for (uint32_t hops = 0; hops < m->bufs.len && m->bufs.data[b].alias >= 0; hops++)
        b = (uint32_t)m->bufs.data[b].alias;
    return b;
}

/* Inputs, but for those that a result may take the place of, or that some step also passes as a result. */
static void find_constants(const LoopModule *m, bool **constant) {
    for (uint32_t i = 0; i < m->kernels.len; i++) {
        const Kernel *k = m->kernels.data[i];
        constant[i] = NEW_ARRAY(&m->cx->arena, bool, k->n_params);
        for (uint32_t p = 0; p < k->n_params; p++)
            constant[i][p] = k->bufs.data[p].kind == LB_IN;
        for (uint32_t p = 0; p < k->n_params; p++)
            if (k->bufs.data[p].inplace >= 0 && (uint32_t)k->bufs.data[p].inplace < k->n_params)
                constant[i][k->bufs.data[p].inplace] = false;
    }
    for (uint32_t e = 0; e < m->entries.len; e++)
        for (uint32_t s = 0; s < m->entries.data[e].steps.len; s++) {
            const Step *step = &m->entries.data[e].steps.data[s];
            const Kernel *k = m->kernels.data[step->kernel];
            for (uint32_t p = 0; p < k->n_params; p++)
                for (uint32_t q = 0; q < k->n_params; q++)
                    if (k->bufs.data[q].kind != LB_IN &&
                        storage(m, step->args[p].buf) == storage(m, step->args[q].buf))
                        constant[step->kernel][p] = false;
        }
}

bool pass_tidy(Unit *u) {
    LoopModule *m = u->loops;
    bool **constant = NEW_ARRAY(&u->cx->arena, bool *, m->kernels.len);
    find_constants(m, constant);
    for (uint32_t i = 0; i < m->kernels.len; i++)
        tidy_kernel(u, m->kernels.data[i], constant[i]);
    return true;
}
