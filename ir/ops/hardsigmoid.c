/* hardsigmoid: min(max(x + 3, 0), 6) / 6. */
#include "ir/ops/activation.h"
#include <math.h>

static double value(const void *attrs, double x) {
    (void)attrs;
    return fmin(fmax(x + 3, 0), 6) / 6;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal six = activation_const(b, in[0], 6), up = lb_op2(b, LOP_ADD, in[0], activation_const(b, in[0], 3));
    LVal gate = lb_op2(b, LOP_MIN, lb_op2(b, LOP_MAX, up, activation_const(b, up, 0)), six);
    return lb_op2(b, LOP_DIV, gate, six);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_hardsigmoid_backward, n->result);
}

const OpDesc op_hardsigmoid = {
    ACTIVATION("hardsigmoid"),   .flags = OP_POINTWISE | OP_INPLACE, .eval = eval, .emit = emit, .grad = grad,
    SAMPLES(activation_samples),
};
