/* adaptive_max_pool2d: the largest element of each of output_size windows, which are those of
 * adaptive_avg_pool2d. */
#include "ir/ops/pool2d.h"
#include <math.h>

static double largest(const double *x, int64_t rows, int64_t columns, int64_t pitch) {
    double best = -INFINITY;
    for (int64_t i = 0; i < rows * columns; i++) {
        const double v = x[i / columns * pitch + i % columns];
        best = v > best || isnan(v) ? v : best;
    }
    return best;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    adaptive_pool2d_eval(&in[0], out, largest);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId operands[3] = {dy, n->operands[0], n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_adaptive_max_pool2d_backward, operands, 3, NULL, "grad"));
}

const OpDesc op_adaptive_max_pool2d = {ADAPTIVE_POOL2D("adaptive_max_pool2d"), .eval = eval, .grad = grad};
