/* softmax_backward: from the gradient of softmax's result y to that of its input: (dy - sum(dy * y)) * y
 * along one dimension. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"dim", ATTR_INT, offsetof(SoftmaxAttrs, dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const SoftmaxAttrs *a = c->attrs;
    const Type *t = c->operands;
    int64_t dim = a->dim < 0 ? a->dim + t->rank : a->dim;
    for (uint32_t i = 0; i < c->n; i++) {
        Type dense = type_dense(&t[i]);
        if (t[i].dtype != DT_F32 || !type_same_memory(&t[i], &dense) || !type_same_shape(&t[i], &t[0]))
            return diag_error(&c->cx->diag, DIAG_IR_INVALID, &c->loc,
                              "softmax_backward needs dense f32 operands of one shape");
    }
    return (dim >= 0 && dim < t->rank && !t->dim[dim].by_n) ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "dim %lld is not a dimension of %s, or its batch", (long long)a->dim,
                      op_operand_text(c, 0));
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
        const double *dy = in[0].data + i, *y = in[1].data + i;
        double dot = 0;
        for (int64_t k = 0; k < out->dim[dim]; k++)
            dot += dy[k * stride] * y[k * stride];
        for (int64_t k = 0; k < out->dim[dim]; k++)
            out->data[i + k * stride] = (dy[k * stride] - dot) * y[k * stride];
    }
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
    {SOFTMAX(1), .n = 2, .operands = {TN2(17), TN2(17)}, .batch = 19},
    {SOFTMAX(-1), .n = 2, .operands = {TN4(3, 7, 13), TN4(3, 7, 13)}, .batch = 2},
    {SOFTMAX(1), .n = 2, .operands = {TN4(17, 3, 5), TN4(17, 3, 5)}, .batch = 3},
};

const OpDesc op_softmax_backward = {
    .name = "softmax_backward",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad", "result"},
    .attrs = ATTR_TABLE(rows, SoftmaxAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower_softmax_backward,
    .flops = flops,
    SAMPLES(samples),
};
