/* Accesses that provably fall outside their buffer. Only what is certain is reported: code under `if`, and in
 * loops that may be empty, is left to the interpreter. */
#include "ir/loops/verify.h"

typedef struct Bounds {
    Verify *v;
    int64_t n;
    int64_t *lo, *hi; /* of each open variable, inclusive */
    bool *open;
    bool exact;  /* every open variable really takes both ends, whatever the others are */
    int64_t *at; /* scratch for evaluation */
} Bounds;

/* The smallest and largest value x takes; false when it is only an estimate from outside. */
static bool extremes(Bounds *b, Idx x, IxRange *r) {
    const Kernel *k = b->v->k;
    int64_t coef;
    bool exact = b->exact;
    *r = ix_range_in(k, x, &(RangeEnv){.lo = b->lo, .hi = b->hi, .n = b->n});
    for (int top = 0; top < 2 && exact; top++) {
        for (uint32_t i = 0; i < k->vars.len && exact; i++) {
            if (!b->open[i] || !ix_uses(k, x, i))
                continue;
            exact = ix_linear(k, x, i, &coef);
            b->at[i] = (coef > 0) == top ? b->hi[i] : b->lo[i];
        }
        if (exact)
            *(top ? &r->hi : &r->lo) = ix_eval(k, x, b->at, b->n);
    }
    return exact;
}

static void check_access(Bounds *b, const Stmt *s) {
    const LBuf *buf = &b->v->k->bufs.data[s->buf];
    int64_t size = dim_at(buf->extent, b->n);
    IxRange r, lanes = {0, 0};
    bool exact = extremes(b, s->index, &r);
    if (buf->kind != LB_REG)
        lanes.hi = (s->type.lanes - 1) * s->stride;
    IxRange all = range_add(r, lanes);
    /* Estimates prove a fault only when all they allow is outside. */
    bool below = exact ? r.lo < 0 : r.hi < 0;
    bool above = exact ? all.hi >= size : range_add((IxRange){r.lo, r.lo}, lanes).hi >= size;
    if (!exact && r.lo == INT64_MIN)
        above = false;
    if (below || above)
        verify_fault(b->v, s, "element %lld is outside the %lld of %%%s (n is %lld)",
                     (long long)(below   ? (exact ? r.lo : r.hi)
                                 : exact ? all.hi
                                         : r.lo),
                     (long long)size, buf->name, (long long)b->n);
}

static void walk(Bounds *b, const Block *block);

static void walk_for(Bounds *b, const Stmt *s) {
    RangeEnv env = {.lo = b->lo, .hi = b->hi, .n = b->n};
    IxRange lo = ix_range_in(b->v->k, s->lo, &env), hi = ix_range_in(b->v->k, s->hi, &env);
    bool exact = b->exact;
    if (!range_bounded(lo) || !range_bounded(hi) || lo.hi >= hi.lo)
        return; /* may be empty */
    b->lo[s->var] = lo.lo;
    b->hi[s->var] = hi.hi - 1;
    if (lo.lo == lo.hi && hi.lo == hi.hi) {
        int64_t span;
        if (__builtin_sub_overflow(hi.hi - 1, lo.lo, &span))
            return;
        b->hi[s->var] = lo.lo + span / s->step * s->step;
    } else {
        b->exact = false;
    }
    b->open[s->var] = true;
    walk(b, &s->body);
    b->open[s->var] = false;
    b->exact = exact;
}

static void walk(Bounds *b, const Block *block) {
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        if (s->op == LOP_LOAD || s->op == LOP_STORE)
            check_access(b, s);
        else if (s->op == LOP_FOR)
            walk_for(b, s);
    }
}

void verify_bounds(Verify *v, int64_t n) {
    uint32_t vars = v->k->vars.len + 1;
    Bounds b = {.v = v,
                .n = n,
                .lo = NEW_ARRAY(&v->cx->arena, int64_t, vars),
                .hi = NEW_ARRAY(&v->cx->arena, int64_t, vars),
                .open = NEW_ARRAY(&v->cx->arena, bool, vars),
                .at = NEW_ARRAY(&v->cx->arena, int64_t, vars),
                .exact = true};
    walk(&b, &v->k->body);
}
