/* Convolutions. That of a line is that of a picture of one row. */
#include "frontend/layers.h"

static const ArgRow conv_args[] = {
    {"in_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"out_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_PADDING, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"dilation", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"groups", ARG_INT, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"bias", ARG_BOOL, .def = 1},
    /* in the order of PadKind */
    {"padding_mode", ARG_WORD,
     .words = (const char *const[]){"zeros", "reflect", "replicate", "circular", NULL}},
};
static const ParamRow conv1d_params[] = {
    {"weight", VK_PARAM, 3, {"out_channels", "in_channels/groups", "kernel_size.0"}, INIT_FAN_IN},
    {"bias", VK_PARAM, 1, {"out_channels"}, INIT_FAN_IN, .when = "bias"},
};
static const ParamRow conv2d_params[] = {
    {"weight",
     VK_PARAM,
     4,
     {"out_channels", "in_channels/groups", "kernel_size.0", "kernel_size.1"},
     INIT_FAN_IN},
    {"bias", VK_PARAM, 1, {"out_channels"}, INIT_FAN_IN, .when = "bias"},
};

/* "same" splits dilation * (kernel - 1) into two halves; the odd one goes to the bottom and right. */
static bool same_padding(const LayerCall *c, IntList *padding) {
    const Arg *k = layer_arg(c, "kernel_size"), *d = layer_arg(c, "dilation"), *s = layer_arg(c, "stride");
    for (uint32_t i = 0; i < k->n; i++) {
        if (s->v[i] != 1) {
            Loc loc = layer_arg_loc(c, "padding");
            diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc, "padding \"same\" needs stride 1");
            return diag_hint(&c->cx->diag, "give the padding in numbers");
        }
        int64_t total = d->v[i] * (k->v[i] - 1); /* both below 2^31 */
        padding->v[i] = total / 2;
        padding->v[i + k->n] = total - total / 2;
    }
    return true;
}

/* With another padding_mode than zeros the input is padded by an op of its own, and *padding is 0 then. */
static bool pad_input(LayerCall *c, ValueId *x, IntList *padding) {
    PadAttrs a = {.pad.n = padding->n, .mode = (int32_t)layer_int(c, "padding_mode")};
    const size_t n = padding->n / 2u;
    if (a.mode == PAD_CONSTANT)
        return true;
    for (size_t i = 0; i < n; i++) {
        a.pad.v[2 * (n - 1 - i)] = padding->v[i];
        a.pad.v[2 * (n - 1 - i) + 1] = padding->v[i + n];
        padding->v[i] = padding->v[i + n] = 0;
    }
    *x = graph_node(c->g, OP_pad, x, 1, &a, intern_f(c->cx, "%s.padded", c->name), c->loc);
    return *x != NO_VALUE;
}

static bool read_padding(LayerCall *c, ValueId *x, IntList *padding) {
    *padding = layer_border(c, "padding");
    return (layer_arg(c, "padding")->mode != PAD_SAME || same_padding(c, padding)) &&
           pad_input(c, x, padding);
}

/* in: input, weight, bias or NO_VALUE. */
static ValueId conv2d(LayerCall *c, const ValueId *in, const Conv2dAttrs *a, const char *name) {
    return graph_node(c->g, OP_conv2d, in, in[2] == NO_VALUE ? 2 : 3, a, name, c->loc);
}

static ValueId build_conv2d(LayerCall *c) {
    Conv2dAttrs a = {.stride = layer_sizes(c, "stride"),
                     .dilation = layer_sizes(c, "dilation"),
                     .groups = layer_int(c, "groups")};
    ValueId in[3] = {c->inputs[0], c->params[0], c->params[1]};
    return read_padding(c, &in[0], &a.padding) ? conv2d(c, in, &a, c->name) : NO_VALUE;
}

/* `v` with a dimension of 1 before the last; the view that takes it away again where `out`. */
static ValueId rows(LayerCall *c, ValueId v, bool out, const char *name) {
    const Type *t = &graph_value(c->g, v)->type;
    ReshapeAttrs a = {0};
    for (int d = t->dim[0].by_n; d < t->rank; d++) {
        if (!out && d == t->rank - 1)
            a.shape.v[a.shape.n++] = 1;
        if (!out || d != t->rank - 2)
            a.shape.v[a.shape.n++] = t->dim[d].size;
    }
    return graph_node(c->g, OP_reshape, &v, 1, &a, name, c->loc);
}

static IntList two(int64_t first, const Arg *a) {
    return (IntList){2, {first, a->v[0]}};
}

static ValueId build_conv1d(LayerCall *c) {
    Conv2dAttrs a = {.stride = two(1, layer_arg(c, "stride")),
                     .dilation = two(1, layer_arg(c, "dilation")),
                     .groups = layer_int(c, "groups")};
    ValueId in[3] = {c->inputs[0], NO_VALUE, c->params[1]};
    IntList padding;
    if (!read_padding(c, &in[0], &padding))
        return NO_VALUE;
    a.padding = (IntList){4, {0, padding.v[0], 0, padding.v[1]}};
    in[0] = rows(c, in[0], false, intern_f(c->cx, "%s.row", c->name));
    in[1] = rows(c, c->params[0], false, intern_f(c->cx, "%s.kernel", c->name));
    if (in[0] == NO_VALUE || in[1] == NO_VALUE)
        return NO_VALUE;
    const ValueId y = conv2d(c, in, &a, intern_f(c->cx, "%s.conv", c->name));
    return y == NO_VALUE ? NO_VALUE : rows(c, y, true, c->name);
}

const LayerRow layer_Conv1d = {"Conv1d", .rank = 3, ARG_ROWS(conv_args), PARAM_ROWS(conv1d_params),
                               .build = build_conv1d};
const LayerRow layer_Conv2d = {"Conv2d", .rank = 4, ARG_ROWS(conv_args), PARAM_ROWS(conv2d_params),
                               .build = build_conv2d};
