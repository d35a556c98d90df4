/* log_softmax_backward: from the gradient of log_softmax's result y to that of its input: dy - sum(dy) *
 * exp(y) along one dimension. */
#include "ir/ops/softmax.h"
#include <math.h>

static void line(const SoftmaxLine *l) {
    double sum = 0;
    for (int64_t k = 0; k < l->length; k++)
        sum += l->x[k * l->stride];
    for (int64_t k = 0; k < l->length; k++)
        l->out[k * l->stride] = l->x[k * l->stride] - sum * exp(l->y[k * l->stride]);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    softmax_eval(attrs, in, n, out, line);
}

const OpDesc op_log_softmax_backward = {SOFTMAX_BACKWARD("log_softmax_backward"), .eval = eval};
