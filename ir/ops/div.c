/* div: the quotient of two tensors, with NumPy's broadcasting. */
#include "ir/ops/arithmetic.h"

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

const OpDesc op_div = {
    ARITHMETIC("div", "divisor"),
    .flags = OP_POINTWISE | OP_INPLACE,
    .eval = eval,
    .emit = emit,
    .grad = grad,
};
