/* What activations share: f of one element, and gradients dy * f'(x) from f's argument or its result. The
 * functions are in ir/ops/activation.c. */
#ifndef IR_OPS_ACTIVATION_H
#define IR_OPS_ACTIVATION_H

#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

/* out = f(in[0]), and out = in[0] * slope(in[1]). */
void activation_eval(const void *attrs, const Tensor *in, Tensor *out, double (*f)(const void *, double));
void activation_backward_eval(const void *attrs, const Tensor *in, Tensor *out,
                              double (*slope)(const void *, double));
bool activation_backward_verify(const OpCall *c);
/* The gradient hook: `backward` of dy and `from`, which is the argument of n or its result, with n's
 * attributes. */
bool activation_grad(Grad *gr, const Node *n, ValueId dy, OpId backward, ValueId from);
/* A constant in the type of `like`. */
LVal activation_const(LBuild *b, LVal like, double v);

/* The fields that all activations have, and those that all gradients have, whose second operand is `from`. */
#define ACTIVATION(id)                                                                                       \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"input"},     \
    .verify = op_need_floats, .infer_shape = op_same_shape, .lower = lower_pointwise
#define ACTIVATION_BACKWARD(id, from)                                                                        \
    .name = (id), .min_operands = 2, .max_operands = 2,                                                      \
    .operand_names = (const char *const[]){"dy", (from)},                                                    \
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO | OP_INTERNAL, .verify = activation_backward_verify,  \
    .infer_shape = op_same_shape, .lower = lower_pointwise

extern const OpSample activation_samples[2], activation_backward_samples[2]; /* without attributes */

#endif
