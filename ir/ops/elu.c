/* elu: scale * (x > 0 ? x : alpha * (exp(input_scale * x) - 1)). ELU, SELU and CELU are this one. */
#include "ir/ops/activation.h"
#include <math.h>

static const AttrRow rows[] = {
    {"alpha", ATTR_FLOAT, offsetof(EluAttrs, alpha), 0, 1, 0, NULL, true, 1},
    {"scale", ATTR_FLOAT, offsetof(EluAttrs, scale), 0, 1, 0, NULL, true, 1},
    {"input_scale", ATTR_FLOAT, offsetof(EluAttrs, input_scale), 0, 1, 0, NULL, true, 1},
};

static double value(const void *attrs, double x) {
    const EluAttrs *a = attrs;
    return a->scale * (x > 0 ? x : a->alpha * expm1(a->input_scale * x));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const EluAttrs *a = attrs;
    LVal zero = activation_const(b, in[0], 0), above = lb_op2(b, LOP_CMPLT, zero, in[0]);
    LVal below =
        lb_op2(b, LOP_MUL, lb_op2(b, LOP_MIN, in[0], zero), activation_const(b, in[0], a->input_scale));
    LVal curve = lb_op2(b, LOP_MUL, lb_expm1(b, below), activation_const(b, in[0], a->alpha * a->scale));
    LVal line = lb_op2(b, LOP_MUL, in[0], activation_const(b, in[0], a->scale));
    return lb_select(b, above, line, curve);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_elu_backward, n->operands[0]);
}

static const OpSample samples[] = {
    {.attrs = &(const EluAttrs){0.5, 1, 1}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const EluAttrs){1.67, 1.05, 1}, .n = 1, .operands = {T1(17)}, .batch = 1},
    {.attrs = &(const EluAttrs){2, 1, 0.5}, .n = 1, .operands = {TN3(5, 3)}, .batch = 2},
};

const OpDesc op_elu = {
    ACTIVATION("elu"),
    .attrs = ATTR_TABLE(rows, EluAttrs),
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,
    .emit = emit,
    .grad = grad,
    SAMPLES(samples),
};
