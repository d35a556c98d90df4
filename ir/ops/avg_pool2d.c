/* avg_pool2d: the mean of each window, by PyTorch's rule for what padding counts. */
#include "ir/ops/pool2d.h"

#define AT(member) offsetof(Pool2dAttrs, member)
static const AttrRow attr_rows[] = {AVG_POOL2D_ROWS(AT)};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out), y0, y1, x0, x1;
    const Window rows = pool2d_window(attrs, h, 0), columns = pool2d_window(attrs, w, 1);
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        const double *plane = in[0].data + i / ow / oh * h * w;
        const int64_t y = i / ow % oh, x = i % ow;
        double sum = 0;
        window_taps(&rows, y, &y0, &y1);
        window_taps(&columns, x, &x0, &x1);
        for (int64_t kh = y0; kh < y1; kh++)
            for (int64_t kw = x0; kw < x1; kw++)
                sum += plane[window_input(&rows, y, kh) * w + window_input(&columns, x, kw)];
        out->data[i] = sum / (double)avg_pool2d_divisor(attrs, h, w, y, x);
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    const PoolBackwardAttrs attrs = {*(const Pool2dAttrs *)n->attrs, {2, {x->dim[2].size, x->dim[3].size}}};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_avg_pool2d_backward, &dy, 1, &attrs, "grad"));
}

#define POOL(k, s, p, c, i, d)                                                                               \
    .attrs = &(const Pool2dAttrs) {                                                                          \
        INTS2(k, k), INTS2(s, s), INTS4(p, p, p, p), {0}, c, i, d                                            \
    }
static const OpSample samples[] = {
    {POOL(2, 2, 0, false, true, 0), .n = 1, .operands = {TN4(3, 7, 8)}, .batch = 3},
    {POOL(3, 2, 1, false, true, 0), .n = 1, .operands = {TN4(17, 13, 7)}, .batch = 1},
    {POOL(3, 2, 1, true, false, 0), .n = 1, .operands = {TN4(1, 6, 8)}, .batch = 2},
    {POOL(3, 2, 1, true, true, 0), .n = 1, .operands = {TN4(16, 6, 8)}, .batch = 1},
    {POOL(3, 2, 1, false, true, 5), .n = 1, .operands = {TN4(9, 7, 8)}, .batch = 2},
    {POOL(5, 3, 2, true, true, 0), .n = 1, .operands = {TN4(8, 3, 3)}, .batch = 2},
};

const OpDesc op_avg_pool2d = {
    POOL2D("avg_pool2d"), .attrs = ATTR_TABLE(attr_rows, Pool2dAttrs), .eval = eval, .grad = grad,
    SAMPLES(samples),
};
