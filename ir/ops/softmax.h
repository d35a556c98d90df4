/* What softmax, log_softmax and their gradients share; the functions are in ir/ops/softmax.c. */
#ifndef IR_OPS_SOFTMAX_H
#define IR_OPS_SOFTMAX_H

#include "ir/lower/lower.h"
#include "ir/ops/common.h"

bool softmax_verify(const OpCall *c);
/* Of the gradients: dense f32 operands of one shape. */
bool softmax_backward_verify(const OpCall *c);
double softmax_flops(const OpCall *c, const Type *out, int64_t n);

/* A line of dense tensors along dimension `dim`; its element k is [k * stride]. */
typedef struct SoftmaxLine {
    int64_t length, stride;
    const double *x, *y; /* of operand 0 and, where there is one, operand 1 */
    double *out;
} SoftmaxLine;
/* All lines of `out`, each by f. */
void softmax_eval(const SoftmaxAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                  void (*f)(const SoftmaxLine *l));
/* The largest x, and the sum of exp(x - max). */
double softmax_max(const SoftmaxLine *l);
double softmax_sum(const SoftmaxLine *l, double max);

/* The fields that softmax and log_softmax have, and those of their gradients. */
#define SOFTMAX(id)                                                                                          \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"input"},     \
    .attrs = ATTR_TABLE(softmax_rows, SoftmaxAttrs), .verify = softmax_verify, .infer_shape = op_same_shape, \
    .lower = lower_softmax, .flops = softmax_flops, SAMPLES(softmax_samples)
#define SOFTMAX_BACKWARD(id)                                                                                 \
    .name = (id), .min_operands = 2, .max_operands = 2,                                                      \
    .operand_names = (const char *const[]){"grad", "result"},                                                \
    .attrs = ATTR_TABLE(softmax_rows, SoftmaxAttrs), .flags = OP_INTERNAL | OP_ANY_DTYPE,                    \
    .verify = softmax_backward_verify, .infer_shape = op_same_shape, .lower = lower_softmax_backward,        \
    .flops = softmax_flops, SAMPLES(softmax_backward_samples)

extern const AttrRow softmax_rows[1];
extern const OpSample softmax_samples[3], softmax_backward_samples[3];

#endif
