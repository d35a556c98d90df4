/* Picks the algorithm of each convolution and product, its register tile and the order of its work, by an
 * estimate against the target description. The winner is written on the node. */
#include "passes/choose.h"
#include "ir/lower/lower.h"
#include "ir/ops/winograd.h"
#include "passes/borders.h"
#include "passes/util.h"

double choose_step_cycles(const Target *t, int64_t vectors, int64_t pixels) {
    double ports = t->fma_ports ? t->fma_ports : 2;
    double fma = (double)(vectors * pixels) / ports * (t->has_fma ? 1 : 2);
    double loads = (double)(vectors + pixels) / 2;
    double latency =
        t->has_fma ? 4.5 : 8.5; /* half a cycle more than the chain, which never is perfectly full */
    double c = fma > loads ? fma : loads;
    double turn = 0.25; /* a wide tile has fewer turns of its loops */
    return (c > latency ? c : latency) + turn;
}

bool choose_fits_registers(const Target *t, int64_t vectors, int64_t pixels) {
    return vectors * pixels + vectors + 1 <= (int64_t)t->vector_regs;
}

double choose_row_cycles(const Target *t, int64_t width, int64_t vectors, int64_t pixels) {
    int64_t tiles = (width + pixels - 1) / pixels, narrow = width / tiles, wide = width % tiles;
    return (double)wide * choose_step_cycles(t, vectors, narrow + 1) +
           (double)(tiles - wide) * choose_step_cycles(t, vectors, narrow);
}

static Tile best_tile(const Target *t, int64_t width, int64_t blocks) {
    Tile best = {1, 1};
    double least = 1e300;
    for (int64_t v = 1; v <= 4 && v <= blocks; v++)
        for (int64_t p = 1; choose_fits_registers(t, v, p); p++) {
            double c = (double)((blocks + v - 1) / v) * choose_row_cycles(t, width, v, p);
            if (c < least * 0.999) {
                least = c;
                best = (Tile){v, p};
            }
        }
    return best;
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

/* Neighbouring pixels share inputs, which stay in registers too, as does a weight. */
static Choice choose_depthwise(const Target *t, const Type *w, const Type *y) {
    enum { TASKS = 16, MOST = 14 };
    const int64_t lanes = target_lanes(t, 4), room = ((int64_t)t->vector_regs - w->dim[3].size) / 2;
    const int64_t blocks = ceil_div(w->dim[0].size, lanes), chunks = ceil_div(TASKS, blocks);
    Choice c = {.algorithm = ALGO_DEPTHWISE, .block = lanes, .vectors = 1};
    c.pixels = room < 4 ? 4 : room > MOST ? MOST : room;
    c.rows = ceil_div(y->dim[2].size, chunks < y->dim[2].size ? chunks : y->dim[2].size);
    return c;
}

static Choice choose_conv(const Target *t, const Graph *g, const Node *n, const Border *need,
                          const bool *planar) {
    int64_t lanes = target_lanes(t, 4);
    const Conv2dAttrs *at = n->attrs;
    const Type *x = &g->values.data[n->operands[0]].type, *w = &g->values.data[n->operands[1]].type;
    const Type *y = &g->values.data[n->result].type;
    if (conv_can_be_depthwise(g, n, lanes))
        return choose_depthwise(t, w, y);
    if (!conv_can_be_direct(g, n, lanes))
        return (Choice){.algorithm = ALGO_PLAIN};
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
        double cycles = (double)ceil_div(blocks, v) * choose_step_cycles(t, v, 1);
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

/* What the choices of a graph look at. */
typedef struct Chooser {
    const Unit *u;
    const Border *need;
    const BindTime *bind;
    bool *planar;
} Chooser;

/* The largest of Winograd's tiles that a conv2d may take; 0: none. Training asks for more digits than tiles
 * of six inputs keep, whose rounding moves values over the kinks of ReLUs and pools; the gradient of a 5x5
 * convolution's input, whose weight is flipped, passes none. */
static int64_t largest_tile(const Chooser *ch, const Node *n) {
    Graph *g = ch->u->graph;
    if (ch->u->exact)
        return 0;
    if (!ch->u->train)
        return WINOGRAD_OUT;
    const Node *weight = graph_def(g, n->operands[1]);
    const bool gradient = weight && weight->op == OP_flip_weight;
    return gradient || g->values.data[n->operands[1]].type.dim[2].size < 5 ? 2 : 0;
}

static Choice choose(const Chooser *ch, const Node *n) {
    const Target *t = ch->u->target;
    const Graph *g = ch->u->graph;
    if (n->op == OP_conv2d_backward_weight)
        return choose_conv_weight(t, g, n, ch->planar);
    if (n->op == OP_conv2d_backward_input)
        return choose_conv_input(t, g, n);
    if (n->op == OP_linear)
        return choose_product(t, g, n);
    if (n->op != OP_conv2d)
        return (Choice){0};
    Choice c = choose_conv(t, g, n, ch->need, ch->planar);
    if (c.algorithm != ALGO_DIRECT || !c.block)
        return c;
    return choose_winograd(t, g, n, c, largest_tile(ch, n), ch->bind[n->operands[1]] > BIND_LOAD);
}

bool pass_choose(Unit *u) {
    Graph *g = u->graph;
    Chooser ch = {u, border_needs(g), graph_bind_times(g), NULL};
    ch.planar = NEW_ARRAY(&u->cx->arena, bool, g->values.len);
    for (uint32_t v = 0; v < g->values.len; v++)
        ch.planar[v] = g->values.data[v].kind != VK_RESULT;
    Rewrite rw = rw_begin(g);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (rw_copy(&rw, n) == NO_VALUE)
            return false;
        const Choice c = choose(&ch, n);
        if (c.algorithm != ALGO_NONE)
            rw.to->nodes.data[rw.to->nodes.len - 1].choice = arena_copy(&u->cx->arena, &c, sizeof c);
        ch.planar[n->result] = stays_planar(g, n, c.algorithm, ch.planar);
    }
    u->graph = rw_finish(&rw);
    return u->graph != NULL;
}
