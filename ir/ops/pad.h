/* What pad and its gradient share. */
#ifndef IR_OPS_PAD_H
#define IR_OPS_PAD_H

#include "ir/op.h"

#define PAD_ROWS                                                                                             \
    {"pad", ATTR_INTS, offsetof(PadAttrs, pad), 0, 0, OP_MAX_INT, NULL, false, 0},                           \
        {"mode", ATTR_ENUM, offsetof(PadAttrs, mode), 0, 1, 0, pad_names, true, PAD_CONSTANT},               \
        {"value", ATTR_FLOAT, offsetof(PadAttrs, value), 0, 1, 0, NULL, true, 0}

extern const char *const pad_names[]; /* by PadKind */

/* Elements before and after dimension d of a tensor of that rank. */
int64_t pad_before(const PadAttrs *a, int rank, int d);
int64_t pad_after(const PadAttrs *a, int rank, int d);
/* The first dimension that may be padded. */
int pad_first(const PadAttrs *a, int rank);
/* Which element of the input's `size` stands at `at`, counted from the input's first; -1: the value. */
int64_t pad_source(const PadAttrs *a, int64_t at, int64_t size);
/* Where the element at dense index i of the padded tensor comes from in the input; -1: it is the value. */
int64_t pad_element(const PadAttrs *a, const Tensor *padded, const Tensor *input, int64_t i);
/* The list has pairs for dimensions that `t` has, not the batch; `t` is large enough for the mode. */
bool pad_fits(const OpCall *c, const Type *t);

#endif
