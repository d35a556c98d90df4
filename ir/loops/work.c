/* How long an entry can run: an upper bound, for code that comes from a file and runs inside the compiler. */
#include "ir/loops/build.h"
#include <math.h>

enum { ONE = 1 }; /* the batch counted with */

/* At most so many turns; INFINITY where nothing is known. Notes what the variable can be. */
static double most_turns(Kernel *k, const Stmt *s, int64_t *lo, int64_t *hi) {
    int64_t first = 0, end = 0, span, unused;
    const bool known = ix_range(k, s->lo, lo, hi, ONE, &first, &unused) &&
                       ix_range(k, s->hi, lo, hi, ONE, &unused, &end) && end > INT64_MIN;
    lo[s->var] = known ? first : INT64_MIN;
    hi[s->var] = known ? end - 1 : INT64_MAX;
    if (!ix_is_const(k, ix_make(k, IX_SUB, s->hi, s->lo), &span) &&
        (!known || __builtin_sub_overflow(end, first, &span)))
        return INFINITY;
    return span > 0 ? ceil((double)span / (double)s->step) : 0;
}

/* At most so many statements are run; a turn of a loop is one. */
static double most_work(Kernel *k, const Block *block, int64_t *lo, int64_t *hi) {
    double sum = 0;
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        if (s->op == LOP_FOR) {
            const double turns = most_turns(k, s, lo, hi);
            sum += turns > 0 ? turns * (1 + most_work(k, &s->body, lo, hi)) : 0;
        } else {
            sum += 1 + most_work(k, &s->body, lo, hi) + most_work(k, &s->orelse, lo, hi);
        }
    }
    return sum;
}

double kernel_most_work(Kernel *k) {
    int64_t *lo = NEW_ARRAY(k->arena, int64_t, k->vars.len + 1);
    int64_t *hi = NEW_ARRAY(k->arena, int64_t, k->vars.len + 1);
    return most_work(k, &k->body, lo, hi);
}

double loops_most_work(const LoopModule *m, const Entry *e) {
    double sum = 0;
    for (uint32_t i = 0; i < e->steps.len; i++)
        sum += kernel_most_work(m->kernels.data[e->steps.data[i].kernel]);
    return sum;
}
