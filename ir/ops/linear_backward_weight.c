/* linear_backward_weight: the gradient of linear's weight, dw[o][k] = the sum over rows r of dy[r][o] *
 * x[r][k]. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static bool verify(const OpCall *c) {
    const Type *dy = &c->operands[0], *x = &c->operands[1];
    bool fits =
        dy->rank == x->rank && dy->rank > 0 && !dy->dim[dy->rank - 1].by_n && !x->dim[x->rank - 1].by_n;
    for (int d = 0; fits && d < dy->rank - 1; d++)
        fits = dy->dim[d].size == x->dim[d].size && dy->dim[d].by_n == x->dim[d].by_n;
    return op_need_floats(c) &&
           (fits || diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s has other rows than %s",
                               op_operand_text(c, 0), op_operand_text(c, 1)));
}

static bool infer_shape(const OpCall *c, Type *out) {
    const Type *dy = &c->operands[0], *x = &c->operands[1];
    *out = type_make(dy->dtype, 2, (Dim[]){dy->dim[dy->rank - 1], x->dim[x->rank - 1]});
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t o = out->dim[0], k = out->dim[1], rows = tensor_elems(&in[0]) / o;
    (void)attrs, (void)n;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < o * k; i++)
            out->data[i] += in[0].data[r * o + i / k] * in[1].data[r * k + i % k];
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    return 2 * (double)type_elems(&c->operands[0], n) * (double)out->dim[1].size;
}

static const OpSample samples[] = {
    {.n = 2, .operands = {TN2(3), TN2(17)}, .batch = 3},
    {.n = 2, .operands = {TN2(33), TN2(64)}, .batch = 5},
    {.n = 2, .operands = {T1(1), T1(7)}, .batch = 1},
    {.n = 2, .operands = {TN3(3, 17), TN3(3, 37)}, .batch = 2},
};

const OpDesc op_linear_backward_weight = {
    .name = "linear_backward_weight",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad_output", "input"},
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_linear_backward_weight,
    .flops = flops,
    SAMPLES(samples),
};
