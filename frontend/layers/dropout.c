/* Dropout. */
#include "frontend/layers.h"

static const ArgRow dropout_args[] = {
    {"p", ARG_FLOAT, .def = 0.5, .lo = 0, .hi = 1},
    {"inplace", ARG_BOOL, .def = 0},
};

static ValueId build_dropout(LayerCall *c) {
    DropoutAttrs a = {.p = layer_arg(c, "p")->f};
    return layer_unary(c, OP_dropout, &a);
}

const LayerRow layer_Dropout = {"Dropout", ARG_ROWS(dropout_args), .build = build_dropout};
