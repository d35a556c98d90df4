/* gelu: x times the normal distribution's P(X < x), or an approximation of that by tanh. */
#include "ir/ops/gelu.h"
#include <math.h>

const char *const gelu_names[] = {"none", "tanh", NULL};

LVal gelu_bell(LBuild *b, LVal x) {
    LVal half = lb_op2(b, LOP_MUL, x, activation_const(b, x, -0.5));
    return lb_exp(b, lb_op2(b, LOP_MUL, half, x));
}

LVal gelu_normal(LBuild *b, LVal x, LVal bell) {
    LVal tail = lb_normal_tail(b, lb_op1(b, LOP_ABS, x), bell);
    LVal rest = lb_op2(b, LOP_SUB, activation_const(b, x, 1), tail);
    return lb_select(b, lb_op2(b, LOP_CMPLT, x, activation_const(b, x, 0)), tail, rest);
}

LVal gelu_gate(LBuild *b, LVal x) {
    LVal square = lb_op2(b, LOP_MUL, x, x), one = activation_const(b, x, 2 * GELU_SQRT_2_PI);
    LVal slope = lb_mad(b, square, activation_const(b, x, 2 * GELU_SQRT_2_PI * GELU_CUBE), one);
    return lb_sigmoid(b, lb_op2(b, LOP_MUL, slope, x));
}

static const AttrRow rows[] = {
    ROW_APPROXIMATE,
};

static double value(const void *attrs, double x) {
    const GeluAttrs *a = attrs;
    if (a->approximate == GELU_TANH)
        return 0.5 * x * (1 + tanh(GELU_SQRT_2_PI * (x + GELU_CUBE * x * x * x)));
    return 0.5 * x * erfc(-x * GELU_SQRT_HALF);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const GeluAttrs *a = attrs;
    if (a->approximate == GELU_TANH)
        return lb_op2(b, LOP_MUL, in[0], gelu_gate(b, in[0]));
    LVal bell = gelu_bell(b, in[0]);
    return lb_op2(b, LOP_MUL, in[0], gelu_normal(b, in[0], bell));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_gelu_backward, n->operands[0]);
}

static const OpSample samples[] = {
    {.attrs = &(const GeluAttrs){GELU_NONE}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const GeluAttrs){GELU_TANH}, .n = 1, .operands = {T1(17)}, .batch = 1},
};

const OpDesc op_gelu = {
    ACTIVATION("gelu"),
    .attrs = ATTR_TABLE(rows, GeluAttrs),
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,
    .emit = emit,
    .grad = grad,
    SAMPLES(samples),
};
