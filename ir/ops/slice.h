/* What slice and its gradient share. */
#ifndef IR_OPS_SLICE_H
#define IR_OPS_SLICE_H

#include "ir/op.h"

/* How many elements of the dimension there are in the slice. */
static inline int64_t slice_count(const SliceAttrs *a) {
    return (a->end - a->start + a->step - 1) / a->step;
}

/* The slice lies within `size` elements. */
static inline bool slice_fits(const SliceAttrs *a, int64_t size) {
    return a->start < a->end && a->end <= size;
}

#define SLICE_ROWS(T, at)                                                                                    \
    {"dim", ATTR_INT, offsetof(T, at dim), 0, 0, MAX_RANK - 1, NULL, false, 0},                              \
        {"start", ATTR_INT, offsetof(T, at start), 0, 0, 9e15, NULL, true, 0},                               \
        {"end", ATTR_INT, offsetof(T, at end), 0, 1, 9e15, NULL, false, 0},                                  \
        {"step", ATTR_INT, offsetof(T, at step), 0, 1, 9e15, NULL, true, 1}

#endif
