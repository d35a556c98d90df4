/* relu: max(x, 0); a NaN stays one, as in PyTorch. */
#include "ir/ops/activation.h"

static double value(const void *attrs, double x) {
    (void)attrs;
    return x < 0 ? 0 : x;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_op2(b, LOP_MAX, in[0], activation_const(b, in[0], 0));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_relu_backward, n->result);
}

const OpDesc op_relu = {
    ACTIVATION("relu"), .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .eval = eval,       .emit = emit,
    .grad = grad,       SAMPLES(activation_samples),
};
