/* mul: the product of two tensors, with NumPy's broadcasting. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static double times(double a, double b) {
    return a * b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in, out, times);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_op2(b, LOP_MUL, in[0], in[1]);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    for (uint32_t i = 0; i < 2; i++) {
        const ValueId part[2] = {dy, n->operands[1 - i]};
        if (grad_wanted(gr, n, i) && !grad_add(gr, n, i, grad_node(gr, n, OP_mul, part, 2, NULL, "grad")))
            return false;
    }
    return true;
}

static const OpSample samples[] = {
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.n = 2, .operands = {TN4(17, 1, 3), T3(17, 1, 1)}, .batch = 2},
    {.n = 2, .operands = {T3(4, 1, 5), T4(2, 1, 3, 1)}, .batch = 1},
    {.n = 2, .operands = {TN4(17, 1, 1), TN4(17, 3, 5)}, .batch = 2},
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(1, 7, 5)}, .batch = 3},
};

const OpDesc op_mul = {
    .name = "mul",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"a", "b"},
    .flags = OP_POINTWISE | OP_COMMUTATIVE | OP_INPLACE | OP_KEEPS_ZERO,
    .verify = op_need_floats,
    .infer_shape = op_broadcast_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    .grad = grad,
    SAMPLES(samples),
};
