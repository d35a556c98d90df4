/* cross_entropy: PyTorch's CrossEntropyLoss: -log_softmax of the input, weighted by the target. */
#include "ir/ops/loss.h"

static const AttrRow rows[] = {ROW_REDUCTION(ClassLossAttrs), ROW_IGNORE_INDEX, ROW_LABEL_SMOOTHING,
                               ROW_PROBABILITIES};

static double row(const ClassRow *r) {
    double lse = class_row_lse(r), sum = 0;
    for (int64_t k = 0; k < r->classes; k++)
        sum += class_share(r, k) == 0 ? 0 : class_share(r, k) * (lse - r->x[k * r->stride]);
    return sum;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    class_loss_eval(attrs, in, n, out, row);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 4 * (double)type_elems(&c->operands[0], n);
}

#define LOSS(r, ignore, smoothing, p)                                                                        \
    .attrs = &(const ClassLossAttrs) {                                                                       \
        r, ignore, smoothing, p                                                                              \
    }
static const OpSample samples[] = {
    {LOSS(REDUCTION_MEAN, -100, 0, false), .n = 2, .operands = {TN2(10), LABELS_N}, .batch = 19},
    {LOSS(REDUCTION_MEAN, 2, 0.1, false), .n = 3, .operands = {TN2(5), LABELS_N, T1(5)}, .batch = 33},
    {LOSS(REDUCTION_SUM, 0, 0.25, false), .n = 2, .operands = {TN2(3), LABELS_N}, .batch = 3},
    {LOSS(REDUCTION_MEAN, -100, 0.2, true), .n = 3, .operands = {TN2(7), TN2(7), T1(7)}, .batch = 5},
    {LOSS(REDUCTION_SUM, -100, 0, true), .n = 2, .operands = {TN4(3, 5, 1), TN4(3, 5, 1)}, .batch = 2},
    {LOSS(REDUCTION_MEAN, 1, 0, false), .n = 3, .operands = {TN4(5, 7, 3), LABELS_N3(7, 3), T1(5)},
     .batch = 3},
};

const OpDesc op_cross_entropy = {
    CLASS_LOSS("cross_entropy"),
    .attrs = ATTR_TABLE(rows, ClassLossAttrs),
    .eval = eval,
    .flops = flops,
    SAMPLES(samples),
};
