/* conv2d_backward_weight: the gradient of conv2d's weight, dw[o][i][kh][kw] = the sum over images and output
 * pixels of dy[n][o][oh][ow] * x[n][group(o) + i][oh*stride - padding + kh*dilation][...]. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    CONV_GRAD_ROWS,
    {"kernel_size", ATTR_INTS, offsetof(ConvGradAttrs, size), 2, 1, OP_MAX_INT, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const ConvGradAttrs *a = c->attrs;
    const Type *dy = &c->operands[0], *x = &c->operands[1];
    return op_need_floats(c) && op_need_rank(c, 0, 4, "batch, out_channels, height, width") &&
           op_need_rank(c, 1, 4, "batch, in_channels, height, width") &&
           conv2d_grad_verify(c, (int64_t[]){x->dim[2].size, x->dim[3].size}, a->size.v, dy->dim[1].size,
                              x->dim[1].size) &&
           ((dy->dim[0].size == x->dim[0].size && dy->dim[0].by_n == x->dim[0].by_n) ||
            diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s has another batch than %s",
                       op_operand_text(c, 0), op_operand_text(c, 1)));
}

static bool infer_shape(const OpCall *c, Type *out) {
    const ConvGradAttrs *a = c->attrs;
    Dim dims[4] = {c->operands[0].dim[1], {c->operands[1].dim[1].size / a->conv.groups, false}};
    for (int i = 0; i < 2; i++)
        dims[2 + i] = (Dim){a->size.v[i], false};
    *out = type_make(c->operands[0].dtype, 4, dims);
    return true;
}

/* One image's part of one entry of the gradient. */
static double entry(const Conv2dAttrs *a, const Tensor *dy, const double *g, const Tensor *x,
                    const double *plane, int64_t kh, int64_t kw) {
    double sum = 0;
    for (int64_t oh = 0; oh < dy->dim[2]; oh++)
        for (int64_t ow = 0; ow < dy->dim[3]; ow++) {
            int64_t ih = oh * a->stride.v[0] - a->padding.v[0] + kh * a->dilation.v[0];
            int64_t iw = ow * a->stride.v[1] - a->padding.v[1] + kw * a->dilation.v[1];
            if (ih >= 0 && ih < x->dim[2] && iw >= 0 && iw < x->dim[3])
                sum += g[oh * dy->dim[3] + ow] * plane[ih * x->dim[3] + iw];
        }
    return sum;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const Conv2dAttrs *a = &((const ConvGradAttrs *)attrs)->conv;
    const Tensor *dy = &in[0], *x = &in[1];
    int64_t ics = out->dim[1], ocs = out->dim[0] / a->groups, kws = out->dim[3], taps = out->dim[2] * kws;
    int64_t out_plane = dy->dim[2] * dy->dim[3], in_plane = x->dim[2] * x->dim[3];
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        int64_t o = i / taps / ics, c = o / ocs * ics + i / taps % ics;
        for (int64_t k = 0; k < dy->dim[0]; k++)
            out->data[i] += entry(a, dy, dy->data + (k * dy->dim[1] + o) * out_plane, x,
                                  x->data + (k * x->dim[1] + c) * in_plane, i % taps / kws, i % kws);
    }
}

static bool lower(Lower *lw, const Node *n) {
    return n->choice && n->choice->algorithm == ALGO_DIRECT ? lower_conv_weight_direct(lw, n)
                                                            : lower_conv_weight_plain(lw, n);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    const Type *dy = &c->operands[0];
    double pixels = (double)dim_at(dy->dim[0], n) * (double)dy->dim[2].size * (double)dy->dim[3].size;
    return 2 * pixels * (double)type_elems(out, 1);
}

#define GRAD(sh, sw, t, l, b, r, dh, dw, g, kh, kw)                                                          \
    .attrs = &(const ConvGradAttrs) {                                                                        \
        {INTS2(sh, sw), INTS4(t, l, b, r), INTS2(dh, dw), g}, INTS2(kh, kw)                                  \
    }
static const OpSample samples[] = {
    {GRAD(1, 1, 0, 0, 0, 0, 1, 1, 1, 3, 3), .n = 2, .operands = {TN4(4, 5, 3), TN4(3, 7, 5)}, .batch = 3},
    {GRAD(2, 2, 2, 2, 2, 2, 1, 1, 1, 5, 5), .n = 2, .operands = {TN4(17, 7, 7), TN4(1, 13, 13)}, .batch = 2},
    {GRAD(1, 2, 1, 0, 2, 3, 2, 1, 3, 3, 2), .n = 2, .operands = {TN4(6, 6, 5), TN4(3, 7, 8)}, .batch = 2},
    {GRAD(1, 1, 1, 1, 1, 1, 1, 1, 17, 3, 3), .n = 2, .operands = {TN4(17, 7, 7), TN4(17, 7, 7)}, .batch = 1},
    {GRAD(2, 2, 0, 0, 0, 0, 1, 1, 1, 1, 1), .n = 2, .operands = {TN4(24, 4, 4), TN4(16, 7, 7)}, .batch = 2},
    {GRAD(1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3), .n = 2, .operands = {TN4(16, 7, 13), TN4(17, 7, 13)}, .batch = 2},
    {GRAD(1, 1, 1, 2, 0, 3, 1, 2, 2, 2, 3), .n = 2, .operands = {TN4(32, 6, 8), TN4(32, 6, 7)}, .batch = 3},
};

const OpDesc op_conv2d_backward_weight = {
    .name = "conv2d_backward_weight",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad_output", "input"},
    .attrs = ATTR_TABLE(rows, ConvGradAttrs),
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    SAMPLES(samples),
};
