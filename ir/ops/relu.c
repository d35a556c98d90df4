/* relu: max(x, 0); a NaN stays one, as in PyTorch. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++)
        out->data[i] = in[0].data[i] < 0 ? 0 : in[0].data[i];
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_op2(b, LOP_MAX, in[0], lb_const(b, lb_type(b, in[0]), 0));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId operands[2] = {dy, n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_relu_backward, operands, 2, NULL, "grad"));
}

static const OpSample samples[] = {
    {.n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.n = 1, .operands = {T1(17)}, .batch = 1},
};

const OpDesc op_relu = {
    .name = "relu",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .verify = op_need_floats,
    .infer_shape = op_same_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    .grad = grad,
    SAMPLES(samples),
};
