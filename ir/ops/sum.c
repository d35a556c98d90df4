/* sum: over some dimensions, which stay with one element. */
#include "ir/ops/reduce.h"

static double plus(double a, double b) {
    return a + b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    reduce_eval(attrs, in, out, 0, plus);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return reduce_sum_grad(gr, n, dy, 1);
}

const OpDesc op_sum = {REDUCE("sum"), .eval = eval, .grad = grad};
