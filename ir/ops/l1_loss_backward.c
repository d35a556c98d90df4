/* l1_loss_backward: the gradient of l1_loss by its input, times the first of the step's numbers: the sign of
 * the difference, 0 where there is none. */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs)};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    (void)a, (void)extra;
    return (x > y) - (x < y);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_backward_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    (void)a, (void)extra;
    LType t = lb_type(b, input);
    LVal zero = lb_const(b, t, 0), above = lb_op2(b, LOP_CMPLT, target, input);
    LVal below = lb_op2(b, LOP_CMPLT, input, target);
    LVal sign = lb_select(b, below, lb_const(b, t, -1), zero);
    return lb_select(b, above, lb_const(b, t, 1), sign);
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss_backward(lw, n, build);
}

const OpDesc op_l1_loss_backward = {
    ELEMENT_LOSS_BACKWARD("l1_loss_backward", 0),
    .attrs = ATTR_TABLE(rows, ElementLossAttrs),
    .eval = eval,
    .lower = lower,
    SAMPLES(element_loss_backward_samples),
};
