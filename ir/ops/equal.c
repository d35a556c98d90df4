/* equal: 1 where two tensors are equal, else 0, with NumPy's broadcasting. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static double is_equal(double a, double b) {
    return a == b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in, out, is_equal);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const LType t = lb_type(b, in[0]);
    (void)attrs;
    const LVal same = lb_op2(b, LOP_CMPEQ, in[0], in[1]), one = lb_const(b, t, 1);
    return lb_select(b, same, one, lb_const(b, t, 0));
}

static const OpSample samples[] = {
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.n = 2, .operands = {TN4(17, 3, 5), TN4(17, 1, 1)}, .batch = 2},
};

const OpDesc op_equal = {
    .name = "equal",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"a", "b"},
    .flags = OP_POINTWISE | OP_COMMUTATIVE | OP_INPLACE | OP_INTERNAL,
    .verify = op_need_floats,
    .infer_shape = op_broadcast_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    SAMPLES(samples),
};
