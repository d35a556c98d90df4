/* Squares of vectors turned over in registers, and the reorders of weights that they make quick. */
#ifndef IR_LOWER_TRANSPOSE_H
#define IR_LOWER_TRANSPOSE_H

#include "ir/lower/lower.h"

/* Lane j of element i of the register array, of `lanes` vectors of as many lanes, becomes lane i of element
 * j. `lanes` is a power of two. */
void lower_transpose(LBuild *b, uint32_t regs, int64_t lanes);

/* Dense rows of floats, a row all that is not dimension 0, that lie as whole vectors along dimension 0 in a
 * packed type of the same shape, without padding in other dimensions: can lower_squares serve them? */
bool transpose_suits(const Type *dense, const Type *packed, int64_t lanes);

/* Elements of dimension 0 as they lie in memory, padding included. */
int64_t transpose_rows(const Type *packed);

/* The coordinates of column c of a dense row, from dimension 1 on, into coord. */
void transpose_coord(LBuild *b, const Type *dense, Idx c, Idx *coord);

/* Parallel loops over the squares of rows [0, end): `square` builds `rows` rows (0 where only padding is
 * left) of the vector's lanes from `row` on, and as many columns as lanes from `column` on. The last square
 * of a row ends where that does, so some columns may be built twice, by the same task. */
typedef void SquareBuilder(void *own, Idx row, int64_t rows, Idx column);
void lower_squares(LowerKernel *lk, const Type *dense, int64_t end, SquareBuilder *square, void *own);

#endif
