/* How many iterations of a parallel loop are worth a second thread. Waking one costs about as much as some
 * ten microseconds of arithmetic, and far more when another process has its core; small nets run on one
 * thread. */
#include "ir/loops/build.h"
#include "passes/passes.h"

enum {
    WORTH = 150000, /* statements, scalar or vector, that a second thread should have */
    GUESS = 2, /* turns of a loop with unknown bounds: they depend on n, and n is small where it matters */
    MOST = 1 << 16, /* a span beyond is no knowledge */
};

static double turns(Kernel *k, const Stmt *s) {
    int64_t span; /* [first, first + rows) has a length though its ends are not known */
    if (ix_is_const(k, ix_make(k, IX_SUB, s->hi, s->lo), &span))
        return span > 0 ? (double)span / (double)s->step : 0;
    IxRange lo = ix_known(k, s->lo), hi = ix_known(k, s->hi);
    bool known = lo.lo != INT64_MIN && !__builtin_sub_overflow(hi.hi, lo.lo, &span) && span < MOST;
    return known && span > 0 ? (double)span / (double)s->step : GUESS;
}

static bool is_register_access(const Kernel *k, const Stmt *s) {
    return (s->op == LOP_LOAD || s->op == LOP_STORE) && k->bufs.data[s->buf].kind == LB_REG;
}

static double work(Kernel *k, const Block *block) {
    double sum = 0;
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        if (s->op == LOP_FOR)
            sum += turns(k, s) * work(k, &s->body);
        else if (s->op == LOP_IF)
            sum += work(k, &s->body);
        else if (!is_register_access(k, s))
            sum += 1;
    }
    return sum;
}

static void set_grain(Kernel *k) {
    for (uint32_t i = 0; i < k->body.stmts.len; i++) {
        Stmt *s = k->body.stmts.data[i];
        if (s->op != LOP_FOR || s->kind != FOR_PARALLEL)
            continue;
        double one = work(k, &s->body);
        int64_t grain = (int64_t)(WORTH / (one > 1 ? one : 1));
        s->grain = grain > 1 ? grain : 0;
    }
}

bool pass_grain(Unit *u) {
    for (uint32_t i = 0; i < u->loops->kernels.len; i++)
        set_grain(u->loops->kernels.data[i]);
    return true;
}
