/* adaptive_max_pool2d: the largest element of each of output_size windows, which are those of
 * adaptive_avg_pool2d. */
#include "ir/ops/pool2d.h"
#include <math.h>

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++) {
        const double *plane = in[0].data + i / ow / oh * h * w;
        int64_t y0, y1, x0, x1;
        adaptive_window(i / ow % oh, oh, h, &y0, &y1);
        adaptive_window(i % ow, ow, w, &x0, &x1);
        double best = -INFINITY;
        for (int64_t r = y0; r < y1; r++)
            for (int64_t k = x0; k < x1; k++)
                best = plane[r * w + k] > best || isnan(plane[r * w + k]) ? plane[r * w + k] : best;
        out->data[i] = best;
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId operands[3] = {dy, n->operands[0], n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_adaptive_max_pool2d_backward, operands, 3, NULL, "grad"));
}

const OpDesc op_adaptive_max_pool2d = {ADAPTIVE_POOL2D("adaptive_max_pool2d"), .eval = eval, .grad = grad};
