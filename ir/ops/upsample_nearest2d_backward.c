/* upsample_nearest2d_backward: each element of the input, of input_size, gets the sum of the gradients of its
 * copies. */
#include "ir/ops/upsample.h"

static const AttrRow rows[] = {UPSAMPLE_ROWS("input_size")};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    upsample_eval_backward(attrs, false, &in[0], out);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return (double)type_elems(&c->operands[0], n);
}

#define FROM(h, w, sh, sw)                                                                                   \
    .n = 1, .attrs = &(const UpsampleAttrs) {                                                                \
        INTS2(h, w), {sh, sw}, false                                                                         \
    }
static const OpSample samples[] = {
    {FROM(7, 13, 2, 2), .operands = {TN4(17, 14, 26)}, .batch = 2},
    {FROM(3, 5, 0, 0), .operands = {TN4(8, 9, 20)}, .batch = 1},
    {FROM(7, 5, 0, 0), .operands = {TN4(16, 5, 7)}, .batch = 2},
    {FROM(3, 13, 1.5, 1.5), .operands = {TN4(9, 4, 19)}, .batch = 2},
    {FROM(3, 7, 1.1, 0.3), .operands = {TN4(5, 3, 2)}, .batch = 1},
    {FROM(2, 3, 41, 41), .operands = {TN4(2, 82, 123)}, .batch = 1},
};

const OpDesc op_upsample_nearest2d_backward = {
    UPSAMPLE_BACKWARD("upsample_nearest2d_backward"),
    .attrs = ATTR_TABLE(rows, UpsampleAttrs),
    .eval = eval,
    .flops = flops,
    SAMPLES(samples),
};
