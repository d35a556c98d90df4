/* add: the sum of two tensors, with NumPy's broadcasting. */
#include "ir/ops/arithmetic.h"

static double plus(double a, double b) {
    return a + b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in, out, plus);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_op2(b, LOP_ADD, in[0], in[1]);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    for (uint32_t i = 0; i < 2; i++)
        if (grad_wanted(gr, n, i) && !grad_add(gr, n, i, dy))
            return false;
    return true;
}

const OpSample arithmetic_samples[5] = {
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.n = 2, .operands = {TN4(17, 1, 3), T3(17, 1, 1)}, .batch = 2},
    {.n = 2, .operands = {T3(4, 1, 5), T4(2, 1, 3, 1)}, .batch = 1},
    {.n = 2, .operands = {TN4(17, 1, 1), TN4(17, 3, 5)}, .batch = 2},
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(1, 7, 5)}, .batch = 3},
};

const OpDesc op_add = {
    ARITHMETIC("add", "b"), .flags = OP_POINTWISE | OP_COMMUTATIVE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,           .emit = emit,
    .grad = grad,
};
