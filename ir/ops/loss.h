/* What the losses share: checks, the rows of their attribute tables, and the evaluation in double. The
 * functions are in ir/ops/loss.c. Operands of a loss: input, target, then weights; of a gradient: input,
 * target, the run-time numbers of the step, then weights. */
#ifndef IR_OPS_LOSS_H
#define IR_OPS_LOSS_H

#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/train.h"
#include <float.h>

extern const char *const reduction_names[]; /* by Reduction */

#define ROW_REDUCTION(T)                                                                                     \
    {"reduction", ATTR_ENUM, offsetof(T, reduction), 0, 1, 0, reduction_names, true, REDUCTION_MEAN}
#define ROW_IGNORE_INDEX                                                                                     \
    {"ignore_index", ATTR_INT, offsetof(ClassLossAttrs, ignore_index), 0, 1, 0, NULL, true, -100}
#define ROW_LABEL_SMOOTHING                                                                                  \
    {"label_smoothing", ATTR_FLOAT, offsetof(ClassLossAttrs, label_smoothing), 0, 0, 1, NULL, true, 0}
#define ROW_PROBABILITIES                                                                                    \
    {"probabilities", ATTR_BOOL, offsetof(ClassLossAttrs, probabilities), 0, 1, 0, NULL, true, 0}
#define ROW_BETA {"beta", ATTR_FLOAT, offsetof(ElementLossAttrs, beta), 0, 0, DBL_MAX, NULL, true, 1}
#define ROW_WEIGHT {"weight", ATTR_BOOL, offsetof(ElementLossAttrs, weight), 0, 1, 0, NULL, true, 0}
#define ROW_POS_WEIGHT                                                                                       \
    {"pos_weight", ATTR_BOOL, offsetof(ElementLossAttrs, pos_weight), 0, 1, 0, NULL, true, 0}

/* Losses give f32[1]; op_same_shape is the rule of their gradients. */
bool loss_infer(const OpCall *c, Type *out);

/* Losses of classes: input [N,C] or [N,C,...], target i64 [N] or [N,...] (or f32 probabilities like the
 * input), weight f32 [C]. */
bool class_loss_verify(const OpCall *c);
bool class_loss_backward_verify(const OpCall *c);
/* One place of the input. */
typedef struct ClassRow {
    const ClassLossAttrs *attrs;
    int64_t classes, stride;
    const double *x;                    /* [c * stride] */
    double *out;                        /* of a gradient, likewise */
    const double *probability, *weight; /* [c * stride], [c]; or NULL */
    int64_t label;
} ClassRow;
/* The loss of a place is -sum(share(c) * log_probability(c)). */
double class_share(const ClassRow *r, int64_t c);
/* log(sum(exp(x))) */
double class_row_lse(const ClassRow *r);
/* The whole evaluation of a loss and of its gradient, by the function of a row. */
void class_loss_eval(const ClassLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                     double (*row)(const ClassRow *r));
void class_loss_backward_eval(const ClassLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                              double (*row)(const ClassRow *r));

/* Losses of elements: input and target f32 [N,...]; weights f32, as many as a sample has elements. */
bool element_loss_verify(const OpCall *c);
bool element_loss_backward_verify(const OpCall *c);
double element_loss_flops(const OpCall *c, const Type *out, int64_t n); /* a difference, its size, the sum */
typedef double (*ElementEval)(const ElementLossAttrs *a, double x, double y, const double *extra);
void element_loss_eval(const ElementLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out, ElementEval f);
void element_loss_backward_eval(const ElementLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                                ElementEval f);

/* The fields that the losses of each kind have, and those of their gradients. */
#define CLASS_LOSS(id)                                                                                       \
    .name = (id), .min_operands = 2, .max_operands = 3,                                                      \
    .operand_names = (const char *const[]){"input", "target", "weight"},                                     \
    .flags = OP_INTERNAL | OP_ANY_DTYPE, .verify = class_loss_verify, .infer_shape = loss_infer,             \
    .lower = lower_class_loss
#define CLASS_LOSS_BACKWARD(id)                                                                              \
    .name = (id), .min_operands = 3, .max_operands = 4,                                                      \
    .operand_names = (const char *const[]){"input", "target", "hyper", "weight"},                            \
    .flags = OP_INTERNAL | OP_ANY_DTYPE, .verify = class_loss_backward_verify, .infer_shape = op_same_shape, \
    .lower = lower_class_loss_backward
#define ELEMENT_LOSS(id, weights)                                                                            \
    .name = (id), .min_operands = 2, .max_operands = 2 + (weights),                                          \
    .operand_names = (const char *const[]){"input", "target", "weight", "pos_weight"},                       \
    .flags = OP_INTERNAL | OP_ANY_DTYPE, .verify = element_loss_verify, .infer_shape = loss_infer,           \
    .flops = element_loss_flops
#define ELEMENT_LOSS_BACKWARD(id, weights)                                                                   \
    .name = (id), .min_operands = 3, .max_operands = 3 + (weights),                                          \
    .operand_names = (const char *const[]){"input", "target", "hyper", "weight", "pos_weight"},              \
    .flags = OP_INTERNAL | OP_ANY_DTYPE, .verify = element_loss_backward_verify,                             \
    .infer_shape = op_same_shape

extern const OpSample element_loss_samples[3], element_loss_backward_samples[3]; /* reduction alone */

/* Samples: class indices, the numbers of a step. */
#define LABELS_N                                                                                             \
    {                                                                                                        \
        .dtype = DT_I64, .rank = 1, .dim = { {1, true} }                                                     \
    }
#define LABELS_N3(h, w)                                                                                      \
    {                                                                                                        \
        .dtype = DT_I64, .rank = 3, .dim = { {1, true}, {h, false}, {w, false} }                             \
    }
#define HYPER                                                                                                \
    {                                                                                                        \
        .dtype = DT_F64, .rank = 1, .dim = { {5, false} }                                                    \
    }

#endif
