/* smooth_l1_loss_backward: the gradient of smooth_l1_loss by its input, times the first of the step's
 * numbers. */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs), ROW_BETA};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    (void)extra;
    double d = x - y;
    return fabs(d) < a->beta ? d / a->beta : (d > 0) - (d < 0);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_backward_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    (void)extra;
    LType t = lb_type(b, input);
    LVal d = lb_op2(b, LOP_SUB, input, target), zero = lb_const(b, t, 0);
    LVal below = lb_op2(b, LOP_CMPLT, d, zero), above = lb_op2(b, LOP_CMPLT, zero, d);
    LVal sign = lb_select(b, below, lb_const(b, t, -1), zero);
    sign = lb_select(b, above, lb_const(b, t, 1), sign);
    if (a->beta == 0)
        return sign;
    LVal curve = lb_op2(b, LOP_DIV, d, lb_const(b, t, a->beta));
    LVal outside = lb_op2(b, LOP_CMPLE, lb_const(b, t, a->beta), lb_op1(b, LOP_ABS, d));
    return lb_select(b, outside, sign, curve); /* NaN stays NaN */
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss_backward(lw, n, build);
}

static const OpSample samples[] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .beta = 1},
     .n = 3,
     .operands = {TN2(3), TN2(3), HYPER},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM, .beta = 0.5},
     .n = 3,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), HYPER},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .beta = 0},
     .n = 3,
     .operands = {TN2(64), TN2(64), HYPER},
     .batch = 2},
};

const OpDesc op_smooth_l1_loss_backward = {
    ELEMENT_LOSS_BACKWARD("smooth_l1_loss_backward", 0),
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .eval = eval,
    .lower = lower,
    SAMPLES(samples),
};
