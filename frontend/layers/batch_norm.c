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

/* All of them are one op, so that rank is what tells them apart. */
static ValueId wrong_rank(LayerCall *c, const Type *in) {
    static const char *const fit[] = {"BatchNorm1d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"};
    const char *takes = c->row == &layer_BatchNorm1d   ? "[channels] or [channels, length]"
                        : c->row == &layer_BatchNorm2d ? "[channels, height, width]"
                                                       : "[channels, depth, height, width]";
    StrBuf sb = sb_new(&c->cx->arena);
    type_print(&sb, in);
    diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
               "%s takes %s behind the batch, but its input is %s", c->row->type, takes, sb_str(&sb));
    if (in->rank >= 2 && in->rank <= 5)
        diag_hint(&c->cx->diag, "%s is the one for that", fit[in->rank - 2]);
    return NO_VALUE;
}

static ValueId build_batch_norm(LayerCall *c) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    BatchNormAttrs a = {.eps = layer_arg(c, "eps")->f, .momentum = layer_arg(c, "momentum")->f};
    if (c->row == &layer_BatchNorm1d ? in->rank != 2 && in->rank != 3 : in->rank != c->row->rank)
        return wrong_rank(c, in);
    if (c->params[0] == NO_VALUE) {
        c->params[0] = filled(c, "weight", 1);
        c->params[1] = filled(c, "bias", 0);
    }
    return layer_with_params(c, OP_batch_norm, &a);
}

const LayerRow layer_BatchNorm1d = {"BatchNorm1d", ARG_ROWS(batch_norm_args), PARAM_ROWS(batch_norm_params),
                                    .build = build_batch_norm};
const LayerRow layer_BatchNorm2d = {"BatchNorm2d", .rank = 4, ARG_ROWS(batch_norm_args),
                                    PARAM_ROWS(batch_norm_params), .build = build_batch_norm};
const LayerRow layer_BatchNorm3d = {"BatchNorm3d", .rank = 5, ARG_ROWS(batch_norm_args),
                                    PARAM_ROWS(batch_norm_params), .build = build_batch_norm};
