/* elu_backward: dy * scale * (x > 0 ? 1 : alpha * input_scale * exp(input_scale * x)). */
#include "ir/ops/activation.h"
#include <math.h>

static const AttrRow rows[] = {
    {"alpha", ATTR_FLOAT, offsetof(EluAttrs, alpha), 0, 1, 0, NULL, true, 1},
    {"scale", ATTR_FLOAT, offsetof(EluAttrs, scale), 0, 1, 0, NULL, true, 1},
    {"input_scale", ATTR_FLOAT, offsetof(EluAttrs, input_scale), 0, 1, 0, NULL, true, 1},
};

static double slope(const void *attrs, double x) {
    const EluAttrs *a = attrs;
    return a->scale * (x > 0 ? 1 : a->alpha * a->input_scale * exp(a->input_scale * x));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const EluAttrs *a = attrs;
    LVal zero = activation_const(b, in[1], 0), above = lb_op2(b, LOP_CMPLT, zero, in[1]);
    LVal below =
        lb_op2(b, LOP_MUL, lb_op2(b, LOP_MIN, in[1], zero), activation_const(b, in[1], a->input_scale));
    LVal factor = activation_const(b, in[1], a->alpha * a->scale * a->input_scale);
    LVal curve = lb_op2(b, LOP_MUL, lb_exp(b, below), factor);
    return lb_op2(b, LOP_MUL, in[0], lb_select(b, above, activation_const(b, in[1], a->scale), curve));
}

static const OpSample samples[] = {
    {.attrs = &(const EluAttrs){0.5, 1, 1}, .n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const EluAttrs){1.67, 1.05, 1}, .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
    {.attrs = &(const EluAttrs){2, 1, 0.5}, .n = 2, .operands = {TN3(5, 3), TN3(5, 3)}, .batch = 2},
};

const OpDesc op_elu_backward = {
    ACTIVATION_BACKWARD("elu_backward", "x"),
    .attrs = ATTR_TABLE(rows, EluAttrs),
    .eval = eval,
    .emit = emit,
    SAMPLES(samples),
};
