/* Activations: one value in, one out. */
#include "frontend/layers.h"

static const ArgRow relu_args[] = {{"inplace", ARG_BOOL, .def = 0}};

static ValueId build_relu(LayerCall *c) {
    return layer_unary(c, OP_relu, NULL);
}

const LayerRow layer_ReLU = {"ReLU", ARG_ROWS(relu_args), .build = build_relu};
