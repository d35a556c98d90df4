/* Softmax and its logarithm. */
#include "frontend/layers/views.h"

static const ArgRow softmax_args[] = {
    {"dim", ARG_INT, .required = true, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
};

static ValueId build_softmax(LayerCall *c) {
    SoftmaxAttrs a = {.dim = layer_int(c, "dim")};
    return layer_unary(c, c->row->op, &a);
}

/* Over the channels of each pixel. */
static ValueId build_softmax2d(LayerCall *c) {
    SoftmaxAttrs a = {.dim = 1};
    return layer_need_rank(c) ? layer_unary(c, OP_softmax, &a) : NO_VALUE;
}

const LayerRow layer_Softmax = {"Softmax", ARG_ROWS(softmax_args), .op = OP_softmax, .build = build_softmax};
const LayerRow layer_LogSoftmax = {"LogSoftmax", ARG_ROWS(softmax_args), .op = OP_log_softmax,
                                   .build = build_softmax};
const LayerRow layer_Softmax2d = {"Softmax2d", .rank = 4, .build = build_softmax2d};
