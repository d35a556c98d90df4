/* What add, sub, mul and div share; the samples are in ir/ops/add.c. */
#ifndef IR_OPS_ARITHMETIC_H
#define IR_OPS_ARITHMETIC_H

#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

/* The fields that all of them have; `b` is what the second operand is called. */
#define ARITHMETIC(id, b)                                                                                    \
    .name = (id), .min_operands = 2, .max_operands = 2, .operand_names = (const char *const[]){"a", (b)},    \
    .verify = op_need_floats, .infer_shape = op_broadcast_shape, .lower = lower_pointwise,                   \
    SAMPLES(arithmetic_samples)

extern const OpSample arithmetic_samples[5];

#endif
