/* conv2d: a batch of images [N, C, H, W] with a bank of filters [O, C/groups, KH, KW]. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"stride", ATTR_INTS, offsetof(Conv2dAttrs, stride), 2, 1, OP_MAX_INT, NULL, true, 1},
    {"padding", ATTR_INTS, offsetof(Conv2dAttrs, padding), 4, 0, OP_MAX_INT, NULL, true, 0},
    {"dilation", ATTR_INTS, offsetof(Conv2dAttrs, dilation), 2, 1, OP_MAX_INT, NULL, true, 1},
    {"groups", ATTR_INT, offsetof(Conv2dAttrs, groups), 0, 1, OP_MAX_INT, NULL, true, 1},
};

Window conv2d_window(const Conv2dAttrs *a, const Type *input, const Type *weight, int axis) {
    return (Window){
        .in = input->dim[2 + axis].size,
        .kernel = weight->dim[2 + axis].size,
        .stride = a->stride.v[axis],
        .dilation = a->dilation.v[axis],
        .before = a->padding.v[axis],
        .after = a->padding.v[axis + 2],
    };
}

bool conv2d_is_depthwise(const Conv2dAttrs *a, const Type *weight) {
    return weight->dim[1].size == 1 && weight->dim[0].size == a->groups;
}

bool conv2d_grad_verify(const OpCall *c, const int64_t *input, const int64_t *kernel, int64_t out_channels,
                        int64_t in_channels) {
    const Conv2dAttrs *a = &((const ConvGradAttrs *)c->attrs)->conv;
    if (out_channels % a->groups || in_channels % a->groups)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "%lld groups do not divide %lld and %lld", (long long)a->groups,
                          (long long)in_channels, (long long)out_channels);
    for (int i = 0; i < 2; i++) {
        Window w = {.in = input[i], .kernel = kernel[i], .stride = a->stride.v[i]};
        w.dilation = a->dilation.v[i];
        w.before = a->padding.v[i];
        w.after = a->padding.v[i + 2];
        int64_t count;
        if (w.kernel > OP_MAX_INT || !window_count(&w, &count))
            return op_fail_overflow(c);
        if (c->operands[0].dim[2 + i].size != count)
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "the convolution gives %lld %s, but its gradient is %s", (long long)count,
                              i ? "columns" : "rows", op_operand_text(c, 0));
    }
    return true;
}

static bool channels_ok(const OpCall *c) {
    const Conv2dAttrs *a = c->attrs;
    const Type *in = &c->operands[0], *w = &c->operands[1];
    int64_t channels, outs = w->dim[0].size;
    if (__builtin_mul_overflow(w->dim[1].size, a->groups, &channels))
        return op_fail_overflow(c);
    if (channels != in->dim[1].size) {
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                   "in_channels is %lld, but its input has %lld channel%s", (long long)channels,
                   (long long)in->dim[1].size, in->dim[1].size == 1 ? "" : "s");
        return diag_hint(&c->cx->diag, "the input is %s", op_operand_text(c, 0));
    }
    if (outs % a->groups)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "out_channels is %lld, which %lld groups do not divide", (long long)outs,
                          (long long)a->groups);
    return true;
}

static bool verify(const OpCall *c) {
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, channels, height, width") ||
        !op_need_rank(c, 1, 4, "out_channels, in_channels / groups, kernel height, kernel width") ||
        !op_need_fixed(c, 1) || !channels_ok(c))
        return false;
    return c->n < 3 || op_need_vector(c, 2, c->operands[1].dim[0].size, "out_channels");
}

static bool infer_shape(const OpCall *c, Type *out) {
    const Type *in = &c->operands[0], *weight = &c->operands[1];
    *out = type_dense(in);
    out->dim[1] = weight->dim[0];
    for (int i = 0; i < 2; i++) {
        Window w = conv2d_window(c->attrs, in, weight, i);
        int64_t count;
        if (w.kernel > OP_MAX_INT || !window_count(&w, &count))
            return op_fail_overflow(c);
        if (count < 1) {
            diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                       "the kernel covers %lld %s, but its padded input has %lld",
                       (long long)(w.dilation * (w.kernel - 1) + 1), i ? "columns" : "rows",
                       (long long)(w.in + w.before + w.after));
            return diag_hint(&c->cx->diag, "the input is %s", op_operand_text(c, 0));
        }
        out->dim[2 + i].size = count;
    }
    return true;
}

/* Output positions [lo, hi) of one axis for which tap `at` of the kernel meets the input. */
static void valid(const Conv2dAttrs *a, int axis, int64_t at, int64_t in, int64_t *lo, int64_t *hi) {
    int64_t stride = a->stride.v[axis], shift = at * a->dilation.v[axis] - a->padding.v[axis];
    while (*lo < *hi && *lo * stride + shift < 0)
        ++*lo;
    while (*hi > *lo && (*hi - 1) * stride + shift >= in)
        --*hi;
}

/* out += one input plane correlated with one kernel plane. */
static void add_plane(const Conv2dAttrs *a, const Tensor *x, const double *plane, const Tensor *w,
                      const double *kernel, const Tensor *out, double *y) {
    int64_t sh = a->stride.v[0], sw = a->stride.v[1], kws = w->dim[3];
    for (int64_t k = 0; k < w->dim[2] * kws; k++) {
        int64_t y0 = 0, y1 = out->dim[2], x0 = 0, x1 = out->dim[3];
        valid(a, 0, k / kws, x->dim[2], &y0, &y1);
        valid(a, 1, k % kws, x->dim[3], &x0, &x1);
        int64_t down = k / kws * a->dilation.v[0] - a->padding.v[0];
        int64_t right = k % kws * a->dilation.v[1] - a->padding.v[1];
        for (int64_t oh = y0; oh < y1; oh++)
            for (int64_t ow = x0; ow < x1; ow++)
                y[oh * out->dim[3] + ow] += kernel[k] * plane[(oh * sh + down) * x->dim[3] + ow * sw + right];
    }
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const Conv2dAttrs *a = attrs;
    const Tensor *x = &in[0], *w = &in[1];
    int64_t pixels = out->dim[2] * out->dim[3], outs = out->dim[1], ics = w->dim[1];
    int64_t in_plane = x->dim[2] * x->dim[3], taps = w->dim[2] * w->dim[3];
    for (int64_t i = 0; i < out->dim[0] * outs; i++) {
        double *y = out->data + i * pixels;
        int64_t oc = i % outs, first = i / outs * x->dim[1] + oc / (outs / a->groups) * ics;
        for (int64_t p = 0; p < pixels; p++)
            y[p] = n > 2 ? in[2].data[oc] : 0;
        for (int64_t c = 0; c < ics; c++)
            add_plane(a, x, x->data + (first + c) * in_plane, w, w->data + (oc * ics + c) * taps, out, y);
    }
}

static bool lower(Lower *lw, const Node *n) {
    switch (n->choice ? n->choice->algorithm : ALGO_PLAIN) {
    case ALGO_DIRECT:
        return lower_conv_direct(lw, n);
    case ALGO_DEPTHWISE:
        return lower_conv_depthwise(lw, n);
    default:
        return lower_conv_plain(lw, n);
    }
}

/* ---- Gradients ---- */

typedef struct Shapes {
    const Conv2dAttrs *a;
    Type x, w, y;
} Shapes;

/* The padding of the convolution of dy, spread by the stride, with the flipped weight that gives dx: a full
 * one less the forward padding, and what the last stride left over. False: it would be negative. */
static bool backward_padding(const Shapes *s, IntList *padding) {
    padding->n = 4;
    for (int i = 0; i < 2; i++) {
        int64_t reach = s->a->dilation.v[i] * (s->w.dim[2 + i].size - 1);
        int64_t spread = (s->y.dim[2 + i].size - 1) * s->a->stride.v[i] + 1;
        padding->v[i] = reach - s->a->padding.v[i];
        padding->v[i + 2] = s->x.dim[2 + i].size + s->a->padding.v[i] - spread;
        if (padding->v[i] < 0 || padding->v[i + 2] < 0)
            return false;
    }
    return true;
}

bool conv2d_input_plan(const Conv2dAttrs *a, const Type *x, const Type *w, const Type *y, Conv2dAttrs *at) {
    const bool strided = a->stride.v[0] > 1 || a->stride.v[1] > 1;
    /* Spread apart, y is mostly zeros: worth it only where nothing but the plain nest is left. */
    const bool plain = a->groups > 1 || a->dilation.v[0] > 1 || a->dilation.v[1] > 1;
    *at = (Conv2dAttrs){INTS2(1, 1), {0}, a->dilation, a->groups};
    return backward_padding(&(const Shapes){a, *x, *w, *y}, &at->padding) && (!strided || plain);
}

static ValueId grad_input(Grad *gr, const Node *n, const Shapes *s, ValueId dy) {
    const Conv2dAttrs *a = s->a;
    const ValueId w = n->operands[1];
    Conv2dAttrs at;
    const FlipWeightAttrs flip = {a->groups};
    const DilateAttrs spread = {a->stride};
    if (!conv2d_input_plan(a, &s->x, &s->w, &s->y, &at)) {
        ConvGradAttrs back = {*a, INTS2(s->x.dim[2].size, s->x.dim[3].size)};
        return grad_node(gr, n, OP_conv2d_backward_input, (ValueId[]){dy, w}, 2, &back, "grad_input");
    }
    if (a->stride.v[0] > 1 || a->stride.v[1] > 1)
        dy = grad_node(gr, n, OP_dilate, &dy, 1, &spread, "grad_spread");
    ValueId flipped = grad_node(gr, n, OP_flip_weight, &w, 1, &flip, "flipped");
    return grad_node(gr, n, OP_conv2d, (ValueId[]){dy, flipped}, 2, &at, "grad_input");
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Value *v = gr->g->values.data;
    const Shapes s = {n->attrs, v[n->operands[0]].type, v[n->operands[1]].type, v[n->result].type};
    const ConvGradAttrs weight = {*s.a, INTS2(s.w.dim[2].size, s.w.dim[3].size)};
    const ValueId both[2] = {dy, n->operands[0]};
    if (n->n_operands > 2 && grad_wanted(gr, n, 2) &&
        !grad_add(gr, n, 2, grad_node(gr, n, OP_channel_sum, &dy, 1, NULL, "grad_bias")))
        return false;
    if (grad_wanted(gr, n, 1) &&
        !grad_add(gr, n, 1, grad_node(gr, n, OP_conv2d_backward_weight, both, 2, &weight, "grad_weight")))
        return false;
    return !grad_wanted(gr, n, 0) || grad_add(gr, n, 0, grad_input(gr, n, &s, dy));
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    const Type *w = &c->operands[1];
    double macs = (double)w->dim[1].size * (double)w->dim[2].size * (double)w->dim[3].size;
    return (double)type_elems(out, n) * (2 * macs + (c->n > 2));
}

#define CONV(sh, sw, t, l, b, r, dh, dw, g)                                                                  \
    .attrs = &(const Conv2dAttrs) {                                                                          \
        INTS2(sh, sw), INTS4(t, l, b, r), INTS2(dh, dw), g                                                   \
    }
static const OpSample samples[] = {
    {CONV(1, 1, 0, 0, 0, 0, 1, 1, 1), .n = 3, .operands = {TN4(3, 7, 5), T4(4, 3, 3, 3), T1(4)}, .batch = 3},
    {CONV(2, 2, 2, 2, 2, 2, 1, 1, 1), .n = 2, .operands = {TN4(1, 13, 13), T4(17, 1, 5, 5)}, .batch = 1},
    {CONV(1, 2, 1, 0, 2, 3, 2, 1, 3), .n = 3, .operands = {TN4(3, 7, 8), T4(6, 1, 3, 2), T1(6)}, .batch = 2},
    {CONV(1, 1, 1, 1, 1, 1, 1, 1, 17), .n = 3, .operands = {TN4(17, 7, 7), T4(17, 1, 3, 3), T1(17)},
     .batch = 1},
    {CONV(1, 1, 0, 0, 0, 0, 1, 1, 1), .n = 3, .operands = {TN4(17, 1, 1), T4(3, 17, 1, 1), T1(3)},
     .batch = 3},
    {CONV(2, 2, 0, 0, 0, 0, 1, 1, 1), .n = 3, .operands = {TN4(16, 7, 7), T4(24, 16, 1, 1), T1(24)},
     .batch = 2},
    {CONV(1, 1, 1, 1, 1, 1, 1, 1, 1), .n = 3, .operands = {TN4(16, 7, 13), T4(16, 16, 3, 3), T1(16)},
     .batch = 2},
    {CONV(2, 2, 1, 1, 1, 1, 1, 1, 19), .n = 3, .operands = {TN4(19, 7, 10), T4(19, 1, 3, 3), T1(19)},
     .batch = 2},
    {CONV(1, 2, 4, 7, 4, 7, 1, 2, 16), .n = 2, .operands = {TN4(16, 5, 13), T4(16, 1, 9, 8)}, .batch = 1},
};

const OpDesc op_conv2d = {
    .name = "conv2d",
    .min_operands = 2,
    .max_operands = 3,
    .operand_names = (const char *const[]){"input", "weight", "bias"},
    .attrs = ATTR_TABLE(rows, Conv2dAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
