/* Picks the algorithm of each convolution and product, its register tile and the order of its work, by an
 * estimate against the target description. The winner is written on the node. */
#include "ir/lower/lower.h"
#include "passes/borders.h"
#include "passes/util.h"

typedef struct Tile {
    int64_t vectors, pixels;
} Tile;

/* Cycles of one reduction step of a tile: multiply-adds, loads (two a cycle), or the latency of the chain. */
static double step_cycles(const Target *t, int64_t vectors, int64_t pixels) {
    double ports = t->fma_ports ? t->fma_ports : 2;
    double fma = (double)(vectors * pixels) / ports * (t->has_fma ? 1 : 2);
    double loads = (double)(vectors + pixels) / 2;
    double latency =
        t->has_fma ? 4.5 : 8.5; /* half a cycle more than the chain, which never is perfectly full */
    double c = fma > loads ? fma : loads;
    double turn = 0.25; /* a wide tile has fewer turns of its loops */
    return (c > latency ? c : latency) + turn;
}

static bool fits_registers(const Target *t, int64_t vectors, int64_t pixels) {
    return vectors * pixels + vectors + 1 <= (int64_t)t->vector_regs;
}

/* A row of `width` pixels cut into balanced tiles of at most `pixels`. */
static double row_cycles(const Target *t, int64_t width, int64_t vectors, int64_t pixels) {
    int64_t tiles = (width + pixels - 1) / pixels, narrow = width / tiles, wide = width % tiles;
    return (double)wide * step_cycles(t, vectors, narrow + 1) +
           (double)(tiles - wide) * step_cycles(t, vectors, narrow);
}

static Tile best_tile(const Target *t, int64_t width, int64_t blocks) {
    Tile best = {1, 1};
    double least = 1e300;
    for (int64_t v = 1; v <= 4 && v <= blocks; v++)
        for (int64_t p = 1; fits_registers(t, v, p); p++) {
            double c = (double)((blocks + v - 1) / v) * row_cycles(t, width, v, p);
            if (c < least * 0.999) {
                least = c;
                best = (Tile){v, p};
            }
        }
    return best;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Order and rows of a task. Bytes that pass the second-level cache decide whether the weights of a channel
 * group stay (order 0) or the rows do (order 1); tasks are kept numerous enough for a few threads. */
static void choose_order(const Target *t, Choice *c, const Type *x, const Type *w, const Type *y,
                         int64_t groups) {
    double x_bytes = 4.0 * (double)(x->dim[1].size * x->dim[2].size * x->dim[3].size);
    double w_bytes = 4.0 * (double)type_elems(w, 1);
    int64_t rows = y->dim[2].size;
    double cache = t->l2_bytes / 2.0;
    int64_t slab =
        (int64_t)(cache / 2 / (x_bytes / (double)x->dim[2].size + 1)); /* input rows in a quarter */
    int64_t stride = x->dim[2].size / (rows ? rows : 1);
    int64_t slab_rows = slab / (stride > 0 ? stride : 1);
    slab_rows = slab_rows < 1 ? 1 : slab_rows > 8 ? 8 : slab_rows;
    if (slab_rows > rows)
        slab_rows = rows;
    double stay_w = (x_bytes > cache ? x_bytes * (double)groups : x_bytes) + w_bytes;
    double stay_x = x_bytes + (w_bytes > cache ? w_bytes * (double)ceil_div(rows, slab_rows) : w_bytes);
    c->order = stay_x < stay_w;
    c->rows = c->order ? slab_rows : rows;
    enum { TASKS = 16 };
    if (groups * ceil_div(rows, c->rows) < TASKS)
        c->rows = ceil_div(rows, ceil_div(TASKS, groups) < rows ? ceil_div(TASKS, groups) : rows);
}

/* A group's weights that no cache near the core holds are cut into blocks of input channels. */
static void choose_ic_block(const Target *t, Choice *c, const Type *w, const Type *y) {
    int64_t ic = w->dim[1].size, taps = w->dim[2].size * w->dim[3].size;
    int64_t channel_bytes = c->vectors * target_lanes(t, 4) * taps * 4;
    if (!c->block || c->order || ic % c->block || channel_bytes * ic <= 4 * (int64_t)t->l1_bytes ||
        !choice_partial_fits(c, w, y))
        return;
    int64_t want = t->l1_bytes / channel_bytes;
    for (int64_t ib = c->block; ib <= ic / 2 && ib <= want; ib += c->block)
        if (ic % ib == 0)
            c->ic_block = ib;
}

/* Does this node's result lie planar, as `layout` will have it? Convolutions make channel blocks; pools and
 * pointwise nodes follow what they read. `planar` knows the values before. */
static bool stays_planar(const Graph *g, const Node *n, int32_t algorithm, const bool *planar) {
    const OpDesc *op = op_desc(n->op);
    if (n->op == OP_conv2d || n->op == OP_conv2d_backward_input)
        return algorithm == ALGO_PLAIN;
    if (n->op == OP_conv2d_winograd)
        return false;
    if (op->flags & OP_POOL)
        return planar[n->operands[0]];
    for (uint32_t i = 0; i < n->n_operands && (op->flags & (OP_POINTWISE | OP_FOLLOWS)); i++)
        if (g->values.data[n->operands[i]].type.rank == 4 && !planar[n->operands[i]])
            return false;
    return true;
}

static bool no_border(Border b) {
    return !b.top && !b.left && !b.bottom && !b.right;
}

/* ---- Winograd ---- */

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
    return larger(rows * groups * steps * row_cycles(t, y->dim[3].size, c->vectors, c->pixels),
                  stream_cycles(t, 4 * (double)type_elems(w, 1)));
}

/* The register tile for products of `tiles` tiles and as many columns as `blocks` blocks. */
static Tile winograd_registers(const Target *t, int64_t tiles, int64_t blocks, double *cycles) {
    Tile best = {1, 1};
    *cycles = 1e300;
    for (int64_t v = 1; v <= 4 && v <= blocks; v++)
        for (int64_t p = 1; fits_registers(t, v, p) && p <= tiles; p++) {
            double c = (double)(ceil_div(blocks, v) * ceil_div(tiles, p)) * step_cycles(t, v, p);
            if (c < *cycles * 0.999) {
                *cycles = c;
                best = (Tile){v, p};
            }
        }
    return best;
}

/* Tiles and output channels of a task: V and M in reach of the second-level cache. Weights that no cache
 * holds pass for as many tiles as they can. */
static void winograd_task(const Target *t, Choice *c, int64_t tiles, int64_t ins, int64_t outs) {
    enum { TILES = 28, TASKS = 4, LEAST_PART = 64 };
    const int64_t points = (c->tile + 2) * (c->tile + 2), group = c->vectors * c->block;
    const int64_t fit = 3 * (int64_t)t->l2_bytes / (points * ins * 4);
    int64_t most = points * ins * outs > 1 << 20 && fit > TILES ? fit : TILES;
    const int64_t blocks = ceil_div(tiles, most < tiles ? most : tiles);
    c->rows = ceil_div(ceil_div(tiles, blocks), c->pixels) * c->pixels;
    int64_t part = (int64_t)t->l2_bytes / 2 / (points * c->rows * 4);
    while (part >= 2 * LEAST_PART && ceil_div(tiles, c->rows) * ceil_div(outs, part) < TASKS)
        part /= 2;
    part = part < LEAST_PART ? LEAST_PART : part;
    c->oc_block = part < outs ? ceil_div(ceil_div(outs, ceil_div(outs, part)), group) * group : 0;
}

/* `fresh`: the weight is transformed in each call. */
static Candidate winograd_candidate(const Target *t, int64_t tile, const Type *w, const Type *y,
                                    int64_t batch, bool fresh) {
    /* Cycles of a tile's transforms, for a vector of channels, and of a kernel's. */
    const double in = tile == 2 ? 60 : 165, out = tile == 2 ? 42 : 110, weight = tile == 2 ? 60 : 120;
    const int64_t lanes = target_lanes(t, 4), points = (tile + 2) * (tile + 2);
    const int64_t ins = w->dim[1].size, outs = w->dim[0].size, blocks = ceil_div(outs, lanes);
    const int64_t tiles =
        dim_at(y->dim[0], batch) * ceil_div(y->dim[2].size, tile) * ceil_div(y->dim[3].size, tile);
    Candidate d = {{.algorithm = ALGO_WINOGRAD, .block = lanes, .tile = tile}, 0};
    double product;
    Tile registers = winograd_registers(t, tiles, blocks, &product);
    d.choice.vectors = registers.vectors;
    d.choice.pixels = registers.pixels;
    winograd_task(t, &d.choice, tiles, ins, outs);
    const double passes = (double)ceil_div(tiles, d.choice.rows);
    const double parts = d.choice.oc_block ? (double)ceil_div(outs, d.choice.oc_block) : 1;
    d.cycles = larger((double)(points * ins) * product,
                      passes * stream_cycles(t, 4 * (double)(points * ins * outs)));
    d.cycles += (double)tiles * ((double)ceil_div(ins, lanes) * in * parts + (double)blocks * out);
    d.cycles += fresh ? (double)(blocks * ins) * weight : 0;
    return d;
}

/* The tile for which Winograd clearly beats `direct`, or that. */
static Choice choose_winograd(const Target *t, const Graph *g, const Node *n, Choice direct, bool fresh) {
    enum { LEAST_CHANNELS = 16, MOST_CHANNELS = 1 << 14 };
    const Conv2dAttrs *at = n->attrs;
    const Type *w = &g->values.data[n->operands[1]].type, *y = &g->values.data[n->result].type;
    if (w->dim[2].size != 3 || w->dim[3].size != 3 || at->groups > 1 || at->stride.v[0] > 1 ||
        at->stride.v[1] > 1 || at->dilation.v[0] > 1 || at->dilation.v[1] > 1 ||
        w->dim[1].size < LEAST_CHANNELS || w->dim[0].size > MOST_CHANNELS || w->dim[1].size > MOST_CHANNELS)
        return direct;
    double least = direct_cycles(t, &direct, w, y, g->batch) / 1.1;
    Choice best = direct;
    for (int64_t tile = 2; tile <= 4; tile += 2) {
        Candidate d = winograd_candidate(t, tile, w, y, g->batch, fresh);
        if (d.cycles < least) {
            least = d.cycles;
            best = d.choice;
        }
    }
    return best;
}

static Choice choose_conv(const Target *t, const Graph *g, const Node *n, const Border *need,
                          const bool *planar) {
    int64_t lanes = target_lanes(t, 4);
    if (!conv_can_be_direct(g, n, lanes))
        return (Choice){.algorithm = ALGO_PLAIN};
    const Conv2dAttrs *at = n->attrs;
    const Type *x = &g->values.data[n->operands[0]].type, *w = &g->values.data[n->operands[1]].type;
    const Type *y = &g->values.data[n->result].type;
    Choice c = {.algorithm = ALGO_DIRECT, .block = lanes};
    if (w->dim[1].size < lanes && at->groups == 1 && planar[n->operands[0]])
        c.block = 0;
    bool flat = conv_is_flat(at, x, w, y) && no_border(need[n->operands[0]]) && no_border(need[n->result]);
    int64_t width = flat ? y->dim[2].size * y->dim[3].size : y->dim[3].size;
    int64_t blocks = ceil_div(y->dim[1].size / at->groups, lanes);
    Tile tile = best_tile(t, width, blocks);
    while (at->groups > 1 && blocks % tile.vectors)
        tile.vectors--;
    c.vectors = tile.vectors;
    c.pixels = tile.pixels;
    Type rows = *y, in = *x;
    if (flat) {
        rows.dim[2].size = 1;
        in.dim[3].size *= in.dim[2].size;
        in.dim[2].size = 1;
    }
    choose_order(t, &c, &in, w, &rows, ceil_div(y->dim[1].size, c.vectors * lanes));
    choose_ic_block(t, &c, w, y);
    return c;
}

/* The gradient of a convolution's input: a convolution for each phase of a stride. */
static Choice choose_conv_input(const Target *t, const Graph *g, const Node *n) {
    int64_t lanes = target_lanes(t, 4);
    if (!conv_input_can_be_direct(g, n))
        return (Choice){.algorithm = ALGO_PLAIN};
    const Conv2dAttrs *at = &((const ConvGradAttrs *)n->attrs)->conv;
    const Type *dy = &g->values.data[n->operands[0]].type, *w = &g->values.data[n->operands[1]].type;
    Type phase = g->values.data[n->result].type;
    Choice c = {.algorithm = ALGO_DIRECT, .block = lanes};
    for (int i = 0; i < 2; i++)
        phase.dim[2 + i].size = ceil_div(phase.dim[2 + i].size, at->stride.v[i]);
    Tile tile = best_tile(t, phase.dim[3].size, ceil_div(phase.dim[1].size, lanes));
    c.vectors = tile.vectors;
    c.pixels = tile.pixels;
    choose_order(t, &c, dy, w, &phase, ceil_div(phase.dim[1].size, c.vectors * lanes));
    return c;
}

/* ---- The gradient of a convolution's weight ---- */

/* Cycles of a run's pixel for all taps and channels of a block, over all output channels. */
static double weight_cycles(const Target *t, const Choice *c, int64_t channels, const Type *w,
                            int64_t blocks) {
    int64_t rows = ceil_div(w->dim[2].size, c->kernel_rows);
    int64_t columns = ceil_div(w->dim[3].size, c->kernel_columns);
    double tiles = (double)(rows * columns * ceil_div(channels, c->channels) * ceil_div(blocks, c->vectors));
    double taps = (double)(w->dim[2].size * w->dim[3].size) / (double)(rows * columns); /* of the mean tile */
    double elements = taps * (double)c->channels, ports = t->fma_ports ? t->fma_ports : 2;
    double fma = elements * (double)c->vectors / ports * (t->has_fma ? 1 : 2);
    double loads = (elements + (double)c->vectors) / 2, latency = t->has_fma ? 4.5 : 8.5, turn = 0.75;
    double cycles = fma > loads ? fma : loads;
    return tiles * ((cycles > latency ? cycles : latency) + turn);
}

/* The tile of the fewest cycles that the registers hold. */
static void weight_tile(const Target *t, Choice *best, int64_t block, int64_t channels, const Type *w,
                        int64_t blocks) {
    double least = 1e300;
    Choice c = *best;
    for (c.vectors = 1; c.vectors <= 4 && c.vectors <= blocks; c.vectors++)
        for (c.channels = 1; c.channels <= block; c.channels++)
            for (c.kernel_rows = 1; c.kernel_rows <= w->dim[2].size && c.kernel_rows <= 64; c.kernel_rows++)
                for (c.kernel_columns = 1; c.kernel_columns <= w->dim[3].size; c.kernel_columns++) {
                    int64_t elements = c.channels * c.kernel_rows * c.kernel_columns;
                    if (block % c.channels || elements * c.vectors + c.vectors + 1 > (int64_t)t->vector_regs)
                        break;
                    double cycles = weight_cycles(t, &c, channels, w, blocks);
                    if (cycles < least * 0.999) {
                        least = cycles;
                        *best = c;
                    }
                }
}

static Choice choose_conv_weight(const Target *t, const Graph *g, const Node *n, const bool *planar) {
    enum { RUN_PIXELS = 1024, TASKS = 16 };
    int64_t lanes = target_lanes(t, 4);
    if (!conv_weight_can_be_direct(g, n, lanes))
        return (Choice){.algorithm = ALGO_PLAIN};
    const Conv2dAttrs *at = &((const ConvGradAttrs *)n->attrs)->conv;
    const Type *dy = &g->values.data[n->operands[0]].type, *w = &g->values.data[n->result].type;
    int64_t ic = w->dim[1].size, oh = dy->dim[2].size, ow = dy->dim[3].size;
    Choice c = {.algorithm = ALGO_DIRECT, .block = lanes};
    if (ic < lanes && at->groups == 1 && planar[n->operands[1]])
        c.block = 0;
    int64_t blocks = ceil_div(w->dim[0].size / at->groups, lanes), block = c.block ? c.block : ic;
    weight_tile(t, &c, block, ic < block ? ic : block, w, blocks);
    while (at->groups > 1 && blocks % c.vectors)
        c.vectors--;
    int64_t images = RUN_PIXELS / (oh * ow), rows = RUN_PIXELS / ow;
    c.rows = images ? images * oh : rows > 1 ? rows : 1;
    /* Several input blocks share the outputs of a run where few taps do. */
    int64_t ic_blocks = ceil_div(ic, block), taps = w->dim[2].size * w->dim[3].size,
            batch = dim_at(dy->dim[0], g->batch);
    int64_t per_task = taps >= 9 ? 1 : ceil_div(9, taps);
    per_task = per_task < ic_blocks ? per_task : ic_blocks;
    c.ic_block = c.block ? per_task * c.block : 0;
    int64_t tasks = ceil_div(w->dim[0].size, c.vectors * lanes) * ceil_div(ic_blocks, per_task);
    int64_t parts = ceil_div(TASKS, tasks) < batch ? ceil_div(TASKS, tasks) : batch;
    c.images = ceil_div(batch, parts);
    if (c.images * oh < c.rows) /* a task is one run */
        c.rows = c.images * oh;
    return c;
}

/* Groups of columns: wide enough to hide the latency of one row, few padded columns. */
static Choice choose_product(const Target *t, const Graph *g, const Node *n) {
    const Type *x = &g->values.data[n->operands[0]].type, *w = &g->values.data[n->operands[1]].type;
    int64_t lanes = target_lanes(t, 4), blocks = ceil_div(w->dim[0].size, lanes);
    if (x->rank != 2 || n->prologue || x->dtype != DT_F32)
        return (Choice){.algorithm = ALGO_PLAIN};
    Choice c = {.algorithm = ALGO_PRODUCT, .vectors = 1};
    double least = 1e300;
    for (int64_t v = 1; v + 2 <= (int64_t)t->vector_regs && v <= blocks && v <= 12; v++) {
        double cycles = (double)ceil_div(blocks, v) * step_cycles(t, v, 1);
        if (cycles < least * 0.999) {
            least = cycles;
            c.vectors = v;
        }
    }
    c.pixels = ((int64_t)t->vector_regs - 3) / 3;
    c.pixels = c.pixels > 8 ? 8 : c.pixels;
    c.rows = 4 * c.pixels;
    return c;
}

bool pass_choose(Unit *u) {
    Graph *g = u->graph;
    const Border *need = border_needs(g);
    const BindTime *bind = graph_bind_times(g);
    bool *planar = NEW_ARRAY(&u->cx->arena, bool, g->values.len);
    for (uint32_t v = 0; v < g->values.len; v++)
        planar[v] = g->values.data[v].kind != VK_RESULT;
    Rewrite rw = rw_begin(g);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (rw_copy(&rw, n) == NO_VALUE)
            return false;
        Node *copy = &rw.to->nodes.data[rw.to->nodes.len - 1];
        Choice c = {0};
        if (n->op == OP_conv2d)
            c = choose_conv(u->target, g, n, need, planar);
        if (c.algorithm == ALGO_DIRECT && c.block && !u->exact)
            c = choose_winograd(u->target, g, n, c, bind[n->operands[1]] > BIND_LOAD);
        if (n->op == OP_conv2d_backward_weight)
            c = choose_conv_weight(u->target, g, n, planar);
        else if (n->op == OP_conv2d_backward_input)
            c = choose_conv_input(u->target, g, n);
        else if (n->op == OP_linear)
            c = choose_product(u->target, g, n);
        if (c.algorithm != ALGO_NONE)
            copy->choice = arena_copy(&u->cx->arena, &c, sizeof c);
        planar[n->result] = stays_planar(g, n, c.algorithm, planar);
    }
    u->graph = rw_finish(&rw);
    return u->graph != NULL;
}
