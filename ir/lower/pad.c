/* pad and its gradient. Lanes run along the columns that are not padding, or along the channels of blocked
 * pictures. A task of pad is a row of the result; one of the gradient is all that the padded dimensions span,
 * to which the elements of dy are added in their order. */
#include "ir/ops/pad.h"
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/ops/common.h"

typedef struct Pad {
    LowerKernel *lk;
    const PadAttrs *a;
    const Type *x, *y; /* without and with the padding */
    bool backward;
    bool add; /* the gradient: elements have several copies */
    bool blocked;
    uint8_t lanes;
    int last;
    Idx in[MAX_RANK], out[MAX_RANK]; /* coordinates in x and y */
} Pad;

/* The element of x that stands at `at` of y along dimension d; of constants the nearest one. */
static Idx source(Pad *p, int d, Idx at) {
    LBuild *b = &p->lk->b;
    const int64_t before = pad_before(p->a, p->y->rank, d), size = p->x->dim[d].size;
    if (!before && !pad_after(p->a, p->y->rank, d))
        return at;
    Idx i = lb_addc(b, at, -before);
    if (p->a->mode == PAD_REFLECT) {
        i = lb_max(b, i, lb_mulc(b, i, -1));
        i = lb_min(b, i, lb_addc(b, lb_mulc(b, i, -1), 2 * (size - 1)));
    } else if (p->a->mode == PAD_CIRCULAR) {
        i = lb_modc(b, lb_addc(b, i, size), size);
    }
    return lb_max(b, lb_c(b, 0), lb_min(b, i, lb_c(b, size - 1)));
}

static Pos position(const Pad *p, const Idx *coord, uint8_t lanes) {
    return (Pos){.coord = coord, .lane_dim = p->blocked ? 1 : p->last, .lanes = lanes};
}

static LVal load_result(Pad *p, const Pos *pos) {
    LBuild *b = &p->lk->b;
    const Type *t = p->lk->out;
    return lb_load(b, (LType){t->dtype, pos->lanes}, p->lk->out_buf, lower_index(b, t, pos->coord));
}

/* One element, or vector, of y and the one of x that it is a copy of. */
static void copy(Pad *p, uint8_t lanes) {
    LowerKernel *lk = p->lk;
    const Pos in = position(p, p->in, lanes), out = position(p, p->out, lanes);
    if (p->backward) {
        LVal v = lower_load(lk, 0, p->y, &out);
        if (p->add)
            v = lb_op2(&lk->b, LOP_ADD, load_result(p, &in), v);
        lower_store(lk, v, &in);
    } else {
        LVal v = lower_load(lk, 0, p->x, &in);
        lower_store(lk, v, &out);
    }
}

static void store_value(Pad *p, const Idx *coord, double value, uint8_t lanes) {
    const Pos pos = position(p, coord, lanes);
    lower_store(p->lk, lb_const(&p->lk->b, (LType){p->lk->out->dtype, lanes}, value), &pos);
}

typedef enum Fill { FILL_ZERO, FILL_VALUE, FILL_EDGE, FILL_COPY } Fill;

/* Columns [lo, hi) of y (FILL_ZERO: of x), `step` at a time. */
static void columns(Pad *p, Fill fill, int64_t lo, int64_t hi, int64_t step, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    const Idx w = lb_for(b, FOR_SERIAL, "w", lb_c(b, lo), lb_c(b, hi), step);
    const int64_t before = pad_before(p->a, p->y->rank, p->last);
    p->out[p->last] = p->in[p->last] = w;
    if (fill == FILL_COPY)
        p->in[p->last] = lb_addc(b, w, -before);
    else if (fill == FILL_EDGE)
        p->in[p->last] = source(p, p->last, w);
    if (fill == FILL_ZERO)
        store_value(p, p->in, 0, lanes);
    else if (fill == FILL_VALUE)
        store_value(p, p->out, p->a->value, lanes);
    else
        copy(p, lanes);
    lb_end(b);
}

/* `size` columns from lo on: in vectors, then one by one. */
static void run(Pad *p, Fill fill, int64_t lo, int64_t size) {
    const uint8_t lanes = p->blocked || fill != FILL_EDGE ? p->lanes : 1, rest = p->blocked ? p->lanes : 1;
    const int64_t step = p->blocked ? 1 : lanes, whole = size / step * step;
    if (whole)
        columns(p, fill, lo, lo + whole, step, lanes);
    if (size > whole)
        columns(p, fill, lo + whole, lo + size, 1, rest);
}

/* A row of y: padding, what is copied, padding. */
static void row(Pad *p, Fill middle) {
    const int64_t before = pad_before(p->a, p->y->rank, p->last);
    const int64_t after = pad_after(p->a, p->y->rank, p->last), size = p->x->dim[p->last].size;
    const bool constant = p->a->mode == PAD_CONSTANT;
    if (!(constant && p->backward))
        run(p, constant ? FILL_VALUE : FILL_EDGE, 0, before);
    run(p, middle, before, size);
    if (!(constant && p->backward))
        run(p, constant ? FILL_VALUE : FILL_EDGE, before + size, after);
}

/* Opens the parallel loop over dimensions [0, until), channels in runs of lanes where they are blocked. */
static void open_tasks(Pad *p, int until) {
    LBuild *b = &p->lk->b;
    int64_t extent[MAX_RANK], inner = 1;
    for (int d = 1; d < until; d++) {
        extent[d] = p->blocked && d == 1 ? ceil_div(p->y->dim[1].size, p->lanes) : p->y->dim[d].size;
        inner *= extent[d];
    }
    const Idx count = lb_mulc(b, lb_dim(b, p->y->dim[0]), inner);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    for (int d = until - 1; d > 0; d--) {
        p->out[d] = lb_modc(b, t, extent[d]);
        if (p->blocked && d == 1)
            p->out[d] = lb_mulc(b, p->out[d], p->lanes);
        p->in[d] = source(p, d, p->out[d]);
        t = lb_divc(b, t, extent[d]);
    }
    p->in[0] = p->out[0] = t;
}

/* How far the row lies outside of x, over all dimensions. */
static Idx distance(Pad *p) {
    LBuild *b = &p->lk->b;
    const Idx zero = lb_c(b, 0);
    Idx sum = zero;
    for (int d = pad_first(p->a, p->y->rank); d < p->last; d++) {
        const int64_t before = pad_before(p->a, p->y->rank, d);
        const Idx short_of = lb_addc(b, lb_mulc(b, p->out[d], -1), before);
        const Idx beyond = lb_addc(b, p->out[d], 1 - before - p->x->dim[d].size);
        sum = lb_add(b, sum, lb_add(b, lb_max(b, zero, short_of), lb_max(b, zero, beyond)));
    }
    return sum;
}

static void build_forward(Pad *p) {
    LBuild *b = &p->lk->b;
    open_tasks(p, p->last);
    if (p->a->mode == PAD_CONSTANT && p->a->pad.n > 2) {
        lb_if(b, IF_EQ, distance(p), lb_c(b, 0));
        row(p, FILL_COPY);
        lb_else(b);
        row(p, FILL_VALUE);
        lb_end(b);
    } else {
        row(p, FILL_COPY);
    }
    lb_end(b);
}

/* The rows that the padded dimensions span: of x where the padding takes no part, else of y. */
static int open_rows(Pad *p, bool of_x) {
    static const char *const names[3] = {"c", "d", "h"};
    LBuild *b = &p->lk->b;
    const int first = pad_first(p->a, p->y->rank);
    for (int d = first; d < p->last; d++) {
        const Type *t = of_x ? p->x : p->y;
        const Idx i = lb_for(b, FOR_SERIAL, names[3 - (p->last - d)], lb_c(b, 0), lb_c(b, t->dim[d].size), 1);
        p->in[d] = of_x ? i : source(p, d, i);
        p->out[d] = of_x ? lb_addc(b, i, pad_before(p->a, p->y->rank, d)) : i;
    }
    return p->last - first;
}

static void close_rows(Pad *p, int loops) {
    for (int i = 0; i < loops; i++)
        lb_end(&p->lk->b);
}

static void build_backward(Pad *p) {
    const bool constant = p->a->mode == PAD_CONSTANT;
    const int first = pad_first(p->a, p->y->rank);
    open_tasks(p, first < p->last ? first : p->last);
    if (p->add) {
        const int loops = open_rows(p, true);
        run(p, FILL_ZERO, 0, p->x->dim[p->last].size);
        close_rows(p, loops);
    }
    const int loops = open_rows(p, constant);
    row(p, FILL_COPY);
    close_rows(p, loops);
    lb_end(&p->lk->b);
}

/* Channels that lie side by side in both, and are there to the end of the last vector. */
static bool along_channels(const Pad *p) {
    const Type *both[2] = {p->x, p->y};
    const int64_t c = p->x->dim[1].size, whole = ceil_div(c, p->lk->lanes) * p->lk->lanes;
    if (p->y->rank != 4 || pad_first(p->a, 4) < 2 || c < 2 || (c != whole && p->a->value != 0))
        return false;
    for (int i = 0; i < 2; i++)
        if (lower_lane_stride(both[i], 1) != 1 || !shape_padded(both[i], 1, whole) ||
            shape_lanes(both[i], 1, (uint8_t)p->lk->lanes) != p->lk->lanes)
            return false;
    return true;
}

bool lower_pad(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    Pad p = {.lk = &lk, .a = n->attrs, .backward = n->op == OP_pad_backward, .last = lk.out->rank - 1};
    p.x = p.backward ? lk.out : lk.in[0];
    p.y = p.backward ? lk.in[0] : lk.out;
    p.add = p.backward && p.a->mode != PAD_CONSTANT;
    p.blocked = along_channels(&p);
    const bool columns_even = lower_lane_stride(p.x, p.last) == 1 && lower_lane_stride(p.y, p.last) == 1;
    p.lanes = (uint8_t)(p.blocked || columns_even ? lk.lanes : 1);
    if (p.add)
        lk.b.k->bufs.data[lk.out_buf].kind = LB_INOUT; /* read again once it is written */
    if (p.backward)
        build_backward(&p);
    else
        build_forward(&p);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
