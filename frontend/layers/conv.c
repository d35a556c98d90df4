/* Convolutions. That of a line is that of a picture of one row; that of a volume is that of a picture with
 * the taps of the depth as channels and the planes one under the other (`unfold_depth`). */
#include "frontend/layers/views.h"
#include "ir/ops/common.h"

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

static const ParamRow conv3d_params[] = {
    {"weight",
     VK_PARAM,
     5,
     {"out_channels", "in_channels/groups", "kernel_size.0", "kernel_size.1", "kernel_size.2"},
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

/* ---- Volumes ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The rows of a plane in the picture: those of the input, with zeros above and below, which pad the next
 * plane, too. They are a multiple of the stride, and hold the plane's own *rows of results. */
static bool plane_rows(LayerCall *c, int64_t height, const IntList *padding, IntList *zeros, int64_t *rows) {
    const Window w = {.in = height,
                      .kernel = layer_arg(c, "kernel_size")->v[1],
                      .stride = layer_arg(c, "stride")->v[1],
                      .dilation = layer_arg(c, "dilation")->v[1],
                      .before = padding->v[1],
                      .after = padding->v[4]};
    if (!window_need(c->cx, &c->loc, &w, "height", rows))
        return false;
    const int64_t reach = window_input(&w, *rows - 1, w.kernel - 1) + 1; /* from the input's first row */
    const int64_t own = larger(larger(height + w.before, reach), *rows * w.stride);
    *zeros = (IntList){2, {w.before, (own + w.stride - 1) / w.stride * w.stride - w.before - height}};
    return true;
}

/* The convolution of the picture whose planes have `pitch` rows: pitch / stride rows of results each, of
 * which the first are the plane's own. */
static ValueId conv_planes(LayerCall *c, ValueId x, int64_t pitch, const IntList *padding) {
    const Arg *kernel = layer_arg(c, "kernel_size");
    const IntList stride = layer_sizes(c, "stride"), dilation = layer_sizes(c, "dilation");
    const int64_t reach = dilation.v[1] * (kernel->v[1] - 1) + 1;
    Conv2dAttrs a = {.groups = layer_int(c, "groups")};
    const int64_t channels = layer_int(c, "in_channels") / a.groups * kernel->v[0];
    const IntList taps = {4, {layer_int(c, "out_channels"), channels, kernel->v[1], kernel->v[2]}};
    a.stride = (IntList){2, {stride.v[1], stride.v[2]}};
    a.dilation = (IntList){2, {dilation.v[1], dilation.v[2]}};
    a.padding =
        (IntList){4, {0, padding->v[2], reach > stride.v[1] ? reach - stride.v[1] : 0, padding->v[5]}};
    ValueId in[3] = {x, c->params[0], c->params[1]};
    in[1] = layer_view(c, in[1], taps, intern_f(c->cx, "%s.kernel", c->name));
    const ValueId y = in[1] == NO_VALUE ? in[1] : conv2d(c, in, &a, intern_f(c->cx, "%s.conv", c->name));
    if (y == NO_VALUE)
        return y;
    const Type *t = &graph_value(c->g, y)->type;
    const int64_t rows = pitch / a.stride.v[0];
    const IntList volume = {4, {t->dim[1].size, t->dim[2].size / rows, rows, t->dim[3].size}};
    return layer_view(c, y, volume, intern_f(c->cx, "%s.volume", c->name));
}

/* One tap, one plane after the other, no zeros: the picture is a view. */
static ValueId unfold_depth(LayerCall *c, ValueId x, const UnfoldDepthAttrs *a) {
    const Dim *d = graph_value(c->g, x)->type.dim;
    const char *name = intern_f(c->cx, "%s.unfolded", c->name);
    if (a->kernel_size == 1 && a->stride == 1 && !a->padding.v[0] && !a->padding.v[1] && !a->rows.v[0] &&
        !a->rows.v[1])
        return layer_view(c, x, (IntList){3, {d[1].size, d[2].size * d[3].size, d[4].size}}, name);
    return graph_node(c->g, OP_unfold_depth, &x, 1, a, name, c->loc);
}

static ValueId build_conv3d(LayerCall *c) {
    ValueId x = c->inputs[0];
    IntList padding;
    if (!layer_need_rank(c) || !read_padding(c, &x, &padding))
        return NO_VALUE;
    const int64_t height = graph_value(c->g, x)->type.dim[3].size;
    UnfoldDepthAttrs unfold = {.kernel_size = layer_arg(c, "kernel_size")->v[0],
                               .stride = layer_arg(c, "stride")->v[0],
                               .padding = {2, {padding.v[0], padding.v[3]}},
                               .dilation = layer_arg(c, "dilation")->v[0]};
    int64_t rows;
    if (!plane_rows(c, height, &padding, &unfold.rows, &rows))
        return NO_VALUE;
    x = unfold_depth(c, x, &unfold);
    if (x == NO_VALUE)
        return x;
    x = conv_planes(c, x, height + unfold.rows.v[0] + unfold.rows.v[1], &padding);
    if (x == NO_VALUE)
        return x;
    const SliceAttrs own = {.dim = 3, .end = rows, .step = 1};
    return graph_node(c->g, OP_slice, &x, 1, &own, c->name, c->loc);
}

const LayerRow layer_Conv1d = {"Conv1d", .rank = 3, ARG_ROWS(conv_args), PARAM_ROWS(conv1d_params),
                               .build = build_conv1d};
const LayerRow layer_Conv2d = {"Conv2d", .rank = 4, ARG_ROWS(conv_args), PARAM_ROWS(conv2d_params),
                               .build = build_conv2d};
const LayerRow layer_Conv3d = {"Conv3d", .rank = 5, ARG_ROWS(conv_args), PARAM_ROWS(conv3d_params),
                               .build = build_conv3d};
