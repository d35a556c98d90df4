/* sigmoid_backward: dy * y * (1 - y), y being the result of sigmoid. */
#include "ir/ops/activation.h"

static double slope(const void *attrs, double y) {
    (void)attrs;
    return y * (1 - y);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal rest = lb_op2(b, LOP_SUB, activation_const(b, in[1], 1), in[1]);
    return lb_op2(b, LOP_MUL, in[0], lb_op2(b, LOP_MUL, rest, in[1]));
}

const OpDesc op_sigmoid_backward = {
    ACTIVATION_BACKWARD("sigmoid_backward", "y"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
