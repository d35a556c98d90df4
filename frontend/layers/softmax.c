/* Softmax and its logarithm. */
#include "frontend/layers.h"

static const ArgRow softmax_args[] = {
    {"dim", ARG_INT, .required = true, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
};

static ValueId build_softmax(LayerCall *c) {
    SoftmaxAttrs a = {.dim = layer_int(c, "dim")};
    return layer_unary(c, OP_softmax, &a);
}

static ValueId build_log_softmax(LayerCall *c) {
    SoftmaxAttrs a = {.dim = layer_int(c, "dim")};
    return layer_unary(c, OP_log_softmax, &a);
}

const LayerRow layer_Softmax = {"Softmax", ARG_ROWS(softmax_args), .build = build_softmax};
const LayerRow layer_LogSoftmax = {"LogSoftmax", ARG_ROWS(softmax_args), .build = build_log_softmax};
