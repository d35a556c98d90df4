/* smooth_l1_loss: PyTorch's SmoothL1Loss: a parabola where the difference is below beta, its absolute value
 * elsewhere; beta 0 is l1_loss. */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs), ROW_BETA};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    (void)extra;
    double d = fabs(x - y);
    return d < a->beta ? d * d / (2 * a->beta) : d - a->beta / 2;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    (void)extra;
    LType t = lb_type(b, input);
    LVal d = lb_op1(b, LOP_ABS, lb_op2(b, LOP_SUB, input, target));
    LVal line = lb_op2(b, LOP_SUB, d, lb_const(b, t, a->beta / 2));
    if (a->beta == 0)
        return d;
    LVal half = lb_op2(b, LOP_MUL, d, lb_const(b, t, 0.5));
    LVal curve = lb_op2(b, LOP_DIV, lb_op2(b, LOP_MUL, half, d), lb_const(b, t, a->beta));
    return lb_select(b, lb_op2(b, LOP_CMPLT, d, lb_const(b, t, a->beta)), curve, line);
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss(lw, n, build);
}

static const OpSample samples[] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .beta = 1},
     .n = 2,
     .operands = {TN2(3), TN2(3)},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM, .beta = 0.5},
     .n = 2,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .beta = 0},
     .n = 2,
     .operands = {TN2(64), TN2(64)},
     .batch = 2},
};

const OpDesc op_smooth_l1_loss = {
    ELEMENT_LOSS("smooth_l1_loss", 0),
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .eval = eval,
    .lower = lower,
    SAMPLES(samples),
};
