/* permute: the dimensions in another order; the batch stays in front. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"dims", ATTR_INTS, offsetof(PermuteAttrs, dims), 0, 0, MAX_RANK - 1, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const PermuteAttrs *a = c->attrs;
    const Type *in = &c->operands[0];
    uint32_t seen = 0;
    if (!op_need_floats(c))
        return false;
    for (uint32_t i = 0; i < a->dims.n; i++)
        seen |= 1u << a->dims.v[i];
    if (a->dims.n != in->rank || seen != (1u << in->rank) - 1)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "dims must name each dimension of %s once", op_operand_text(c, 0));
    if (type_has_n(in) && a->dims.v[0] != 0)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "dims begins with %lld, but dimension 0 of %s is the batch and stays in front",
                          (long long)a->dims.v[0], op_operand_text(c, 0));
    return true;
}

static bool infer_shape(const OpCall *c, Type *out) {
    const PermuteAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int i = 0; i < out->rank; i++)
        out->dim[i] = c->operands[0].dim[a->dims.v[i]];
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const PermuteAttrs *a = attrs;
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        int64_t coord[MAX_RANK] = {0}, rest = i, from = 0;
        for (int d = out->rank - 1; d >= 0; d--) {
            coord[a->dims.v[d]] = rest % out->dim[d];
            rest /= out->dim[d];
        }
        for (int d = 0; d < out->rank; d++)
            from = from * in[0].dim[d] + coord[d];
        out->data[i] = in[0].data[from];
    }
}

/* The inverse order. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const PermuteAttrs *a = n->attrs;
    PermuteAttrs back = *a;
    for (int i = 0; i < a->dims.n; i++)
        back.dims.v[a->dims.v[i]] = i;
    return grad_add(gr, n, 0, grad_node(gr, n, OP_permute, &dy, 1, &back, "grad"));
}

#define DIMS(...)                                                                                            \
    .attrs = &(const PermuteAttrs) {                                                                         \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
static const OpSample samples[] = {
    {DIMS(4, {0, 2, 3, 1}), .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {DIMS(4, {0, 3, 1, 2}), .n = 1, .operands = {TN4(5, 7, 33)}, .batch = 2},
    {DIMS(4, {0, 3, 2, 1}), .n = 1, .operands = {TN4(18, 3, 17)}, .batch = 2},
    {DIMS(4, {0, 2, 1, 3}), .n = 1, .operands = {TN4(4, 3, 19)}, .batch = 2},
    {DIMS(4, {0, 1, 3, 2}), .n = 1, .operands = {TN4(2, 16, 32)}, .batch = 1},
    {DIMS(4, {0, 2, 1, 3}), .n = 1, .operands = {TN4(1, 6, 5)}, .batch = 2},
    {DIMS(3, {0, 2, 1}), .n = 1, .operands = {TN3(13, 40)}, .batch = 2},
    {DIMS(2, {1, 0}), .n = 1, .operands = {T2(9, 20)}, .batch = 1},
};

const OpDesc op_permute = {
    .name = "permute",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, PermuteAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_permute,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
