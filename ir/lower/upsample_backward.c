/* The gradients of upsample_nearest2d and upsample_bilinear2d: each element of the input gathers from those
 * of the result that it takes part in, always in the same order. A task makes some rows of one channel, or of
 * the channels that lie side by side: all rows of dy that take part, weighed, are added up in one, and then
 * columns of that. */
#include "ir/lower/upsample.h"

typedef struct Back {
    LowerKernel *lk;
    UpsampleLine line[2];
    uint8_t lanes;     /* of a vector of channels; 1: of one channel */
    uint8_t row_lanes; /* of a vector of columns of dy, when lanes is 1 */
    Idx n, c, h;
    uint32_t sum, at, part; /* scratch: the row; where columns of the result lie */
} Back;

static Pos position(const Back *p, const Idx *coord) {
    return (Pos){.coord = coord, .lane_dim = 1, .lanes = p->lanes};
}

/* Where an element of the result lies: beyond element `at` of the input by a part of the way to the next. */
typedef struct Place {
    LVal at, part;
} Place;

static Place place_of(LBuild *b, const UpsampleLine *l, Idx i) {
    const Idx at = upsample_source(b, l, i);
    const LVal whole = lb_index(b, (LType){DT_F32, 1}, at);
    return (Place){whole, upsample_part(b, l, i, at)};
}

/* Tables of where columns of the result lie. */
static void tabulate(Back *p) {
    LBuild *b = &p->lk->b;
    const UpsampleLine *l = &p->line[1];
    const LType f32 = {DT_F32, 1};
    p->at = lb_alloc(b, LB_SCRATCH, "at", f32, l->axis.out);
    p->part = lb_alloc(b, LB_SCRATCH, "part", f32, l->axis.out);
    const Idx i = lb_for(b, FOR_SERIAL, "i", lb_c(b, 0), lb_c(b, l->axis.out), 1);
    const Place place = place_of(b, l, i);
    lb_store(b, p->at, i, place.at);
    lb_store(b, p->part, i, place.part);
    lb_end(b);
}

/* How much element `at` has of what lies at `place`: 0 from the next element on. */
static LVal weight_of(LBuild *b, Place place, Idx at) {
    const LType f32 = {DT_F32, 1};
    const LVal one = lb_const(b, f32, 1), to = lb_index(b, f32, at);
    const LVal beyond = lb_op2(b, LOP_ADD, lb_op2(b, LOP_SUB, place.at, to), place.part);
    const LVal near = lb_op2(b, LOP_SUB, one, lb_op1(b, LOP_ABS, beyond));
    return lb_op2(b, LOP_MAX, near, lb_const(b, f32, 0));
}

/* sum + v * weight. The nearest's weights are 0 or 1, and what has none may be infinite. */
static LVal add(LBuild *b, const UpsampleLine *l, LVal sum, LVal v, LVal weight) {
    const LType t = lb_type(b, v);
    if (l->one)
        return lb_op2(b, LOP_ADD, sum, v);
    weight = lb_splat(b, weight, t.lanes);
    if (l->axis.linear)
        return lb_mad(b, v, weight, sum);
    const LVal zero = lb_const(b, t, 0);
    return lb_op2(b, LOP_ADD, sum, lb_select(b, lb_op2(b, LOP_CMPLT, zero, weight), v, zero));
}

/* Opens a loop over the columns of dy: channels, or columns, by vectors. */
static Idx open_columns(Back *p) {
    LBuild *b = &p->lk->b;
    const Idx lo = lb_c(b, 0), hi = lb_c(b, p->line[1].axis.out);
    return p->lanes > 1 ? lb_for(b, FOR_SERIAL, "ow", lo, hi, 1)
                        : lb_for_vector(b, "ow", lo, hi, p->row_lanes);
}

/* The rows of dy that row h takes part in, in one. */
static void sum_rows(Back *p) {
    LBuild *b = &p->lk->b;
    const UpsampleLine *l = &p->line[0];
    const LType t = {p->lk->out->dtype, p->lanes};
    Idx lo, hi;
    upsample_users(b, l, p->h, &lo, &hi);
    Idx ow = open_columns(p);
    lb_store(b, p->sum, lb_mulc(b, ow, p->lanes), lb_const(b, t, 0));
    lb_end(b);
    const Idx oh = lb_for(b, FOR_SERIAL, "oh", lo, hi, 1);
    const LVal weight = l->one ? NO_LVAL : weight_of(b, place_of(b, l, oh), p->h);
    ow = open_columns(p);
    const Idx coord[4] = {p->n, p->c, oh, ow}, at = lb_mulc(b, ow, p->lanes);
    const Pos pos = position(p, coord);
    const LVal dy = lower_load(p->lk, 0, p->lk->in[0], &pos);
    lb_store(b, p->sum, at, add(b, l, lb_load(b, t, p->sum, at), dy, weight));
    lb_end(b);
    lb_end(b);
}

static void columns(Back *p) {
    LBuild *b = &p->lk->b;
    const UpsampleLine *l = &p->line[1];
    const LType t = {p->lk->out->dtype, p->lanes};
    const Idx w = lb_for(b, FOR_SERIAL, "w", lb_c(b, 0), lb_c(b, l->axis.in), 1), first = lb_c(b, 0);
    Idx lo, hi;
    upsample_users(b, l, w, &lo, &hi);
    const uint32_t acc = lb_alloc(b, LB_REG, "acc", t, 1);
    lb_store(b, acc, first, lb_const(b, t, 0));
    const Idx ow = lb_for(b, FOR_SERIAL, "ow", lo, hi, 1);
    const LVal v = lb_load(b, t, p->sum, lb_mulc(b, ow, p->lanes));
    LVal weight = NO_LVAL;
    if (!l->one) {
        const LVal at = lb_load(b, (LType){DT_F32, 1}, p->at, ow);
        const LVal part = lb_load(b, (LType){DT_F32, 1}, p->part, ow);
        weight = weight_of(b, (Place){at, part}, w);
    }
    lb_store(b, acc, first, add(b, l, lb_load(b, t, acc, first), v, weight));
    lb_end(b);
    const Idx coord[4] = {p->n, p->c, p->h, w};
    const Pos pos = position(p, coord);
    lower_store(p->lk, lower_epilogue(p->lk, lb_load(b, t, acc, first), &pos), &pos);
    lb_end(b);
}

/* Channels [first, first + steps * lanes), `lanes` of them a task. */
static void tasks(Back *p, int64_t first, int64_t steps, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    const int64_t width = p->line[1].axis.out;
    if (!steps)
        return;
    const UpsampleTask t = upsample_tasks(p->lk, first, steps, lanes, p->line[0].axis.in, width);
    p->lanes = lanes;
    p->n = t.n;
    p->c = t.c;
    p->sum = lb_alloc(b, LB_SCRATCH, "sum", (LType){p->lk->out->dtype, 1}, width * lanes);
    if (!p->line[1].one)
        tabulate(p);
    p->h = lb_for(b, FOR_SERIAL, "h", t.top, t.end, 1);
    sum_rows(p);
    columns(p);
    lb_end(b);
    lb_end(b);
}

bool lower_upsample_backward(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    Back p = {.lk = &lk, .row_lanes = 1};
    for (int i = 0; i < 2; i++)
        p.line[i] = upsample_line(n, lk.out, lk.in[0], i);
    const ChannelSplit split = lower_channel_split(&lk);
    if (split.lanes == 1 && lower_lane_stride(lk.in[0], 3) == 1)
        p.row_lanes = (uint8_t)lk.lanes;
    tasks(&p, 0, split.whole, split.lanes);
    tasks(&p, split.whole * split.lanes, split.rest, 1);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
