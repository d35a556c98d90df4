/* leaky_relu: x, times negative_slope where it is not above 0. */
#include "ir/ops/activation.h"

static const AttrRow rows[] = {
    {"negative_slope", ATTR_FLOAT, offsetof(LeakyReluAttrs, negative_slope), 0, 1, 0, NULL, true, 0.01},
};

static double value(const void *attrs, double x) {
    const LeakyReluAttrs *a = attrs;
    return x > 0 ? x : a->negative_slope * x;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const LeakyReluAttrs *a = attrs;
    LVal above = lb_op2(b, LOP_CMPLT, activation_const(b, in[0], 0), in[0]);
    LVal scaled = lb_op2(b, LOP_MUL, in[0], activation_const(b, in[0], a->negative_slope));
    return lb_select(b, above, in[0], scaled);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const LeakyReluAttrs *a = n->attrs;
    const bool keeps_sign = a->negative_slope >= 0; /* then the argument need not be kept */
    return activation_grad(gr, n, dy, OP_leaky_relu_backward, keeps_sign ? n->result : n->operands[0]);
}

static const OpSample samples[] = {
    {.attrs = &(const LeakyReluAttrs){0.01}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const LeakyReluAttrs){-0.5}, .n = 1, .operands = {T1(17)}, .batch = 1},
};

const OpDesc op_leaky_relu = {
    ACTIVATION("leaky_relu"),
    .attrs = ATTR_TABLE(rows, LeakyReluAttrs),
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,
    .emit = emit,
    .grad = grad,
    SAMPLES(samples),
};
