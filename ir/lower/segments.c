/* Segments of operands side by side. Dense ones are runs of memory. In channel blocks, vectors of the result
 * that cross from one segment to the next, or do not begin where a vector of the operand does, are shuffled
 * together of those they touch: so a concat over channels is one copy, whatever their numbers, and what
 * follows it may ride along as its epilogue. */
#include "ir/lower/segments.h"
#include "ir/lower/shapes.h"

#include <string.h>

typedef struct Pieces {
    LowerKernel *lk;
    int dim; /* along which the segments lie */
    const Segment *segment;
    uint32_t n;
    int lane_dim;
    bool blocked;        /* the result in lane_dim */
    uint8_t lanes;       /* of blocks; 1: the loop over lane_dim is one of elements */
    int split;           /* the dimension that the parallel loop has beside the first; -1: none */
    Idx coord[MAX_RANK]; /* of the result */
} Pieces;

static LVal zeros(Pieces *p, uint8_t lanes) {
    return lb_const(&p->lk->b, (LType){p->lk->out->dtype, lanes}, 0);
}

/* Of a segment, with `from` along p->dim and the result's other coordinates. */
static LVal load(Pieces *p, const Segment *s, Idx from, uint8_t lanes) {
    if (s->operand < 0)
        return zeros(p, lanes);
    Idx coord[MAX_RANK];
    memcpy(coord, p->coord, sizeof coord);
    coord[p->dim] = from;
    const Pos pos = {.coord = coord, .lane_dim = p->lane_dim, .lanes = lanes};
    return lower_load(p->lk, (uint32_t)s->operand, p->lk->in[s->operand], &pos);
}

static void store(Pieces *p, LVal v, uint8_t lanes) {
    const Pos pos = {.coord = p->coord, .lane_dim = p->lane_dim, .lanes = lanes};
    lower_store(p->lk, lower_epilogue(p->lk, v, &pos), &pos);
}

/* ---- Vectors across segments ---- */

/* Lanes [lo, hi) of the vector of the result at `at`, a multiple of the lanes, out of the segment; the other
 * lanes are any. */
static LVal shifted(Pieces *p, const Segment *s, Idx at, int64_t lo, int64_t hi) {
    LBuild *b = &p->lk->b;
    const int64_t lanes = p->lanes, by = s->from - s->to, rest = (by % lanes + lanes) % lanes;
    const Idx first = lb_addc(b, at, by - rest);
    if (rest == 0 || s->operand < 0)
        return load(p, s, first, p->lanes);
    uint8_t lane[64];
    for (int64_t l = 0; l < lanes; l++)
        lane[l] = (uint8_t)(l >= lo && l < hi ? l + rest : l);
    LVal x = lo + rest < lanes ? load(p, s, first, p->lanes) : zeros(p, p->lanes);
    LVal y = hi + rest > lanes ? load(p, s, lb_addc(b, first, lanes), p->lanes) : zeros(p, p->lanes);
    return lb_shuffle(b, x, y, lane, p->lanes);
}

/* The vector at `at`; `channel` is one that lies to the segments as all do that this code serves. */
static LVal gathered(Pieces *p, Idx at, int64_t channel) {
    const int64_t lanes = p->lanes;
    LVal v = NO_LVAL;
    for (uint32_t i = 0; i < p->n; i++) {
        const Segment *s = &p->segment[i];
        const int64_t begin = s->to - channel, end = begin + s->count;
        const int64_t lo = begin > 0 ? begin : 0, hi = end < lanes ? end : lanes;
        if (lo >= hi)
            continue;
        LVal piece = shifted(p, s, at, lo, hi);
        if (lo == 0 && hi == lanes)
            return piece;
        uint8_t lane[64];
        for (int64_t l = 0; l < lanes; l++)
            lane[l] = (uint8_t)(l >= lo && l < hi ? l + lanes : l);
        v = lb_shuffle(&p->lk->b, v == NO_LVAL ? zeros(p, p->lanes) : v, piece, lane, p->lanes);
    }
    return v;
}

/* Loops over what is left of the dimensions from d on; inside, the vector. */
static void vectors(Pieces *p, int d, int64_t channel) {
    static const char *const names[MAX_RANK] = {"a", "b", "c", "d", "e", "f"};
    LBuild *b = &p->lk->b;
    while (d == 0 || d == p->split || d == p->dim)
        d++;
    if (d >= p->lk->out->rank) {
        store(p, gathered(p, p->coord[p->dim], channel), p->lanes);
        return;
    }
    p->coord[d] = lb_for(b, FOR_SERIAL, names[d], lb_c(b, 0), lb_dim(b, p->lk->out->dim[d]), 1);
    vectors(p, d + 1, channel);
    lb_end(b);
}

static const Segment *segment_at(const Pieces *p, int64_t channel) {
    const Segment *s = p->segment;
    while (channel >= s->to + s->count)
        s++;
    return s;
}

/* Vectors within one segment are a loop; those across several are code of their own. */
static void across(Pieces *p) {
    LBuild *b = &p->lk->b;
    const int64_t lanes = p->lanes, runs = ceil_div(p->lk->out->dim[p->dim].size, lanes);
    for (int64_t run = 0; run < runs;) {
        const Segment *s = segment_at(p, run * lanes);
        const int64_t whole = (s->to + s->count) / lanes, end = whole > run ? whole : run + 1;
        const Idx i = lb_for(b, FOR_SERIAL, "run", lb_c(b, run), lb_c(b, end), 1);
        p->coord[p->dim] = lb_mulc(b, i, lanes);
        vectors(p, 0, run * lanes);
        lb_end(b);
        run = end;
    }
}

/* ---- One segment after the other ---- */

/* Loops over what is left of the dimensions from d on, of the segment in its own. */
static void elements(Pieces *p, const Segment *s, int d, Idx from) {
    static const char *const names[MAX_RANK] = {"a", "b", "c", "d", "e", "f"};
    LBuild *b = &p->lk->b;
    while (d < p->lk->out->rank && ((d == 0 && p->dim != 0) || d == p->split))
        d++;
    if (d >= p->lk->out->rank) {
        store(p, load(p, s, from, p->blocked ? p->lanes : 1), p->blocked ? p->lanes : 1);
        return;
    }
    const int64_t lanes = d == p->lane_dim ? p->lanes : 1;
    Idx end = d == p->dim ? lb_c(b, s->count) : lb_dim(b, p->lk->out->dim[d]);
    if (p->blocked)
        end = lb_divc(b, lb_addc(b, end, lanes - 1), lanes);
    const Idx i = lanes > 1 && !p->blocked ? lb_for_vector(b, names[d], lb_c(b, 0), end, (uint8_t)lanes)
                                           : lb_for(b, FOR_SERIAL, names[d], lb_c(b, 0), end, 1);
    if (d == p->dim) {
        p->coord[d] = lb_addc(b, lb_mulc(b, i, s->to_step), s->to);
        from = lb_addc(b, lb_mulc(b, i, s->from_step), s->from);
    } else {
        p->coord[d] = p->blocked ? lb_mulc(b, i, lanes) : i;
    }
    elements(p, s, d + 1, from);
    lb_end(b);
}

/* ---- Lanes and tasks ---- */

static bool unit_steps(const Pieces *p) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->segment[i].to_step != 1 || p->segment[i].from_step != 1)
            return false;
    return true;
}

static bool in_blocks(const Type *t, int d) {
    for (int k = 0; k < t->layout.nparts; k++)
        if (t->layout.part[k].dim == d && t->layout.part[k].factor)
            return true;
    return false;
}

/* May every vector of the type along its dimension d be read whole? */
static bool lanes_fit(const Pieces *p, const Type *t, int64_t lanes) {
    const int d = p->lane_dim - (p->lk->out->rank - t->rank);
    if (d < 0 || (t->dim[d].size == 1 && !t->dim[d].by_n))
        return true;
    if (!p->blocked)
        return shape_even(t, d, TYPE_MAX_ELEMS);
    return shape_lanes(t, d, (uint8_t)lanes) == lanes &&
           shape_padded(t, d, ceil_div(t->dim[d].size, lanes) * lanes);
}

static void find_lanes(Pieces *p) {
    const LowerKernel *lk = p->lk;
    p->lane_dim = shape_lane_dim(lk->out);
    p->blocked = in_blocks(lk->out, p->lane_dim);
    const bool apart = p->blocked && p->lane_dim == p->dim && !unit_steps(p);
    for (p->lanes = (uint8_t)lk->lanes; p->lanes > 1; p->lanes /= 2) {
        bool fit = !lk->out->dim[p->lane_dim].by_n && !apart && lanes_fit(p, lk->out, p->lanes);
        for (uint32_t i = 0; i < lk->n->n_operands && fit; i++)
            fit = lanes_fit(p, lk->in[i], p->lanes);
        if (fit)
            break;
    }
    p->split = -1;
    for (int d = lk->out->rank - 1; d > 0; d--)
        if (d != p->dim && (d != p->lane_dim || (p->blocked && p->lanes > 1)))
            p->split = d;
}

/* One parallel loop over the first dimension and p->split. */
static void in_parallel(Pieces *p) {
    LBuild *b = &p->lk->b;
    const Type *out = p->lk->out;
    const int64_t step = p->split == p->lane_dim ? p->lanes : 1;
    const int64_t parts = p->split < 0 ? 1 : (out->dim[p->split].size + step - 1) / step;
    const Idx first = p->dim == 0 ? lb_c(b, 1) : lb_dim(b, out->dim[0]);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, first, parts), 1);
    if (p->dim != 0)
        p->coord[0] = lb_divc(b, t, parts);
    if (p->split >= 0)
        p->coord[p->split] = lb_mulc(b, lb_modc(b, t, parts), step);
    if (p->blocked && p->lanes > 1 && p->lane_dim == p->dim)
        across(p);
    else
        for (uint32_t i = 0; i < p->n; i++)
            elements(p, &p->segment[i], 0, lb_c(b, 0));
    lb_end(b);
}

/* Dense and without an epilogue: the dimensions before p->dim are one, and so are those from it on. */
static void flatten(Pieces *p, Segment *run) {
    LowerKernel *lk = p->lk;
    const Type *out = lk->out;
    bool dense = !lk->n->epilogue && unit_steps(p) && layout_is_dense(&out->layout);
    for (uint32_t i = 0; i < lk->n->n_operands && dense; i++)
        dense = layout_is_dense(&lk->in[i]->layout);
    if (!dense)
        return;
    Dim outer = p->dim ? out->dim[0] : (Dim){1, false};
    int64_t inner = 1;
    for (int d = 1; d < p->dim; d++)
        outer.size *= out->dim[d].size;
    for (int d = p->dim + 1; d < out->rank; d++)
        inner *= out->dim[d].size;
    for (uint32_t i = 0; i <= lk->n->n_operands; i++) {
        const Type **t = i < lk->n->n_operands ? &lk->in[i] : &lk->out;
        const Type flat =
            type_make((*t)->dtype, 2, (const Dim[]){outer, {(*t)->dim[p->dim].size * inner, false}});
        *t = arena_copy(&lk->lw->cx->arena, &flat, sizeof flat);
    }
    for (uint32_t i = 0; i < p->n; i++) {
        const Segment *s = &p->segment[i];
        run[i] = (Segment){s->operand, s->to * inner, s->from * inner, s->count * inner, 1, 1};
    }
    p->segment = run;
    p->dim = 1;
}

bool lower_segments(Lower *lw, const Node *n, int dim, const Segment *segments, uint32_t count) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    const Type *out = lk.out;
    Pieces p = {.lk = &lk, .dim = dim, .segment = segments, .n = count};
    flatten(&p, NEW_ARRAY(&lw->cx->arena, Segment, count));
    find_lanes(&p);
    in_parallel(&p);
    lk.out = out;
    lower_zero_border(&lk);
    return lower_end(&lk);
}
