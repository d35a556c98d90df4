/* upsample_bilinear2d: each element of a larger, or smaller, picture is the mean of the four elements of the
 * input that it lies between, weighed by how near they are. Element i of the result lies at
 * (i + 1/2) * scale - 1/2 and no further out than the edge elements; with align_corners at i * scale. */
#include "ir/ops/upsample.h"

static const AttrRow rows[] = {UPSAMPLE_ROWS("output_size"), UPSAMPLE_ALIGN};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    upsample_eval(attrs, true, &in[0], out);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return upsample_grad(gr, n, OP_upsample_bilinear2d_backward, dy);
}

/* Three sums of two products. */
static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 9 * (double)type_elems(out, n);
}

#define TO(h, w, sh, sw, align)                                                                              \
    .n = 1, .attrs = &(const UpsampleAttrs) {                                                                \
        INTS2(h, w), {sh, sw}, align                                                                         \
    }
static const OpSample samples[] = {
    {TO(14, 26, 2, 2, false), .operands = {TN4(17, 7, 13)}, .batch = 2},
    {TO(14, 26, 0, 0, true), .operands = {TN4(16, 7, 13)}, .batch = 1},
    {TO(6, 76, 2, 4, false), .operands = {TN4(3, 3, 19)}, .batch = 3},
    {TO(9, 20, 0, 0, false), .operands = {TN4(8, 3, 5)}, .batch = 1},
    {TO(5, 7, 0, 0, true), .operands = {TN4(3, 7, 5)}, .batch = 2},
    {TO(4, 19, 1.5, 1.5, false), .operands = {TN4(9, 3, 13)}, .batch = 2},
    {TO(3, 2, 1.1, 0.3, false), .operands = {TN4(5, 3, 7)}, .batch = 1},
    {TO(1, 6, 0, 0, true), .operands = {TN4(8, 3, 1)}, .batch = 2},
    {TO(1, 17, 0, 0, false), .operands = {TN4(2, 1, 9)}, .batch = 2},
};

const OpDesc op_upsample_bilinear2d = {
    UPSAMPLE("upsample_bilinear2d"),
    .attrs = ATTR_TABLE(rows, UpsampleAttrs),
    .eval = eval,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
