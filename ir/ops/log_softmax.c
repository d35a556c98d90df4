/* log_softmax: x - max - log(sum(exp(x - max))) along one dimension. */
#include "ir/grad.h"
#include "ir/ops/softmax.h"
#include <math.h>

static const AttrRow rows[] = {ROW_SOFTMAX_DIM};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SoftmaxLine l = softmax_line(attrs, out);
    int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        if (!softmax_begins(&l, i))
            continue;
        const double *x = in[0].data + i;
        double max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < l.length; k++)
            max = x[k * l.stride] > max || isnan(x[k * l.stride]) ? x[k * l.stride] : max;
        for (int64_t k = 0; k < l.length; k++)
            sum += exp(x[k * l.stride] - max);
        for (int64_t k = 0; k < l.length; k++)
            out->data[i + k * l.stride] = x[k * l.stride] - max - log(sum);
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[2] = {dy, n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_log_softmax_backward, of_dx, 2, n->attrs, "grad"));
}

#define SOFTMAX(d)                                                                                           \
    .attrs = &(const SoftmaxAttrs) {                                                                         \
        d                                                                                                    \
    }
static const OpSample samples[] = {
    {SOFTMAX(1), .n = 1, .operands = {TN2(17)}, .batch = 3},
    {SOFTMAX(-1), .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 2},
    {SOFTMAX(1), .n = 1, .operands = {TN4(17, 3, 1)}, .batch = 1},
};

const OpDesc op_log_softmax = {
    .name = "log_softmax",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, SoftmaxAttrs),
    .verify = softmax_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower_softmax,
    .grad = grad,
    .flops = softmax_flops,
    SAMPLES(samples),
};
