/* upsample_nearest2d: each element of a larger, or smaller, picture is one of the input's: that at
 * floor(i * scale), where the scale is the ratio of the sizes or 1 / scales, in f32. */
#include "ir/ops/upsample.h"

enum { MOST_TRIED = 1 << 20 };

static const AttrRow rows[] = {UPSAMPLE_ROWS("output_size")};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    upsample_eval(attrs, false, &in[0], out);
}

/* Is each element repeated equally often? In f32 a factor such as 41 puts some copies elsewhere. */
static bool repeats(const UpsampleAttrs *a, const Type *x, int axis, int64_t *times) {
    const int64_t in = x->dim[2 + axis].size, out = a->size.v[axis];
    const UpsampleAxis along = upsample_axis(a, false, in, out, axis);
    *times = out / in;
    if (out % in || in > MOST_TRIED)
        return false;
    for (int64_t i = 0; i < in; i++)
        if ((int64_t)upsample_place(&along, i * *times) != i ||
            (int64_t)upsample_place(&along, (i + 1) * *times - 1) != i)
            return false;
    return true;
}

/* The sum over the copies of each element: a pool where each has as many. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    const UpsampleAttrs *a = n->attrs;
    Pool2dAttrs pool = {.kernel_size.n = 2,
                        .padding.n = 4,
                        .dilation = {2, {1, 1}},
                        .count_include_pad = true,
                        .divisor_override = 1};
    if (repeats(a, x, 0, &pool.kernel_size.v[0]) && repeats(a, x, 1, &pool.kernel_size.v[1])) {
        pool.stride = pool.kernel_size;
        return grad_add(gr, n, 0, grad_node(gr, n, OP_avg_pool2d, &dy, 1, &pool, "grad_input"));
    }
    return upsample_grad(gr, n, OP_upsample_nearest2d_backward, dy);
}

#define TO(h, w, sh, sw)                                                                                     \
    .n = 1, .attrs = &(const UpsampleAttrs) {                                                                \
        INTS2(h, w), {sh, sw}, false                                                                         \
    }
static const OpSample samples[] = {
    {TO(14, 26, 2, 2), .operands = {TN4(17, 7, 13)}, .batch = 2},
    {TO(6, 38, 2, 2), .operands = {TN4(3, 3, 19)}, .batch = 3},
    {TO(9, 20, 0, 0), .operands = {TN4(8, 3, 5)}, .batch = 1},
    {TO(5, 7, 0, 0), .operands = {TN4(16, 7, 5)}, .batch = 2},
    {TO(4, 19, 1.5, 1.5), .operands = {TN4(9, 3, 13)}, .batch = 2},
    {TO(3, 2, 1.1, 0.3), .operands = {TN4(5, 3, 7)}, .batch = 1},
    {TO(82, 123, 41, 41), .operands = {TN4(2, 2, 3)}, .batch = 1},
    {TO(1, 1, 0, 0), .operands = {TN4(8, 3, 3)}, .batch = 2},
};

const OpDesc op_upsample_nearest2d = {
    UPSAMPLE("upsample_nearest2d"),
    .attrs = ATTR_TABLE(rows, UpsampleAttrs),
    .eval = eval,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
