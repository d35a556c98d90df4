/* gelu_backward: dy times P(X < x) + x * density(x), or what the approximation by tanh has for it. */
#include "ir/ops/gelu.h"
#include <math.h>

/* The slope of x * gate: gate + x * gate * (1 - gate) * (the slope of the sigmoid's argument). Beyond 16 it
 * is 0 or 1, and squares need not be formed. */
static LVal gate_slope(LBuild *b, LVal x) {
    x = lb_op2(b, LOP_MIN, x, activation_const(b, x, 16));
    x = lb_op2(b, LOP_MAX, x, activation_const(b, x, -16));
    LVal gate = gelu_gate(b, x), square = lb_op2(b, LOP_MUL, x, x);
    LVal first = activation_const(b, x, 2 * GELU_SQRT_2_PI);
    LVal inner = lb_mad(b, square, activation_const(b, x, 6 * GELU_SQRT_2_PI * GELU_CUBE), first);
    LVal other = lb_op2(b, LOP_SUB, activation_const(b, x, 1), gate);
    LVal both = lb_op2(b, LOP_MUL, gate, other);
    return lb_mad(b, lb_op2(b, LOP_MUL, x, both), inner, gate);
}

static const AttrRow rows[] = {
    ROW_APPROXIMATE,
};

static double slope(const void *attrs, double x) {
    const GeluAttrs *a = attrs;
    if (a->approximate == GELU_TANH) {
        const double t = tanh(GELU_SQRT_2_PI * (x + GELU_CUBE * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SQRT_2_PI * (1 + 3 * GELU_CUBE * x * x);
    }
    return 0.5 * erfc(-x * GELU_SQRT_HALF) + 0.5 * GELU_SQRT_2_PI * x * exp(-0.5 * x * x);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const GeluAttrs *a = attrs;
    LVal x = in[1];
    if (a->approximate == GELU_TANH)
        return lb_op2(b, LOP_MUL, in[0], gate_slope(b, x));
    LVal bell = gelu_bell(b, x), normal = gelu_normal(b, x, bell);
    LVal density = lb_op2(b, LOP_MUL, bell, activation_const(b, x, 0.5 * GELU_SQRT_2_PI));
    return lb_op2(b, LOP_MUL, in[0], lb_mad(b, x, density, normal));
}

static const OpSample samples[] = {
    {.attrs = &(const GeluAttrs){GELU_NONE}, .n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const GeluAttrs){GELU_TANH}, .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
};

const OpDesc op_gelu_backward = {
    ACTIVATION_BACKWARD("gelu_backward", "x"),
    .attrs = ATTR_TABLE(rows, GeluAttrs),
    .eval = eval,
    .emit = emit,
    SAMPLES(samples),
};
