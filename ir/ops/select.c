/* select: one slice of the first dimension, which is none of the batch: a row of [2,C] as [C]. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"index", ATTR_INT, offsetof(SelectAttrs, index), 0, 0, 9e15, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const SelectAttrs *a = c->attrs;
    const Type *t = &c->operands[0];
    if (!op_need_fixed(c, 0))
        return false;
    if (t->rank > 0 && a->index < t->dim[0].size)
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s has no slice %lld",
                      op_operand_text(c, 0), (long long)a->index);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const Type *t = &c->operands[0];
    *out = type_make(t->dtype, (uint8_t)(t->rank - 1), t->dim + 1);
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SelectAttrs *a = attrs;
    const int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++)
        out->data[i] = in[0].data[a->index * count + i];
}

/* A walk over the result, whose elements lie side by side in a dense operand. */
static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "select");
    LBuild *b = &lk.b;
    const SelectAttrs *a = n->attrs;
    const int64_t count = type_elems(lk.out, 1);
    const LType one = {lk.out->dtype, 1};
    const Idx i = lb_for_vector(b, "i", lb_c(b, 0), lb_c(b, count), (uint8_t)lk.lanes);
    lb_store(b, lk.out_buf, i, lb_load(b, one, lk.in_buf[0], lb_addc(b, i, a->index * count)));
    lb_end(b);
    return lower_end(&lk);
}

static const OpSample samples[] = {
    {.attrs = &(const SelectAttrs){1}, .n = 1, .operands = {T2(2, 17)}, .batch = 1},
    {.attrs = &(const SelectAttrs){0}, .n = 1, .operands = {T3(3, 5, 7)}, .batch = 2},
};

const OpDesc op_select = {
    .name = "select",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, SelectAttrs),
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = op_no_flops,
    SAMPLES(samples),
};
