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

/* The window of output row oh and column ow of one plane. */
static double window_max(const Pool2dAttrs *a, const double *plane, int64_t h, int64_t w, int64_t oh,
                         int64_t ow) {
    double best = -INFINITY;
    for (int64_t kh = 0; kh < a->kernel_size.v[0]; kh++)
        for (int64_t kw = 0; kw < a->kernel_size.v[1]; kw++) {
            int64_t ih = oh * a->stride.v[0] - a->padding.v[0] + kh * a->dilation.v[0];
            int64_t iw = ow * a->stride.v[1] - a->padding.v[1] + kw * a->dilation.v[1];
            if (ih < 0 || ih >= h || iw < 0 || iw >= w)
                continue;
            double x = plane[ih * w + iw];
            if (x > best || isnan(x))
                best = x;
            if (isnan(best))
                return best;
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
    .attrs = ATTR_TABLE(rows, Pool2dAttrs),
    .verify = pool2d_verify,
    .infer_shape = pool2d_infer,
    .eval = eval,
    .lower = lower_pool,
    .flops = pool2d_flops,
    SAMPLES(samples),
};
