/* adaptive_max_pool2d_backward: each output's gradient goes to the first largest element of its window, in
 * row-major order, as max_pool2d_backward's does. */
#include "ir/ops/pool2d.h"
#include <math.h>

enum { DY, X, Y };

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_rank(c, X, 4, "batch, channels, height, width") &&
           op_need_rank(c, Y, 4, "batch, channels, height, width") && op_need_shape_of(c, DY, Y);
}

/* y is as large as the pool's result of x may be. */
static bool infer_shape(const OpCall *c, Type *out) {
    const Type *y = &c->operands[Y];
    const AdaptivePoolAttrs a = {INTS2(y->dim[2].size, y->dim[3].size)};
    const OpCall pool = {.cx = c->cx, .op = c->op, .attrs = &a, .operands = &c->operands[X], .loc = c->loc};
    Type result;
    if (!adaptive_pool2d_infer(&pool, &result))
        return false;
    *out = type_dense(&c->operands[X]);
    if (type_same_shape(&result, y))
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s is not the result of a pool of %s",
                      op_operand_text(c, Y), op_operand_text(c, X));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t h = out->dim[2], w = out->dim[3], oh = in[DY].dim[2], ow = in[DY].dim[3];
    (void)attrs, (void)n;
    for (int64_t i = 0; i < tensor_elems(&in[DY]); i++) {
        const int64_t plane = i / ow / oh * h * w;
        int64_t y0, y1, x0, x1;
        adaptive_window(i / ow % oh, oh, h, &y0, &y1);
        adaptive_window(i % ow, ow, w, &x0, &x1);
        bool found = false;
        for (int64_t r = y0; r < y1 && !found; r++)
            for (int64_t k = x0; k < x1 && !found; k++) {
                const double v = in[X].data[plane + r * w + k];
                found = v == in[Y].data[i] || isnan(v);
                if (found)
                    out->data[plane + r * w + k] += in[DY].data[i];
            }
    }
}

static const OpSample samples[] = {
    {.n = 3, .operands = {TN4(17, 1, 1), TN4(17, 7, 7), TN4(17, 1, 1)}, .batch = 3},
    {.n = 3, .operands = {TN4(16, 1, 1), TN4(16, 13, 1), TN4(16, 1, 1)}, .batch = 1},
    {.n = 3, .operands = {TN4(3, 3, 5), TN4(3, 7, 13), TN4(3, 3, 5)}, .batch = 2},
    {.n = 3, .operands = {TN4(8, 5, 7), TN4(8, 3, 7), TN4(8, 5, 7)}, .batch = 1},
};

const OpDesc op_adaptive_max_pool2d_backward = {
    .name = "adaptive_max_pool2d_backward",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"dy", "x", "y"},
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_pool_backward,
    SAMPLES(samples),
};
