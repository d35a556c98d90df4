/* flatten: dimensions start_dim to end_dim become one. */
#include "ir/grad.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"start_dim", ATTR_INT, offsetof(FlattenAttrs, start_dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, true, 1},
    {"end_dim", ATTR_INT, offsetof(FlattenAttrs, end_dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, true, -1},
};

static int64_t wrap(int64_t dim, int64_t rank) {
    return dim < 0 ? dim + rank : dim;
}

static bool infer_shape(const OpCall *c, Type *out) {
    const FlattenAttrs *a = c->attrs;
    Type in = type_dense(&c->operands[0]);
    int64_t start = wrap(a->start_dim, in.rank), end = wrap(a->end_dim, in.rank);
    if (start < 0 || end < start || end >= in.rank)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "start_dim %lld and end_dim %lld do not fit its %s", (long long)a->start_dim,
                          (long long)a->end_dim, op_operand_text(c, 0));
    *out = in;
    for (int64_t d = start + 1; d <= end; d++)
        if (__builtin_mul_overflow(out->dim[start].size, in.dim[d].size, &out->dim[start].size))
            return op_fail_overflow(c);
    out->rank = (uint8_t)(in.rank - (end - start));
    for (int64_t d = start + 1; d < MAX_RANK; d++)
        out->dim[d] = d < out->rank ? in.dim[d + end - start] : (Dim){0, false};
    return true;
}

#define FLATTEN(s, e)                                                                                        \
    .attrs = &(const FlattenAttrs) {                                                                         \
        s, e                                                                                                 \
    }
static const OpSample samples[] = {
    {FLATTEN(1, -1), .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {FLATTEN(2, 3), .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 2},
    {FLATTEN(0, 1), .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 2},
};

const OpDesc op_flatten = {
    .name = "flatten",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, FlattenAttrs),
    .flags = OP_VIEW,
    .verify = op_need_dense,
    .infer_shape = infer_shape,
    .eval = eval_same,
    .flops = op_no_flops,
    .grad = grad_view,
    SAMPLES(samples),
};
