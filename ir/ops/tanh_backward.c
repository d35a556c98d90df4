/* tanh_backward: dy * (1 - y * y), y being the result of tanh. */
#include "ir/ops/activation.h"

static double slope(const void *attrs, double y) {
    (void)attrs;
    return 1 - y * y;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal one = activation_const(b, in[1], 1), square = lb_op2(b, LOP_MUL, in[1], in[1]);
    return lb_op2(b, LOP_MUL, in[0], lb_op2(b, LOP_SUB, one, square));
}

const OpDesc op_tanh_backward = {
    ACTIVATION_BACKWARD("tanh_backward", "y"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
