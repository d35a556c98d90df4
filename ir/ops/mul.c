/* mul: the product of two tensors, with NumPy's broadcasting. */
#include "ir/ops/arithmetic.h"

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

const OpDesc op_mul = {
    ARITHMETIC("mul", "b"), .flags = OP_POINTWISE | OP_COMMUTATIVE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,           .emit = emit,
    .grad = grad,
};
