/* hardtanh_backward: dy, but 0 where the result y of hardtanh is one of its bounds. */
#include "ir/ops/activation.h"

static const AttrRow rows[] = {
    {"min_val", ATTR_FLOAT, offsetof(HardtanhAttrs, min_val), 0, 1, 0, NULL, true, -1},
    {"max_val", ATTR_FLOAT, offsetof(HardtanhAttrs, max_val), 0, 1, 0, NULL, true, 1},
};

static double slope(const void *attrs, double y) {
    const HardtanhAttrs *a = attrs;
    return y <= a->min_val || y >= a->max_val ? 0 : 1;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_backward_eval(attrs, in, out, slope);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const HardtanhAttrs *a = attrs;
    LVal low = lb_op2(b, LOP_CMPLE, in[1], activation_const(b, in[1], a->min_val));
    LVal high = lb_op2(b, LOP_CMPLE, activation_const(b, in[1], a->max_val), in[1]);
    return lb_select(b, lb_op2(b, LOP_OR, low, high), activation_const(b, in[0], 0), in[0]);
}

static const OpSample samples[] = {
    {.attrs = &(const HardtanhAttrs){-0.5, 0.75},
     .n = 2,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const HardtanhAttrs){0, 6}, .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
};

const OpDesc op_hardtanh_backward = {
    ACTIVATION_BACKWARD("hardtanh_backward", "y"),
    .attrs = ATTR_TABLE(rows, HardtanhAttrs),
    .eval = eval,
    .emit = emit,
    SAMPLES(samples),
};
