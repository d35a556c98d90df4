/* max_pool2d: the largest element of each window; padding never wins. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include <math.h>

static const AttrRow rows[] = {
    {"kernel_size", ATTR_INTS, offsetof(Pool2dAttrs, kernel_size), 2, 1, OP_MAX_INT, NULL, false, 0},
    {"stride", ATTR_INTS, offsetof(Pool2dAttrs, stride), 2, 1, OP_MAX_INT, NULL, false, 0},
    {"padding", ATTR_INTS, offsetof(Pool2dAttrs, padding), 4, 0, OP_MAX_INT, NULL, true, 0},
    {"dilation", ATTR_INTS, offsetof(Pool2dAttrs, dilation), 2, 1, OP_MAX_INT, NULL, true, 1},
    {"ceil_mode", ATTR_BOOL, offsetof(Pool2dAttrs, ceil_mode), 0, 0, 1, NULL, true, 0},
};

/* Taps [lo, hi) of output o that lie inside the input: a kernel may be far larger than that. */
static void inside(const Pool2dAttrs *a, int64_t in, int axis, int64_t o, int64_t *lo, int64_t *hi) {
    int64_t start = o * a->stride.v[axis] - a->padding.v[axis], step = a->dilation.v[axis];
    *lo = start < 0 ? (-start + step - 1) / step : 0;
    *hi = start < in ? (in - start + step - 1) / step : 0;
    if (*hi > a->kernel_size.v[axis])
        *hi = a->kernel_size.v[axis];
}

/* The window of output row oh and column ow of one plane. */
static double window_max(const Pool2dAttrs *a, const double *plane, int64_t h, int64_t w, int64_t oh,
                         int64_t ow) {
    double best = -INFINITY;
    int64_t y0, y1, x0, x1;
    inside(a, h, 0, oh, &y0, &y1);
    inside(a, w, 1, ow, &x0, &x1);
    for (int64_t kh = y0; kh < y1; kh++)
        for (int64_t kw = x0; kw < x1; kw++) {
            int64_t ih = oh * a->stride.v[0] - a->padding.v[0] + kh * a->dilation.v[0];
            int64_t iw = ow * a->stride.v[1] - a->padding.v[1] + kw * a->dilation.v[1];
            double x = plane[ih * w + iw];
            if (isnan(x))
                return x;
            best = x > best ? x : best;
        }
    return best;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++)
        out->data[i] = window_max(attrs, in[0].data + i / ow / oh * h * w, h, w, i / ow % oh, i % ow);
}

#define POOL(k, s, p, d, c)                                                                                  \
    .attrs = &(const Pool2dAttrs) {                                                                          \
        INTS2(k, k), INTS2(s, s), INTS4(p, p, p, p), INTS2(d, d), c, false                                   \
    }
static const OpSample samples[] = {
    {POOL(2, 2, 0, 1, false), .n = 1, .operands = {TN4(3, 7, 8)}, .batch = 3},
    {POOL(3, 2, 1, 1, false), .n = 1, .operands = {TN4(17, 13, 7)}, .batch = 1},
    {POOL(3, 2, 1, 1, true), .n = 1, .operands = {TN4(1, 6, 8)}, .batch = 2},
    {POOL(2, 1, 1, 3, false), .n = 1, .operands = {TN4(16, 7, 13)}, .batch = 1},
    {POOL(5, 3, 2, 1, true), .n = 1, .operands = {TN4(8, 3, 3)}, .batch = 2},
};

const OpDesc op_max_pool2d = {
    .name = "max_pool2d",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .flags = OP_POOL,
    .attrs = ATTR_TABLE(rows, Pool2dAttrs),
    .verify = pool2d_verify,
    .infer_shape = pool2d_infer,
    .eval = eval,
    .lower = lower_pool,
    .flops = pool2d_flops,
    SAMPLES(samples),
};
