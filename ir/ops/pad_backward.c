/* pad_backward: each element of the input gets the sum of the gradients of its copies. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/ops/pad.h"

static const AttrRow rows[] = {PAD_ROWS};

static bool infer_shape(const OpCall *c, Type *out) {
    const PadAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int d = 1; d < out->rank; d++)
        out->dim[d].size -= pad_before(a, out->rank, d) + pad_after(a, out->rank, d);
    return true;
}

static bool verify(const OpCall *c) {
    Type input;
    if (!op_need_floats(c))
        return false;
    infer_shape(c, &input);
    for (int d = 1; d < input.rank; d++)
        if (input.dim[d].size < 1)
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "%s has no elements but padding in dimension %d", op_operand_text(c, 0), d);
    return pad_fits(c, &input);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    for (int64_t i = 0; i < tensor_elems(&in[0]); i++) {
        const int64_t to = pad_element(attrs, &in[0], out, i);
        if (to >= 0)
            out->data[to] += in[0].data[i];
    }
}

#define PAD(mode, l, r, t, b) .attrs = &(const PadAttrs){INTS4(l, r, t, b), mode, 0}
static const OpSample samples[] = {
    {PAD(PAD_CONSTANT, 1, 2, 3, 0), .n = 1, .operands = {TN4(3, 10, 8)}, .batch = 3},
    {PAD(PAD_REFLECT, 2, 3, 6, 1), .n = 1, .operands = {TN4(17, 14, 18)}, .batch = 2},
    {PAD(PAD_REPLICATE, 4, 1, 0, 9), .n = 1, .operands = {TN4(16, 12, 24)}, .batch = 1},
    {PAD(PAD_CIRCULAR, 5, 4, 1, 3), .n = 1, .operands = {TN4(8, 7, 14)}, .batch = 2},
    {.attrs = &(const PadAttrs){{2, {0, 3}}, PAD_REFLECT, 0}, .n = 1, .operands = {TN2(12)}, .batch = 3},
    {.attrs = &(const PadAttrs){{6, {1, 0, 2, 1, 1, 2}}, PAD_REPLICATE, 0},
     .n = 1,
     .operands = {TN4(12, 5, 4)},
     .batch = 2},
};

const OpDesc op_pad_backward = {
    .name = "pad_backward",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"dy"},
    .attrs = ATTR_TABLE(rows, PadAttrs),
    .flags = OP_FOLLOWS | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_pad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
