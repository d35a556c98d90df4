/* nll_loss: PyTorch's NLLLoss: minus the input (log-probabilities) at the target's class, weighted. */
#include "ir/ops/loss.h"

static const AttrRow rows[] = {ROW_REDUCTION(ClassLossAttrs), ROW_IGNORE_INDEX};

static double row(const ClassRow *r) {
    double sum = 0;
    for (int64_t k = 0; k < r->classes; k++)
        sum -= class_share(r, k) == 0 ? 0 : class_share(r, k) * r->x[k * r->stride];
    return sum;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    class_loss_eval(attrs, in, n, out, row);
}

#define LOSS(r, ignore)                                                                                      \
    .attrs = &(const ClassLossAttrs) {                                                                       \
        .reduction = r, .ignore_index = ignore                                                               \
    }
static const OpSample samples[] = {
    {LOSS(REDUCTION_MEAN, -100), .n = 2, .operands = {TN2(10), LABELS_N}, .batch = 19},
    {LOSS(REDUCTION_SUM, 2), .n = 3, .operands = {TN2(5), LABELS_N, T1(5)}, .batch = 5},
    {LOSS(REDUCTION_MEAN, 1), .n = 3, .operands = {TN4(5, 7, 3), LABELS_N3(7, 3), T1(5)}, .batch = 3},
};

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 2 * (double)type_elems(&c->operands[1], n);
}

const OpDesc op_nll_loss = {
    CLASS_LOSS("nll_loss"), .attrs = ATTR_TABLE(rows, ClassLossAttrs), .eval = eval, .flops = flops,
    SAMPLES(samples),
};
