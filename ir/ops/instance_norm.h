/* What instance_norm and its gradient share. */
#ifndef IR_OPS_INSTANCE_NORM_H
#define IR_OPS_INSTANCE_NORM_H

#include "ir/lower/channel.h"
#include "ir/ops/batch_norm.h"

enum { INSTANCE_MEAN, INSTANCE_RSTD };

/* The last operand has a batch, channels and something behind them. */
bool instance_norm_verify(const OpCall *c);
/* Mean and 1 / sqrt(var + eps) of the `count` elements at x. */
void instance_norm_moments(const double *x, int64_t count, double eps, double *mean, double *rstd);
/* For one image and channel a task. */
Channels instance_norm_begin(LowerKernel *lk);
/* The same two of the last operand into c->number, in two passes over it. */
void instance_norm_numbers(Channels *c);
/* `count` of a sum as f32. */
LVal instance_norm_mean(Channels *c, LVal sum);

#endif
