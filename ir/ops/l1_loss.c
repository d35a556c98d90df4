/* l1_loss: PyTorch's L1Loss: the absolute difference. */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs)};

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

const OpDesc op_l1_loss = {
    ELEMENT_LOSS("l1_loss", 0),    .attrs = ATTR_TABLE(rows, ElementLossAttrs), .eval = eval, .lower = lower,
    SAMPLES(element_loss_samples),
};
