/* softsign_backward: dy / (1 + |x|)^2. */
#include "ir/ops/activation.h"
#include <math.h>

static double slope(const void *attrs, double x) {
    (void)attrs;
    return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal size = lb_op2(b, LOP_ADD, lb_op1(b, LOP_ABS, in[1]), activation_const(b, in[1], 1));
    return lb_op2(b, LOP_DIV, in[0], lb_op2(b, LOP_MUL, size, size));
}

const OpDesc op_softsign_backward = {
    ACTIVATION_BACKWARD("softsign_backward", "x"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
