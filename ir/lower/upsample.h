/* What upsampling and its gradient share: which elements of the input an element of the result is made of.
 * Functions in upsample_line.c. */
#ifndef IR_LOWER_UPSAMPLE_H
#define IR_LOWER_UPSAMPLE_H

#include "ir/lower/lower.h"
#include "ir/ops/upsample.h"

/* Rows or columns. Element i of the result lies at (num * i + add) / den, moved to the edge where that is
 * outside. It begins with the input's element below that, and takes the next one too, unless `one`. */
typedef struct UpsampleLine {
    UpsampleAxis axis;
    int64_t num, add, den; /* num 0: everything comes from element 0 */
    bool one;              /* that element alone, which is inside */
} UpsampleLine;

/* What a task makes: rows [top, end) of an image's channels from c on. */
typedef struct UpsampleTask {
    Idx n, c, top, end;
} UpsampleTask;

/* Opens the parallel loop, which lb_end closes, over all images, their channels [first, first + steps *
 * lanes) by `lanes`, and runs of their `height` rows, each of which takes `width` elements. */
UpsampleTask upsample_tasks(LowerKernel *lk, int64_t first, int64_t steps, uint8_t lanes, int64_t height,
                            int64_t width);
/* Of the node's operand and result, whichever is the input of the upsampling. */
UpsampleLine upsample_line(const Node *n, const Type *in, const Type *out, int axis);
Idx upsample_source(LBuild *b, const UpsampleLine *l, Idx i);
/* How far element i lies beyond its source `at` towards the next element: from 0 to 1, of the nearest one of
 * them, in f32. */
LVal upsample_part(LBuild *b, const UpsampleLine *l, Idx i, Idx at);
/* Elements [*lo, *hi) of the result: all that element `at` of the input takes part in, and where it is not
 * `one` perhaps some more, whose weight is 0. */
void upsample_users(LBuild *b, const UpsampleLine *l, Idx at, Idx *lo, Idx *hi);

#endif
