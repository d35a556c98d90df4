/* sum: over some dimensions, which stay with one element. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/reduce.h"

static const AttrRow rows[] = {REDUCE_DIM};

static double plus(double a, double b) {
    return a + b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    reduce_eval(attrs, in, out, 0, plus);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    ExpandAttrs a = {.scale = 1};
    for (int d = type_has_n(x); d < x->rank; d++)
        a.shape.v[a.shape.n++] = x->dim[d].size;
    return grad_add(gr, n, 0, grad_node(gr, n, OP_expand, &dy, 1, &a, "grad"));
}

static const OpSample samples[] = {
    {.attrs = &(const ReduceAttrs){{2, {2, 3}}}, .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 3},
    {.attrs = &(const ReduceAttrs){{1, {1}}}, .n = 1, .operands = {TN4(17, 5, 7)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{1, {-1}}}, .n = 1, .operands = {TN3(5, 131)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{2, {3, 1}}}, .n = 1, .operands = {TN4(17, 3, 19)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{1, {1}}}, .n = 1, .operands = {TN3(37, 41)}, .batch = 1},
    {.attrs = &(const ReduceAttrs){{2, {0, 2}}}, .n = 1, .operands = {T3(5, 7, 9)}, .batch = 1},
};

const OpDesc op_sum = {
    .name = "sum",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, ReduceAttrs),
    .verify = reduce_verify,
    .infer_shape = reduce_infer,
    .eval = eval,
    .lower = lower_reduce,
    .grad = grad,
    .flops = reduce_flops,
    SAMPLES(samples),
};
