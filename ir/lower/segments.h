/* What concat, slice and its gradient share: a result that is made of segments along one dimension, each of
 * an operand or of zeros. */
#ifndef IR_LOWER_SEGMENTS_H
#define IR_LOWER_SEGMENTS_H

#include "ir/lower/lower.h"

/* `count` places of the result, to, to + to_step..., from places from, from + from_step... of the operand. A
 * later segment may overwrite an earlier one. */
typedef struct Segment {
    int operand; /* of the node; -1: zeros */
    int64_t to, from, count;
    int64_t to_step, from_step;
} Segment;

/* The segments lie along dimension `dim` of the result, and fill it. All other dimensions are alike. */
bool lower_segments(Lower *lw, const Node *n, int dim, const Segment *segments, uint32_t count);

#endif
