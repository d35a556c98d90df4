/* conv2d_backward_input: the gradient of conv2d's input, whatever the convolution, and so a transposed one.
 * Where conv2d_input_plan (conv2d.c) can, it is another convolution. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    CONV_GRAD_ROWS,
    {"input_size", ATTR_INTS, offsetof(ConvGradAttrs, size), 2, 1, OP_MAX_INT, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const ConvGradAttrs *a = c->attrs;
    const Type *dy = &c->operands[0], *w = &c->operands[1];
    int64_t channels;
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, out_channels, height, width") ||
        !op_need_rank(c, 1, 4, "out_channels, in_channels / groups, kernel height, kernel width") ||
        !op_need_fixed(c, 1))
        return false;
    if (__builtin_mul_overflow(w->dim[1].size, a->conv.groups, &channels))
        return op_fail_overflow(c);
    if (w->dim[0].size != dy->dim[1].size)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s has other out_channels than %s",
                          op_operand_text(c, 0), op_operand_text(c, 1));
    return conv2d_grad_verify(c, a->size.v, (int64_t[]){w->dim[2].size, w->dim[3].size}, w->dim[0].size,
                              channels);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const ConvGradAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    out->dim[1].size = c->operands[1].dim[1].size * a->conv.groups;
    for (int i = 0; i < 2; i++)
        out->dim[2 + i].size = a->size.v[i];
    return true;
}

/* dx += one plane of dy spread by one kernel plane. */
static void spread(const Conv2dAttrs *a, const Tensor *dy, const double *g, const Tensor *w,
                   const double *kernel, const Tensor *out, double *dx) {
    for (int64_t i = 0; i < dy->dim[2] * dy->dim[3]; i++)
        for (int64_t k = 0; k < w->dim[2] * w->dim[3]; k++) {
            int64_t ih = i / dy->dim[3] * a->stride.v[0] - a->padding.v[0] + k / w->dim[3] * a->dilation.v[0];
            int64_t iw = i % dy->dim[3] * a->stride.v[1] - a->padding.v[1] + k % w->dim[3] * a->dilation.v[1];
            if (ih >= 0 && ih < out->dim[2] && iw >= 0 && iw < out->dim[3])
                dx[ih * out->dim[3] + iw] += g[i] * kernel[k];
        }
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const Conv2dAttrs *a = &((const ConvGradAttrs *)attrs)->conv;
    const Tensor *dy = &in[0], *w = &in[1];
    int64_t ics = w->dim[1], outs = dy->dim[1], ocs = outs / a->groups, taps = w->dim[2] * w->dim[3];
    int64_t out_plane = dy->dim[2] * dy->dim[3], in_plane = out->dim[2] * out->dim[3];
    (void)n;
    for (int64_t i = 0; i < dy->dim[0] * outs; i++)
        for (int64_t c = 0; c < ics; c++)
            spread(a, dy, dy->data + i * out_plane, w, w->data + (i % outs * ics + c) * taps, out,
                   out->data + (i / outs * out->dim[1] + i % outs / ocs * ics + c) * in_plane);
}

static bool lower(Lower *lw, const Node *n) {
    return n->choice && n->choice->algorithm == ALGO_DIRECT ? lower_conv_direct(lw, n)
                                                            : lower_conv_input_plain(lw, n);
}

/* It is linear in both: of dy the convolution itself is the gradient. */
static bool grad(Grad *gr, const Node *n, ValueId g) {
    const ConvGradAttrs *a = n->attrs;
    const Type w = gr->g->values.data[n->operands[1]].type;
    const ConvGradAttrs weight = {a->conv, INTS2(w.dim[2].size, w.dim[3].size)};
    const ValueId x[2] = {g, n->operands[1]}, both[2] = {n->operands[0], g};
    if (grad_wanted(gr, n, 1) &&
        !grad_add(gr, n, 1, grad_node(gr, n, OP_conv2d_backward_weight, both, 2, &weight, "grad_weight")))
        return false;
    return !grad_wanted(gr, n, 0) ||
           grad_add(gr, n, 0, grad_node(gr, n, OP_conv2d, x, 2, &a->conv, "grad_input"));
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 2 * (double)type_elems(&c->operands[0], n) * (double)type_elems(&c->operands[1], 1) /
           (double)c->operands[1].dim[0].size;
}

#define GRAD(sh, sw, t, l, b, r, dh, dw, g, h, w)                                                            \
    .attrs = &(const ConvGradAttrs) {                                                                        \
        {INTS2(sh, sw), INTS4(t, l, b, r), INTS2(dh, dw), g}, INTS2(h, w)                                    \
    }
static const OpSample samples[] = {
    {GRAD(1, 1, 0, 0, 0, 0, 1, 1, 1, 7, 5), .n = 2, .operands = {TN4(4, 5, 3), T4(4, 3, 3, 3)}, .batch = 3},
    {GRAD(2, 2, 2, 2, 2, 2, 1, 1, 1, 13, 13), .n = 2, .operands = {TN4(17, 7, 7), T4(17, 1, 5, 5)},
     .batch = 1},
    {GRAD(1, 2, 1, 0, 2, 3, 2, 1, 3, 7, 8), .n = 2, .operands = {TN4(6, 6, 5), T4(6, 1, 3, 2)}, .batch = 2},
    {GRAD(1, 1, 1, 1, 1, 1, 1, 1, 17, 7, 7), .n = 2, .operands = {TN4(17, 7, 7), T4(17, 1, 3, 3)},
     .batch = 1},
    {GRAD(2, 3, 3, 1, 0, 2, 1, 1, 1, 8, 9), .n = 2, .operands = {TN4(3, 6, 4), T4(3, 16, 1, 1)}, .batch = 2},
};

const OpDesc op_conv2d_backward_input = {
    .name = "conv2d_backward_input",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad_output", "weight"},
    .attrs = ATTR_TABLE(rows, ConvGradAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
