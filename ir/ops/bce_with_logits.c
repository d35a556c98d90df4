/* bce_with_logits: PyTorch's BCEWithLogitsLoss, weight times -(pos_weight y log(s) + (1 - y) log(1 - s)) with
 * s = sigmoid(x). Of the two logarithms one is log(1 + exp(-|x|)), the other that plus |x|, so without
 * overflow or cancellation it is (1 + (pos_weight - 1) y) log(1 + exp(-|x|)) + |x| (x < 0 ? pos_weight y : 1
 * - y). */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs), ROW_WEIGHT, ROW_POS_WEIGHT};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    double w = a->weight ? extra[0] : 1, p = a->pos_weight ? extra[a->weight] : 1;
    double size = fabs(x), wrong = x < 0 ? p * y : 1 - y;
    return w * ((1 + (p - 1) * y) * log1p(exp(-size)) + size * wrong);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    LType t = lb_type(b, input);
    LVal one = lb_const(b, t, 1), size = lb_op1(b, LOP_ABS, input), positive = target;
    LVal loss = lb_log1p(b, lb_exp(b, lb_op1(b, LOP_NEG, size)));
    if (a->pos_weight) {
        LVal more = lb_op2(b, LOP_SUB, extra[a->weight], one);
        loss = lb_op2(b, LOP_MUL, lb_mad(b, more, target, one), loss);
        positive = lb_op2(b, LOP_MUL, extra[a->weight], target);
    }
    LVal below = lb_op2(b, LOP_CMPLT, input, lb_const(b, t, 0));
    LVal wrong = lb_select(b, below, positive, lb_op2(b, LOP_SUB, one, target));
    loss = lb_mad(b, size, wrong, loss);
    return a->weight ? lb_op2(b, LOP_MUL, loss, extra[0]) : loss;
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss(lw, n, build);
}

static const OpSample samples[] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 2,
     .operands = {TN2(3), TN2(3)},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM, .weight = true},
     .n = 3,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), T3(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .weight = true, .pos_weight = true},
     .n = 4,
     .operands = {TN2(33), TN2(33), T1(33), T1(33)},
     .batch = 2},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN, .pos_weight = true},
     .n = 3,
     .operands = {TN2(1), TN2(1), T1(1)},
     .batch = 3},
};

const OpDesc op_bce_with_logits = {
    ELEMENT_LOSS("bce_with_logits", 2),
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .eval = eval,
    .lower = lower,
    SAMPLES(samples),
};
