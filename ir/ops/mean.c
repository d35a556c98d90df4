/* mean: over some dimensions, which stay with one element. */
#include "ir/ops/reduce.h"

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t results = tensor_elems(out), count = tensor_elems(in) / results;
    op_desc(OP_sum)->eval(attrs, in, n, out);
    for (int64_t i = 0; i < results; i++)
        out->data[i] /= (double)count;
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    return reduce_sum_grad(gr, n, dy, 1 / (double)reduce_count(n->attrs, x));
}

const OpDesc op_mean = {REDUCE("mean"), .eval = eval, .grad = grad};
