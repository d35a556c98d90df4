/* What softmax, log_softmax and their gradients share; the functions are in ir/ops/softmax.c. */
#ifndef IR_OPS_SOFTMAX_H
#define IR_OPS_SOFTMAX_H

#include "ir/lower/lower.h"
#include "ir/ops/common.h"

#define ROW_SOFTMAX_DIM                                                                                      \
    {"dim", ATTR_INT, offsetof(SoftmaxAttrs, dim), 0, -MAX_RANK, MAX_RANK - 1, NULL, false, 0}

bool softmax_verify(const OpCall *c);
/* Of the gradients: dense f32 operands of one shape. */
bool softmax_backward_verify(const OpCall *c);
double softmax_flops(const OpCall *c, const Type *out, int64_t n);

/* The lines of a dense tensor along dimension `dim`: element k of the line that begins at `first` is
 * [first + k * stride]. */
typedef struct SoftmaxLine {
    int64_t length, stride;
} SoftmaxLine;
SoftmaxLine softmax_line(const SoftmaxAttrs *a, const Tensor *t);
/* Does a line begin at element i? */
static inline bool softmax_begins(const SoftmaxLine *l, int64_t i) {
    return i / l->stride % l->length == 0;
}

#endif
