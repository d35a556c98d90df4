/* The matrices of Winograd's convolution, for the evaluator and the lowering. */
#include "ir/ops/winograd.h"

/* Points 0, 1, -1 and infinity. */
static const Winograd three_two = {
    3,
    2,
    4,
    {4, 4, {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}},
    {4, 3, {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}}},
    {2, 4, {{1, 1, 1, 0}, {0, 1, -1, -1}}},
};

/* Points 0, 1, -1, 2, -2 and infinity: the inputs of a tile are transformed alike, whatever the kernel. */
#define SIX_INPUTS                                                                                           \
    {                                                                                                        \
        6, 6, {                                                                                              \
            {4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0},           \
                {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}                                                    \
        }                                                                                                    \
    }

static const Winograd three_four = {
    3,
    4,
    6,
    SIX_INPUTS,
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

static const Winograd five_two = {
    5,
    2,
    6,
    SIX_INPUTS,
    {6,
     5,
     {{1.0 / 4, 0, 0, 0, 0},
      {-1.0 / 6, -1.0 / 6, -1.0 / 6, -1.0 / 6, -1.0 / 6},
      {-1.0 / 6, 1.0 / 6, -1.0 / 6, 1.0 / 6, -1.0 / 6},
      {1.0 / 24, 1.0 / 12, 1.0 / 6, 1.0 / 3, 2.0 / 3},
      {1.0 / 24, -1.0 / 12, 1.0 / 6, -1.0 / 3, 2.0 / 3},
      {0, 0, 0, 0, 1}}},
    {2, 6, {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 1}}},
};

const Winograd *winograd_of(int64_t taps, int64_t tile) {
    static const Winograd *const all[] = {&three_two, &three_four, &five_two};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->taps == taps && all[i]->out == tile)
            return all[i];
    return NULL;
}

const Winograd *winograd_of_weight(const Type *weight, int64_t tile) {
    const int64_t side = weight->dim[2].size;
    return weight->dim[3].size == side ? winograd_of(side - tile + 1, tile) : NULL;
}

bool winograd_suits(const Conv2dAttrs *at, const Type *weight) {
    return winograd_of(weight->dim[2].size, 2) && weight->dim[3].size == weight->dim[2].size &&
           at->groups == 1 && at->stride.v[0] == 1 && at->stride.v[1] == 1 && at->dilation.v[0] == 1 &&
           at->dilation.v[1] == 1;
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
