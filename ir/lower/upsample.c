/* upsample_nearest2d and upsample_bilinear2d. A task makes some rows of one channel, or of the channels that
 * lie side by side. Where a row is made of two of the input they are blended first, once for all columns that
 * are made of the result. Where columns lie side by side and each makes 2, 4 or 8 of the result, vectors of
 * each kind are made and shuffled into one another. */
#include "ir/lower/upsample.h"

enum { MAX_PHASES = 8 };

typedef struct Up {
    LowerKernel *lk;
    UpsampleLine line[2];
    int lane_dim;
    uint8_t lanes;         /* of a vector of channels; 1: of one channel */
    uint8_t row_lanes;     /* of a vector of columns; 1: channels are vectors, or nothing */
    Idx n, c, oh, from[2]; /* from: rows of the input */
    LVal part;             /* of row oh that from[1] makes */
    bool staged;           /* the blended row is in `row` */
    uint32_t row, parts;
} Up;

/* ---- Elements ---- */

/* A table of the parts of all columns. */
static uint32_t parts(LBuild *b, const UpsampleLine *l) {
    const uint32_t table = lb_alloc(b, LB_SCRATCH, "parts", (LType){DT_F32, 1}, l->axis.out);
    const Idx i = lb_for(b, FOR_SERIAL, "i", lb_c(b, 0), lb_c(b, l->axis.out), 1);
    lb_store(b, table, i, upsample_part(b, l, i, upsample_source(b, l, i)));
    lb_end(b);
    return table;
}

/* The nearest takes x or y as it is: what has no weight may be infinite. */
static LVal blend(Up *u, LVal x, LVal y, LVal part) {
    LBuild *b = &u->lk->b;
    const LType t = lb_type(b, x);
    const LVal one = lb_const(b, t, 1), weight = lb_splat(b, part, t.lanes);
    if (!u->line[0].axis.linear)
        return lb_select(b, lb_op2(b, LOP_CMPLE, one, weight), y, x);
    const LVal first = lb_op2(b, LOP_MUL, x, lb_op2(b, LOP_SUB, one, weight));
    return lb_mad(b, y, weight, first);
}

static LVal load(Up *u, int which, Idx x, uint8_t lanes) {
    const Idx coord[4] = {u->n, u->c, u->from[which], x};
    const Pos pos = {.coord = coord, .lane_dim = u->lane_dim, .lanes = lanes};
    return lower_load(u->lk, 0, u->lk->in[0], &pos);
}

/* Column x of the input, in the row or rows that row oh is made of. */
static LVal blended(Up *u, Idx x, uint8_t lanes) {
    const LVal first = load(u, 0, x, lanes);
    return u->line[0].one ? first : blend(u, first, load(u, 1, x, lanes), u->part);
}

static LVal column(Up *u, Idx x, uint8_t lanes) {
    LBuild *b = &u->lk->b;
    if (u->staged)
        return lb_load(b, (LType){u->lk->out->dtype, lanes}, u->row, lb_mulc(b, x, u->lanes));
    return blended(u, x, lanes);
}

static void store(Up *u, LVal v, Idx ow) {
    const Idx coord[4] = {u->n, u->c, u->oh, ow};
    const Pos pos = {.coord = coord, .lane_dim = u->lane_dim, .lanes = lb_type(&u->lk->b, v).lanes};
    lower_store(u->lk, lower_epilogue(u->lk, v, &pos), &pos);
}

/* ---- Rows ---- */

/* Columns [lo, hi) of the result, one by one. */
static void pixels(Up *u, int64_t lo, int64_t hi) {
    LBuild *b = &u->lk->b;
    const UpsampleLine *l = &u->line[1];
    if (lo >= hi)
        return;
    const Idx ow = lb_for(b, FOR_SERIAL, "ow", lb_c(b, lo), lb_c(b, hi), 1);
    const Idx x = upsample_source(b, l, ow);
    LVal v = column(u, x, u->lanes);
    if (!l->one) {
        const LVal next = column(u, lb_min(b, lb_addc(b, x, 1), lb_c(b, l->axis.in - 1)), u->lanes);
        v = blend(u, v, next, lb_load(b, (LType){DT_F32, 1}, u->parts, ow));
    }
    store(u, v, ow);
    lb_end(b);
}

/* Vector i of v has elements i, i + count, i + 2 * count...: puts them in order. */
static void interleave(LBuild *b, LVal *v, int count) {
    LVal half[2][MAX_PHASES / 2];
    if (count == 1)
        return;
    for (int i = 0; i < count; i++)
        half[i % 2][i / 2] = v[i];
    interleave(b, half[0], count / 2);
    interleave(b, half[1], count / 2);
    const uint8_t lanes = lb_type(b, v[0]).lanes;
    uint8_t order[UINT8_MAX + 1];
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < lanes; k++)
            order[k] = (uint8_t)(i % 2 * lanes / 2 + k / 2 + k % 2 * lanes);
        v[i] = lb_shuffle(b, half[0][i / 2], half[1][i / 2], order, lanes);
    }
}

/* What each of several columns of the result takes of the input's columns behind column j. */
static LVal phase(Up *u, Idx j, int64_t p) {
    LBuild *b = &u->lk->b;
    const UpsampleLine *l = &u->line[1];
    const int64_t at = l->num * p + l->add, from = at < 0 ? -1 : 0; /* at is less than den */
    const LVal v = column(u, lb_addc(b, j, from), u->row_lanes);
    if (l->one)
        return v;
    const LVal part = lb_const(b, (LType){DT_F32, 1}, (double)(at - from * l->den) / (double)l->den);
    return blend(u, v, column(u, lb_addc(b, j, from + 1), u->row_lanes), part);
}

/* Columns of the input that make as many of the result each, by vectors; then the others. */
static void columns(Up *u) {
    LBuild *b = &u->lk->b;
    const UpsampleLine *l = &u->line[1];
    const int64_t phases = l->num ? l->den / l->num : 0, first = l->one ? 0 : 1;
    const int64_t whole = (l->axis.in - 2 * first) / u->row_lanes * u->row_lanes, end = first + whole;
    const bool even = l->num && l->den % l->num == 0 && l->axis.out == phases * l->axis.in;
    if (!even || u->row_lanes == 1 || whole <= 0 || phases > MAX_PHASES || (phases & (phases - 1))) {
        pixels(u, 0, l->axis.out);
        return;
    }
    LVal v[MAX_PHASES];
    pixels(u, 0, first * phases);
    const Idx j = lb_for(b, FOR_SERIAL, "j", lb_c(b, first), lb_c(b, end), u->row_lanes);
    for (int64_t p = 0; p < phases; p++)
        v[p] = phase(u, j, p);
    interleave(b, v, (int)phases);
    for (int64_t p = 0; p < phases; p++)
        store(u, v[p], lb_addc(b, lb_mulc(b, j, phases), p * u->row_lanes));
    lb_end(b);
    pixels(u, end * phases, l->axis.out);
}

/* The blended row: channels, or columns, by vectors. */
static void stage(Up *u) {
    LBuild *b = &u->lk->b;
    const Idx lo = lb_c(b, 0), hi = lb_c(b, u->line[1].axis.in);
    const Idx x =
        u->lanes > 1 ? lb_for(b, FOR_SERIAL, "x", lo, hi, 1) : lb_for_vector(b, "x", lo, hi, u->row_lanes);
    lb_store(b, u->row, lb_mulc(b, x, u->lanes), blended(u, x, u->lanes));
    lb_end(b);
}

static void row(Up *u) {
    LBuild *b = &u->lk->b;
    const UpsampleLine *l = &u->line[0];
    u->from[0] = upsample_source(b, l, u->oh);
    if (!l->one) {
        u->from[1] = lb_min(b, lb_addc(b, u->from[0], 1), lb_c(b, l->axis.in - 1));
        u->part = upsample_part(b, l, u->oh, u->from[0]);
    }
    if (u->staged)
        stage(u);
    columns(u);
}

/* Channels [first, first + steps * lanes), `lanes` of them a task. */
static void tasks(Up *u, int64_t first, int64_t steps, uint8_t lanes) {
    LBuild *b = &u->lk->b;
    const UpsampleAxis *across = &u->line[1].axis;
    if (!steps)
        return;
    const UpsampleTask t = upsample_tasks(u->lk, first, steps, lanes, u->line[0].axis.out, across->out);
    u->lanes = lanes;
    u->n = t.n;
    u->c = t.c;
    if (u->staged)
        u->row = lb_alloc(b, LB_SCRATCH, "row", (LType){u->lk->out->dtype, 1}, across->in * lanes);
    if (!u->line[1].one)
        u->parts = parts(b, &u->line[1]);
    u->oh = lb_for(b, FOR_SERIAL, "oh", t.top, t.end, 1);
    row(u);
    lb_end(b);
    lb_end(b);
}

bool lower_upsample(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    Up u = {.lk = &lk, .row_lanes = 1};
    for (int i = 0; i < 2; i++)
        u.line[i] = upsample_line(n, lk.in[0], lk.out, i);
    u.staged = !u.line[0].one && u.line[1].axis.in <= u.line[1].axis.out;
    const ChannelSplit split = lower_channel_split(&lk);
    u.lane_dim = split.lanes > 1 ? 1 : 3;
    if (split.lanes == 1 && lower_lane_stride(lk.in[0], 3) == 1 && lower_lane_stride(lk.out, 3) == 1)
        u.row_lanes = (uint8_t)lk.lanes;
    tasks(&u, 0, split.whole, split.lanes);
    tasks(&u, split.whole * split.lanes, split.rest, 1);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
