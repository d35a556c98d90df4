/* relu_backward: the gradient of relu, dy where the result y is above zero; a NaN passes it on, as in
 * PyTorch. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_shape_of(c, 1, 0);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++)
        out->data[i] = in[1].data[i] <= 0 ? 0 : in[0].data[i];
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal zero = lb_const(b, lb_type(b, in[1]), 0);
    LVal off = lb_op2(b, LOP_CMPLE, in[1], zero);
    return lb_select(b, off, zero, in[0]);
}

static const OpSample samples[] = {
    {.n = 2, .operands = {TN4(3, 7, 5), TN4(3, 7, 5)}, .batch = 3},
    {.n = 2, .operands = {TN2(17), TN2(17)}, .batch = 2},
};

const OpDesc op_relu_backward = {
    .name = "relu_backward",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"dy", "y"},
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO | OP_INTERNAL,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    SAMPLES(samples),
};
