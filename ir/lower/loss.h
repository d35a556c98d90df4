/* Kernels of losses that pass numbers on through the workspace. The functions are in ir/lower/loss.c. */
#ifndef IR_LOWER_LOSS_H
#define IR_LOWER_LOSS_H

#include "ir/lower/lower.h"
#include "ir/train.h"

/* A kernel with one parameter for each buffer it is given. */
typedef struct LossKernel {
    Lower *lw;
    const Node *n;
    LBuild b;
    StepArg args[8];
} LossKernel;

LossKernel loss_kernel(Lower *lw, const Node *n, const char *what);
/* The parameter for module buffer `buf`. */
uint32_t loss_param(LossKernel *k, uint32_t buf, LBufKind kind, const char *name);
/* Likewise for operand i of the node. */
uint32_t loss_operand(LossKernel *k, uint32_t i);
bool loss_end(LossKernel *k);

/* A new buffer of the workspace. */
uint32_t loss_work(Lower *lw, const Node *n, const char *what, Type t);

/* What kernels leave for the sum over all: f64 [outer, parts, size]. Part 0 is to be summed; the mean divides
 * by the sum of part 1, or by `count` where there is none. */
typedef struct LossPartial {
    uint32_t buf;
    Dim outer;
    int64_t parts, size;
    Dim count;
} LossPartial;
LossPartial loss_partial(Lower *lw, const Node *n, Dim outer, int64_t parts, int64_t size);
/* sums[part] += all numbers of the part, in one fixed order; `partial`: the kernel's parameter. */
void loss_sum(LBuild *b, const LossPartial *p, uint32_t partial, const uint32_t *sums);
/* The last kernel of a loss */
bool loss_total(Lower *lw, const Node *n, const LossPartial *p, int32_t reduction);

/* A tensor seen as [outer, length, inner], walked line by line: lines lie along `length`. */
typedef struct Lines {
    Dim outer;
    int64_t inner;
    Idx sample, place; /* of the line: outer and inner coordinate */
} Lines;
/* Opens the loops over lines, the inner one a vector loop whose lanes are neighbouring lines: along `inner`,
 * or `outer` where inner is 1. Close with lines_close. */
void lines_open(LBuild *b, Lines *l, const Target *target);
void lines_close(LBuild *b);

/* A register that holds `first`; what it holds; it plus x. */
uint32_t loss_cell(LBuild *b, const char *name, LType t, double first);
LVal loss_get(LBuild *b, uint32_t cell, LType t);
void loss_add(LBuild *b, uint32_t cell, LVal x);

#endif
