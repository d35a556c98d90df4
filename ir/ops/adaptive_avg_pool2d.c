/* adaptive_avg_pool2d: the mean over output_size windows that cover the image: window o of O over an extent I
 * is [floor(o*I/O), ceil((o+1)*I/O)). */
#include "ir/ops/pool2d.h"

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++) {
        const double *plane = in[0].data + i / ow / oh * h * w;
        int64_t y0, y1, x0, x1;
        adaptive_window(i / ow % oh, oh, h, &y0, &y1);
        adaptive_window(i % ow, ow, w, &x0, &x1);
        double sum = 0;
        for (int64_t r = y0; r < y1; r++)
            for (int64_t k = x0; k < x1; k++)
                sum += plane[r * w + k];
        out->data[i] = sum / (double)((y1 - y0) * (x1 - x0));
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    const AdaptivePoolBackwardAttrs attrs = {{2, {x->dim[2].size, x->dim[3].size}}};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_adaptive_avg_pool2d_backward, &dy, 1, &attrs, "grad"));
}

const OpDesc op_adaptive_avg_pool2d = {ADAPTIVE_POOL2D("adaptive_avg_pool2d"), .eval = eval, .grad = grad};
