/* Private to ir/loops: what index.c and simplify.c share. */
#ifndef IR_LOOPS_INDEX_H
#define IR_LOOPS_INDEX_H

#include "ir/loops/build.h"

/* What ix_range_in is told: ranges of the variables (NULL arrays: the kernel's own), n exactly, or 1 to batch
 * (0 and 0: n may be anything from 1). */
typedef struct RangeEnv {
    const int64_t *lo, *hi;
    int64_t batch, n;
} RangeEnv;

IxRange ix_range_in(const Kernel *k, Idx x, const RangeEnv *env);
IxRange range_add(IxRange a, IxRange b);
IxRange range_scale(IxRange a, int64_t c);
bool range_bounded(IxRange r);

int64_t floor_div(int64_t a, int64_t b); /* b > 0 */
int64_t floor_mod(int64_t a, int64_t b);

/* build.c: what the variable of a loop over [lo, hi) can be. */
IxRange loop_range(const Kernel *k, Idx lo, Idx hi, int64_t step);

#endif
