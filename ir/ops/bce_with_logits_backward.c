/* bce_with_logits_backward: the gradient of bce_with_logits by its input, times the first of the step's
 * numbers: weight times (1 - y) sigmoid(x) - pos_weight y sigmoid(-x), which does not cancel where y is 0
 * or 1. */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs), ROW_WEIGHT, ROW_POS_WEIGHT};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    double w = a->weight ? extra[0] : 1, p = a->pos_weight ? extra[a->weight] : 1;
    return w * ((1 - y) / (1 + exp(-x)) - p * y / (1 + exp(x)));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_backward_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    LType t = lb_type(b, input);
    LVal one = lb_const(b, t, 1), size = lb_op1(b, LOP_ABS, input), positive = target;
    LVal e = lb_exp(b, lb_op1(b, LOP_NEG, size));
    LVal large = lb_op2(b, LOP_DIV, one, lb_op2(b, LOP_ADD, one, e)); /* sigmoid(size) */
    LVal small = lb_op2(b, LOP_MUL, e, large);                        /* sigmoid(-size) */
    LVal below = lb_op2(b, LOP_CMPLT, input, lb_const(b, t, 0));
    LVal yes = lb_select(b, below, small, large), no = lb_select(b, below, large, small);
    if (a->pos_weight)
        positive = lb_op2(b, LOP_MUL, extra[a->weight], target);
    LVal pull = lb_op1(b, LOP_NEG, lb_op2(b, LOP_MUL, positive, no));
    LVal d = lb_mad(b, lb_op2(b, LOP_SUB, one, target), yes, pull);
    return a->weight ? lb_op2(b, LOP_MUL, d, extra[0]) : d;
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss_backward(lw, n, build);
}

static const OpSample samples[] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 3,
     .operands = {TN2(3), TN2(3), HYPER},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM, .weight = true},
     .n = 4,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), HYPER, T3(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .weight = true, .pos_weight = true},
     .n = 5,
     .operands = {TN2(33), TN2(33), HYPER, T1(33), T1(33)},
     .batch = 2},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .pos_weight = true},
     .n = 4,
     .operands = {TN2(1), TN2(1), HYPER, T1(1)},
     .batch = 3},
};

const OpDesc op_bce_with_logits_backward = {
    ELEMENT_LOSS_BACKWARD("bce_with_logits_backward", 2),
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .eval = eval,
    .lower = lower,
    SAMPLES(samples),
};
