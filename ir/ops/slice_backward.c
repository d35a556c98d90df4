/* slice_backward: the gradient of a slice's input: dy in its places, zeros elsewhere. */
#include "ir/lower/segments.h"
#include "ir/ops/common.h"
#include "ir/ops/slice.h"

static const AttrRow rows[] = {
    SLICE_ROWS(SliceBackwardAttrs, slice.),
    {"size", ATTR_INT, offsetof(SliceBackwardAttrs, size), 0, 1, 9e15, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const SliceBackwardAttrs *a = c->attrs;
    const SliceAttrs *s = &a->slice;
    if (!op_need_floats(c) || !op_need_dim(c, s->dim))
        return false;
    if (slice_fits(s, a->size) && c->operands[0].dim[s->dim].size == slice_count(s))
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "%s is not elements %lld to %lld of the %lld of dimension %lld", op_operand_text(c, 0),
                      (long long)s->start, (long long)s->end, (long long)a->size, (long long)s->dim);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const SliceBackwardAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    out->dim[a->slice.dim].size = a->size;
    return type_elems(out, 1) >= 0 || op_fail_overflow(c);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SliceBackwardAttrs *a = attrs;
    const SliceAttrs *s = &a->slice;
    const int64_t count = in[0].dim[s->dim];
    int64_t inner = 1;
    (void)n;
    for (int d = (int)s->dim + 1; d < out->rank; d++)
        inner *= out->dim[d];
    for (int64_t i = 0; i < tensor_elems(&in[0]); i++) {
        const int64_t along = s->start + i / inner % count * s->step;
        out->data[(i / inner / count * a->size + along) * inner + i % inner] = in[0].data[i];
    }
}

static bool lower(Lower *lw, const Node *n) {
    const SliceBackwardAttrs *a = n->attrs;
    const SliceAttrs *s = &a->slice;
    const Segment zeros = {.operand = -1, .count = a->size, .to_step = 1, .from_step = 1};
    const Segment slice = {.to = s->start, .count = slice_count(s), .to_step = s->step, .from_step = 1};
    Segment all[3];
    uint32_t count = 0;
    if (s->step > 1) {
        all[count++] = zeros;
        all[count++] = slice;
        return lower_segments(lw, n, (int)s->dim, all, count);
    }
    if (s->start)
        all[count++] = (Segment){-1, 0, 0, s->start, 1, 1};
    all[count++] = slice;
    if (s->end < a->size)
        all[count++] = (Segment){-1, s->end, s->end, a->size - s->end, 1, 1};
    return lower_segments(lw, n, (int)s->dim, all, count);
}

#define BACK(d, from, to, by, size)                                                                          \
    .attrs = &(const SliceBackwardAttrs) {                                                                   \
        {d, from, to, by}, size                                                                              \
    }
static const OpSample samples[] = {
    {BACK(1, 1, 3, 1, 3), .n = 1, .operands = {TN4(2, 7, 5)}, .batch = 3},
    {BACK(1, 5, 31, 1, 37), .n = 1, .operands = {TN4(26, 3, 2)}, .batch = 2},
    {BACK(1, 16, 33, 1, 40), .n = 1, .operands = {TN4(17, 2, 3)}, .batch = 1},
    {BACK(1, 2, 17, 4, 17), .n = 1, .operands = {TN4(4, 3, 2)}, .batch = 1},
    {BACK(2, 1, 7, 2, 7), .n = 1, .operands = {TN4(17, 3, 5)}, .batch = 2},
    {BACK(3, 2, 13, 1, 13), .n = 1, .operands = {TN4(8, 3, 11)}, .batch = 1},
    {BACK(1, 3, 20, 1, 21), .n = 1, .operands = {TN2(17)}, .batch = 3},
    {BACK(0, 1, 3, 1, 4), .n = 1, .operands = {T2(2, 9)}, .batch = 1},
};

const OpDesc op_slice_backward = {
    .name = "slice_backward",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"dy"},
    .attrs = ATTR_TABLE(rows, SliceBackwardAttrs),
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = op_no_flops,
    SAMPLES(samples),
};
