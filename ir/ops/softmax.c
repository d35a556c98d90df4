/* softmax: exp(x - max) over its sum along one dimension. */
#include "ir/ops/softmax.h"
#include "ir/grad.h"
#include <math.h>

const AttrRow softmax_rows[1] = {
    {"dim", ATTR_INT, offsetof(SoftmaxAttrs, dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, false, 0},
};

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

void softmax_eval(const SoftmaxAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                  void (*f)(const SoftmaxLine *l)) {
    const int64_t dim = a->dim < 0 ? a->dim + out->rank : a->dim, count = tensor_elems(out);
    SoftmaxLine l = {.length = out->dim[dim], .stride = 1};
    for (int d = (int)dim + 1; d < out->rank; d++)
        l.stride *= out->dim[d];
    for (int64_t i = 0; i < count; i++) {
        if (i / l.stride % l.length != 0)
            continue; /* no line begins here */
        l.x = in[0].data + i;
        l.y = n > 1 ? in[1].data + i : NULL;
        l.out = out->data + i;
        f(&l);
    }
}

double softmax_max(const SoftmaxLine *l) {
    double max = -INFINITY;
    for (int64_t k = 0; k < l->length; k++) {
        const double x = l->x[k * l->stride];
        max = x > max || isnan(x) ? x : max;
    }
    return max;
}

double softmax_sum(const SoftmaxLine *l, double max) {
    double sum = 0;
    for (int64_t k = 0; k < l->length; k++)
        sum += exp(l->x[k * l->stride] - max);
    return sum;
}

static void line(const SoftmaxLine *l) {
    const double max = softmax_max(l), sum = softmax_sum(l, max);
    for (int64_t k = 0; k < l->length; k++)
        l->out[k * l->stride] = exp(l->x[k * l->stride] - max) / sum;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    softmax_eval(attrs, in, n, out, line);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[2] = {dy, n->result};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_softmax_backward, of_dx, 2, n->attrs, "grad"));
}

#define DIM(d)                                                                                               \
    .attrs = &(const SoftmaxAttrs) {                                                                         \
        d                                                                                                    \
    }
const OpSample softmax_samples[3] = {
    {DIM(1), .n = 1, .operands = {TN2(17)}, .batch = 3},
    {DIM(-1), .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 2},
    {DIM(1), .n = 1, .operands = {TN4(17, 3, 1)}, .batch = 1},
};
const OpSample softmax_backward_samples[3] = {
    {DIM(1), .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 19},
    {DIM(-1), .n = 2, .operands = {TN4(3, 7, 13), TN4(3, 7, 13)}, .batch = 2},
    {DIM(1), .n = 2, .operands = {TN4(17, 3, 5), TN4(17, 3, 5)}, .batch = 3},
};

const OpDesc op_softmax = {SOFTMAX("softmax"), .eval = eval, .grad = grad};
