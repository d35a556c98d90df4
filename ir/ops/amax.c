/* amax: the maximum over some dimensions, which stay with one element; NaN where there is one. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/reduce.h"
#include <math.h>

static const AttrRow rows[] = {REDUCE_DIM};

static double larger(double a, double b) {
    return a > b || isnan(a) ? a : b;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    reduce_eval(attrs, in, out, -INFINITY, larger);
}

/* All elements that are the maximum share its gradient, as PyTorch's amax has it. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_mask[2] = {n->operands[0], n->result};
    const ValueId mask = grad_node(gr, n, OP_equal, of_mask, 2, NULL, "is_largest");
    const ValueId count = grad_node(gr, n, OP_sum, &mask, 1, n->attrs, "largest");
    const ValueId of_dx[4] = {dy, n->operands[0], n->result, count};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_amax_backward, of_dx, 4, NULL, "grad"));
}

static const OpSample samples[] = {
    {.attrs = &(const ReduceAttrs){{2, {2, 3}}}, .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 3},
    {.attrs = &(const ReduceAttrs){{1, {1}}}, .n = 1, .operands = {TN4(17, 5, 7)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{1, {-1}}}, .n = 1, .operands = {TN3(5, 131)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{2, {3, 1}}}, .n = 1, .operands = {TN4(17, 3, 19)}, .batch = 2},
    {.attrs = &(const ReduceAttrs){{1, {1}}}, .n = 1, .operands = {TN3(37, 41)}, .batch = 1},
    {.attrs = &(const ReduceAttrs){{2, {0, 2}}}, .n = 1, .operands = {T3(5, 7, 9)}, .batch = 1},
};

const OpDesc op_amax = {
    .name = "amax",
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
