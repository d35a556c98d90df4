/* avg_pool2d_backward: each output's gradient, divided as the mean was, goes to all elements of its window.
 */
#include "ir/ops/pool2d.h"

#define AT(member) offsetof(PoolBackwardAttrs, pool.member)
static const AttrRow attr_rows[] = {
    AVG_POOL2D_ROWS(AT),
    {"input_size", ATTR_INTS, offsetof(PoolBackwardAttrs, input_size), 2, 1, 9e15, NULL, false, 0},
};

static bool infer_shape(const OpCall *c, Type *out) {
    const PoolBackwardAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int i = 0; i < 2; i++)
        out->dim[2 + i].size = a->input_size.v[i];
    return true;
}

static bool verify(const OpCall *c) {
    const PoolBackwardAttrs *a = c->attrs;
    Type input;
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, channels, height, width"))
        return false;
    infer_shape(c, &input);
    return pool2d_need_result(c, 0, OP_avg_pool2d, &a->pool, &input);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const Pool2dAttrs *a = &((const PoolBackwardAttrs *)attrs)->pool;
    const int64_t h = out->dim[2], w = out->dim[3], oh = in[0].dim[2], ow = in[0].dim[3];
    const int64_t count = tensor_elems(&in[0]);
    const Window rows = pool2d_window(a, h, 0), columns = pool2d_window(a, w, 1);
    int64_t y0, y1, x0, x1;
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        double *plane = out->data + i / ow / oh * h * w;
        const int64_t y = i / ow % oh, x = i % ow;
        const double part = in[0].data[i] / (double)avg_pool2d_divisor(a, h, w, y, x);
        window_taps(&rows, y, &y0, &y1);
        window_taps(&columns, x, &x0, &x1);
        for (int64_t kh = y0; kh < y1; kh++)
            for (int64_t kw = x0; kw < x1; kw++)
                plane[window_input(&rows, y, kh) * w + window_input(&columns, x, kw)] += part;
    }
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    const PoolBackwardAttrs *a = c->attrs;
    (void)out;
    return (double)type_elems(&c->operands[0], n) * (double)a->pool.kernel_size.v[0] *
           (double)a->pool.kernel_size.v[1];
}

#define POOL(k, s, p, c, i, d, h, w)                                                                         \
    .attrs = &(const PoolBackwardAttrs) {                                                                    \
        {INTS2(k, k), INTS2(s, s), INTS4(p, p, p, p), {0}, c, i, d}, INTS2(h, w)                             \
    }
static const OpSample samples[] = {
    {POOL(2, 2, 0, false, true, 0, 7, 8), .n = 1, .operands = {TN4(3, 3, 4)}, .batch = 3},
    {POOL(2, 2, 0, false, true, 0, 6, 8), .n = 1, .operands = {TN4(17, 3, 4)}, .batch = 2},
    {POOL(3, 2, 1, false, true, 0, 13, 7), .n = 1, .operands = {TN4(17, 7, 4)}, .batch = 1},
    {POOL(3, 2, 1, true, false, 0, 6, 8), .n = 1, .operands = {TN4(1, 4, 5)}, .batch = 2},
    {POOL(3, 2, 1, true, true, 0, 6, 8), .n = 1, .operands = {TN4(16, 4, 5)}, .batch = 1},
    {POOL(3, 2, 1, false, true, 5, 7, 8), .n = 1, .operands = {TN4(9, 4, 4)}, .batch = 2},
    {POOL(5, 3, 2, true, true, 0, 3, 3), .n = 1, .operands = {TN4(8, 2, 2)}, .batch = 2},
};

const OpDesc op_avg_pool2d_backward = {
    .name = "avg_pool2d_backward",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"dy"},
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL,
    .attrs = ATTR_TABLE(attr_rows, PoolBackwardAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_pool_backward,
    .flops = flops,
    SAMPLES(samples),
};
