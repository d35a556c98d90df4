/* Batch normalisation. */
#include "frontend/layers.h"

static const ArgRow batch_norm_args[] = {
    {"num_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"eps", ARG_FLOAT, .def = 1e-5, .lo = 0, .hi = 1e30},
    {"momentum", ARG_FLOAT, .def = 0.1, .lo = 0, .hi = 1},
    {"affine", ARG_BOOL, .def = 1},
    {"track_running_stats", ARG_BOOL, .def = 1, .fixed = true},
};
static const ParamRow batch_norm_params[] = {
    {"weight", VK_PARAM, 1, {"num_features"}, INIT_ONE, .when = "affine"},
    {"bias", VK_PARAM, 1, {"num_features"}, INIT_ZERO, .when = "affine"},
    {"running_mean", VK_BUFFER, 1, {"num_features"}, INIT_ZERO},
    {"running_var", VK_BUFFER, 1, {"num_features"}, INIT_ONE},
};

/* affine = false is a weight of ones and a bias of zeros. */
static ValueId filled(LayerCall *c, const char *what, float value) {
    int64_t n = layer_int(c, "num_features");
    Type t = type_make(DT_F32, 1, &(Dim){n, false});
    float *data = NEW_ARRAY(&c->cx->arena, float, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        data[i] = value;
    return graph_const(c->g, intern_f(c->cx, "%s.%s", c->name, what), t, data, c->loc);
}

static ValueId build_batch_norm(LayerCall *c) {
    BatchNormAttrs a = {.eps = layer_arg(c, "eps")->f, .momentum = layer_arg(c, "momentum")->f};
    if (c->params[0] == NO_VALUE) {
        c->params[0] = filled(c, "weight", 1);
        c->params[1] = filled(c, "bias", 0);
    }
    return layer_with_params(c, OP_batch_norm, &a);
}

const LayerRow layer_BatchNorm2d = {"BatchNorm2d", .rank = 4, ARG_ROWS(batch_norm_args),
                                    PARAM_ROWS(batch_norm_params), .build = build_batch_norm};
