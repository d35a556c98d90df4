/* Flatten. */
#include "frontend/layers.h"

static const ArgRow flatten_args[] = {
    {"start_dim", ARG_INT, .def = 1, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
    {"end_dim", ARG_INT, .def = -1, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
};

static ValueId build_flatten(LayerCall *c) {
    FlattenAttrs a = {.start_dim = layer_int(c, "start_dim"), .end_dim = layer_int(c, "end_dim")};
    return layer_unary(c, OP_flatten, &a);
}

const LayerRow layer_Flatten = {"Flatten", ARG_ROWS(flatten_args), .build = build_flatten};
