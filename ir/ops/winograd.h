/* Winograd's convolution of Lavin and Gray (2015), F(m x m, r x r): a tile of m x m outputs is A^T [(G w G^T)
 * * (B^T x B)] A over the (m + r - 1) x (m + r - 1) inputs x that it sees, the product element by element,
 * summed over the input channels before A is applied. The tables are in ir/winograd.c. */
#ifndef IR_OPS_WINOGRAD_H
#define IR_OPS_WINOGRAD_H

#include "ir/op.h"

enum { WINOGRAD_TAPS = 5, WINOGRAD_OUT = 4, WINOGRAD_IN = 6 }; /* r, m and m + r - 1 at most */

/* One matrix, in whose rows or columns 1 and 2, 3 and 4 agree but for signs. */
typedef struct WinogradMatrix {
    int rows, columns;
    double at[WINOGRAD_IN][WINOGRAD_IN];
} WinogradMatrix;

typedef struct Winograd {
    int taps, out, in; /* r, m and m + r - 1 */
    WinogradMatrix input /* B^T */, weight /* G */, output /* A^T */;
} Winograd;

/* For kernels of `taps` and tiles of `tile` outputs a side, or NULL: there are 3 with 2 or 4, and 5 with 2.
 */
const Winograd *winograd_of(int64_t taps, int64_t tile);

/* Of a conv2d_winograd with tiles of `tile` and a weight from winograd_weight, or NULL. */
const Winograd *winograd_of_weight(const Type *weight, int64_t tile);

/* Is it a convolution for some tile: 3x3 or 5x5, one group, without stride and dilation? */
bool winograd_suits(const Conv2dAttrs *at, const Type *weight);

/* out = M x M^T: `x` has the matrix's columns a side, `out` its rows. */
void winograd_apply(const WinogradMatrix *m, const double *x, double *out);

#endif
