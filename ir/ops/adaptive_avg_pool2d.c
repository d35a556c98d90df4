/* adaptive_avg_pool2d: the mean over output_size windows that cover the image: window o of O over an extent I
 * is [floor(o*I/O), ceil((o+1)*I/O)). */
#include "ir/ops/pool2d.h"

static double mean(const double *x, int64_t rows, int64_t columns, int64_t pitch) {
    double sum = 0;
    for (int64_t i = 0; i < rows * columns; i++)
        sum += x[i / columns * pitch + i % columns];
    return sum / (double)(rows * columns);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    adaptive_pool2d_eval(&in[0], out, mean);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    const AdaptivePoolBackwardAttrs attrs = {{2, {x->dim[2].size, x->dim[3].size}}};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_adaptive_avg_pool2d_backward, &dy, 1, &attrs, "grad"));
}

const OpDesc op_adaptive_avg_pool2d = {ADAPTIVE_POOL2D("adaptive_avg_pool2d"), .eval = eval, .grad = grad};
