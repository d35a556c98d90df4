/* cross_entropy_backward: the gradient of cross_entropy by its input, times the first of the step's numbers:
 * softmax(x) times all shares of the targets, minus the share of each class. */
#include "ir/ops/loss.h"
#include <math.h>

static const AttrRow rows[] = {ROW_REDUCTION(ClassLossAttrs), ROW_IGNORE_INDEX, ROW_LABEL_SMOOTHING,
                               ROW_PROBABILITIES};

static double row(const ClassRow *r) {
    double lse = class_row_lse(r), sum = 0;
    for (int64_t k = 0; k < r->classes; k++)
        sum += class_share(r, k);
    for (int64_t k = 0; k < r->classes; k++)
        r->out[k * r->stride] = exp(r->x[k * r->stride] - lse) * sum - class_share(r, k);
    return 0;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    class_loss_backward_eval(attrs, in, n, out, row);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 5 * (double)type_elems(&c->operands[0], n);
}

#define LOSS(r, ignore, smoothing, p)                                                                        \
    .attrs = &(const ClassLossAttrs) {                                                                       \
        r, ignore, smoothing, p                                                                              \
    }
static const OpSample samples[] = {
    {LOSS(REDUCTION_MEAN, -100, 0, false), .n = 3, .operands = {TN2(10), LABELS_N, HYPER}, .batch = 19},
    {LOSS(REDUCTION_MEAN, 2, 0.1, false), .n = 4, .operands = {TN2(5), LABELS_N, HYPER, T1(5)}, .batch = 33},
    {LOSS(REDUCTION_SUM, 0, 0.25, false), .n = 3, .operands = {TN2(3), LABELS_N, HYPER}, .batch = 3},
    {LOSS(REDUCTION_MEAN, -100, 0.2, true), .n = 4, .operands = {TN2(7), TN2(7), HYPER, T1(7)}, .batch = 5},
    {LOSS(REDUCTION_SUM, -100, 0, true), .n = 3, .operands = {TN4(3, 5, 1), TN4(3, 5, 1), HYPER}, .batch = 2},
    {LOSS(REDUCTION_MEAN, 1, 0, false), .n = 4, .operands = {TN4(5, 7, 3), LABELS_N3(7, 3), HYPER, T1(5)},
     .batch = 3},
};

const OpDesc op_cross_entropy_backward = {
    CLASS_LOSS_BACKWARD("cross_entropy_backward"),
    .attrs = ATTR_TABLE(rows, ClassLossAttrs),
    .eval = eval,
    .flops = flops,
    SAMPLES(samples),
};
