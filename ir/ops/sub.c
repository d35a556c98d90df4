/* sub: the difference of two tensors, with NumPy's broadcasting. */
#include "ir/ops/arithmetic.h"

static double minus(double a, double b) {
    return a - b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in, out, minus);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_op2(b, LOP_SUB, in[0], in[1]);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    if (grad_wanted(gr, n, 0) && !grad_add(gr, n, 0, dy))
        return false;
    return !grad_wanted(gr, n, 1) || grad_add(gr, n, 1, grad_negative(gr, n, dy));
}

const OpDesc op_sub = {
    ARITHMETIC("sub", "b"), .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO, .eval = eval, .emit = emit,
    .grad = grad,
};
