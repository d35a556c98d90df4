/* The matrices of Winograd's convolution, for the evaluator and the lowering. */
#include "ir/ops/winograd.h"

/* Points 0, 1, -1 and infinity. */
static const Winograd two = {
    2,
    4,
    {4, 4, {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}},
    {4, 3, {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}}},
    {2, 4, {{1, 1, 1, 0}, {0, 1, -1, -1}}},
};

/* Points 0, 1, -1, 2, -2 and infinity. */
static const Winograd four = {
    4,
    6,
    {6,
     6,
     {{4, 0, -5, 0, 1, 0},
      {0, -4, -4, 1, 1, 0},
      {0, 4, -4, -1, 1, 0},
      {0, -2, -1, 2, 1, 0},
      {0, 2, -1, -2, 1, 0},
      {0, 4, 0, -5, 0, 1}}},
    {6,
     3,
     {{1.0 / 4, 0, 0},
      {-1.0 / 6, -1.0 / 6, -1.0 / 6},
      {-1.0 / 6, 1.0 / 6, -1.0 / 6},
      {1.0 / 24, 1.0 / 12, 1.0 / 6},
      {1.0 / 24, -1.0 / 12, 1.0 / 6},
      {0, 0, 1}}},
    {4, 6, {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}},
};

const Winograd *winograd_of(int64_t tile) {
    return tile == two.out ? &two : tile == four.out ? &four : NULL;
}

bool winograd_suits(const Conv2dAttrs *at, const Type *weight) {
    return weight->dim[2].size == WINOGRAD_TAPS && weight->dim[3].size == WINOGRAD_TAPS && at->groups == 1 &&
           at->stride.v[0] == 1 && at->stride.v[1] == 1 && at->dilation.v[0] == 1 && at->dilation.v[1] == 1;
}

void winograd_apply(const WinogradMatrix *m, const double *x, double *out) {
    double half[WINOGRAD_IN][WINOGRAD_IN] = {{0}}; /* M x */
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->columns; j++)
            for (int k = 0; k < m->columns; k++)
                half[i][j] += m->at[i][k] * x[k * m->columns + j];
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->rows; j++) {
            double sum = 0;
            for (int k = 0; k < m->columns; k++)
                sum += half[i][k] * m->at[j][k];
            out[i * m->rows + j] = sum;
        }
}
