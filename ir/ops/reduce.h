/* What sum, mean and amax share. Their results keep the dimensions that they reduce, with one element. */
#ifndef IR_OPS_REDUCE_H
#define IR_OPS_REDUCE_H

#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

/* Bit d: dimension d of `rank` is reduced. */
uint32_t reduce_dims(const ReduceAttrs *a, int rank);
/* Elements of the input that make one of the result. */
int64_t reduce_count(const ReduceAttrs *a, const Type *input);
bool reduce_verify(const OpCall *c);
bool reduce_infer(const OpCall *c, Type *out);
/* out[k] = f(out[k], x) for each x, from `first` on. */
void reduce_eval(const void *attrs, const Tensor *in, Tensor *out, double first, double (*f)(double, double));
/* The gradient of a sum times `scale`: scale * dy for each element. */
bool reduce_sum_grad(Grad *gr, const Node *n, ValueId dy, double scale);
double reduce_flops(const OpCall *c, const Type *out, int64_t n);

/* The fields that all of them have. */
#define REDUCE(id)                                                                                           \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"input"},     \
    .attrs = ATTR_TABLE(reduce_rows, ReduceAttrs), .verify = reduce_verify, .infer_shape = reduce_infer,     \
    .lower = lower_reduce, .flops = reduce_flops, SAMPLES(reduce_samples)

extern const AttrRow reduce_rows[1];
extern const OpSample reduce_samples[6];

#endif
