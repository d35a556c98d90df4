/* What sum, mean and amax share. Their results keep the dimensions that they reduce, with one element. */
#ifndef IR_OPS_REDUCE_H
#define IR_OPS_REDUCE_H

#include "ir/ops/common.h"

#define REDUCE_DIM {"dim", ATTR_INTS, offsetof(ReduceAttrs, dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, false, 0}

/* Bit d: dimension d of `rank` is reduced. */
uint32_t reduce_dims(const ReduceAttrs *a, int rank);
/* Elements of the input that make one of the result. */
int64_t reduce_count(const ReduceAttrs *a, const Type *input);
bool reduce_verify(const OpCall *c);
bool reduce_infer(const OpCall *c, Type *out);
/* out[k] = f(out[k], x) for each x, from `first` on. */
void reduce_eval(const void *attrs, const Tensor *in, Tensor *out, double first, double (*f)(double, double));
double reduce_flops(const OpCall *c, const Type *out, int64_t n);

#endif
