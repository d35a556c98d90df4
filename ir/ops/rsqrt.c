/* rsqrt: 1 / sqrt(x + eps), the scale of a batch norm. */
#include "ir/ops/activation.h"
#include <math.h>

static const AttrRow rows[] = {
    {.name = "eps", .kind = ATTR_FLOAT, .offset = offsetof(RsqrtAttrs, eps), .lo = 0, .hi = 1e30},
};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const RsqrtAttrs *a = attrs;
    int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++)
        out->data[i] = 1 / sqrt(in[0].data[i] + a->eps);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const RsqrtAttrs *a = attrs;
    LType t = lb_type(b, in[0]);
    LVal sum = lb_op2(b, LOP_ADD, in[0], lb_const(b, t, a->eps));
    LVal one = lb_const(b, t, 1), root = lb_op1(b, LOP_SQRT, sum);
    return lb_op2(b, LOP_DIV, one, root);
}

static const OpSample samples[] = {
    {.attrs = &(const RsqrtAttrs){.eps = 5}, .n = 1, .operands = {T1(17)}, .batch = 1},
    {.attrs = &(const RsqrtAttrs){.eps = 4.5}, .n = 1, .operands = {TN4(3, 1, 7)}, .batch = 3},
};

const OpDesc op_rsqrt = {
    ACTIVATION("rsqrt"),
    .attrs = ATTR_TABLE(rows, RsqrtAttrs),
    .flags = OP_POINTWISE | OP_INPLACE,
    .eval = eval,
    .emit = emit,
    SAMPLES(samples),
};
