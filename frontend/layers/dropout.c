/* Dropout, of elements and of whole channels. */
#include "frontend/layers/views.h"

static const ArgRow dropout_args[] = {
    {"p", ARG_FLOAT, .def = 0.5, .lo = 0, .hi = 1},
    {"inplace", ARG_BOOL, .def = 0},
};

static ValueId build_dropout(LayerCall *c) {
    const DropoutAttrs a = {.p = layer_arg(c, "p")->f};
    return layer_unary(c, OP_dropout, &a);
}

/* As in PyTorch, Dropout2d takes whatever has channels. */
static ValueId build_channels(LayerCall *c) {
    const DropoutAttrs a = {.p = layer_arg(c, "p")->f, .channels = true};
    return c->row->rank && !layer_need_rank(c) ? NO_VALUE : layer_unary(c, OP_dropout, &a);
}

const LayerRow layer_Dropout = {"Dropout", ARG_ROWS(dropout_args), .build = build_dropout};
const LayerRow layer_Dropout1d = {"Dropout1d", .rank = 3, ARG_ROWS(dropout_args), .build = build_channels};
const LayerRow layer_Dropout2d = {"Dropout2d", ARG_ROWS(dropout_args), .build = build_channels};
const LayerRow layer_Dropout3d = {"Dropout3d", .rank = 5, ARG_ROWS(dropout_args), .build = build_channels};
