/* The transforms of Winograd's convolution on vectors. */
#ifndef IR_LOWER_WINOGRAD_H
#define IR_LOWER_WINOGRAD_H

#include "ir/lower/lower.h"
#include "ir/ops/winograd.h"

/* out = m x, as straight code. What neighbouring rows or columns of m have in common is computed once. */
void lower_winograd(LBuild *b, const WinogradMatrix *m, const LVal *x, LVal *out);

#endif
