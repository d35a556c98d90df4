/* softmax: exp(x - max) over its sum along one dimension. */
#include "ir/ops/softmax.h"
#include "ir/grad.h"
#include <math.h>

static const AttrRow rows[] = {ROW_SOFTMAX_DIM};

bool softmax_verify(const OpCall *c) {
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
                          "dim %lld is the batch, over which %s cannot be taken", (long long)a->dim,
                          op_desc(c->op)->name);
    return true;
}

bool softmax_backward_verify(const OpCall *c) {
    const SoftmaxAttrs *a = c->attrs;
    const Type *t = c->operands;
    int64_t dim = a->dim < 0 ? a->dim + t->rank : a->dim;
    for (uint32_t i = 0; i < c->n; i++) {
        Type dense = type_dense(&t[i]);
        if (t[i].dtype != DT_F32 || !type_same_memory(&t[i], &dense) || !type_same_shape(&t[i], &t[0]))
            return diag_error(&c->cx->diag, DIAG_IR_INVALID, &c->loc,
                              "%s needs dense f32 operands of one shape", op_desc(c->op)->name);
    }
    return (dim >= 0 && dim < t->rank && !t->dim[dim].by_n) ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "dim %lld is not a dimension of %s, or its batch", (long long)a->dim,
                      op_operand_text(c, 0));
}

double softmax_flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 4 * (double)type_elems(out, n);
}

SoftmaxLine softmax_line(const SoftmaxAttrs *a, const Tensor *t) {
    int64_t dim = a->dim < 0 ? a->dim + t->rank : a->dim;
    SoftmaxLine l = {t->dim[dim], 1};
    for (int d = (int)dim + 1; d < t->rank; d++)
        l.stride *= t->dim[d];
    return l;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SoftmaxLine l = softmax_line(attrs, out);
    int64_t count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        if (!softmax_begins(&l, i))
            continue;
        const double *x = in[0].data + i;
        double *y = out->data + i, max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < l.length; k++)
            max = x[k * l.stride] > max || isnan(x[k * l.stride]) ? x[k * l.stride] : max;
        for (int64_t k = 0; k < l.length; k++)
            sum += y[k * l.stride] = exp(x[k * l.stride] - max);
        for (int64_t k = 0; k < l.length; k++)
            y[k * l.stride] /= sum;
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[2] = {dy, n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_softmax_backward, of_dx, 2, n->attrs, "grad"));
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
    .verify = softmax_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower_softmax,
    .grad = grad,
    .flops = softmax_flops,
    SAMPLES(samples),
};
