/* Windows of pools: which taps of a window lie inside the input. Functions in window.c. */
#ifndef IR_LOWER_WINDOW_H
#define IR_LOWER_WINDOW_H

#include "ir/lower/lower.h"

/* Rows or columns. Tap k of output o is at input o*stride - before + k*dilation. */
typedef struct PoolAxis {
    int64_t in, out, taps, stride, dilation, before, after;
    bool adaptive;  /* windows [floor(o*in/out), ceil((o+1)*in/out)): tap k is input k */
    int64_t lo, hi; /* outputs whose window lies inside the input */
} PoolAxis;

PoolAxis pool_axis(const Pool2dAttrs *p, int64_t in, int64_t out, int axis);
PoolAxis pool_axis_adaptive(int64_t in, int64_t out);
/* Taps [*lo, *hi) of output o that lie inside the input; `inside`: all are known to. */
void pool_taps(LBuild *b, const PoolAxis *a, Idx o, bool inside, Idx *lo, Idx *hi);
/* How many taps of output o the divisor of a mean counts, given those inside; `padding`: those on padding
 * too.
 */
Idx pool_tap_count(LBuild *b, const PoolAxis *a, bool padding, Idx o, Idx lo, Idx hi);
Idx pool_input(LBuild *b, const PoolAxis *a, Idx o, Idx tap);

#endif
