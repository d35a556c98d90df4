/* power: factor * (shift + scale * x)^exponent, for a base that is not negative; its derivative is another
 * power. What a local response norm divides by. */
#include "ir/ops/activation.h"
#include <math.h>

static const AttrRow rows[] = {
    {"exponent", ATTR_FLOAT, offsetof(PowerAttrs, exponent), 0, 1, -1, NULL, false, 0},
    {"factor", ATTR_FLOAT, offsetof(PowerAttrs, factor), 0, 1, -1, NULL, true, 1},
    {"scale", ATTR_FLOAT, offsetof(PowerAttrs, scale), 0, 1, -1, NULL, true, 1},
    {"shift", ATTR_FLOAT, offsetof(PowerAttrs, shift), 0, 1, -1, NULL, true, 0},
};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const PowerAttrs *a = attrs;
    const int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++)
        out->data[i] = a->factor * pow(a->shift + a->scale * in[0].data[i], a->exponent);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const PowerAttrs *a = attrs;
    const LType t = lb_type(b, in[0]);
    const LVal base = lb_mad(b, in[0], lb_const(b, t, a->scale), lb_const(b, t, a->shift));
    const LVal logarithm = lb_op2(b, LOP_MUL, lb_log(b, base), lb_const(b, t, a->exponent));
    return lb_op2(b, LOP_MUL, lb_exp(b, logarithm), lb_const(b, t, a->factor));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    PowerAttrs a = *(const PowerAttrs *)n->attrs;
    a.factor *= a.exponent * a.scale;
    a.exponent -= 1;
    const ValueId slope = grad_node(gr, n, OP_power, n->operands, 1, &a, "slope"), part[2] = {dy, slope};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_mul, part, 2, NULL, "grad"));
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 30 * (double)type_elems(out, n);
}

static const OpSample samples[] = {
    {.attrs = &(const PowerAttrs){-0.75, 1, 0.25, 2}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const PowerAttrs){1.5, -2, 0.5, 3}, .n = 1, .operands = {TN2(17)}, .batch = 2},
};

const OpDesc op_power = {
    ACTIVATION("power"),
    .attrs = ATTR_TABLE(rows, PowerAttrs),
    .flags = OP_POINTWISE | OP_INPLACE,
    .eval = eval,
    .emit = emit,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
