/* l1_loss: PyTorch's L1Loss: the absolute difference. */
#include "ir/lower/lower.h"
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {
    ROW_REDUCTION(ElementLossAttrs),
};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    (void)a, (void)extra;
    return fabs(x - y);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    (void)a, (void)extra;
    return lb_op1(b, LOP_ABS, lb_op2(b, LOP_SUB, input, target));
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss(lw, n, build);
}

static const OpSample samples[] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 2,
     .operands = {TN2(3), TN2(3)},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM},
     .n = 2,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 2,
     .operands = {TN2(64), TN2(64)},
     .batch = 2},
};

const OpDesc op_l1_loss = {
    .name = "l1_loss",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"input", "target"},
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = element_loss_verify,
    .infer_shape = loss_infer,
    .eval = eval,
    .lower = lower,
    .flops = element_loss_flops,
    SAMPLES(samples),
};
