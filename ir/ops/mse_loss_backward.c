/* mse_loss_backward: the gradient of mse_loss by its input, times the first of the step's numbers. */
#include "ir/lower/lower.h"
#include "ir/ops/loss.h"

static const AttrRow rows[] = {
    ROW_REDUCTION(ElementLossAttrs),
};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    (void)a, (void)extra;
    return 2 * (x - y);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_backward_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    (void)a, (void)extra;
    LVal d = lb_op2(b, LOP_SUB, input, target);
    return lb_op2(b, LOP_ADD, d, d);
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss_backward(lw, n, build);
}

static const OpSample samples[] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 3,
     .operands = {TN2(3), TN2(3), HYPER},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM},
     .n = 3,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), HYPER},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 3,
     .operands = {TN2(64), TN2(64), HYPER},
     .batch = 2},
};

const OpDesc op_mse_loss_backward = {
    .name = "mse_loss_backward",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"input", "target", "hyper"},
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = element_loss_backward_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    SAMPLES(samples),
};
