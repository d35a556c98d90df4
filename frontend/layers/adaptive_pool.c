/* Adaptive pools. */
#include "frontend/layers.h"

static const ArgRow adaptive_pool_args[] = {
    {"output_size", ARG_SIZES_OR_IN, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
};

static ValueId build_adaptive_pool(LayerCall *c) {
    AdaptivePoolAttrs a = {.output_size = layer_sizes(c, "output_size")};
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    for (int i = 0; i < 2 && in->rank == 4; i++)
        if (a.output_size.v[i] == 0)
            a.output_size.v[i] = in->dim[2 + i].size;
    return layer_unary(c, OP_adaptive_avg_pool2d, &a);
}

const LayerRow layer_AdaptiveAvgPool2d = {"AdaptiveAvgPool2d", .rank = 4, ARG_ROWS(adaptive_pool_args),
                                          .build = build_adaptive_pool};
