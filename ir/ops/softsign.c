/* softsign: x / (1 + |x|). */
#include "ir/ops/activation.h"
#include <math.h>

static double value(const void *attrs, double x) {
    (void)attrs;
    return x / (1 + fabs(x));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal size = lb_op2(b, LOP_ADD, lb_op1(b, LOP_ABS, in[0]), activation_const(b, in[0], 1));
    return lb_op2(b, LOP_DIV, in[0], size);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_softsign_backward, n->operands[0]);
}

const OpDesc op_softsign = {
    ACTIVATION("softsign"), .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,           .emit = emit,
    .grad = grad,           SAMPLES(activation_samples),
};
