/* softmax_backward: from the gradient of softmax's result y to that of its input: (dy - sum(dy * y)) * y
 * along one dimension. */
#include "ir/ops/softmax.h"

static const AttrRow rows[] = {ROW_SOFTMAX_DIM};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SoftmaxLine l = softmax_line(attrs, out);
    int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        if (!softmax_begins(&l, i))
            continue;
        const double *dy = in[0].data + i, *y = in[1].data + i;
        double dot = 0;
        for (int64_t k = 0; k < l.length; k++)
            dot += dy[k * l.stride] * y[k * l.stride];
        for (int64_t k = 0; k < l.length; k++)
            out->data[i + k * l.stride] = (dy[k * l.stride] - dot) * y[k * l.stride];
    }
}

#define SOFTMAX(d)                                                                                           \
    .attrs = &(const SoftmaxAttrs) {                                                                         \
        d                                                                                                    \
    }
static const OpSample samples[] = {
    {SOFTMAX(1), .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 19},
    {SOFTMAX(-1), .n = 2, .operands = {TN4(3, 7, 13), TN4(3, 7, 13)}, .batch = 2},
    {SOFTMAX(1), .n = 2, .operands = {TN4(17, 3, 5), TN4(17, 3, 5)}, .batch = 3},
};

const OpDesc op_softmax_backward = {
    .name = "softmax_backward",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad", "result"},
    .attrs = ATTR_TABLE(rows, SoftmaxAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = softmax_backward_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower_softmax_backward,
    .flops = softmax_flops,
    SAMPLES(samples),
};
