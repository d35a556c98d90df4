/* adaptive_max_pool2d: the largest element of each of output_size windows, which are those of
 * adaptive_avg_pool2d. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include <math.h>

static const AttrRow rows[] = {
    {"output_size", ATTR_INTS, offsetof(AdaptivePoolAttrs, output_size), 2, 1, OP_MAX_INT, NULL, false, 0},
};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t h = in[0].dim[2], w = in[0].dim[3], oh = out->dim[2], ow = out->dim[3];
    int64_t count = tensor_elems(out);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++) {
        const double *plane = in[0].data + i / ow / oh * h * w;
        int64_t y = i / ow % oh, x = i % ow;
        int64_t y0 = y * h / oh, y1 = ((y + 1) * h + oh - 1) / oh;
        int64_t x0 = x * w / ow, x1 = ((x + 1) * w + ow - 1) / ow;
        double best = -INFINITY;
        for (int64_t r = y0; r < y1; r++)
            for (int64_t k = x0; k < x1; k++)
                best = plane[r * w + k] > best || isnan(plane[r * w + k]) ? plane[r * w + k] : best;
        out->data[i] = best;
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId operands[3] = {dy, n->operands[0], n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_adaptive_max_pool2d_backward, operands, 3, NULL, "grad"));
}

#define POOL(h, w)                                                                                           \
    .attrs = &(const AdaptivePoolAttrs) {                                                                    \
        INTS2(h, w)                                                                                          \
    }
static const OpSample samples[] = {
    {POOL(1, 1), .n = 1, .operands = {TN4(17, 7, 7)}, .batch = 3},
    {POOL(1, 1), .n = 1, .operands = {TN4(16, 13, 1)}, .batch = 1},
    {POOL(3, 5), .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 2},
    {POOL(5, 7), .n = 1, .operands = {TN4(8, 3, 7)}, .batch = 1},
};

const OpDesc op_adaptive_max_pool2d = {
    .name = "adaptive_max_pool2d",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .flags = OP_POOL,
    .attrs = ATTR_TABLE(rows, AdaptivePoolAttrs),
    .verify = adaptive_pool2d_verify,
    .infer_shape = adaptive_pool2d_infer,
    .eval = eval,
    .lower = lower_pool,
    .grad = grad,
    .flops = adaptive_pool2d_flops,
    SAMPLES(samples),
};
