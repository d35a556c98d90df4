/* linear_backward_input: the gradient of linear's input, dx[r][k] = the sum over o of dy[r][o] * w[o][k]. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static bool verify(const OpCall *c) {
    const Type *dy = &c->operands[0], *w = &c->operands[1];
    if (!op_need_floats(c) || !op_need_rank(c, 1, 2, "out_features, in_features") || !op_need_fixed(c, 1))
        return false;
    return (dy->rank && !dy->dim[dy->rank - 1].by_n && dy->dim[dy->rank - 1].size == w->dim[0].size) ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "out_features is %lld, which is not the last dimension of %s",
                      (long long)w->dim[0].size, op_operand_text(c, 0));
}

static bool infer_shape(const OpCall *c, Type *out) {
    *out = type_dense(&c->operands[0]);
    out->dim[out->rank - 1] = c->operands[1].dim[1];
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t o = in[1].dim[0], k = in[1].dim[1], rows = tensor_elems(out) / k;
    (void)attrs, (void)n;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < o * k; i++)
            out->data[r * k + i % k] += in[0].data[r * o + i / k] * in[1].data[i];
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    return 2 * (double)type_elems(out, n) * (double)c->operands[1].dim[0].size;
}

static const OpSample samples[] = {
    {.n = 2, .operands = {TN2(3), T2(3, 17)}, .batch = 3},
    {.n = 2, .operands = {TN2(33), T2(33, 64)}, .batch = 13},
    {.n = 2, .operands = {T1(7), T2(7, 1)}, .batch = 1},
    {.n = 2, .operands = {TN3(3, 5), T2(5, 37)}, .batch = 2},
};

const OpDesc op_linear_backward_input = {
    .name = "linear_backward_input",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad_output", "weight"},
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_linear_backward_input,
    .flops = flops,
    SAMPLES(samples),
};
