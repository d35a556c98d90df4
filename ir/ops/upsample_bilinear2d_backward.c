/* upsample_bilinear2d_backward: each element of the input, of input_size, gets the gradients of the elements
 * that it is a part of, weighed as it was. */
#include "ir/ops/upsample.h"

static const AttrRow rows[] = {UPSAMPLE_ROWS("input_size"), UPSAMPLE_ALIGN};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    upsample_eval_backward(attrs, true, &in[0], out);
}

/* Each gradient, weighed, is added to four elements. */
static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 8 * (double)type_elems(&c->operands[0], n);
}

#define FROM(h, w, sh, sw, align)                                                                            \
    .n = 1, .attrs = &(const UpsampleAttrs) {                                                                \
        INTS2(h, w), {sh, sw}, align                                                                         \
    }
static const OpSample samples[] = {
    {FROM(7, 13, 2, 2, false), .operands = {TN4(17, 14, 26)}, .batch = 2},
    {FROM(7, 13, 0, 0, true), .operands = {TN4(16, 14, 26)}, .batch = 1},
    {FROM(3, 5, 0, 0, false), .operands = {TN4(8, 9, 20)}, .batch = 1},
    {FROM(7, 5, 0, 0, true), .operands = {TN4(3, 5, 7)}, .batch = 2},
    {FROM(3, 13, 1.5, 1.5, false), .operands = {TN4(9, 4, 19)}, .batch = 2},
    {FROM(3, 7, 1.1, 0.3, false), .operands = {TN4(5, 3, 2)}, .batch = 1},
    {FROM(3, 1, 0, 0, true), .operands = {TN4(8, 1, 6)}, .batch = 2},
};

const OpDesc op_upsample_bilinear2d_backward = {
    UPSAMPLE_BACKWARD("upsample_bilinear2d_backward"),
    .attrs = ATTR_TABLE(rows, UpsampleAttrs),
    .eval = eval,
    .flops = flops,
    SAMPLES(samples),
};
