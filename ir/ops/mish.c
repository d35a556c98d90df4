/* mish: x * tanh(log(1 + exp(x))). With e = exp(x) and n = e * (e + 2) the tangent is n / (n + 2); beyond 20
 * it is 1. */
#include "ir/ops/activation.h"
#include <math.h>

static double value(const void *attrs, double x) {
    (void)attrs;
    return x * tanh(log1p(exp(x)));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal two = activation_const(b, in[0], 2);
    LVal e = lb_exp(b, lb_op2(b, LOP_MIN, in[0], activation_const(b, in[0], 20)));
    LVal n = lb_op2(b, LOP_MUL, e, lb_op2(b, LOP_ADD, e, two));
    return lb_op2(b, LOP_MUL, in[0], lb_op2(b, LOP_DIV, n, lb_op2(b, LOP_ADD, n, two)));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_mish_backward, n->operands[0]);
}

const OpDesc op_mish = {
    ACTIVATION("mish"), .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,       .emit = emit,
    .grad = grad,       SAMPLES(activation_samples),
};
