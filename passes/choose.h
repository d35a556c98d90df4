/* What the files of the pass choose share: estimates of register tiles in cycles. */
#ifndef PASSES_CHOOSE_H
#define PASSES_CHOOSE_H

#include "ir/graph.h"
#include "ir/target.h"

typedef struct Tile {
    int64_t vectors, pixels;
} Tile;

/* Cycles of one reduction step of a tile: multiply-adds, loads (two a cycle), or the latency of the chain. */
double choose_step_cycles(const Target *t, int64_t vectors, int64_t pixels);

/* Do the accumulators of a tile, its weights and an input fit in the vector registers? */
bool choose_fits_registers(const Target *t, int64_t vectors, int64_t pixels);

/* Cycles of a reduction step over a row of `width` pixels, cut into balanced tiles of at most `pixels`. */
double choose_row_cycles(const Target *t, int64_t width, int64_t vectors, int64_t pixels);

/* choose_winograd.c: of tiles of at most `largest` outputs a side, the one that clearly beats the conv2d `n`
 * as `direct` has it; else `direct`. `fresh`: the weight is transformed in each call. */
Choice choose_winograd(const Target *t, const Graph *g, const Node *n, Choice direct, int64_t largest,
                       bool fresh);

#endif
