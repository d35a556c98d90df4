/* Norms within an image. Group, layer and instance norms are one op under different views: it normalises
 * each [N, C] of [N, C, ...]. Weight and bias are a product and a sum behind it. */
#include "frontend/layers.h"

static ValueId view(LayerCall *c, ValueId v, IntList shape, const char *suffix) {
    const ReshapeAttrs a = {.shape = shape};
    const char *name = suffix ? intern_f(c->cx, "%s.%s", c->name, suffix) : c->name;
    return v == NO_VALUE ? v : graph_node(c->g, OP_reshape, &v, 1, &a, name, c->loc);
}

/* The elements of dimensions [lo, hi) of t. */
static int64_t extent(const Type *t, int lo, int hi) {
    int64_t n = 1;
    for (int d = lo; d < hi; d++)
        n *= t->dim[d].size;
    return n;
}

/* The input seen as `shape`, normalised, times the weight and plus the bias, if there are any, seen as
 * `params`, and in the input's shape again. */
static ValueId normalised(LayerCall *c, IntList shape, IntList params) {
    const Type in = graph_value(c->g, c->inputs[0])->type;
    const BatchNormAttrs a = {.eps = layer_arg(c, "eps")->f};
    static const OpId op[] = {OP_instance_norm, OP_mul, OP_add};
    static const char *const suffix[] = {"normalised", "scaled", "shifted"};
    static const char *const seen[] = {"", "weight_view", "bias_view"};
    IntList back = {.n = (uint8_t)(in.rank - 1)};
    bool same = shape.n == back.n;
    for (int i = 0; i < back.n; i++) {
        back.v[i] = in.dim[i + 1].size;
        same &= shape.v[i] == back.v[i];
    }
    const int steps = c->params[0] == NO_VALUE ? 1 : 3;
    ValueId v = same ? c->inputs[0] : view(c, c->inputs[0], shape, "view");
    for (int i = 0; i < steps && v != NO_VALUE; i++) {
        const ValueId both[2] = {v, i ? view(c, c->params[i - 1], params, seen[i]) : NO_VALUE};
        const bool last = same && i + 1 == steps; /* it bears the layer's name */
        const char *name = last ? c->name : intern_f(c->cx, "%s.%s", c->name, suffix[i]);
        v = graph_node(c->g, op[i], both, i ? 2 : 1, i ? NULL : &a, name, c->loc);
    }
    return same ? v : view(c, v, back, NULL);
}

/* PyTorch refuses these too, GroupNorm only in a batch of one. */
static ValueId one_value(LayerCall *c, const char *what) {
    diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &c->loc, "one value %s is all that it would normalise", what);
    diag_hint(&c->cx->diag, "whatever the value, the result would be the bias");
    return NO_VALUE;
}

/* ---- GroupNorm ---- */

static const ArgRow group_norm_args[] = {
    {"num_groups", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"num_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"eps", ARG_FLOAT, .def = 1e-5, .lo = 0, .hi = 1e30},
    {"affine", ARG_BOOL, .def = 1},
};
static const ParamRow group_norm_params[] = {
    {"weight", VK_PARAM, 1, {"num_channels"}, INIT_ONE, .when = "affine"},
    {"bias", VK_PARAM, 1, {"num_channels"}, INIT_ZERO, .when = "affine"},
};

/* [N, groups, channels of a group, rest]: the last two are normalised. */
static ValueId build_group_norm(LayerCall *c) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    const int64_t groups = layer_int(c, "num_groups"), channels = layer_int(c, "num_channels");
    const int64_t rest = extent(in, 2, in->rank);
    if (channels % groups) {
        Loc loc = layer_arg_loc(c, "num_groups");
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                   "num_channels is %lld, which num_groups = %lld does not divide", (long long)channels,
                   (long long)groups);
        return NO_VALUE;
    }
    if (channels / groups * rest == 1)
        return one_value(c, "a group");
    const uint8_t n = rest > 1 ? 3 : 2;
    return normalised(c, (IntList){n, {groups, channels / groups, rest}},
                      (IntList){n, {groups, channels / groups, 1}});
}

/* ---- LayerNorm ---- */

static const ArgRow layer_norm_args[] = {
    {"normalized_shape", ARG_LIST, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"eps", ARG_FLOAT, .def = 1e-5, .lo = 0, .hi = 1e30},
    {"elementwise_affine", ARG_BOOL, .def = 1},
};
static const ParamRow layer_norm_params[] = {
    {"weight", VK_PARAM, 0, {"normalized_shape"}, INIT_ONE, .when = "elementwise_affine"},
    {"bias", VK_PARAM, 0, {"normalized_shape"}, INIT_ZERO, .when = "elementwise_affine"},
};

/* [N, dimensions before, those of normalized_shape]. */
static ValueId build_layer_norm(LayerCall *c) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    const Arg *shape = layer_arg(c, "normalized_shape");
    const int first = in->rank - (int)shape->n;
    bool fits = first >= 1;
    for (uint32_t i = 0; i < shape->n && fits; i++)
        fits = in->dim[first + (int)i].size == shape->v[i];
    if (!fits) {
        StrBuf sb = sb_new(&c->cx->arena);
        Loc loc = layer_arg_loc(c, "normalized_shape");
        type_print(&sb, in);
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc,
                   "normalized_shape is not how its input ends, which is %s", sb_str(&sb));
        return NO_VALUE;
    }
    const int64_t count = extent(in, first, in->rank);
    return normalised(c, (IntList){2, {extent(in, 1, first), count}}, (IntList){1, {count}});
}

/* ---- InstanceNorm2d ---- */

static const ArgRow instance_norm_args[] = {
    {"num_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"eps", ARG_FLOAT, .def = 1e-5, .lo = 0, .hi = 1e30},
    {"momentum", ARG_FLOAT, .def = 0.1, .lo = 0, .hi = 1},
    {"affine", ARG_BOOL, .def = 0},
    {"track_running_stats", ARG_BOOL, .def = 0, .fixed = true},
};
static const ParamRow instance_norm_params[] = {
    {"weight", VK_PARAM, 1, {"num_features"}, INIT_ONE, .when = "affine"},
    {"bias", VK_PARAM, 1, {"num_features"}, INIT_ZERO, .when = "affine"},
};

static ValueId build_instance_norm(LayerCall *c) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    if (in->rank != 4) {
        StrBuf sb = sb_new(&c->cx->arena);
        type_print(&sb, in);
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                   "InstanceNorm2d takes [channels, height, width] behind the batch, but its input is %s",
                   sb_str(&sb));
        return NO_VALUE;
    }
    const int64_t channels = in->dim[1].size, height = in->dim[2].size, width = in->dim[3].size;
    if (height * width == 1)
        return one_value(c, "a channel");
    return normalised(c, (IntList){3, {channels, height, width}}, (IntList){3, {channels, 1, 1}});
}

/* ---- LocalResponseNorm ---- */

static const ArgRow response_norm_args[] = {
    {"size", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"alpha", ARG_FLOAT, .def = 1e-4, .lo = 0, .hi = 1e30},
    {"beta", ARG_FLOAT, .def = 0.75, .lo = -1e3, .hi = 1e3},
    {"k", ARG_FLOAT, .def = 1, .lo = 0, .hi = 1e30},
};

/* x / (k + alpha * mean)^beta with the mean of the squares over `size` channels, zeros beyond the first and
 * last: an average pool along the channels of [N, 1, channels, rest]. */
static ValueId build_response_norm(LayerCall *c) {
    const Type in = graph_value(c->g, c->inputs[0])->type;
    const int64_t size = layer_int(c, "size"), channels = in.dim[1].size;
    if (in.rank < 3) {
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                   "LocalResponseNorm takes channels and something behind them");
        return NO_VALUE;
    }
    const Pool2dAttrs pool = {.kernel_size = {2, {size, 1}},
                              .stride = {2, {1, 1}},
                              .padding = {4, {size / 2, 0, (size - 1) / 2, 0}},
                              .dilation = {2, {1, 1}},
                              .count_include_pad = true};
    const PowerAttrs power = {.exponent = -layer_arg(c, "beta")->f,
                              .factor = 1,
                              .scale = layer_arg(c, "alpha")->f,
                              .shift = layer_arg(c, "k")->f};
    IntList back = {.n = (uint8_t)(in.rank - 1)};
    for (int i = 0; i < back.n; i++)
        back.v[i] = in.dim[i + 1].size;
    const ValueId x = view(c, c->inputs[0], (IntList){3, {1, channels, extent(&in, 2, in.rank)}}, "view");
    ValueId both[2] = {x, x};
    const struct {
        OpId op;
        const void *attrs;
        const char *suffix;
    } steps[] = {{OP_mul, NULL, "squares"},
                 {OP_avg_pool2d, &pool, "means"},
                 {OP_power, &power, "factor"},
                 {OP_mul, NULL, "quotient"}};
    for (int i = 0; i < 4 && both[0] != NO_VALUE; i++)
        both[0] = graph_node(c->g, steps[i].op, both, steps[i].op == OP_mul ? 2 : 1, steps[i].attrs,
                             intern_f(c->cx, "%s.%s", c->name, steps[i].suffix), c->loc);
    return view(c, both[0], back, NULL);
}

const LayerRow layer_GroupNorm = {"GroupNorm", ARG_ROWS(group_norm_args), PARAM_ROWS(group_norm_params),
                                  .build = build_group_norm};
const LayerRow layer_LayerNorm = {"LayerNorm", ARG_ROWS(layer_norm_args), PARAM_ROWS(layer_norm_params),
                                  .build = build_layer_norm};
const LayerRow layer_InstanceNorm2d = {"InstanceNorm2d", .rank = 4, ARG_ROWS(instance_norm_args),
                                       PARAM_ROWS(instance_norm_params), .build = build_instance_norm};
const LayerRow layer_LocalResponseNorm = {"LocalResponseNorm", ARG_ROWS(response_norm_args),
                                          .build = build_response_norm};
