/* hardsigmoid_backward: dy / 6, but 0 where the result y of hardsigmoid is 0, 1 or no number. */
#include "ir/ops/activation.h"

static double slope(const void *attrs, double y) {
    (void)attrs;
    return y > 0 && y < 1 ? 1.0 / 6 : 0;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal zero = activation_const(b, in[1], 0), one = activation_const(b, in[1], 1);
    LVal low = lb_op2(b, LOP_CMPLT, zero, in[1]), high = lb_op2(b, LOP_CMPLT, in[1], one);
    LVal d = lb_op2(b, LOP_DIV, in[0], activation_const(b, in[0], 6));
    return lb_select(b, lb_op2(b, LOP_AND, low, high), d, zero);
}

const OpDesc op_hardsigmoid_backward = {
    ACTIVATION_BACKWARD("hardsigmoid_backward", "y"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
