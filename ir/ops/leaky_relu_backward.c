/* leaky_relu_backward: dy, times negative_slope where x is not above 0. x is the argument of leaky_relu, or
 * its result where that has the same sign. */
#include "ir/ops/activation.h"

static const AttrRow rows[] = {
    {"negative_slope", ATTR_FLOAT, offsetof(LeakyReluAttrs, negative_slope), 0, 1, 0, NULL, true, 0.01},
};

static double slope(const void *attrs, double x) {
    const LeakyReluAttrs *a = attrs;
    return x > 0 ? 1 : a->negative_slope;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const LeakyReluAttrs *a = attrs;
    LVal above = lb_op2(b, LOP_CMPLT, activation_const(b, in[1], 0), in[1]);
    LVal scaled = lb_op2(b, LOP_MUL, in[0], activation_const(b, in[0], a->negative_slope));
    return lb_select(b, above, in[0], scaled);
}

static const OpSample samples[] = {
    {.attrs = &(const LeakyReluAttrs){0.01}, .n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const LeakyReluAttrs){-0.5}, .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
};

const OpDesc op_leaky_relu_backward = {
    ACTIVATION_BACKWARD("leaky_relu_backward", "x"),
    .attrs = ATTR_TABLE(rows, LeakyReluAttrs),
    .eval = eval,
    .emit = emit,
    SAMPLES(samples),
};
