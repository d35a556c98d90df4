/* adaptive_avg_pool2d_backward: each output's gradient goes in equal parts to its window, which is that of
 * adaptive_avg_pool2d for an input of input_size. */
#include "ir/ops/pool2d.h"

static const AttrRow rows[] = {
    {"input_size", ATTR_INTS, offsetof(AdaptivePoolBackwardAttrs, input_size), 2, 1, 9e15, NULL, false, 0},
};

static bool infer_shape(const OpCall *c, Type *out) {
    const AdaptivePoolBackwardAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int i = 0; i < 2; i++) {
        int64_t product; /* window bounds are computed with it */
        if (__builtin_mul_overflow(c->operands[0].dim[2 + i].size + 1, a->input_size.v[i], &product))
            return op_fail_overflow(c);
        out->dim[2 + i].size = a->input_size.v[i];
    }
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t h = out->dim[2], w = out->dim[3], oh = in[0].dim[2], ow = in[0].dim[3];
    const int64_t count = tensor_elems(&in[0]);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++) {
        double *plane = out->data + i / ow / oh * h * w;
        int64_t y0, y1, x0, x1;
        adaptive_window(i / ow % oh, oh, h, &y0, &y1);
        adaptive_window(i % ow, ow, w, &x0, &x1);
        for (int64_t r = y0; r < y1; r++)
            for (int64_t k = x0; k < x1; k++)
                plane[r * w + k] += in[0].data[i] / (double)((y1 - y0) * (x1 - x0));
    }
}

#define SIZE(h, w)                                                                                           \
    .attrs = &(const AdaptivePoolBackwardAttrs) {                                                            \
        INTS2(h, w)                                                                                          \
    }
static const OpSample samples[] = {
    {SIZE(7, 7), .n = 1, .operands = {TN4(17, 1, 1)}, .batch = 3},
    {SIZE(13, 1), .n = 1, .operands = {TN4(16, 1, 1)}, .batch = 1},
    {SIZE(7, 13), .n = 1, .operands = {TN4(3, 3, 5)}, .batch = 2},
    {SIZE(3, 7), .n = 1, .operands = {TN4(8, 5, 7)}, .batch = 1},
};

const OpDesc op_adaptive_avg_pool2d_backward = {
    .name = "adaptive_avg_pool2d_backward",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"dy"},
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL,
    .attrs = ATTR_TABLE(rows, AdaptivePoolBackwardAttrs),
    .verify = adaptive_pool2d_verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_pool_backward,
    SAMPLES(samples),
};
