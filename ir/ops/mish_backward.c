/* mish_backward: with e = exp(x), n = e * (e + 2) and d = n + 2 it is dy * (n / d + 4 * x * e * (e + 1) /
 * d^2): mish is x * n / d, and n' = 2 * e * (e + 1). Beyond 20 it is dy. */
#include "ir/ops/activation.h"
#include <math.h>

static double slope(const void *attrs, double x) {
    (void)attrs;
    const double t = tanh(log1p(exp(x)));
    return t + x / (1 + exp(-x)) * (1 - t * t);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal two = activation_const(b, in[1], 2), four = activation_const(b, in[1], 4);
    LVal x = lb_op2(b, LOP_MIN, in[1], activation_const(b, in[1], 20)), e = lb_exp(b, x);
    LVal n = lb_op2(b, LOP_MUL, e, lb_op2(b, LOP_ADD, e, two)), d = lb_op2(b, LOP_ADD, n, two);
    LVal part = lb_mad(b, e, e, e),
         more = lb_op2(b, LOP_MUL, lb_op2(b, LOP_MUL, x, four), lb_op2(b, LOP_DIV, part, d));
    return lb_op2(b, LOP_MUL, in[0], lb_op2(b, LOP_DIV, lb_op2(b, LOP_ADD, n, more), d));
}

const OpDesc op_mish_backward = {
    ACTIVATION_BACKWARD("mish_backward", "x"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
