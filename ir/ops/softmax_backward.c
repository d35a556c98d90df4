/* softmax_backward: from the gradient of softmax's result y to that of its input: (dy - sum(dy * y)) * y
 * along one dimension. */
#include "ir/ops/softmax.h"

static void line(const SoftmaxLine *l) {
    double dot = 0;
    for (int64_t k = 0; k < l->length; k++)
        dot += l->x[k * l->stride] * l->y[k * l->stride];
    for (int64_t k = 0; k < l->length; k++)
        l->out[k * l->stride] = (l->x[k * l->stride] - dot) * l->y[k * l->stride];
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    softmax_eval(attrs, in, n, out, line);
}

const OpDesc op_softmax_backward = {SOFTMAX_BACKWARD("softmax_backward"), .eval = eval};
