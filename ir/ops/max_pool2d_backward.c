/* max_pool2d_backward: each output's gradient goes to the first largest element of its window, in row-major
 * order, which is found again by comparing the input with the result. NaN counts as the largest. */
#include "ir/ops/pool2d.h"
#include <math.h>

enum { DY, X, Y };

#define AT(member) offsetof(Pool2dAttrs, member)
static const AttrRow attr_rows[] = {MAX_POOL2D_ROWS(AT)};

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_shape_of(c, DY, Y) &&
           pool2d_need_result(c, Y, OP_max_pool2d, c->attrs, &c->operands[X]);
}

static bool infer_shape(const OpCall *c, Type *out) {
    *out = type_dense(&c->operands[X]);
    return true;
}

/* Where in the plane output (oh, ow) got its value y, or -1. */
static int64_t find(const Window *rows, const Window *columns, const double *plane, double y, int64_t oh,
                    int64_t ow) {
    int64_t y0, y1, x0, x1;
    window_taps(rows, oh, &y0, &y1);
    window_taps(columns, ow, &x0, &x1);
    for (int64_t kh = y0; kh < y1; kh++)
        for (int64_t kw = x0; kw < x1; kw++) {
            const int64_t at = window_input(rows, oh, kh) * columns->in + window_input(columns, ow, kw);
            if (plane[at] == y || isnan(plane[at]))
                return at;
        }
    return -1;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t oh = in[DY].dim[2], ow = in[DY].dim[3], count = tensor_elems(&in[DY]);
    const Window rows = pool2d_window(attrs, out->dim[2], 0), columns = pool2d_window(attrs, out->dim[3], 1);
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        const int64_t plane = i / ow / oh * rows.in * columns.in;
        const int64_t at = find(&rows, &columns, in[X].data + plane, in[Y].data[i], i / ow % oh, i % ow);
        if (at >= 0)
            out->data[plane + at] += in[DY].data[i];
    }
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return pool2d_flops(c, &c->operands[DY], n);
}

#define POOL(k, s, p, d, c)                                                                                  \
    .attrs = &(const Pool2dAttrs){INTS2(k, k), INTS2(s, s), INTS4(p, p, p, p), INTS2(d, d), c, false, 0}
static const OpSample samples[] = {
    {POOL(2, 2, 0, 1, false), .n = 3, .operands = {TN4(3, 3, 4), TN4(3, 7, 8), TN4(3, 3, 4)}, .batch = 3},
    {POOL(2, 2, 0, 1, false), .n = 3, .operands = {TN4(17, 3, 4), TN4(17, 6, 8), TN4(17, 3, 4)}, .batch = 2},
    {POOL(3, 2, 1, 1, false), .n = 3, .operands = {TN4(17, 7, 4), TN4(17, 13, 7), TN4(17, 7, 4)}, .batch = 1},
    {POOL(3, 2, 1, 1, true), .n = 3, .operands = {TN4(1, 4, 5), TN4(1, 6, 8), TN4(1, 4, 5)}, .batch = 2},
    {POOL(2, 1, 1, 3, false), .n = 3, .operands = {TN4(16, 6, 12), TN4(16, 7, 13), TN4(16, 6, 12)},
     .batch = 1},
    {POOL(5, 3, 2, 1, true), .n = 3, .operands = {TN4(8, 2, 2), TN4(8, 3, 3), TN4(8, 2, 2)}, .batch = 2},
};

const OpDesc op_max_pool2d_backward = {
    .name = "max_pool2d_backward",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"dy", "x", "y"},
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL,
    .attrs = ATTR_TABLE(attr_rows, Pool2dAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_pool_backward,
    .flops = flops,
    SAMPLES(samples),
};
