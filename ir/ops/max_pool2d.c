/* max_pool2d: the largest element of each window; padding never wins. */
#include "ir/ops/pool2d.h"
#include <math.h>

#define AT(member) offsetof(Pool2dAttrs, member)
static const AttrRow attr_rows[] = {MAX_POOL2D_ROWS(AT)};

/* The window of output row oh and column ow of one plane. */
static double window_max(const Window *rows, const Window *columns, const double *plane, int64_t oh,
                         int64_t ow) {
    double best = -INFINITY;
    int64_t y0, y1, x0, x1;
    window_taps(rows, oh, &y0, &y1);
    window_taps(columns, ow, &x0, &x1);
    for (int64_t kh = y0; kh < y1; kh++)
        for (int64_t kw = x0; kw < x1; kw++) {
            double x = plane[window_input(rows, oh, kh) * columns->in + window_input(columns, ow, kw)];
            if (isnan(x))
                return x;
            best = x > best ? x : best;
        }
    return best;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out);
    const Window rows = pool2d_window(attrs, h, 0), columns = pool2d_window(attrs, w, 1);
    (void)n;
    for (int64_t i = 0; i < count; i++)
        out->data[i] = window_max(&rows, &columns, in[0].data + i / ow / oh * h * w, i / ow % oh, i % ow);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId operands[3] = {dy, n->operands[0], n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_max_pool2d_backward, operands, 3, n->attrs, "grad"));
}

#define POOL(k, s, p, d, c)                                                                                  \
    .attrs = &(const Pool2dAttrs){INTS2(k, k), INTS2(s, s), INTS4(p, p, p, p), INTS2(d, d), c, false, 0}
static const OpSample samples[] = {
    {POOL(2, 2, 0, 1, false), .n = 1, .operands = {TN4(3, 7, 8)}, .batch = 3},
    {POOL(3, 2, 1, 1, false), .n = 1, .operands = {TN4(17, 13, 7)}, .batch = 1},
    {POOL(3, 2, 1, 1, true), .n = 1, .operands = {TN4(1, 6, 8)}, .batch = 2},
    {POOL(2, 1, 1, 3, false), .n = 1, .operands = {TN4(16, 7, 13)}, .batch = 1},
    {POOL(5, 3, 2, 1, true), .n = 1, .operands = {TN4(8, 3, 3)}, .batch = 2},
};

const OpDesc op_max_pool2d = {
    POOL2D("max_pool2d"), .attrs = ATTR_TABLE(attr_rows, Pool2dAttrs), .eval = eval, .grad = grad,
    SAMPLES(samples),
};
