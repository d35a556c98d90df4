/* mse_loss_backward: the gradient of mse_loss by its input, times the first of the step's numbers. */
#include "ir/ops/loss.h"

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs)};

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

const OpDesc op_mse_loss_backward = {
    ELEMENT_LOSS_BACKWARD("mse_loss_backward", 0),
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .eval = eval,
    .lower = lower,
    SAMPLES(element_loss_backward_samples),
};
