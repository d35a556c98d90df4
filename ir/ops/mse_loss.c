/* mse_loss: PyTorch's MSELoss: the squared difference. */
#include "ir/ops/loss.h"

static const AttrRow rows[] = {ROW_REDUCTION(ElementLossAttrs)};

static double element(const ElementLossAttrs *a, double x, double y, const double *extra) {
    (void)a, (void)extra;
    return (x - y) * (x - y);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    element_loss_eval(attrs, in, n, out, element);
}

static LVal build(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra) {
    (void)a, (void)extra;
    LVal d = lb_op2(b, LOP_SUB, input, target);
    return lb_op2(b, LOP_MUL, d, d);
}

static bool lower(Lower *lw, const Node *n) {
    return lower_element_loss(lw, n, build);
}

const OpDesc op_mse_loss = {
    ELEMENT_LOSS("mse_loss", 0),   .attrs = ATTR_TABLE(rows, ElementLossAttrs), .eval = eval, .lower = lower,
    SAMPLES(element_loss_samples),
};
