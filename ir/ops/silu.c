/* silu: x * sigmoid(x), as x / (1 + exp(-x)). */
#include "ir/ops/activation.h"
#include <math.h>

static double value(const void *attrs, double x) {
    (void)attrs;
    return x / (1 + exp(-x));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal e = lb_exp(b, lb_op1(b, LOP_NEG, in[0]));
    return lb_op2(b, LOP_DIV, in[0], lb_op2(b, LOP_ADD, e, activation_const(b, e, 1)));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_silu_backward, n->operands[0]);
}

const OpDesc op_silu = {
    ACTIVATION("silu"), .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,       .emit = emit,
    .grad = grad,       SAMPLES(activation_samples),
};
