/* concat: two or more tensors side by side along one dimension. */
#include "ir/grad.h"
#include "ir/lower/segments.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"dim", ATTR_INT, offsetof(ConcatAttrs, dim), 0, 0, MAX_RANK - 1, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const ConcatAttrs *a = c->attrs;
    if (!op_need_floats(c) || !op_need_dim(c, a->dim))
        return false;
    for (uint32_t i = 1; i < c->n; i++) {
        Type t = c->operands[i];
        if (t.rank == c->operands[0].rank)
            t.dim[a->dim] = c->operands[0].dim[a->dim];
        if (!type_same_shape(&t, &c->operands[0]))
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "%s and %s do not fit side by side: all but dimension %lld must be equal",
                              op_operand_text(c, 0), op_operand_text(c, i), (long long)a->dim);
    }
    return true;
}

static bool infer_shape(const OpCall *c, Type *out) {
    const ConcatAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    int64_t *size = &out->dim[a->dim].size;
    for (uint32_t i = 1; i < c->n; i++)
        if (__builtin_add_overflow(*size, c->operands[i].dim[a->dim].size, size))
            return op_fail_overflow(c);
    return type_elems(out, 1) >= 0 || op_fail_overflow(c);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const ConcatAttrs *a = attrs;
    const int64_t size = out->dim[a->dim];
    int64_t inner = 1, to = 0;
    for (int d = (int)a->dim + 1; d < out->rank; d++)
        inner *= out->dim[d];
    for (uint32_t k = 0; k < n; k++) {
        const int64_t run = in[k].dim[a->dim] * inner;
        for (int64_t i = 0; i < tensor_elems(&in[k]); i++)
            out->data[i / run * size * inner + to + i % run] = in[k].data[i];
        to += run;
    }
}

static bool lower(Lower *lw, const Node *n) {
    const ConcatAttrs *a = n->attrs;
    Segment all[MAX_OPERANDS];
    const uint32_t own = n->n_operands - n->n_epilogue;
    int64_t to = 0;
    for (uint32_t i = 0; i < own; i++) {
        const int64_t count = lw->g->values.data[n->operands[i]].type.dim[a->dim].size;
        all[i] = (Segment){(int)i, to, 0, count, 1, 1};
        to += count;
    }
    return lower_segments(lw, n, (int)a->dim, all, own);
}

/* Slices of dy. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    SliceAttrs slice = {.dim = ((const ConcatAttrs *)n->attrs)->dim, .step = 1};
    for (uint32_t i = 0; i < n->n_operands; i++, slice.start = slice.end) {
        slice.end = slice.start + gr->g->values.data[n->operands[i]].type.dim[slice.dim].size;
        if (grad_wanted(gr, n, i) && !grad_add(gr, n, i, grad_node(gr, n, OP_slice, &dy, 1, &slice, "grad")))
            return false;
    }
    return true;
}

#define CONCAT(d)                                                                                            \
    .attrs = &(const ConcatAttrs) {                                                                          \
        d                                                                                                    \
    }
static const OpSample samples[] = {
    {CONCAT(1), .n = 2, .operands = {TN4(3, 7, 5), TN4(1, 7, 5)}, .batch = 3},
    {CONCAT(1), .n = 3, .operands = {TN4(16, 3, 2), TN4(32, 3, 2), TN4(8, 3, 2)}, .batch = 2},
    {CONCAT(1), .n = 4, .operands = {TN4(17, 2, 3), TN4(3, 2, 3), TN4(1, 2, 3), TN4(30, 2, 3)}, .batch = 1},
    {CONCAT(1), .n = 5, .operands = {TN4(1, 1, 1), TN4(2, 1, 1), TN4(3, 1, 1), TN4(1, 1, 1), TN4(4, 1, 1)},
     .batch = 2},
    {CONCAT(2), .n = 2, .operands = {TN4(17, 1, 5), TN4(17, 6, 5)}, .batch = 2},
    {CONCAT(3), .n = 2, .operands = {TN4(8, 3, 1), TN4(8, 3, 13)}, .batch = 1},
    {CONCAT(1), .n = 3, .operands = {TN2(21), TN2(1), TN2(4)}, .batch = 3},
    {CONCAT(2), .n = 2, .operands = {TN3(3, 7), TN3(3, 9)}, .batch = 2},
    {CONCAT(0), .n = 2, .operands = {T2(4, 9), T2(1, 9)}, .batch = 1},
};

const OpDesc op_concat = {
    .name = "concat",
    .min_operands = 2,
    .max_operands = MAX_OPERANDS,
    .operand_names =
        (const char *const[]){"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"},
    .attrs = ATTR_TABLE(rows, ConcatAttrs),
    .flags = OP_FOLLOWS | OP_ROOT,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
