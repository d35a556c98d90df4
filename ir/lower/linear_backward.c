/* The gradients of linear, both sums of outer products: out[i][j] = the sum over q of a[q][i] * b[q][j], with
 * rows i and columns j in registers. For the weight q counts rows, i outputs and j inputs; for the input q
 * counts outputs, i rows and j inputs. Nothing need be packed: b is read along j. Each element is one sum in
 * ascending q, cut into runs whose sums are added up. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"

enum { RUN = 1024 };

typedef struct Outer {
    LowerKernel *lk;
    bool weight;           /* which of the two */
    Idx rows, depth;       /* extents of i and q */
    int64_t columns;       /* of j */
    int64_t tile, vectors; /* rows and vectors of columns in registers */
    int64_t most;          /* depth for the full batch */
    bool runs;             /* is that more than one run? */
    bool pack;             /* are the columns of b copied together for many tiles? */
    uint32_t panel;        /* if so: [q][column of the task], in scratch */
} Outer;

/* Rows from i and vectors of columns from j. */
typedef struct Tile {
    Idx i, j;
    int64_t rows, vectors;
    uint8_t lanes;
} Tile;

/* The element of t in row r, all dimensions but the last taken together, and column c. */
static Idx row_at(LBuild *b, const Type *t, Idx r, Idx c) {
    Idx coord[MAX_RANK];
    coord[t->rank - 1] = c;
    for (int d = t->rank - 2; d >= 0; d--) {
        coord[d] = d ? lb_modc(b, r, t->dim[d].size) : r;
        r = d ? lb_divc(b, r, t->dim[d].size) : r;
    }
    return lower_index(b, t, coord);
}

static LVal load_a(Outer *o, Idx q, Idx i, uint8_t lanes) {
    LowerKernel *lk = o->lk;
    LBuild *b = &lk->b;
    Idx at = row_at(b, lk->in[0], o->weight ? q : i, o->weight ? i : q);
    return lb_splat(b, lb_load(b, (LType){lk->out->dtype, 1}, lk->in_buf[0], at), lanes);
}

/* Vector v of the tile's columns in row q of b. */
static LVal load_b(Outer *o, const Tile *tile, Idx q, Idx v) {
    LowerKernel *lk = o->lk;
    LBuild *b = &lk->b;
    LType t = {lk->out->dtype, tile->lanes};
    Idx column = lb_mulc(b, v, tile->lanes);
    if (o->pack)
        return lb_load(b, t, o->panel, lb_add(b, lb_mulc(b, q, tile->vectors * tile->lanes), column));
    Idx at = row_at(b, lk->in[1], q, lb_add(b, tile->j, column));
    return lb_load_strided(b, t, lk->in_buf[1], at, lower_lane_stride(lk->in[1], lk->in[1]->rank - 1));
}

/* Rows of b are far apart, often by a power of two, and share few lines of the cache: copy what the task
 * reads of them. */
static void pack_columns(Outer *o, const Tile *tile) {
    LBuild *b = &o->lk->b;
    int64_t step = tile->vectors * tile->lanes;
    uint32_t panel = lb_alloc(b, LB_SCRATCH, "panel", (LType){o->lk->out->dtype, 1}, o->most * step);
    Idx q = lb_for(b, FOR_SERIAL, "q", lb_c(b, 0), o->depth, 1);
    for (int64_t v = 0; v < tile->vectors; v++) {
        LVal x = load_b(o, tile, q, lb_c(b, v));
        lb_store(b, panel, lb_addc(b, lb_mulc(b, q, step), v * tile->lanes), x);
    }
    lb_end(b);
    o->panel = panel;
    o->pack = true;
}

/* acc[rows][vectors] += the products for q in [lo, hi). */
static void reduce(Outer *o, const Tile *tile, uint32_t acc, Idx lo, Idx hi) {
    LowerKernel *lk = o->lk;
    LBuild *b = &lk->b;
    LType t = {lk->out->dtype, tile->lanes};
    uint32_t bs = lb_alloc(b, LB_REG, "b", t, tile->vectors);
    Idx q = lb_for(b, FOR_NOUNROLL, "q", lo, hi, 1);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, tile->vectors), 1);
    lb_store(b, bs, v, load_b(o, tile, q, v));
    lb_end(b);
    Idx r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, tile->rows), 1);
    LVal a = load_a(o, q, lb_add(b, tile->i, r), tile->lanes);
    v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, tile->vectors), 1);
    Idx k = lb_add(b, lb_mulc(b, r, tile->vectors), v);
    LVal w = lb_load(b, t, bs, v);
    lb_store(b, acc, k, lb_mad(b, a, w, lb_load(b, t, acc, k)));
    lb_end(b);
    lb_end(b);
    lb_end(b);
}

static uint32_t zeros(LBuild *b, LType t, int64_t count) {
    uint32_t acc = lb_alloc(b, LB_REG, "acc", t, count);
    LVal zero = lb_const(b, t, 0);
    Idx k = lb_for(b, FOR_UNROLL, "k", lb_c(b, 0), lb_c(b, count), 1);
    lb_store(b, acc, k, zero);
    lb_end(b);
    return acc;
}

/* The sum over all q, run by run where there is more than one. */
static uint32_t sum_tile(Outer *o, const Tile *tile) {
    LBuild *b = &o->lk->b;
    LType t = {o->lk->out->dtype, tile->lanes};
    int64_t size = tile->rows * tile->vectors;
    Idx zero = lb_c(b, 0);
    uint32_t sum = zeros(b, t, size);
    if (!o->runs) {
        reduce(o, tile, sum, zero, o->depth);
        return sum;
    }
    Idx lo = lb_for(b, FOR_NOUNROLL, "run", zero, o->depth, RUN);
    uint32_t run = zeros(b, t, size);
    reduce(o, tile, run, lo, lb_min(b, lb_addc(b, lo, RUN), o->depth));
    Idx k = lb_for(b, FOR_UNROLL, "k", zero, lb_c(b, size), 1);
    LVal part = lb_load(b, t, run, k);
    lb_store(b, sum, k, lb_op2(b, LOP_ADD, lb_load(b, t, sum, k), part));
    lb_end(b);
    lb_end(b);
    return sum;
}

static void build_tile(Outer *o, const Tile *tile) {
    LowerKernel *lk = o->lk;
    LBuild *b = &lk->b;
    uint32_t sum = sum_tile(o, tile);
    Idx r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, tile->rows), 1);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, tile->vectors), 1);
    LVal x =
        lb_load(b, (LType){lk->out->dtype, tile->lanes}, sum, lb_add(b, lb_mulc(b, r, tile->vectors), v));
    Idx at = row_at(b, lk->out, lb_add(b, tile->i, r), lb_add(b, tile->j, lb_mulc(b, v, tile->lanes)));
    if (tile->lanes == 1)
        lb_store(b, lk->out_buf, at, x);
    else
        lb_store_strided(b, lk->out_buf, at, x, lower_lane_stride(lk->out, lk->out->rank - 1));
    lb_end(b);
    lb_end(b);
}

/* All rows of columns [j, j + vectors * lanes): tiles, then row by row what is left. */
static void build_columns(Outer *o, Idx j, int64_t vectors, uint8_t lanes, bool pack) {
    LBuild *b = &o->lk->b;
    o->pack = false;
    if (pack)
        pack_columns(o, &(const Tile){lb_c(b, 0), j, 0, vectors, lanes});
    Idx split = lb_mulc(b, lb_divc(b, o->rows, o->tile), o->tile);
    Idx i = lb_for(b, FOR_SERIAL, "i", lb_c(b, 0), split, o->tile);
    build_tile(o, &(const Tile){i, j, o->tile, vectors, lanes});
    lb_end(b);
    i = lb_for(b, FOR_SERIAL, "i", split, o->rows, 1);
    build_tile(o, &(const Tile){i, j, 1, vectors, lanes});
    lb_end(b);
}

/* Columns [lo, hi), a multiple of the step, as parallel tasks. */
static void build_tasks(Outer *o, int64_t lo, int64_t hi, int64_t vectors, uint8_t lanes, bool pack) {
    LBuild *b = &o->lk->b;
    int64_t step = vectors * lanes;
    if (lo >= hi)
        return;
    pack &= hi - lo > step; /* a loop of one turn is none, and scratch belongs to a parallel one */
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_c(b, (hi - lo) / step), 1);
    build_columns(o, lb_addc(b, lb_mulc(b, t, step), lo), vectors, lanes, pack);
    lb_end(b);
}

/* Rows of a tile, at most `most`, for `rows` of them: rows that are left over go one by one, at the pace of
 * an addition's latency. */
static int64_t best_tile(int64_t rows, int64_t most) {
    enum { LATENCY = 4 }; /* multiply-adds of a row that one which waits for itself takes */
    int64_t best = 1, least = INT64_MAX;
    for (int64_t t = 1; t <= most && t <= rows; t++) {
        int64_t whole = rows / t, cost = whole * (t > LATENCY ? t : LATENCY) + rows % t * LATENCY;
        if (cost <= least) {
            least = cost;
            best = t;
        }
    }
    return best;
}

/* `rows`: for the full batch. */
static bool build(Outer *o, int64_t rows) {
    LowerKernel *lk = o->lk;
    int column = lk->in[1]->rank - 1;
    int64_t regs = lk->lw->target->vector_regs, lanes = lk->lanes;
    lanes = shape_lanes(lk->in[1], column, shape_lanes(lk->out, lk->out->rank - 1, (uint8_t)lanes));
    o->vectors = 2;
    o->runs = o->most > RUN;
    o->tile = best_tile(rows, (regs - 4) / (o->runs ? 4 : 2));
    int64_t step = lanes * o->vectors, wide = o->columns / step * step;
    int64_t whole = o->columns / lanes * lanes;
    bool pack = o->weight && !o->runs && rows >= 4 * o->tile;
    build_tasks(o, 0, wide, o->vectors, (uint8_t)lanes, pack);
    build_tasks(o, wide, whole, 1, (uint8_t)lanes, pack);
    build_tasks(o, whole, o->columns, 1, 1, false);
    lower_zero_border(lk);
    return lower_end(lk);
}

static Idx row_count(LBuild *b, const Type *t) {
    Idx rows = lb_c(b, 1);
    for (int d = 0; d < t->rank - 1; d++)
        rows = lb_mul(b, rows, lb_dim(b, t->dim[d]));
    return rows;
}

bool lower_linear_backward_weight(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "linear_backward_weight");
    Outer o = {
        .lk = &lk, .weight = true, .rows = lb_dim(&lk.b, lk.out->dim[0]), .columns = lk.out->dim[1].size};
    o.depth = row_count(&lk.b, lk.in[0]);
    o.most = type_elems(lk.in[0], lw->g->batch) / lk.out->dim[0].size;
    return build(&o, lk.out->dim[0].size);
}

bool lower_linear_backward_input(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "linear_backward_input");
    Outer o = {.lk = &lk, .rows = row_count(&lk.b, lk.out), .depth = lb_dim(&lk.b, lk.in[1]->dim[0])};
    o.columns = lk.in[1]->dim[1].size;
    o.most = lk.in[1]->dim[0].size;
    return build(&o, type_elems(lk.out, lw->g->batch) / o.columns);
}
