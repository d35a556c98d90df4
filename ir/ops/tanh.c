/* tanh: the hyperbolic tangent. */
#include "ir/ops/activation.h"
#include <math.h>

static double value(const void *attrs, double x) {
    (void)attrs;
    return tanh(x);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_tanh(b, in[0]);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_tanh_backward, n->result);
}

const OpDesc op_tanh = {
    ACTIVATION("tanh"), .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,       .emit = emit,
    .grad = grad,       SAMPLES(activation_samples),
};
