/* reshape: the same elements in the same order under other dimensions; the batch stays in front. */
#include "ir/grad.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"shape", ATTR_INTS, offsetof(ReshapeAttrs, shape), 0, 1, 9e15, NULL, false, 0},
};

static bool infer_shape(const OpCall *c, Type *out) {
    const ReshapeAttrs *a = c->attrs;
    Type in = type_dense(&c->operands[0]);
    uint8_t rank = 0;
    *out = (Type){.dtype = in.dtype};
    if (in.rank && in.dim[0].by_n)
        out->dim[rank++] = in.dim[0];
    if (rank + a->shape.n > MAX_RANK)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "the new shape has more than %d dimensions", (int)MAX_RANK);
    for (int i = 0; i < a->shape.n; i++)
        out->dim[rank++] = (Dim){a->shape.v[i], false};
    out->rank = rank;
    if (type_elems(out, 1) < 0)
        return op_fail_overflow(c);
    if (type_elems(out, 1) != type_elems(&in, 1)) {
        StrBuf sb = sb_new(&c->cx->arena);
        type_print(&sb, out);
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "%s has %lld elements, the new shape %s has %lld", op_operand_text(c, 0),
                          (long long)type_elems(&in, 1), sb_str(&sb), (long long)type_elems(out, 1));
    }
    return true;
}

static const OpSample samples[] = {
    {.attrs = &(const ReshapeAttrs){{2, {15, 7}}}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const ReshapeAttrs){{3, {5, 1, 6}}}, .n = 1, .operands = {T2(3, 10)}, .batch = 1},
};

const OpDesc op_reshape = {
    .name = "reshape",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, ReshapeAttrs),
    .flags = OP_VIEW,
    .verify = op_need_dense,
    .infer_shape = infer_shape,
    .eval = eval_same,
    .flops = op_no_flops,
    .grad = grad_view,
    SAMPLES(samples),
};
