/* dilate: zeros between the pixels of a picture, [N, C, (H-1)*stride + 1, ...]: what the input's gradient of
 * a strided convolution with groups is made with. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"stride", ATTR_INTS, offsetof(DilateAttrs, stride), 2, 1, OP_MAX_INT, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_rank(c, 0, 4, "batch, channels, height, width");
}

static bool infer_shape(const OpCall *c, Type *out) {
    const DilateAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int i = 0; i < 2; i++) {
        int64_t *size = &out->dim[2 + i].size;
        if (__builtin_mul_overflow(*size - 1, a->stride.v[i], size) || __builtin_add_overflow(*size, 1, size))
            return op_fail_overflow(c);
    }
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const DilateAttrs *a = attrs;
    int64_t h = in[0].dim[2], w = in[0].dim[3];
    (void)n;
    for (int64_t i = 0; i < tensor_elems(&in[0]); i++) {
        int64_t row = i / w % h * a->stride.v[0], column = i % w * a->stride.v[1];
        out->data[(i / w / h * out->dim[2] + row) * out->dim[3] + column] = in[0].data[i];
    }
}

/* The pixels alone: the mean over windows of one pixel. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const DilateAttrs *a = n->attrs;
    const Pool2dAttrs pixels = {.kernel_size = INTS2(1, 1),
                                .stride = a->stride,
                                .padding = INTS4(0, 0, 0, 0),
                                .dilation = INTS2(1, 1),
                                .count_include_pad = true};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_avg_pool2d, &dy, 1, &pixels, "grad_input"));
}

#define DILATE(sh, sw)                                                                                       \
    .attrs = &(const DilateAttrs) {                                                                          \
        INTS2(sh, sw)                                                                                        \
    }
static const OpSample samples[] = {
    {DILATE(2, 2), .n = 1, .operands = {TN4(3, 4, 5)}, .batch = 3},
    {DILATE(3, 1), .n = 1, .operands = {TN4(17, 3, 7)}, .batch = 2},
    {DILATE(2, 4), .n = 1, .operands = {TN4(16, 1, 1)}, .batch = 1},
};

const OpDesc op_dilate = {
    .name = "dilate",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, DilateAttrs),
    .flags = OP_FOLLOWS,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_dilate,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
