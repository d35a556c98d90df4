/* Questions about layouts that several lowerings ask. Answered in shapes.c. */
#ifndef IR_LOWER_SHAPES_H
#define IR_LOWER_SHAPES_H

#include "ir/type.h"

/* The dimension that is innermost in memory, by its part with more than one element; else the last. */
int shape_lane_dim(const Type *t);
/* The most lanes, at most `want`, for which `lanes` elements along dimension d from any multiple of `lanes`
 * on are evenly spaced in memory. d outside the rank, or of extent 1: broadcast, so `want`. */
uint8_t shape_lanes(const Type *t, int d, uint8_t want);
/* Are the elements of dimension d evenly spaced within each run of `span` that starts at a multiple of it? */
bool shape_even(const Type *t, int d, int64_t span);
/* Does memory hold elements [0, to) of dimension d, as padding lanes where the tensor has none? */
bool shape_padded(const Type *t, int d, int64_t to);

#endif
