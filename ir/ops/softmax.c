/* softmax: exp(x - max) over its sum along one dimension. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include <math.h>

static const AttrRow rows[] = {
    {"dim", ATTR_INT, offsetof(SoftmaxAttrs, dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const SoftmaxAttrs *a = c->attrs;
    int64_t rank = c->operands[0].rank;
    if (!op_need_floats(c))
        return false;
    if (a->dim < -rank || a->dim >= rank)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "dim %lld is not a dimension of %s",
                          (long long)a->dim, op_operand_text(c, 0));
    int64_t dim = a->dim < 0 ? a->dim + rank : a->dim;
    if (c->operands[0].dim[dim].by_n) /* images of a batch never see each other */
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "dim %lld is the batch, over which softmax cannot be taken", (long long)a->dim);
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SoftmaxAttrs *a = attrs;
    int64_t dim = a->dim < 0 ? a->dim + out->rank : a->dim, stride = 1, count = tensor_elems(out);
    (void)n;
    for (int d = (int)dim + 1; d < out->rank; d++)
        stride *= out->dim[d];
    for (int64_t i = 0; i < count; i++) {
        if (i / stride % out->dim[dim])
            continue; /* only where the line begins */
        const double *x = in[0].data + i;
        double *y = out->data + i, max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < out->dim[dim]; k++)
            max = x[k * stride] > max || isnan(x[k * stride]) ? x[k * stride] : max;
        for (int64_t k = 0; k < out->dim[dim]; k++)
            sum += y[k * stride] = exp(x[k * stride] - max);
        for (int64_t k = 0; k < out->dim[dim]; k++)
            y[k * stride] /= sum;
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[2] = {dy, n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_softmax_backward, of_dx, 2, n->attrs, "grad"));
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 4 * (double)type_elems(out, n);
}

#define SOFTMAX(d)                                                                                           \
    .attrs = &(const SoftmaxAttrs) {                                                                         \
        d                                                                                                    \
    }
static const OpSample samples[] = {
    {SOFTMAX(1), .n = 1, .operands = {TN2(17)}, .batch = 3},
    {SOFTMAX(-1), .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 2},
    {SOFTMAX(1), .n = 1, .operands = {TN4(17, 3, 1)}, .batch = 1},
};

const OpDesc op_softmax = {
    .name = "softmax",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, SoftmaxAttrs),
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower_softmax,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
