/* Linear. */
#include "frontend/layers.h"

static const ArgRow linear_args[] = {
    {"in_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = -1, .unit = "features"},
    {"out_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"bias", ARG_BOOL, .def = 1},
};
static const ParamRow linear_params[] = {
    {"weight", VK_PARAM, 2, {"out_features", "in_features"}, INIT_FAN_IN},
    {"bias", VK_PARAM, 1, {"out_features"}, INIT_FAN_IN, .when = "bias"},
};

static ValueId build_linear(LayerCall *c) {
    return layer_with_params(c, OP_linear, NULL);
}

const LayerRow layer_Linear = {"Linear", ARG_ROWS(linear_args), PARAM_ROWS(linear_params),
                               .build = build_linear};
