/* What activations share. */
#include "ir/ops/activation.h"

void activation_eval(const void *attrs, const Tensor *in, Tensor *out, double (*f)(const void *, double)) {
    int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++)
        out->data[i] = f(attrs, in[0].data[i]);
}

void activation_backward_eval(const void *attrs, const Tensor *in, Tensor *out,
                              double (*slope)(const void *, double)) {
    int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++)
        out->data[i] = in[0].data[i] * slope(attrs, in[1].data[i]);
}

bool activation_backward_verify(const OpCall *c) {
    return op_need_floats(c) && op_need_shape_of(c, 1, 0);
}

bool activation_grad(Grad *gr, const Node *n, ValueId dy, OpId backward, ValueId from) {
    const ValueId operands[2] = {dy, from};
    return grad_add(gr, n, 0, grad_node(gr, n, backward, operands, 2, n->attrs, "grad"));
}

LVal activation_const(LBuild *b, LVal like, double v) {
    return lb_const(b, lb_type(b, like), v);
}

const OpSample activation_samples[2] = {
    {.n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.n = 1, .operands = {T1(17)}, .batch = 1},
};
const OpSample activation_backward_samples[2] = {
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
};
