/* softplus_backward: dy * sigmoid(beta * x), but dy where beta * x is above threshold. */
#include "ir/ops/activation.h"
#include <math.h>

static const AttrRow rows[] = {
    {"beta", ATTR_FLOAT, offsetof(SoftplusAttrs, beta), 0, 1, 0, NULL, true, 1},
    {"threshold", ATTR_FLOAT, offsetof(SoftplusAttrs, threshold), 0, 1, 0, NULL, true, 20},
};

static double slope(const void *attrs, double x) {
    const SoftplusAttrs *a = attrs;
    const double z = a->beta * x;
    return z > a->threshold ? 1 : 1 / (1 + exp(-z));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const SoftplusAttrs *a = attrs;
    LVal z = lb_op2(b, LOP_MUL, in[1], activation_const(b, in[1], a->beta));
    LVal line = lb_op2(b, LOP_CMPLT, activation_const(b, z, a->threshold), z);
    return lb_select(b, line, in[0], lb_op2(b, LOP_MUL, in[0], lb_sigmoid(b, z)));
}

static const OpSample samples[] = {
    {.attrs = &(const SoftplusAttrs){1, 20}, .n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const SoftplusAttrs){2.5, 1}, .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
};

const OpDesc op_softplus_backward = {
    ACTIVATION_BACKWARD("softplus_backward", "x"),
    .attrs = ATTR_TABLE(rows, SoftplusAttrs),
    .eval = eval,
    .emit = emit,
    SAMPLES(samples),
};
