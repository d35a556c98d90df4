/* Which zero border each value should carry in memory, for the convolutions that read it. */
#ifndef PASSES_BORDERS_H
#define PASSES_BORDERS_H

#include "ir/graph.h"

typedef struct Border {
    uint16_t top, left, bottom, right;
} Border;

/* One entry a value: the largest padding among the direct convolutions, and gradients of their
 * weights, that use it as input. A node counts as
 * direct when its choice says so, or before `choose` when it may become so. */
Border *border_needs(const Graph *g);

/* Can this convolution run as lower_conv_direct with channel blocks of `lanes`? */
bool conv_can_be_direct(const Graph *g, const Node *n, int64_t lanes);
/* As lower_conv_depthwise, and are there channels enough for its lanes? */
bool conv_can_be_depthwise(const Graph *g, const Node *n, int64_t lanes);
/* And its gradients, as lower_conv_weight_direct and lower_conv_direct? */
bool conv_weight_can_be_direct(const Graph *g, const Node *n, int64_t lanes);
bool conv_input_can_be_direct(const Graph *g, const Node *n);

#endif
