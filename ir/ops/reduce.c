/* What sum, mean and amax share: see reduce.h. */
#include "ir/ops/reduce.h"

const AttrRow reduce_rows[1] = {
    {"dim", ATTR_INTS, offsetof(ReduceAttrs, dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, false, 0},
};
const OpSample reduce_samples[6] = {
    {.attrs = &(const ReduceAttrs){{2, {2, 3}}}, .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 3},
    {.attrs = &(const ReduceAttrs){{1, {1}}}, .n = 1, .operands = {TN4(17, 5, 7)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{1, {-1}}}, .n = 1, .operands = {TN3(5, 131)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{2, {3, 1}}}, .n = 1, .operands = {TN4(17, 3, 19)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{1, {1}}}, .n = 1, .operands = {TN3(37, 41)}, .batch = 1},
    {.attrs = &(const ReduceAttrs){{2, {0, 2}}}, .n = 1, .operands = {T3(5, 7, 9)}, .batch = 1},
};

uint32_t reduce_dims(const ReduceAttrs *a, int rank) {
    uint32_t set = 0;
    for (int i = 0; i < a->dim.n; i++)
        set |= 1u << (a->dim.v[i] < 0 ? a->dim.v[i] + rank : a->dim.v[i]);
    return set;
}

int64_t reduce_count(const ReduceAttrs *a, const Type *input) {
    const uint32_t set = reduce_dims(a, input->rank);
    int64_t count = 1;
    for (int d = 0; d < input->rank; d++)
        count *= set >> d & 1 ? input->dim[d].size : 1;
    return count;
}

static bool fail(const OpCall *c, int64_t dim, const char *what) {
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "dim %lld %s %s", (long long)dim, what,
                      op_operand_text(c, 0));
}

bool reduce_verify(const OpCall *c) {
    const ReduceAttrs *a = c->attrs;
    const int64_t rank = c->operands[0].rank;
    uint32_t seen = 0;
    if (!op_need_floats(c))
        return false;
    if (!a->dim.n)
        return diag_error(&c->cx->diag, DIAG_ATTR_RANGE, &c->loc, "%s needs a dim", op_desc(c->op)->name);
    for (int i = 0; i < a->dim.n; i++) {
        const int64_t dim = a->dim.v[i] < 0 ? a->dim.v[i] + rank : a->dim.v[i];
        if (dim < 0 || dim >= rank)
            return fail(c, a->dim.v[i], "is not a dimension of");
        if (c->operands[0].dim[dim].by_n) /* images of a batch never see each other */
            return fail(c, a->dim.v[i], "is the batch of");
        if (seen >> dim & 1)
            return fail(c, a->dim.v[i], "is there twice, of");
        seen |= 1u << dim;
    }
    return true;
}

bool reduce_infer(const OpCall *c, Type *out) {
    const uint32_t set = reduce_dims(c->attrs, c->operands[0].rank);
    *out = type_dense(&c->operands[0]);
    for (int d = 0; d < out->rank; d++)
        if (set >> d & 1)
            out->dim[d].size = 1;
    return true;
}

void reduce_eval(const void *attrs, const Tensor *in, Tensor *out, double first,
                 double (*f)(double, double)) {
    const uint32_t set = reduce_dims(attrs, in->rank);
    const int64_t count = tensor_elems(in), results = tensor_elems(out);
    for (int64_t i = 0; i < results; i++)
        out->data[i] = first;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at = 0, stride = 1;
        for (int d = in->rank - 1; d >= 0; d--) {
            at += set >> d & 1 ? 0 : rest % in->dim[d] * stride;
            stride *= out->dim[d];
            rest /= in->dim[d];
        }
        out->data[at] = f(out->data[at], in->data[i]);
    }
}

bool reduce_sum_grad(Grad *gr, const Node *n, ValueId dy, double scale) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    ExpandAttrs a = {.scale = scale};
    for (int d = type_has_n(x); d < x->rank; d++)
        a.shape.v[a.shape.n++] = x->dim[d].size;
    return grad_add(gr, n, 0, grad_node(gr, n, OP_expand, &dy, 1, &a, "grad"));
}

double reduce_flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return (double)type_elems(&c->operands[0], n);
}
