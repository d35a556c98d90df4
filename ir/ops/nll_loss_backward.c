/* nll_loss_backward: the gradient of nll_loss by its input, times the first of the step's numbers. */
#include "ir/ops/loss.h"

static const AttrRow rows[] = {ROW_REDUCTION(ClassLossAttrs), ROW_IGNORE_INDEX};

static double row(const ClassRow *r) {
    for (int64_t k = 0; k < r->classes; k++)
        r->out[k * r->stride] = -class_share(r, k);
    return 0;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    class_loss_backward_eval(attrs, in, n, out, row);
}

#define LOSS(r, ignore)                                                                                      \
    .attrs = &(const ClassLossAttrs) {                                                                       \
        .reduction = r, .ignore_index = ignore                                                               \
    }
static const OpSample samples[] = {
    {LOSS(REDUCTION_MEAN, -100), .n = 3, .operands = {TN2(10), LABELS_N, HYPER}, .batch = 19},
    {LOSS(REDUCTION_SUM, 2), .n = 4, .operands = {TN2(5), LABELS_N, HYPER, T1(5)}, .batch = 5},
    {LOSS(REDUCTION_MEAN, 1), .n = 4, .operands = {TN4(5, 7, 3), LABELS_N3(7, 3), HYPER, T1(5)}, .batch = 3},
};

const OpDesc op_nll_loss_backward = {
    CLASS_LOSS_BACKWARD("nll_loss_backward"),
    .attrs = ATTR_TABLE(rows, ClassLossAttrs),
    .eval = eval,
    SAMPLES(samples),
};
