/* hardtanh: x cut off at min_val and max_val; with 0 and 6 it is ReLU6. A NaN stays one, as in PyTorch. */
#include "ir/ops/activation.h"

static const AttrRow rows[] = {
    {"min_val", ATTR_FLOAT, offsetof(HardtanhAttrs, min_val), 0, 1, 0, NULL, true, -1},
    {"max_val", ATTR_FLOAT, offsetof(HardtanhAttrs, max_val), 0, 1, 0, NULL, true, 1},
};

static double value(const void *attrs, double x) {
    const HardtanhAttrs *a = attrs;
    return x < a->min_val ? a->min_val : x > a->max_val ? a->max_val : x;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const HardtanhAttrs *a = attrs;
    LVal above = lb_op2(b, LOP_MAX, in[0], activation_const(b, in[0], a->min_val));
    return lb_op2(b, LOP_MIN, above, activation_const(b, in[0], a->max_val));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_hardtanh_backward, n->result);
}

static const OpSample samples[] = {
    {.attrs = &(const HardtanhAttrs){-0.5, 0.75}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const HardtanhAttrs){0, 6}, .n = 1, .operands = {T1(17)}, .batch = 1},
};

const OpDesc op_hardtanh = {
    ACTIVATION("hardtanh"),
    .attrs = ATTR_TABLE(rows, HardtanhAttrs),
    .flags = OP_POINTWISE | OP_INPLACE,
    .eval = eval,
    .emit = emit,
    .grad = grad,
    SAMPLES(samples),
};
