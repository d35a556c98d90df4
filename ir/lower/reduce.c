/* sum, mean and amax over some dimensions, which stay with one element. Lanes run along the dimension that is
 * innermost in memory: along a reduced one they are elements of one result, put together at its end; along
 * another, neighbouring results, several vectors of them a task. Sums are f32 over short runs and f64 across
 * them. The order of additions depends on the shape alone. */
#include "ir/ops/reduce.h"
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include <math.h>

enum {
    SLOTS = 4, /* vectors at once */
    RUN = 32   /* additions in f32 on one slot before they go to f64 */
};

typedef struct Reduce {
    LowerKernel *lk;
    LOp op;        /* LOP_ADD or LOP_MAX */
    LType wide;    /* of a total: f64 of a sum */
    int64_t count; /* that divides the sum */
    Type like;     /* the input, dense dimensions of one kind merged */
    uint32_t set;  /* bit d: dimension d is reduced */
    int row;       /* the reduced dimension that is walked innermost */
    int lane_dim;
    bool across; /* it is `row` */
    int slots;
    Idx coord[MAX_RANK];
    Idx first; /* along lane_dim, of the task, unless across */
    uint32_t total, rest;
} Reduce;

static double identity(const Reduce *r) {
    return r->op == LOP_MAX ? -INFINITY : 0;
}

/* Vector `slot` of the task at place x of the row. */
static Pos position(Reduce *r, Idx x, int slot, uint8_t lanes) {
    LBuild *b = &r->lk->b;
    const int64_t shift = (int64_t)slot * lanes;
    r->coord[r->row] = r->across ? lb_addc(b, x, shift) : x;
    if (!r->across && r->lane_dim >= 0)
        r->coord[r->lane_dim] = lb_addc(b, r->first, shift);
    return (Pos){.coord = r->coord, .lane_dim = r->lane_dim, .lanes = lanes};
}

static void fill(Reduce *r, uint32_t buf, LType t, int count) {
    for (int i = 0; i < count; i++)
        lb_store(&r->lk->b, buf, lb_c(&r->lk->b, i), lb_const(&r->lk->b, t, identity(r)));
}

/* Cell i of `to` takes v in. */
static void take(Reduce *r, uint32_t to, int i, LVal v) {
    LBuild *b = &r->lk->b;
    const LVal old = lb_load(b, lb_type(b, v), to, lb_c(b, i));
    lb_store(b, to, lb_c(b, i), lb_op2(b, r->op, old, v));
}

/* The slots of a run go to the totals: each to its own, or, of one result, all to the first, added in pairs.
 */
static void flush(Reduce *r, uint32_t acc, uint32_t to, uint8_t lanes) {
    LBuild *b = &r->lk->b;
    LVal v[SLOTS];
    int left = r->slots;
    for (int i = 0; i < left; i++)
        v[i] = lb_load(b, (LType){r->like.dtype, lanes}, acc, lb_c(b, i));
    for (; r->across && left > 1; left /= 2)
        for (int i = 0; i < left / 2; i++)
            v[i] = lb_op2(b, r->op, v[i], v[i + left / 2]);
    for (int i = 0; i < left; i++)
        take(r, to, i, lb_convert(b, r->wide.dtype, v[i]));
}

/* As much of elements [from + lo, from + hi) of the row as vectors of all slots cover. */
static void span(Reduce *r, Idx from, int64_t lo, int64_t hi, uint8_t lanes, uint32_t to) {
    LBuild *b = &r->lk->b;
    const int64_t step = r->across ? (int64_t)lanes * r->slots : 1;
    if (hi - lo < step)
        return;
    const LType t = {r->like.dtype, lanes};
    const uint32_t acc = lb_alloc(b, LB_REG, "acc", t, r->slots);
    fill(r, acc, t, r->slots);
    const Idx x = lb_for(b, FOR_SERIAL, "x", lb_c(b, lo), lb_c(b, lo + (hi - lo) / step * step), step);
    for (int i = 0; i < r->slots; i++) {
        const Pos pos = position(r, lb_add(b, from, x), i, lanes);
        take(r, acc, i, lower_load0(r->lk, &pos));
    }
    lb_end(b);
    flush(r, acc, to, lanes);
}

static void walk_row(Reduce *r, uint8_t lanes) {
    LBuild *b = &r->lk->b;
    const Idx zero = lb_c(b, 0);
    const int slots = r->slots;
    const int64_t step = r->across ? (int64_t)lanes * slots : 1, length = r->like.dim[r->row].size;
    const int64_t run = step * RUN, runs = length / run;
    if (runs) {
        const Idx q = lb_for(b, FOR_SERIAL, "r", zero, lb_c(b, runs), 1);
        span(r, lb_mulc(b, q, run), 0, run, lanes, r->total);
        lb_end(b);
    }
    span(r, zero, runs * run, length, lanes, r->total);
    if (!r->across)
        return;
    r->slots = 1;
    span(r, zero, length / step * step, length, lanes, r->total);
    span(r, zero, length / lanes * lanes, length, 1, r->rest);
    r->slots = slots;
}

static void store(Reduce *r, int slot, LVal v) {
    LBuild *b = &r->lk->b;
    const LType t = lb_type(b, v);
    if (r->count > 1)
        v = lb_op2(b, LOP_DIV, v, lb_const(b, t, (double)r->count));
    const Pos pos = position(r, lb_c(b, 0), r->across ? 0 : slot, t.lanes);
    for (int d = 0; d < r->like.rank; d++)
        if (r->set >> d & 1)
            r->coord[d] = lb_c(b, 0);
    lower_store(r->lk, lb_convert(b, r->like.dtype, v), &pos);
}

/* One result, or `slots` vectors of neighbours. */
static void results(Reduce *r, uint8_t lanes) {
    LBuild *b = &r->lk->b;
    const LType wide = {r->wide.dtype, lanes};
    const int totals = r->across ? 1 : r->slots;
    int loops = 0;
    r->total = lb_alloc(b, LB_REG, "total", wide, totals);
    fill(r, r->total, wide, totals);
    if (r->across) {
        r->rest = lb_alloc(b, LB_REG, "rest", r->wide, 1);
        fill(r, r->rest, r->wide, 1);
    }
    for (int d = 0; d < r->like.rank; d++)
        if (r->set >> d & 1 && d != r->row) {
            r->coord[d] = lb_for(b, FOR_SERIAL, "k", lb_c(b, 0), lb_c(b, r->like.dim[d].size), 1);
            loops++;
        }
    walk_row(r, lanes);
    while (loops--)
        lb_end(b);
    for (int i = 0; i < totals; i++) {
        LVal v = lb_load(b, wide, r->total, lb_c(b, i));
        if (r->across && lanes > 1)
            v = lb_op1(b, r->op == LOP_MAX ? LOP_HMAX : LOP_SUM, v);
        if (r->across)
            v = lb_op2(b, r->op, v, lb_load(b, r->wide, r->rest, lb_c(b, 0)));
        store(r, i, v);
    }
}

/* All results; along lane_dim from `first` on in `steps` of `slots` vectors. */
static void tasks(Reduce *r, int64_t first, int64_t steps, int slots, uint8_t lanes) {
    LBuild *b = &r->lk->b;
    Idx count = lb_c(b, 1);
    r->slots = slots;
    if (!steps)
        return;
    for (int d = 0; d < r->like.rank; d++)
        if (!(r->set >> d & 1))
            count = lb_mul(b, count, d == r->lane_dim ? lb_c(b, steps) : lb_dim(b, r->like.dim[d]));
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    for (int d = r->like.rank - 1; d >= 0; d--) {
        const int64_t extent = d == r->lane_dim ? steps : r->like.dim[d].size;
        if (r->set >> d & 1)
            continue;
        const Idx i = d ? lb_modc(b, t, extent) : t;
        r->coord[d] = i;
        if (d == r->lane_dim)
            r->first = lb_addc(b, lb_mulc(b, i, (int64_t)slots * lanes), first);
        t = d ? lb_divc(b, t, extent) : t;
    }
    results(r, lanes);
    lb_end(b);
}

static void drop_dim(Type *t, int d) {
    t->rank--;
    for (int k = d; k < t->rank; k++)
        t->dim[k] = t->dim[k + 1];
}

/* Neighbouring dimensions of one kind as one, where memory lets them. */
static void merge_dims(Reduce *r) {
    LowerKernel *lk = r->lk;
    Type out = *lk->out;
    if (!layout_is_dense(&r->like.layout) || !layout_is_dense(&out.layout))
        return;
    for (int d = 0; d + 1 < r->like.rank;) {
        const uint32_t low = (1u << (d + 1)) - 1;
        if ((r->set >> d & 1) != (r->set >> (d + 1) & 1)) {
            d++;
            continue;
        }
        r->like.dim[d].size *= r->like.dim[d + 1].size; /* fits: it is at most the number of elements */
        out.dim[d].size *= out.dim[d + 1].size;
        drop_dim(&r->like, d + 1);
        drop_dim(&out, d + 1);
        r->set = (r->set & low) | (r->set >> 1 & ~low);
    }
    lk->in[0] = arena_copy(&lk->lw->cx->arena, &r->like, sizeof r->like);
    lk->out = arena_copy(&lk->lw->cx->arena, &out, sizeof out);
}

bool lower_reduce(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    const Type *out = lk.out;
    const bool is_max = n->op == OP_amax;
    Reduce r = {.lk = &lk, .like = *lk.in[0], .op = is_max ? LOP_MAX : LOP_ADD};
    r.wide = (LType){is_max ? DT_F32 : DT_F64, 1};
    r.set = reduce_dims(n->attrs, r.like.rank);
    r.count = n->op == OP_mean ? reduce_count(n->attrs, &r.like) : 1;
    merge_dims(&r);
    r.lane_dim = shape_lane_dim(&r.like);
    r.across = r.set >> r.lane_dim & 1;
    uint8_t lanes = r.like.dim[r.lane_dim].by_n ? 1 : shape_lanes(&r.like, r.lane_dim, (uint8_t)lk.lanes);
    lanes = shape_lanes(lk.out, r.lane_dim, lanes);
    for (int d = 0; d < r.like.rank; d++)
        r.row = r.set >> d & 1 ? d : r.row;
    const int64_t size = r.like.dim[r.lane_dim].size, wide = (int64_t)SLOTS * lanes;
    if (r.across) {
        r.row = r.lane_dim;
        tasks(&r, 0, 1, SLOTS, lanes);
    } else if (lanes == 1) {
        r.lane_dim = -1; /* an ordinary dimension */
        tasks(&r, 0, 1, 1, 1);
    } else {
        const int64_t whole = size / wide * wide, vectors = (size - whole) / lanes;
        tasks(&r, 0, size / wide, SLOTS, lanes);
        tasks(&r, whole, vectors, 1, lanes);
        tasks(&r, whole + vectors * lanes, size % lanes, 1, 1);
    }
    lk.out = out;
    lower_zero_border(&lk);
    return lower_end(&lk);
}
