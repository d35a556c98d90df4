/* Of the pass choose: is a convolution cheaper by Winograd's algorithm than as `direct`, and with what tiles?
 * Cycles of the transforms are those of a Zen 4 core; only their relation to the multiply-adds matters. */
#include "ir/ops/winograd.h"
#include "passes/choose.h"

/* Of a candidate: its choice, and the cycles of a call. */
typedef struct Candidate {
    Choice choice;
    double cycles;
} Candidate;

/* Cycles that bytes of weights take to come from the third-level cache or memory. */
static double stream_cycles(const Target *t, double bytes) {
    return bytes / (bytes > t->l3_bytes / 2.0 ? 12 : 24);
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static double direct_cycles(const Target *t, const Choice *c, const Type *w, const Type *y, int64_t batch) {
    const double steps = (double)type_elems(w, 1) / (double)w->dim[0].size;
    const double rows = (double)(dim_at(y->dim[0], batch) * y->dim[2].size);
    const double groups = (double)ceil_div(y->dim[1].size, c->vectors * target_lanes(t, 4));
    return larger(rows * groups * steps * choose_row_cycles(t, y->dim[3].size, c->vectors, c->pixels),
                  stream_cycles(t, 4 * (double)type_elems(w, 1)));
}

/* The register tile for products of `tiles` tiles and as many columns as `blocks` blocks. */
static Tile winograd_registers(const Target *t, int64_t tiles, int64_t blocks, double *cycles) {
    Tile best = {1, 1};
    *cycles = 1e300;
    for (int64_t v = 1; v <= 4 && v <= blocks; v++)
        for (int64_t p = 1; choose_fits_registers(t, v, p) && p <= tiles; p++) {
            double c = (double)(ceil_div(blocks, v) * ceil_div(tiles, p)) * choose_step_cycles(t, v, p);
            if (c < *cycles * 0.999) {
                *cycles = c;
                best = (Tile){v, p};
            }
        }
    return best;
}

/* Tiles and output channels of a task: V and M in reach of the second-level cache. Weights that no cache
 * holds pass for as many tiles as they can. */
static void winograd_task(const Target *t, Choice *c, int64_t side, int64_t tiles, int64_t ins,
                          int64_t outs) {
    enum { TILES = 28, TASKS = 4, LEAST_PART = 64 };
    const int64_t points = side * side, group = c->vectors * c->block;
    const int64_t fit = 3 * (int64_t)t->l2_bytes / (points * ins * 4);
    int64_t most = points * ins * outs > 1 << 20 && fit > TILES ? fit : TILES;
    const int64_t blocks = ceil_div(tiles, most < tiles ? most : tiles);
    c->rows = ceil_div(ceil_div(tiles, blocks), c->pixels) * c->pixels;
    if (c->rows > most && c->rows > c->pixels)
        c->rows -= c->pixels;
    int64_t part = (int64_t)t->l2_bytes / 2 / (points * c->rows * 4);
    while (part >= 2L * LEAST_PART && ceil_div(tiles, c->rows) * ceil_div(outs, part) < TASKS)
        part /= 2;
    part = part < LEAST_PART ? LEAST_PART : part;
    c->oc_block = part < outs ? ceil_div(ceil_div(outs, ceil_div(outs, part)), group) * group : 0;
}

/* `fresh`: the weight is transformed in each call. */
static Candidate winograd_candidate(const Target *t, int64_t tile, const Type *w, const Type *y,
                                    int64_t batch, bool fresh) {
    /* Cycles of a tile's transforms, for a vector of channels, and of a kernel's. */
    const int64_t taps = w->dim[2].size, side = tile + taps - 1, points = side * side;
    const double in = side == 4 ? 60 : 165, out = side == 4 ? 42 : tile == 2 ? 70 : 110;
    const double weight = side == 4 ? 60 : taps == 3 ? 120 : 200;
    const int64_t lanes = target_lanes(t, 4);
    const int64_t ins = w->dim[1].size, outs = w->dim[0].size, blocks = ceil_div(outs, lanes);
    const int64_t tiles =
        dim_at(y->dim[0], batch) * ceil_div(y->dim[2].size, tile) * ceil_div(y->dim[3].size, tile);
    Candidate d = {{.algorithm = ALGO_WINOGRAD, .block = lanes, .tile = tile}, 0};
    double product;
    Tile registers = winograd_registers(t, tiles, blocks, &product);
    d.choice.vectors = registers.vectors;
    d.choice.pixels = registers.pixels;
    winograd_task(t, &d.choice, side, tiles, ins, outs);
    const double passes = (double)ceil_div(tiles, d.choice.rows);
    const double parts = d.choice.oc_block ? (double)ceil_div(outs, d.choice.oc_block) : 1;
    d.cycles = larger((double)(points * ins) * product,
                      passes * stream_cycles(t, 4 * (double)(points * ins * outs)));
    d.cycles += (double)tiles * ((double)ceil_div(ins, lanes) * in * parts + (double)blocks * out);
    d.cycles += fresh ? (double)(blocks * ins) * weight : 0;
    return d;
}

Choice choose_winograd(const Target *t, const Graph *g, const Node *n, Choice direct, int64_t largest,
                       bool fresh) {
    enum { LEAST_CHANNELS = 16, MOST_CHANNELS = 1 << 14 };
    const Type *w = &g->values.data[n->operands[1]].type, *y = &g->values.data[n->result].type;
    if (!winograd_suits(n->attrs, w) || w->dim[1].size < LEAST_CHANNELS || w->dim[0].size > MOST_CHANNELS ||
        w->dim[1].size > MOST_CHANNELS)
        return direct;
    /* How much cheaper a tile must be than what is simpler; the larger one has weights 2.25 times as large.
     */
    const double clearly = 1.1, by_far = 1.5;
    double least = direct_cycles(t, &direct, w, y, g->batch) / clearly;
    Choice best = direct;
    for (int64_t tile = 2; tile <= largest && winograd_of(w->dim[2].size, tile); tile += 2) {
        Candidate d = winograd_candidate(t, tile, w, y, g->batch, fresh);
        if (d.cycles < least) {
            least = d.cycles / by_far;
            best = d.choice;
        }
    }
    return best;
}
