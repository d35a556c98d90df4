/* The plain nests of conv2d and linear: any layout, stride, dilation and groups, nothing packed. A
 * convolution's lanes run along output columns where they are evenly spaced; columns whose window leaves the
 * input are done one by one with clamped bounds. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/ops/common.h"

enum { TASK_MACS = 65536, UNROLL_COLUMNS = 7, COLUMN_VECTORS = 4, ROW_VECTORS = 4 };

typedef struct Conv {
    LowerKernel *lk;
    const Conv2dAttrs *a;
    Window axis[2];
    int64_t out[2];   /* output rows, columns */
    int64_t lo, hi;   /* columns whose window lies inside the input */
    int64_t ics, ocs; /* channels of a group */
    bool bias, unroll;
    uint8_t lanes;
    Idx n, oc;
} Conv;

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

static Idx ceil_divc(LBuild *b, Idx x, int64_t c) {
    return lb_divc(b, lb_addc(b, x, c - 1), c);
}

/* Taps of output o that lie inside the input. */
static void tap_bounds(Conv *c, const Window *w, Idx o, Idx *lo, Idx *hi) {
    LBuild *b = &c->lk->b;
    Idx start = lb_addc(b, lb_mulc(b, o, -w->stride), w->before);
    *lo = lb_c(b, 0);
    *hi = lb_c(b, w->kernel);
    if (w->before)
        *lo = lb_max(b, *lo, ceil_divc(b, start, w->dilation));
    *hi = lb_min(b, *hi, ceil_divc(b, lb_addc(b, start, w->in), w->dilation));
}

static Idx input_at(LBuild *b, const Window *w, Idx o, Idx tap) {
    return lb_add(b, lb_addc(b, lb_mulc(b, o, w->stride), -w->before), lb_mulc(b, tap, w->dilation));
}

static LVal load_input(Conv *c, Idx ic, Idx ih, Idx iw, uint8_t lanes) {
    LowerKernel *lk = c->lk;
    const Type *in = lk->in[0];
    Idx coord[4] = {c->n, ic, ih, iw};
    if (lanes > 1 && c->axis[1].stride != 1) /* no prologue then */
        return lb_load_strided(&lk->b, (LType){in->dtype, lanes}, lk->in_buf[0],
                               lower_index(&lk->b, in, coord), lower_lane_stride(in, 3) * c->axis[1].stride);
    Pos pos = {.coord = coord, .lane_dim = 3, .lanes = lanes};
    return lower_load0(lk, &pos);
}

/* Accumulators, begun with the bias. */
static uint32_t begin_sums(Conv *c, LType t, int vectors) {
    LBuild *b = &c->lk->b;
    uint32_t acc = lb_alloc(b, LB_REG, "acc", t, vectors);
    LVal first = lb_const(b, t, 0);
    if (c->bias) {
        Idx at = lower_index(b, c->lk->in[2], &c->oc);
        first = lb_splat(b, lb_load(b, (LType){t.dtype, 1}, c->lk->in_buf[2], at), t.lanes);
    }
    for (int i = 0; i < vectors; i++)
        lb_store(b, acc, lb_c(b, i), first);
    return acc;
}

/* `vectors` vectors of output columns from (oh, ow) on. */
static void pixels(Conv *c, Idx oh, Idx ow, bool inside, int vectors, uint8_t lanes) {
    LBuild *b = &c->lk->b;
    LowerKernel *lk = c->lk;
    LType t = {lk->out->dtype, lanes};
    Idx h0, h1, w0 = lb_c(b, 0), w1 = lb_c(b, c->axis[1].kernel);
    tap_bounds(c, &c->axis[0], oh, &h0, &h1);
    if (!inside)
        tap_bounds(c, &c->axis[1], ow, &w0, &w1);
    uint32_t acc = begin_sums(c, t, vectors);
    Idx group = lb_mulc(b, lb_divc(b, c->oc, c->ocs), c->ics);
    Idx ic = lb_for(b, FOR_SERIAL, "ic", lb_c(b, 0), lb_c(b, c->ics), 1);
    Idx kh = lb_for(b, FOR_SERIAL, "kh", h0, h1, 1);
    Idx kw = lb_for(b, inside && c->unroll ? FOR_UNROLL : FOR_SERIAL, "kw", w0, w1, 1);
    Idx coord[4] = {c->oc, ic, kh, kw};
    LVal w = lb_load(b, (LType){t.dtype, 1}, lk->in_buf[1], lower_index(b, lk->in[1], coord));
    w = lb_splat(b, w, lanes);
    for (int i = 0; i < vectors; i++) {
        Idx iw = input_at(b, &c->axis[1], lb_addc(b, ow, (int64_t)i * lanes), kw);
        LVal x = load_input(c, lb_add(b, group, ic), input_at(b, &c->axis[0], oh, kh), iw, lanes);
        lb_store(b, acc, lb_c(b, i), lb_mad(b, x, w, lb_load(b, t, acc, lb_c(b, i))));
    }
    lb_end(b);
    lb_end(b);
    lb_end(b);
    for (int i = 0; i < vectors; i++) {
        Idx at[4] = {c->n, c->oc, oh, lb_addc(b, ow, (int64_t)i * lanes)};
        Pos pos = {.coord = at, .lane_dim = 3, .lanes = lanes};
        lower_store(lk, lower_epilogue(lk, lb_load(b, t, acc, lb_c(b, i)), &pos), &pos);
    }
}

/* Columns [lo, hi): as many at a time as fit, then one vector, then one by one. */
static void columns(Conv *c, Idx oh, int64_t lo, int64_t hi, bool inside) {
    LBuild *b = &c->lk->b;
    int lanes = inside ? c->lanes : 1, vectors = lanes > 1 ? COLUMN_VECTORS : 1;
    while (lo < hi) {
        int64_t step = (int64_t)lanes * vectors, end = lo + (hi - lo) / step * step;
        if (end > lo) {
            Idx ow = lb_for(b, FOR_SERIAL, "ow", lb_c(b, lo), lb_c(b, end), step);
            pixels(c, oh, ow, inside, vectors, (uint8_t)lanes);
            lb_end(b);
        }
        lo = end;
        if (vectors > 1)
            vectors = 1;
        else
            lanes = 1;
    }
}

static Conv make_conv(LowerKernel *lk) {
    const Node *n = lk->n;
    const Type *in = lk->in[0], *w = lk->in[1];
    Conv c = {.lk = lk, .a = n->attrs, .lanes = (uint8_t)lk->lanes};
    for (int i = 0; i < 2; i++) {
        c.axis[i] = conv2d_window(c.a, in, w, i);
        c.out[i] = lk->out->dim[2 + i].size;
    }
    const Window *x = &c.axis[1];
    int64_t room = x->in - 1 - (x->kernel - 1) * x->dilation + x->before;
    c.lo = clamp(ceil_div(x->before, x->stride), 0, c.out[1]);
    c.hi = room < 0 ? c.lo : clamp(room / x->stride + 1, c.lo, c.out[1]);
    c.ics = w->dim[1].size;
    c.ocs = lk->out->dim[1].size / c.a->groups;
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    c.bias = own > 2;
    c.unroll = x->kernel <= UNROLL_COLUMNS;
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (i == 0 || i >= own) /* all that have columns */
            c.lanes = shape_lanes(lk->in[i], 3 - (4 - lk->in[i]->rank), c.lanes);
    c.lanes = shape_lanes(lk->out, 3, c.lanes);
    if (n->prologue && x->stride != 1)
        c.lanes = 1;
    return c;
}

bool lower_conv_plain(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "conv2d");
    Conv c = make_conv(&lk);
    LBuild *b = &lk.b;
    double macs = (double)c.out[1] * (double)c.ics * (double)c.axis[0].kernel * (double)c.axis[1].kernel;
    int64_t height = macs < TASK_MACS ? clamp((int64_t)(TASK_MACS / macs), 1, c.out[0]) : 1;
    int64_t chunks = ceil_div(c.out[0], height), ocs = lk.out->dim[1].size;
    Idx count = lb_mulc(b, lb_mulc(b, lb_dim(b, lk.out->dim[0]), ocs), chunks);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    Idx top = lb_mulc(b, lb_modc(b, t, chunks), height);
    c.oc = lb_modc(b, lb_divc(b, t, chunks), ocs);
    c.n = lb_divc(b, lb_divc(b, t, chunks), ocs);
    Idx end = lb_min(b, lb_addc(b, top, height), lb_c(b, c.out[0]));
    Idx oh = lb_for(b, FOR_SERIAL, "oh", top, end, 1);
    columns(&c, oh, 0, c.lo, false);
    columns(&c, oh, c.lo, c.hi, true);
    columns(&c, oh, c.hi, c.out[1], false);
    lb_end(b);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

/* ---- linear ---- */

/* acc += input[row, k...] * weight[o, k...] for `lanes` elements k. */
static void dot_step(LowerKernel *lk, uint32_t acc, int at, Idx *row, Idx o, Idx k, uint8_t lanes) {
    LBuild *b = &lk->b;
    LType t = {lk->out->dtype, lanes};
    int last = lk->in[0]->rank - 1;
    Idx coord[2] = {o, k};
    row[last] = k;
    Pos pos = {.coord = row, .lane_dim = last, .lanes = lanes};
    LVal x = lower_load0(lk, &pos);
    Pos wpos = {.coord = coord, .lane_dim = 1, .lanes = lanes};
    LVal w = lower_load(lk, 1, lk->in[1], &wpos);
    lb_store(b, acc, lb_c(b, at), lb_mad(b, x, w, lb_load(b, t, acc, lb_c(b, at))));
}

/* The dot product of an input row and a weight row: vectors in a fixed order, then the rest one by one. */
static LVal dot(LowerKernel *lk, Idx *row, Idx o, uint8_t lanes) {
    LBuild *b = &lk->b;
    LType t = {lk->out->dtype, lanes}, scalar = {lk->out->dtype, 1};
    int64_t k = lk->in[1]->dim[1].size, step = (int64_t)lanes * ROW_VECTORS, whole = k / step * step;
    LVal sum = lb_const(b, scalar, 0);
    Idx zero = lb_c(b, 0);
    if (whole && lanes > 1) {
        uint32_t acc = lb_alloc(b, LB_REG, "acc", t, ROW_VECTORS);
        for (int i = 0; i < ROW_VECTORS; i++)
            lb_store(b, acc, lb_c(b, i), lb_const(b, t, 0));
        Idx at = lb_for(b, FOR_SERIAL, "k", zero, lb_c(b, whole), step);
        for (int i = 0; i < ROW_VECTORS; i++)
            dot_step(lk, acc, i, row, o, lb_addc(b, at, (int64_t)i * lanes), lanes);
        lb_end(b);
        LVal v = lb_load(b, t, acc, zero);
        for (int i = 1; i < ROW_VECTORS; i++)
            v = lb_op2(b, LOP_ADD, v, lb_load(b, t, acc, lb_c(b, i)));
        sum = lb_op1(b, LOP_SUM, v);
    } else {
        whole = 0;
    }
    uint32_t rest = lb_alloc(b, LB_REG, "rest", scalar, 1);
    lb_store(b, rest, zero, sum);
    if (whole < k) {
        Idx at = lb_for(b, FOR_SERIAL, "k", lb_c(b, whole), lb_c(b, k), 1);
        dot_step(lk, rest, 0, row, o, at, 1);
        lb_end(b);
    }
    return lb_load(b, scalar, rest, zero);
}

bool lower_linear_plain(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "linear");
    LBuild *b = &lk.b;
    const Type *out = lk.out;
    int last = out->rank - 1;
    int64_t outs = out->dim[last].size;
    uint8_t lanes = shape_lanes(lk.in[0], last, shape_lanes(lk.in[1], 1, (uint8_t)lk.lanes));
    Idx row[MAX_RANK], count = lb_c(b, outs);
    for (int d = 0; d < last; d++)
        count = lb_mul(b, count, lb_dim(b, out->dim[d]));
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    Idx o = lb_modc(b, t, outs), r = lb_divc(b, t, outs);
    for (int d = last - 1; d >= 0; d--) {
        row[d] = d ? lb_modc(b, r, out->dim[d].size) : r;
        r = d ? lb_divc(b, r, out->dim[d].size) : r;
    }
    LVal v = dot(&lk, row, o, lanes);
    if (n->n_operands - n->n_prologue - n->n_epilogue > 2) {
        Idx at = lower_index(b, lk.in[2], &o);
        v = lb_op2(b, LOP_ADD, v, lb_load(b, (LType){out->dtype, 1}, lk.in_buf[2], at));
    }
    row[last] = o;
    Pos pos = {.coord = row, .lane_dim = last, .lanes = 1};
    lower_store(&lk, lower_epilogue(&lk, v, &pos), &pos);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
