/* Transposed convolutions: the gradient of the input of a convolution with the same weight. */
#include "frontend/layers.h"

static const ArgRow conv_transpose_args[] = {
    {"in_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"out_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_SIZES, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"output_padding", ARG_SIZES, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"groups", ARG_INT, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"bias", ARG_BOOL, .def = 1},
    {"dilation", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding_mode", ARG_WORD, .words = (const char *const[]){"zeros", NULL}},
};
static const ParamRow conv_transpose2d_params[] = {
    {"weight",
     VK_PARAM,
     4,
     {"in_channels", "out_channels/groups", "kernel_size.0", "kernel_size.1"},
     INIT_FAN_IN},
    {"bias", VK_PARAM, 1, {"out_channels"}, INIT_FAN_IN, .when = "bias"},
};

/* (in - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1, into *size. */
static bool output_size(const LayerCall *c, uint32_t i, int64_t in, int64_t *size) {
    const int64_t stride = layer_arg(c, "stride")->v[i], more = layer_arg(c, "output_padding")->v[i];
    const int64_t reach = layer_arg(c, "dilation")->v[i] * (layer_arg(c, "kernel_size")->v[i] - 1);
    const int64_t less = 2 * layer_arg(c, "padding")->v[i];
    Loc loc = layer_arg_loc(c, "output_padding");
    if (more >= stride) {
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                   "output_padding is %lld, but must be smaller than stride, which is %lld", (long long)more,
                   (long long)stride);
        return diag_hint(&c->cx->diag, "a ZeroPad2d layer after this one makes its result larger");
    }
    if (__builtin_mul_overflow(in - 1, stride, size) ||
        __builtin_add_overflow(*size, reach + more - less + 1, size) || *size < 1 || *size > INT32_MAX)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "its input of %lld %s leaves no result, or too large a one", (long long)in,
                          i ? "columns" : "rows");
    return true;
}

static ValueId node(LayerCall *c, OpId op, ValueId a, ValueId b, const void *attrs, const char *suffix) {
    const ValueId in[2] = {a, b};
    const char *name = suffix ? intern_f(c->cx, "%s.%s", c->name, suffix) : c->name;
    for (int i = 0; i < 2; i++)
        if (in[i] == NO_VALUE && (i == 0 || op == OP_add))
            return NO_VALUE;
    return graph_node(c->g, op, in, b == NO_VALUE ? 1 : 2, attrs, name, c->loc);
}

/* conv2d with attributes *at of the input, spread by the stride. */
static ValueId build_flipped(LayerCall *c, const Conv2dAttrs *a, const Conv2dAttrs *at) {
    const DilateAttrs spread = {a->stride};
    const FlipWeightAttrs flip = {a->groups};
    ValueId in[3] = {c->inputs[0], NO_VALUE, c->params[1]};
    if (a->stride.v[0] > 1 || a->stride.v[1] > 1)
        in[0] = node(c, OP_dilate, in[0], NO_VALUE, &spread, "spread");
    in[1] = node(c, OP_flip_weight, c->params[0], NO_VALUE, &flip, "flipped");
    if (in[0] == NO_VALUE || in[1] == NO_VALUE)
        return NO_VALUE;
    return graph_node(c->g, OP_conv2d, in, in[2] == NO_VALUE ? 2 : 3, at, c->name, c->loc);
}

static ValueId build_backward(LayerCall *c, const ConvGradAttrs *a) {
    const ReshapeAttrs column = {{3, {layer_int(c, "out_channels"), 1, 1}}};
    const bool bias = c->params[1] != NO_VALUE;
    const ValueId y =
        node(c, OP_conv2d_backward_input, c->inputs[0], c->params[0], a, bias ? "product" : NULL);
    if (!bias)
        return y;
    return node(c, OP_add, y, node(c, OP_reshape, c->params[1], NO_VALUE, &column, "shift"), NULL, NULL);
}

static ValueId build_conv_transpose2d(LayerCall *c) {
    ConvGradAttrs a = {.conv = {.stride = layer_sizes(c, "stride"),
                                .padding = layer_border(c, "padding"),
                                .dilation = layer_sizes(c, "dilation"),
                                .groups = layer_int(c, "groups")},
                       .size.n = 2};
    const Type x = graph_value(c->g, c->inputs[0])->type, w = graph_value(c->g, c->params[0])->type;
    Conv2dAttrs at;
    Type y = x;
    if (x.rank != 4) /* the op says what it takes */
        return build_backward(c, &(const ConvGradAttrs){a.conv, {2, {1, 1}}});
    if (layer_int(c, "in_channels") % a.conv.groups) {
        Loc loc = layer_arg_loc(c, "groups");
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                   "in_channels is %lld, which groups = %lld does not divide",
                   (long long)layer_int(c, "in_channels"), (long long)a.conv.groups);
        return NO_VALUE;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (!output_size(c, i, x.dim[2 + i].size, &a.size.v[i]))
            return NO_VALUE;
        y.dim[2 + i].size = a.size.v[i];
    }
    return conv2d_input_plan(&a.conv, &y, &w, &x, &at) ? build_flipped(c, &a.conv, &at)
                                                       : build_backward(c, &a);
}

const LayerRow layer_ConvTranspose2d = {"ConvTranspose2d", .rank = 4, ARG_ROWS(conv_transpose_args),
                                        PARAM_ROWS(conv_transpose2d_params), .build = build_conv_transpose2d};
