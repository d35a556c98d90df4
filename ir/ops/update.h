/* What the optimizer ops share. Each updates a parameter and its slots from a gradient; the numbers of the
 * step come as VK_HYPER has them, the count of steps with this one in it. PyTorch's formulas, in its order of
 * operations: numbers that do not depend on the element are f64, and rounded to f32 where they meet one.
 * Evaluation and checks are in ir/update.c, the nest in ir/lower/update.c. */
#ifndef IR_OPS_UPDATE_H
#define IR_OPS_UPDATE_H

#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/train.h"

/* Operands. Those from UPDATE_SLOTS on are slots of the parameter's shape; they and the parameter are
 * written. */
enum { UPDATE_PARAM, UPDATE_GRAD, UPDATE_HYPER, UPDATE_STEP, UPDATE_SLOTS };
enum { UPDATE_WRITES = 1 << UPDATE_PARAM | 7 << UPDATE_SLOTS };

#define UPDATE_ROWS(T)                                                                                       \
    {"group", ATTR_INT, offsetof(T, update.group), 0, 0, 1e6, NULL, true, 0}, {                              \
        "clip", ATTR_ENUM, offsetof(T, update.clip), 0, 0, 2, update_clip_names, true, CLIP_NONE             \
    }
extern const char *const update_clip_names[];

bool update_verify(const OpCall *c);
/* Of an op with `each` operations an element, roots and quotients included, beside the clipping. */
double update_flops(const OpCall *c, int each);

/* ---- evaluation ---- */

/* Number HYPER_LR... of the node's group. */
double update_number(const UpdateAttrs *a, const Tensor *in, int which);
/* Element i of the gradient, clipped. */
double update_grad(const UpdateAttrs *a, const Tensor *in, int64_t i);
/* The result is the parameter. */
void update_result(const Tensor *in, Tensor *out);

/* ---- lowering ---- */

typedef struct Update {
    LowerKernel lk;
    LBuild *b;
    const UpdateAttrs *attrs;
    Idx at;         /* the element, while it is computed */
    LVal clip;      /* f32 */
    LVal number[8]; /* of the op: f32, the same for all elements of a task */
} Update;

/* A sweep over the elements in parallel tasks: `begin` computes numbers at the start of a task,
 * `element` updates the one at u->at. */
bool lower_update(Lower *lw, const Node *n, void (*begin)(Update *), void (*element)(Update *));

LVal update_f64(Update *u, double v);
/* As f32. */
LVal update_round(Update *u, LVal v);
LVal update_f32(Update *u, double v);
/* f64: number HYPER_LR... of the group. */
LVal update_hyper(Update *u, int which);
/* i64: which step this is, from 1. */
LVal update_step(Update *u);
/* f64: 1 - base^step. */
LVal update_bias_correction(Update *u, LVal base);
/* f32: the element of an operand; of the gradient after clipping. */
LVal update_load(Update *u, uint32_t operand);
LVal update_load_grad(Update *u);
void update_store(Update *u, uint32_t operand, LVal v);

#endif
