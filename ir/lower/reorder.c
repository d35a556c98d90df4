/* One layout to another, and the zeroing of borders and padding lanes: a walk over the physical parts of the
 * result, outermost first, that meets each element once. flip_weight is such a walk, too: its elements come
 * from other coordinates. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/lower/transpose.h"

#include <string.h>

typedef struct Walk {
    LowerKernel *lk;
    const Type *t; /* of the result */
    PhysicalPart part[MAX_PARTS];
    int n;
    int parallel;        /* this many leading parts form the parallel loop */
    bool data;           /* copy the elements; else only zero what is no element */
    Idx outer[MAX_RANK]; /* logical coordinate so far, by dimension */
    bool seen[MAX_RANK];
} Walk;

static int64_t border_lo(const Type *t, int d) {
    return t->layout.nparts ? t->layout.lo[d] : 0;
}

static int64_t border_hi(const Type *t, int d) {
    return t->layout.nparts ? t->layout.hi[d] : 0;
}

static bool is_blocked(const Walk *w, int d) {
    for (int p = 0; p < w->n; p++)
        if (w->part[p].dim == d && w->part[p].divisor > 1)
            return true;
    return false;
}

/* Has dimension d physical elements that are no elements of the tensor? */
static bool is_padded(const Walk *w, int d) {
    int64_t block = 1;
    for (int p = 0; p < w->n; p++)
        if (w->part[p].dim == d && w->part[p].divisor > block)
            block = w->part[p].divisor;
    return border_lo(w->t, d) || border_hi(w->t, d) || (!w->t->dim[d].by_n && w->t->dim[d].size % block);
}

static bool work_left(const Walk *w, int p) {
    if (w->data)
        return true;
    for (; p < w->n; p++)
        if (is_padded(w, w->part[p].dim))
            return true;
    return false;
}

static void zero_range(Walk *w, Idx base, Idx count) {
    LBuild *b = &w->lk->b;
    int64_t c;
    if (ix_is_const(b->k, count, &c) && c <= 0)
        return;
    Idx i = lb_for_vector(b, "z", lb_c(b, 0), count, (uint8_t)w->lk->lanes);
    lb_store(b, w->lk->out_buf, lb_add(b, base, i), lb_const(b, (LType){w->t->dtype, 1}, 0));
    lb_end(b);
}

/* The groups of flip_weight; 0: another op, which keeps coordinates. */
static int64_t flip_groups(const Walk *w) {
    return w->lk->n->op == OP_flip_weight ? ((const FlipWeightAttrs *)w->lk->n->attrs)->groups : 0;
}

/* Where the element of the result at `outer` comes from. */
static void source(const Walk *w, Idx *from) {
    LBuild *b = &w->lk->b;
    const Type *weight = w->lk->in[0];
    int64_t groups = flip_groups(w);
    memcpy(from, w->outer, sizeof w->outer);
    if (!groups)
        return;
    from[0] = w->outer[1];
    from[1] = w->outer[0];
    if (groups > 1) {
        Idx group = lb_divc(b, w->outer[0], weight->dim[1].size);
        from[0] = lb_add(b, from[0], lb_mulc(b, group, weight->dim[0].size / groups));
        from[1] = lb_modc(b, w->outer[0], weight->dim[1].size);
    }
    for (int d = 2; d < 4; d++)
        from[d] = lb_sub(b, lb_c(b, weight->dim[d].size - 1), w->outer[d]);
}

static void copy_element(Walk *w, Idx at) {
    Idx from[MAX_RANK];
    source(w, from);
    Pos pos = {.coord = from, .lanes = 1};
    lb_store(&w->lk->b, w->lk->out_buf, at, lower_load(w->lk, 0, w->lk->in[0], &pos));
}

static void walk(Walk *w, int p, Idx at);

/* Are the elements that the loop over an innermost part meets neighbours here and evenly spaced in the
 * operand? */
static bool is_even(const Walk *w, const PhysicalPart *part) {
    /* A border may shift the blocks of the result: then no block of the operand is in step. */
    int64_t run = border_lo(w->t, part->dim) ? TYPE_MAX_ELEMS : part->extent.size, groups = flip_groups(w);
    if (groups > 1 || (groups && part->dim > 1))
        return false;
    return part->stride == 1 && shape_even(w->lk->in[0], groups ? !part->dim : part->dim, run);
}

/* The part's loop over `count` of its data from `first` on, which have the logical coordinates from `logical`
 * on; inside, the further parts. */
static void data_loop(Walk *w, int p, Idx at, Idx first, Idx count, Idx logical) {
    LBuild *b = &w->lk->b;
    const PhysicalPart *part = &w->part[p];
    static const char *const names[MAX_RANK] = {"a", "b", "c", "d", "e", "f"};
    Idx saved = w->outer[part->dim];
    bool last = p == w->n - 1;
    Idx i = last && is_even(w, part)
                ? lb_for_vector(b, names[part->dim], lb_c(b, 0), count, (uint8_t)w->lk->lanes)
                : lb_for(b, FOR_SERIAL, names[part->dim], lb_c(b, 0), count, 1);
    w->outer[part->dim] = lb_add(b, logical, lb_mulc(b, i, part->divisor));
    Idx here = lb_add(b, at, lb_mulc(b, lb_add(b, first, i), part->stride));
    if (last)
        copy_element(w, here);
    else
        walk(w, p + 1, here);
    lb_end(b);
    w->outer[part->dim] = saved;
}

/* Where in a block of `factor` the logical coordinate `to` lies, of which lane 0 has the coordinate `from`; 0
 * or `factor` when it is outside. */
static Idx lane_of(LBuild *b, int64_t to, Idx from, int64_t factor) {
    return lb_max(b, lb_c(b, 0), lb_min(b, lb_c(b, factor), lb_sub(b, lb_c(b, to), from)));
}

/* An inner part of a blocked dimension: the first and the last block may be short, their other lanes are
 * zeroed. */
static void walk_block(Walk *w, int p, Idx at) {
    LBuild *b = &w->lk->b;
    const PhysicalPart *part = &w->part[p];
    int d = part->dim;
    int64_t factor = part->extent.size;
    bool lanes = part->divisor == 1 && is_padded(w, d);
    Idx first = lanes && border_lo(w->t, d) ? lane_of(b, 0, w->outer[d], factor) : lb_c(b, 0);
    Idx end = lanes ? lane_of(b, w->t->dim[d].size, w->outer[d], factor) : lb_c(b, factor);
    zero_range(w, at, lb_mulc(b, first, part->stride));
    if (work_left(w, p + 1) && (w->data || p + 1 < w->n))
        data_loop(w, p, at, first, lb_sub(b, end, first), lb_add(b, w->outer[d], first));
    zero_range(w, lb_add(b, at, lb_mulc(b, end, part->stride)),
               lb_mulc(b, lb_sub(b, lb_c(b, factor), end), part->stride));
}

/* The outermost part of a dimension, with the border; where the dimension is blocked, its blocks hold that.
 */
static void walk(Walk *w, int p, Idx at) {
    if (!work_left(w, p))
        return;
    LBuild *b = &w->lk->b;
    const PhysicalPart *part = &w->part[p];
    int d = part->dim;
    if (w->seen[d]) {
        walk_block(w, p, at);
        return;
    }
    w->seen[d] = true;
    bool blocked = is_blocked(w, d);
    int64_t lo = blocked ? 0 : border_lo(w->t, d), hi = blocked ? 0 : border_hi(w->t, d);
    Idx extent = lb_dim(b, blocked ? part->extent : w->t->dim[d]);
    zero_range(w, at, lb_c(b, lo * part->stride));
    if (w->data || work_left(w, p + 1))
        data_loop(w, p, at, lb_c(b, lo), extent, lb_c(b, blocked ? -border_lo(w->t, d) : 0));
    zero_range(w, lb_add(b, at, lb_mulc(b, lb_addc(b, extent, lo), part->stride)),
               lb_c(b, hi * part->stride));
    w->seen[d] = false;
}

/* The leading parts without border become one parallel loop. */
static void walk_parallel(Walk *w) {
    LBuild *b = &w->lk->b;
    Idx count = lb_c(b, 1);
    while (w->parallel + 1 < w->n) {
        const PhysicalPart *part = &w->part[w->parallel];
        if (w->seen[part->dim] || border_lo(w->t, part->dim) || border_hi(w->t, part->dim))
            break;
        w->seen[part->dim] = true;
        count = lb_mul(b, lb_dim(b, part->extent), count);
        w->parallel++;
    }
    Idx at = lb_c(b, 0);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    for (int p = w->parallel - 1; p >= 0; p--) {
        const PhysicalPart *part = &w->part[p];
        Idx i = p == 0 ? t : lb_modc(b, t, part->extent.size);
        if (p != 0)
            t = lb_divc(b, t, part->extent.size);
        w->outer[part->dim] = lb_mulc(b, i, part->divisor);
        at = lb_add(b, at, lb_mulc(b, i, part->stride));
    }
    walk(w, w->parallel, at);
    lb_end(b);
}

static void walk_all(LowerKernel *lk, bool data) {
    Walk w = {.lk = lk, .t = lk->out, .data = data};
    w.n = type_parts(lk->out, w.part);
    for (int d = 0; d < MAX_RANK; d++)
        w.outer[d] = lb_c(&lk->b, 0);
    if (w.n > 0 && work_left(&w, 0))
        walk_parallel(&w);
}

void lower_zero_border(LowerKernel *lk) {
    walk_all(lk, false);
}

/* ---- Dense weights to packed ones, in squares of registers ---- */

/* Rows [row, row + rows) of the operand, columns from `column` on, and zeros for the rows up to a vector. */
static void pack_square(void *own, Idx row, int64_t rows, Idx column) {
    LowerKernel *lk = own;
    LBuild *b = &lk->b;
    const Type *from = lk->in[0];
    int64_t lanes = lk->lanes, width = type_elems(from, 1) / from->dim[0].size;
    LType t = {DT_F32, (uint8_t)lanes};
    uint32_t square = lb_alloc(b, LB_REG, "square", t, lanes);
    LVal zero = lb_const(b, t, 0);
    for (int64_t i = 0; i < lanes; i++) {
        Idx at = lb_add(b, lb_mulc(b, lb_addc(b, row, i), width), column);
        lb_store(b, square, lb_c(b, i), i < rows ? lb_load(b, t, lk->in_buf[0], at) : zero);
    }
    lower_transpose(b, square, lanes);
    for (int64_t i = 0; i < lanes; i++) {
        Idx coord[MAX_RANK] = {row};
        transpose_coord(b, from, lb_addc(b, column, i), coord);
        lb_store(b, lk->out_buf, lower_index(b, lk->out, coord), lb_load(b, t, square, lb_c(b, i)));
    }
}

bool lower_reorder(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "reorder");
    /* What is known at load is packed once, and not worth more code. */
    if (lw->contract && n->op == OP_reorder && transpose_suits(lk.in[0], lk.out, lk.lanes)) {
        lower_squares(&lk, lk.in[0], transpose_rows(lk.out), pack_square, &lk);
        return lower_end(&lk);
    }
    walk_all(&lk, true);
    return lower_end(&lk);
}
