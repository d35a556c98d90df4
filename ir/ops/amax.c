/* amax: the maximum over some dimensions, which stay with one element; NaN where there is one. */
#include "ir/ops/reduce.h"
#include <math.h>

static double larger(double a, double b) {
    return a > b || isnan(a) ? a : b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    reduce_eval(attrs, in, out, -INFINITY, larger);
}

/* All elements that are the maximum share its gradient, as PyTorch's amax has it. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_mask[2] = {n->operands[0], n->result};
    const ValueId mask = grad_node(gr, n, OP_equal, of_mask, 2, NULL, "is_largest");
    const ValueId count = grad_node(gr, n, OP_sum, &mask, 1, n->attrs, "largest");
    const ValueId of_dx[4] = {dy, n->operands[0], n->result, count};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_amax_backward, of_dx, 4, NULL, "grad"));
}

const OpDesc op_amax = {REDUCE("amax"), .eval = eval, .grad = grad};
