/* silu_backward: dy * s * (1 + x * (1 - s)) with s = sigmoid(x). */
#include "ir/ops/activation.h"
#include <math.h>

static double slope(const void *attrs, double x) {
    (void)attrs;
    const double s = 1 / (1 + exp(-x));
    return s * (1 + x * (1 - s));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal one = activation_const(b, in[1], 1), s = lb_sigmoid(b, in[1]);
    LVal more = lb_mad(b, in[1], lb_op2(b, LOP_SUB, one, s), one);
    return lb_op2(b, LOP_MUL, in[0], lb_op2(b, LOP_MUL, s, more));
}

const OpDesc op_silu_backward = {
    ACTIVATION_BACKWARD("silu_backward", "x"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
