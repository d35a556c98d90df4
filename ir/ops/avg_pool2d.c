/* avg_pool2d: the mean of each window, by PyTorch's rule for what padding counts. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"kernel_size", ATTR_INTS, offsetof(Pool2dAttrs, kernel_size), 2, 1, OP_MAX_INT, NULL, false, 0},
    {"stride", ATTR_INTS, offsetof(Pool2dAttrs, stride), 2, 1, OP_MAX_INT, NULL, false, 0},
    {"padding", ATTR_INTS, offsetof(Pool2dAttrs, padding), 4, 0, OP_MAX_INT, NULL, true, 0},
    {"ceil_mode", ATTR_BOOL, offsetof(Pool2dAttrs, ceil_mode), 0, 0, 1, NULL, true, 0},
    {"count_include_pad", ATTR_BOOL, offsetof(Pool2dAttrs, count_include_pad), 0, 0, 1, NULL, true, 1},
};

/* Rows (axis 0) or columns of the window at output position o: [lo, hi) inside the input, and how many the
 * divisor counts. Windows that ceil_mode lets hang over the padded input count only what is inside it. */
static int64_t span(const Pool2dAttrs *a, int64_t in, int axis, int64_t o, int64_t *lo, int64_t *hi) {
    int64_t start = o * a->stride.v[axis] - a->padding.v[axis];
    int64_t end = start + a->kernel_size.v[axis], limit = in + a->padding.v[axis + 2];
    if (end > limit)
        end = limit;
    *lo = start < 0 ? 0 : start;
    *hi = end > in ? in : end;
    return a->count_include_pad ? end - start : *hi - *lo;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out), y0, y1, x0, x1;
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        const double *plane = in[0].data + i / ow / oh * h * w;
        int64_t rows_counted = span(attrs, h, 0, i / ow % oh, &y0, &y1);
        int64_t columns_counted = span(attrs, w, 1, i % ow, &x0, &x1);
        double sum = 0;
        for (int64_t y = y0; y < y1; y++)
            for (int64_t x = x0; x < x1; x++)
                sum += plane[y * w + x];
        out->data[i] = sum / (double)(rows_counted * columns_counted);
    }
}

#define POOL(k, s, p, c, i)                                                                                  \
    .attrs = &(const Pool2dAttrs) {                                                                          \
        INTS2(k, k), INTS2(s, s), INTS4(p, p, p, p), {0}, c, i                                               \
    }
static const OpSample samples[] = {
    {POOL(2, 2, 0, false, true), .n = 1, .operands = {TN4(3, 7, 8)}, .batch = 3},
    {POOL(3, 2, 1, false, true), .n = 1, .operands = {TN4(17, 13, 7)}, .batch = 1},
    {POOL(3, 2, 1, true, false), .n = 1, .operands = {TN4(1, 6, 8)}, .batch = 2},
    {POOL(3, 2, 1, true, true), .n = 1, .operands = {TN4(16, 6, 8)}, .batch = 1},
    {POOL(5, 3, 2, true, true), .n = 1, .operands = {TN4(8, 3, 3)}, .batch = 2},
};

const OpDesc op_avg_pool2d = {
    .name = "avg_pool2d",
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
