/* slice: of one dimension, the elements from start to end in steps. */
#include "ir/ops/slice.h"
#include "ir/grad.h"
#include "ir/lower/segments.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {SLICE_ROWS(SliceAttrs, )};

static bool verify(const OpCall *c) {
    const SliceAttrs *a = c->attrs;
    if (!op_need_floats(c) || !op_need_dim(c, a->dim))
        return false;
    if (slice_fits(a, c->operands[0].dim[a->dim].size))
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "elements %lld to %lld of dimension %lld are no slice of %s", (long long)a->start,
                      (long long)a->end, (long long)a->dim, op_operand_text(c, 0));
}

static bool infer_shape(const OpCall *c, Type *out) {
    const SliceAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    out->dim[a->dim].size = slice_count(a);
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SliceAttrs *a = attrs;
    const int64_t size = in[0].dim[a->dim], count = out->dim[a->dim];
    int64_t inner = 1;
    (void)n;
    for (int d = (int)a->dim + 1; d < out->rank; d++)
        inner *= out->dim[d];
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        const int64_t along = a->start + i / inner % count * a->step;
        out->data[i] = in[0].data[(i / inner / count * size + along) * inner + i % inner];
    }
}

static bool lower(Lower *lw, const Node *n) {
    const SliceAttrs *a = n->attrs;
    const Segment s = {.from = a->start, .count = slice_count(a), .to_step = 1, .from_step = a->step};
    return lower_segments(lw, n, (int)a->dim, &s, 1);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const SliceAttrs *a = n->attrs;
    const SliceBackwardAttrs back = {*a, gr->g->values.data[n->operands[0]].type.dim[a->dim].size};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_slice_backward, &dy, 1, &back, "grad"));
}

#define SLICE(d, from, to, by)                                                                               \
    .attrs = &(const SliceAttrs) {                                                                           \
        d, from, to, by                                                                                      \
    }
static const OpSample samples[] = {
    {SLICE(1, 1, 3, 1), .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {SLICE(1, 5, 31, 1), .n = 1, .operands = {TN4(37, 3, 2)}, .batch = 2},
    {SLICE(1, 16, 33, 1), .n = 1, .operands = {TN4(40, 2, 3)}, .batch = 1},
    {SLICE(1, 2, 17, 4), .n = 1, .operands = {TN4(17, 3, 2)}, .batch = 1},
    {SLICE(2, 1, 7, 2), .n = 1, .operands = {TN4(17, 7, 5)}, .batch = 2},
    {SLICE(3, 2, 13, 1), .n = 1, .operands = {TN4(8, 3, 13)}, .batch = 1},
    {SLICE(3, 0, 13, 3), .n = 1, .operands = {TN4(3, 2, 13)}, .batch = 2},
    {SLICE(1, 3, 20, 1), .n = 1, .operands = {TN2(21)}, .batch = 3},
    {SLICE(0, 1, 3, 1), .n = 1, .operands = {T2(4, 9)}, .batch = 1},
};

const OpDesc op_slice = {
    .name = "slice",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, SliceAttrs),
    .flags = OP_FOLLOWS | OP_ROOT,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
