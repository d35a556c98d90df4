/* hardswish_backward: dy * (x < -3 ? 0 : x <= 3 ? x / 3 + 1/2 : 1). */
#include "ir/ops/activation.h"

static double slope(const void *attrs, double x) {
    (void)attrs;
    return x < -3 ? 0 : x <= 3 ? x / 3 + 0.5 : 1;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal three = activation_const(b, in[1], 3), zero = activation_const(b, in[1], 0), x = in[1];
    LVal ramp = lb_op2(b, LOP_ADD, lb_op2(b, LOP_DIV, x, three), activation_const(b, x, 0.5));
    LVal d = lb_op2(b, LOP_MUL, in[0], ramp);
    d = lb_select(b, lb_op2(b, LOP_CMPLT, three, x), in[0], d);
    return lb_select(b, lb_op2(b, LOP_CMPLT, x, activation_const(b, x, -3)), zero, d);
}

const OpDesc op_hardswish_backward = {
    ACTIVATION_BACKWARD("hardswish_backward", "x"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
