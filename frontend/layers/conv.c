/* Convolutions. */
#include "frontend/layers.h"

static const ArgRow conv2d_args[] = {
    {"in_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"out_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_PADDING, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"dilation", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"groups", ARG_INT, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"bias", ARG_BOOL, .def = 1},
    {"padding_mode", ARG_WORD, .words = (const char *const[]){"zeros", NULL}},
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
    if (s->v[0] != 1 || s->v[1] != 1) {
        Loc loc = layer_arg_loc(c, "padding");
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc, "padding \"same\" needs stride 1");
        return diag_hint(&c->cx->diag, "give the padding in numbers");
    }
    for (int i = 0; i < 2; i++) {
        int64_t total = d->v[i] * (k->v[i] - 1); /* both below 2^31 */
        padding->v[i] = total / 2;
        padding->v[i + 2] = total - total / 2;
    }
    return true;
}

static ValueId build_conv2d(LayerCall *c) {
    Conv2dAttrs a = {.stride = layer_sizes(c, "stride"),
                     .padding = layer_border(c, "padding"),
                     .dilation = layer_sizes(c, "dilation"),
                     .groups = layer_int(c, "groups")};
    if (layer_arg(c, "padding")->mode == PAD_SAME && !same_padding(c, &a.padding))
        return NO_VALUE;
    return layer_with_params(c, OP_conv2d, &a);
}

const LayerRow layer_Conv2d = {"Conv2d", .rank = 4, ARG_ROWS(conv2d_args), PARAM_ROWS(conv2d_params),
                               .build = build_conv2d};
