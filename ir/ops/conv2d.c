/* conv2d: a batch of images [N, C, H, W] with a bank of filters [O, C/groups, KH, KW]. */
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

/* One output pixel: the sum over the group's channels and the window. */
static double pixel(const Conv2dAttrs *a, const Tensor *x, const Tensor *w, const int64_t at[4]) {
    int64_t per_group = w->dim[0] / a->groups, ics = w->dim[1];
    int64_t first = at[1] / per_group * ics;
    double sum = 0;
    for (int64_t c = 0; c < ics; c++)
        for (int64_t kh = 0; kh < w->dim[2]; kh++) {
            int64_t ih = at[2] * a->stride.v[0] - a->padding.v[0] + kh * a->dilation.v[0];
            if (ih < 0 || ih >= x->dim[2])
                continue;
            const double *row = x->data + ((at[0] * x->dim[1] + first + c) * x->dim[2] + ih) * x->dim[3];
            const double *wrow = w->data + ((at[1] * ics + c) * w->dim[2] + kh) * w->dim[3];
            for (int64_t kw = 0; kw < w->dim[3]; kw++) {
                int64_t iw = at[3] * a->stride.v[1] - a->padding.v[1] + kw * a->dilation.v[1];
                if (iw >= 0 && iw < x->dim[3])
                    sum += row[iw] * wrow[kw];
            }
        }
    return sum;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    double *y = out->data;
    int64_t at[4];
    for (at[0] = 0; at[0] < out->dim[0]; at[0]++)
        for (at[1] = 0; at[1] < out->dim[1]; at[1]++)
            for (at[2] = 0; at[2] < out->dim[2]; at[2]++)
                for (at[3] = 0; at[3] < out->dim[3]; at[3]++)
                    *y++ = pixel(attrs, &in[0], &in[1], at) + (n > 2 ? in[2].data[at[1]] : 0);
}

static bool lower(Lower *lw, const Node *n) {
    switch (n->choice ? n->choice->algorithm : ALGO_PLAIN) {
    case ALGO_DIRECT:
        return lower_conv_direct(lw, n);
    case ALGO_PRODUCT:
        return lower_product(lw, n);
    default:
        return lower_conv_plain(lw, n);
    }
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
    .flops = flops,
    SAMPLES(samples),
};
