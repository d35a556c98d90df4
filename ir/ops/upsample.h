/* What the ops that upsample, and their gradients, share: where the elements of the result lie in the input.
 */
#ifndef IR_OPS_UPSAMPLE_H
#define IR_OPS_UPSAMPLE_H

#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

#define UPSAMPLE_ROWS(what)                                                                                  \
    {what, ATTR_INTS, offsetof(UpsampleAttrs, size), 2, 1, OP_MAX_INT, NULL, false, 0},                      \
        {"scales_h", ATTR_FLOAT, offsetof(UpsampleAttrs, scales[0]), 0, 0, OP_MAX_INT, NULL, true, 0},       \
        {"scales_w", ATTR_FLOAT, offsetof(UpsampleAttrs, scales[1]), 0, 0, OP_MAX_INT, NULL, true, 0}
#define UPSAMPLE_ALIGN                                                                                       \
    {"align_corners", ATTR_BOOL, offsetof(UpsampleAttrs, align_corners), 0, 0, 1, NULL, true, 0}

/* Rows or columns. */
typedef struct UpsampleAxis {
    int64_t in, out;
    bool linear, align_corners;
    bool by_sizes; /* linear: the scale is the sizes' ratio; else it is rounded to f32 as in PyTorch */
    double scale;  /* elements of the input to a step of the result */
} UpsampleAxis;

UpsampleAxis upsample_axis(const UpsampleAttrs *a, bool linear, int64_t in, int64_t out, int axis);
/* Where element i of the result lies among those of the input, from 0 to in - 1, by the formulas of PyTorch's
 * UpSample.h. Linear: between the elements next to it. Nearest: a whole number, computed in f32, which
 * decides which one it is. */
double upsample_place(const UpsampleAxis *x, int64_t i);

/* Verify, shapes and meaning. Of the gradients `size` is the input's, and operand 0 as large as the result.
 */
bool upsample_verify(const OpCall *c);
bool upsample_backward_verify(const OpCall *c);
bool upsample_infer(const OpCall *c, Type *out);
void upsample_eval(const UpsampleAttrs *a, bool linear, const Tensor *in, Tensor *out);
void upsample_eval_backward(const UpsampleAttrs *a, bool linear, const Tensor *dy, Tensor *dx);
/* Adds op `backward` of dy to the gradient of the input. */
bool upsample_grad(Grad *gr, const Node *n, OpId backward, ValueId dy);

/* The fields that both ops have, and those of their gradients. */
#define UPSAMPLE(id)                                                                                         \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"input"},     \
    .flags = OP_FOLLOWS | OP_ROOT, .verify = upsample_verify, .infer_shape = upsample_infer,                 \
    .lower = lower_upsample
#define UPSAMPLE_BACKWARD(id)                                                                                \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"dy"},        \
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL, .verify = upsample_backward_verify,                         \
    .infer_shape = upsample_infer, .lower = lower_upsample_backward

#endif
