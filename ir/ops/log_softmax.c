/* log_softmax: x - max - log(sum(exp(x - max))) along one dimension. */
#include "ir/grad.h"
#include "ir/ops/softmax.h"
#include <math.h>

static void line(const SoftmaxLine *l) {
    const double max = softmax_max(l), sum = softmax_sum(l, max);
    for (int64_t k = 0; k < l->length; k++)
        l->out[k * l->stride] = l->x[k * l->stride] - max - log(sum);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    softmax_eval(attrs, in, n, out, line);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[2] = {dy, n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_log_softmax_backward, of_dx, 2, n->attrs, "grad"));
}

const OpDesc op_log_softmax = {SOFTMAX("log_softmax"), .eval = eval, .grad = grad};
