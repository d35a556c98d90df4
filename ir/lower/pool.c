/* Pooling: each output is the maximum or the mean of a window. A task computes some rows of some channels of
 * one image. Where windows lie inside the input their bounds are constant and small windows are unrolled;
 * elsewhere loop bounds are clamped, so padding is never read. Lanes run along the channels where they are
 * innermost, else along the output columns. The order of a sum depends on the window alone. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/lower/window.h"
#include <math.h>

enum { TASK_READS = 16384, UNROLL_COLUMNS = 8, UNROLL_WINDOW = 32, SUMS = 4, SUMS_FROM = 12 };

typedef struct Pool {
    LowerKernel *lk;
    bool is_max, count_pad;
    int64_t divisor; /* of every sum; 0: the elements that count */
    PoolAxis axis[2];
    int lane_dim; /* 1 or 3 */
    uint8_t lanes;
    Idx n, c;
    uint32_t acc; /* SUMS partial results of the current window */
    int sums;     /* of them in use */
} Pool;

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

/* ---- One window ---- */

static LVal load_input(Pool *p, Idx ih, Idx iw, uint8_t lanes) {
    LowerKernel *lk = p->lk;
    const Type *in = lk->in[0];
    Idx coord[4] = {p->n, p->c, ih, iw};
    if (lanes > 1 && p->lane_dim == 3 && p->axis[1].stride != 1) /* no prologue then */
        return lb_load_strided(&lk->b, (LType){in->dtype, lanes}, lk->in_buf[0],
                               lower_index(&lk->b, in, coord), lower_lane_stride(in, 3) * p->axis[1].stride);
    Pos pos = {.coord = coord, .lane_dim = p->lane_dim, .lanes = lanes};
    return lower_load0(lk, &pos);
}

/* acc[sum] takes in the input at (ih, tap kw). */
static void take(Pool *p, Idx ih, Idx ow, Idx kw, Idx sum, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    LType t = {p->lk->out->dtype, lanes};
    LVal x = load_input(p, ih, pool_input(&p->lk->b, &p->axis[1], ow, kw), lanes);
    LVal old = lb_load(b, t, p->acc, sum);
    lb_store(b, p->acc, sum, lb_op2(b, p->is_max ? LOP_MAX : LOP_ADD, old, x));
}

/* The taps of one input row. `wide`: unrolled in groups, one partial sum each. */
static void take_row(Pool *p, Idx ih, Idx ow, Idx lo, Idx hi, bool inside, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    int64_t taps = p->axis[1].taps, grouped = inside ? taps / p->sums * p->sums : 0;
    Idx zero = lb_c(b, 0);
    if (inside && taps <= UNROLL_COLUMNS) {
        Idx kw = lb_for(b, FOR_UNROLL, "kw", lo, hi, 1);
        take(p, ih, ow, kw, lb_modc(b, kw, p->sums), lanes);
        lb_end(b);
        return;
    }
    if (grouped && p->sums > 1) {
        Idx kw = lb_for(b, FOR_SERIAL, "kw", zero, lb_c(b, grouped), p->sums);
        for (int i = 0; i < p->sums; i++)
            take(p, ih, ow, lb_addc(b, kw, i), lb_c(b, i), lanes);
        lb_end(b);
        lo = lb_c(b, grouped);
    }
    Idx kw = lb_for(b, FOR_SERIAL, "kw", lo, hi, 1);
    take(p, ih, ow, kw, zero, lanes);
    lb_end(b);
}

static LVal combine(Pool *p, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    LType t = {p->lk->out->dtype, lanes};
    LVal v[SUMS];
    for (int i = 0; i < p->sums; i++)
        v[i] = lb_load(b, t, p->acc, lb_c(b, i));
    for (int half = p->sums / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = lb_op2(b, LOP_ADD, v[i], v[i + half]);
    return v[0];
}

/* The output at row oh and columns from ow on. */
static void window(Pool *p, Idx oh, Idx ow, bool rows_inside, bool columns_inside, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    const PoolAxis *rows = &p->axis[0], *columns = &p->axis[1];
    LType t = {p->lk->out->dtype, lanes};
    Idx h0, h1, w0, w1;
    pool_taps(b, rows, oh, rows_inside, &h0, &h1);
    pool_taps(b, columns, ow, columns_inside, &w0, &w1);
    p->sums = !p->is_max && columns_inside && columns->taps >= SUMS && rows->taps * columns->taps >= SUMS_FROM
                  ? SUMS
                  : 1;
    p->acc = lb_alloc(b, LB_REG, "acc", t, p->sums);
    for (int i = 0; i < p->sums; i++)
        lb_store(b, p->acc, lb_c(b, i), lb_const(b, t, p->is_max ? -INFINITY : 0));
    bool small = rows_inside && columns_inside && rows->taps * columns->taps <= UNROLL_WINDOW;
    Idx kh = lb_for(b, small ? FOR_UNROLL : FOR_SERIAL, "kh", h0, h1, 1);
    take_row(p, pool_input(b, rows, oh, kh), ow, w0, w1, columns_inside, lanes);
    lb_end(b);
    LVal v = combine(p, lanes);
    if (!p->is_max) {
        Idx high = pool_tap_count(b, rows, p->count_pad, oh, h0, h1);
        Idx wide = pool_tap_count(b, columns, p->count_pad, ow, w0, w1);
        Idx count = p->divisor ? lb_c(b, p->divisor) : lb_mul(b, high, wide);
        v = lb_op2(b, LOP_DIV, v, lb_splat(b, lb_index(b, (LType){t.dtype, 1}, count), lanes));
    }
    Idx coord[4] = {p->n, p->c, oh, ow};
    Pos pos = {.coord = coord, .lane_dim = p->lane_dim, .lanes = lanes};
    lower_store(p->lk, lower_epilogue(p->lk, v, &pos), &pos);
}

/* ---- Rows, tasks ---- */

static void columns(Pool *p, Idx oh, int64_t lo, int64_t hi, bool rows_inside, bool inside, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    int64_t step = p->lane_dim == 3 ? lanes : 1, end = lo + (hi - lo) / step * step;
    if (end > lo) {
        Idx ow = lb_for(b, FOR_SERIAL, "ow", lb_c(b, lo), lb_c(b, end), step);
        window(p, oh, ow, rows_inside, inside, lanes);
        lb_end(b);
    }
    if (hi > end) /* only where lanes are columns */
        columns(p, oh, end, hi, rows_inside, inside, 1);
}

/* Rows of the task that lie in [lo, hi). */
static void rows(Pool *p, Idx first, Idx end, int64_t lo, int64_t hi, bool inside, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    const PoolAxis *a = &p->axis[1];
    uint8_t edge = p->lane_dim == 1 ? lanes : 1;
    if (lo >= hi)
        return;
    Idx oh = lb_for(b, FOR_SERIAL, "oh", lb_max(b, first, lb_c(b, lo)), lb_min(b, end, lb_c(b, hi)), 1);
    columns(p, oh, 0, a->lo, inside, false, edge);
    columns(p, oh, a->lo, a->hi, inside, true, lanes);
    columns(p, oh, a->hi, a->out, inside, false, edge);
    lb_end(b);
}

/* Output rows of a task: by what they read, in double for it may be huge. */
static int64_t task_rows(const Pool *p) {
    double reads = (double)p->axis[1].out;
    for (int i = 0; i < 2; i++)
        reads *= (double)(p->axis[i].taps < p->axis[i].in ? p->axis[i].taps : p->axis[i].in);
    return reads < TASK_READS ? clamp((int64_t)(TASK_READS / reads), 1, p->axis[0].out) : 1;
}

/* All images; channels [first, first + steps * width), `width` of them a task. */
static void tasks(Pool *p, int64_t first, int64_t steps, int64_t width, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    const PoolAxis *a = &p->axis[0];
    int64_t height = task_rows(p), chunks = ceil_div(a->out, height);
    if (!steps)
        return;
    Idx count = lb_mulc(b, lb_dim(b, p->lk->out->dim[0]), steps);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, count, chunks), 1);
    Idx channels = lb_divc(b, t, chunks);
    Idx top = lb_mulc(b, lb_modc(b, t, chunks), height);
    Idx end = lb_min(b, lb_addc(b, top, height), lb_c(b, a->out));
    p->n = lb_divc(b, channels, steps);
    p->c = lb_addc(b, lb_mulc(b, lb_modc(b, channels, steps), width), first);
    rows(p, top, end, 0, a->lo, false, lanes);
    rows(p, top, end, a->lo, a->hi, true, lanes);
    rows(p, top, end, a->hi, a->out, false, lanes);
    lb_end(b);
}

/* Lanes along channels where both sides have them innermost, else along columns. */
static void choose_lanes(Pool *p) {
    LowerKernel *lk = p->lk;
    const Node *n = lk->n;
    p->lane_dim = shape_lane_dim(lk->in[0]) == 1 && shape_lane_dim(lk->out) == 1 ? 1 : 3;
    p->lanes = shape_lanes(lk->out, p->lane_dim, (uint8_t)lk->lanes);
    for (uint32_t i = 0; i < n->n_operands; i++)
        p->lanes = shape_lanes(lk->in[i], p->lane_dim - (lk->out->rank - lk->in[i]->rank), p->lanes);
    if (p->lane_dim == 3 && (p->axis[1].adaptive || (n->prologue && p->axis[1].stride != 1)))
        p->lanes = 1;
}

/* Are the channels blocked on both sides, so that whole vectors may reach into padding lanes? */
static bool padded_alike(const LowerKernel *lk, uint8_t lanes) {
    int64_t c = lk->out->dim[1].size;
    const Type *types[2] = {lk->in[0], lk->out};
    for (int i = 0; i < 2; i++)
        if (!shape_padded(types[i], 1, ceil_div(c, lanes) * lanes))
            return false;
    return !lk->n->prologue && !lk->n->epilogue;
}

bool lower_pool(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    const bool adaptive = n->op == OP_adaptive_avg_pool2d || n->op == OP_adaptive_max_pool2d;
    Pool p = {.lk = &lk, .is_max = n->op == OP_max_pool2d || n->op == OP_adaptive_max_pool2d};
    for (int i = 0; i < 2; i++)
        p.axis[i] = adaptive ? pool_axis_adaptive(lk.in[0]->dim[2 + i].size, lk.out->dim[2 + i].size)
                             : pool_axis(n->attrs, lk.in[0]->dim[2 + i].size, lk.out->dim[2 + i].size, i);
    if (n->op == OP_avg_pool2d) {
        p.count_pad = ((const Pool2dAttrs *)n->attrs)->count_include_pad;
        p.divisor = ((const Pool2dAttrs *)n->attrs)->divisor_override;
    }
    choose_lanes(&p);
    int64_t c = lk.out->dim[1].size;
    if (p.lane_dim == 3 || p.lanes == 1) {
        tasks(&p, 0, c, 1, p.lanes);
    } else if (padded_alike(&lk, p.lanes)) {
        tasks(&p, 0, ceil_div(c, p.lanes), p.lanes, p.lanes);
    } else {
        tasks(&p, 0, c / p.lanes, p.lanes, p.lanes);
        tasks(&p, c / p.lanes * p.lanes, c % p.lanes, 1, 1);
    }
    lower_zero_border(&lk);
    return lower_end(&lk);
}
