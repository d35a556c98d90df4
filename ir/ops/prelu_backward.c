/* prelu_backward: the gradient of prelu's input x: dy, times weight where x is not above 0. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_shape_of(c, 1, 0);
}

static double slope(double x, double weight) {
    return x > 0 ? 1 : weight;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in + 1, out, slope);
    for (int64_t i = 0; i < tensor_elems(out); i++)
        out->data[i] *= in[0].data[i];
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal above = lb_op2(b, LOP_CMPLT, lb_const(b, lb_type(b, in[1]), 0), in[1]);
    return lb_select(b, above, in[0], lb_op2(b, LOP_MUL, in[0], in[2]));
}

static const OpSample samples[] = {
    {.n = 3, .operands = {TN4(3, 7, 5), TN4(3, 7, 5), T3(3, 1, 1)}, .batch = 3},
    {.n = 3, .operands = {TN2(17), TN2(17), T1(1)}, .batch = 2},
};

const OpDesc op_prelu_backward = {
    .name = "prelu_backward",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"dy", "x", "weight"},
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO | OP_INTERNAL,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    SAMPLES(samples),
};
