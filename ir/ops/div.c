/* div: the quotient of two tensors, with NumPy's broadcasting. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static double over(double a, double b) {
    return a / b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in, out, over);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    return lb_op2(b, LOP_DIV, in[0], in[1]);
}

/* dy / divisor, and minus that times the quotient. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_a[2] = {dy, n->operands[1]};
    const ValueId part = grad_node(gr, n, OP_div, of_a, 2, NULL, "grad");
    if (grad_wanted(gr, n, 0) && !grad_add(gr, n, 0, part))
        return false;
    if (!grad_wanted(gr, n, 1))
        return true;
    const ValueId of_b[2] = {part, n->result};
    return grad_add(gr, n, 1, grad_negative(gr, n, grad_node(gr, n, OP_mul, of_b, 2, NULL, "grad")));
}

static const OpSample samples[] = {
    {.n = 2, .operands = {TN4(3, 7, 5), T3(3, 1, 5)}, .batch = 3},
    {.n = 2, .operands = {TN4(17, 1, 3), T3(17, 1, 1)}, .batch = 2},
};

const OpDesc op_div = {
    .name = "div",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"a", "divisor"},
    .flags = OP_POINTWISE | OP_INPLACE,
    .verify = op_need_floats,
    .infer_shape = op_broadcast_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    .grad = grad,
    SAMPLES(samples),
};
