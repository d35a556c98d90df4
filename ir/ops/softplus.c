/* softplus: log(1 + exp(beta * x)) / beta, but x where beta * x is above threshold. With z = beta * x the
 * logarithm is max(z, 0) + log(1 + exp(-|z|)), which does not overflow. */
#include "ir/ops/activation.h"
#include <math.h>

static const AttrRow rows[] = {
    {"beta", ATTR_FLOAT, offsetof(SoftplusAttrs, beta), 0, 1, 0, NULL, true, 1},
    {"threshold", ATTR_FLOAT, offsetof(SoftplusAttrs, threshold), 0, 1, 0, NULL, true, 20},
};

static double value(const void *attrs, double x) {
    const SoftplusAttrs *a = attrs;
    const double z = a->beta * x;
    return z > a->threshold ? x : (fmax(z, 0) + log1p(exp(-fabs(z)))) / a->beta;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    activation_eval(attrs, in, out, value);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const SoftplusAttrs *a = attrs;
    LVal beta = activation_const(b, in[0], a->beta), z = lb_op2(b, LOP_MUL, in[0], beta);
    LVal e = lb_exp(b, lb_op1(b, LOP_NEG, lb_op1(b, LOP_ABS, z)));
    LVal curve = lb_op2(b, LOP_ADD, lb_op2(b, LOP_MAX, z, activation_const(b, z, 0)), lb_log1p(b, e));
    LVal line = lb_op2(b, LOP_CMPLT, activation_const(b, z, a->threshold), z);
    return lb_select(b, line, in[0], lb_op2(b, LOP_DIV, curve, beta));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return activation_grad(gr, n, dy, OP_softplus_backward, n->operands[0]);
}

static const OpSample samples[] = {
    {.attrs = &(const SoftplusAttrs){1, 20}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const SoftplusAttrs){2.5, 1}, .n = 1, .operands = {T1(17)}, .batch = 1},
};

const OpDesc op_softplus = {
    ACTIVATION("softplus"),
    .attrs = ATTR_TABLE(rows, SoftplusAttrs),
    .flags = OP_POINTWISE | OP_INPLACE,
    .eval = eval,
    .emit = emit,
    .grad = grad,
    SAMPLES(samples),
};
