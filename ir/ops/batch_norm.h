/* What the ops that a batch norm becomes in training share. Functions in batch_norm.c. */
#ifndef IR_OPS_BATCH_NORM_H
#define IR_OPS_BATCH_NORM_H

#include "ir/loops/build.h"
#include "ir/ops/common.h"

/* The rows of `stats` and of `sums`, both f32[2,C]. */
enum { STATS_MEAN, STATS_VAR }; /* of the batch; the variance is biased */
enum { SUMS_DY, SUMS_DY_XHAT }; /* sum dy, sum dy * (x - mean) / sqrt(var + eps) */

/* The row of BatchNormAttrs that most of them have. */
#define BATCH_NORM_EPS {"eps", ATTR_FLOAT, offsetof(BatchNormAttrs, eps), 0, 0, 1e30, NULL, true, 1e-5}

/* Operand x has a batch and channels. */
bool batch_norm_need_input(const OpCall *c, uint32_t x);
/* Operand i is [C], and [2,C], for the channels of operand x. */
bool batch_norm_need_vector(const OpCall *c, uint32_t i, uint32_t x);
bool batch_norm_need_rows(const OpCall *c, uint32_t i, uint32_t x);
/* [2,C] for the channels of operand x. */
bool batch_norm_rows_shape(const OpCall *c, uint32_t x, Type *out);
/* Elements of one channel in an image, and of one channel. */
int64_t batch_norm_plane(const Tensor *x);
int64_t batch_norm_count(const Tensor *x);
/* The latter in a kernel, for a call's batch. */
Idx batch_norm_elems(LBuild *b, const Type *x);

#endif
