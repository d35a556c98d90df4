/* Pointwise ops: one sweep over the result. Tensors that lie in memory alike are swept flat, border and
 * padding lanes included; dense ones with broadcasting first lose every dimension boundary that no operand
 * needs; all others are walked by logical coordinate, in vectors along the dimension that is innermost in
 * memory. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"

enum { TASK_ELEMS = 4096 };

typedef struct Sweep {
    LowerKernel *lk;
    int lane_dim;
    uint8_t lanes;
    int parallel;        /* so many leading dimensions form the parallel loop */
    Idx coord[MAX_RANK]; /* of the result */
} Sweep;

static void sweep_element(Sweep *s, uint8_t lanes) {
    LowerKernel *lk = s->lk;
    const Node *n = lk->n;
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    Pos pos = {.coord = s->coord, .lane_dim = s->lane_dim, .lanes = lanes};
    LVal in[8] = {0};
    for (uint32_t i = 0; i < own; i++)
        in[i] = lower_load(lk, i, lk->out, &pos);
    if (n->prologue) {
        int shift = lk->out->rank - lk->in[0]->rank;
        Pos pos0 = {.coord = s->coord + shift, .lane_dim = s->lane_dim - shift, .lanes = lanes};
        in[0] = lower_load0(lk, &pos0);
    }
    LVal v = op_desc(n->op)->emit(&lk->b, n->attrs, in);
    lower_store(lk, lower_epilogue(lk, v, &pos), &pos);
}

/* ---- What the sweep sees instead of the real types ---- */

static bool keeps_zero(const Node *n) {
    if (!(op_desc(n->op)->flags & OP_KEEPS_ZERO))
        return false;
    const Graph *regions[2] = {n->prologue, n->epilogue};
    for (int r = 0; r < 2; r++)
        for (uint32_t i = 0; regions[r] && i < regions[r]->nodes.len; i++)
            if (!(op_desc(regions[r]->nodes.data[i].op)->flags & OP_KEEPS_ZERO))
                return false;
    return true;
}

static bool all_same_memory(const LowerKernel *lk) {
    for (uint32_t i = 0; i < lk->n->n_operands; i++)
        if (!type_same_memory(lk->in[i], lk->out))
            return false;
    return true;
}

static const Type *flat_type(Arena *a, const Type *t) {
    Dim d = {type_physical_elems(t, 1), type_has_n(t)};
    Type flat = type_make(t->dtype, 1, &d);
    return arena_copy(a, &flat, sizeof flat);
}

/* t with the rank of the result: 1s in front, as broadcasting sees it. */
static Type widened(const Type *t, int rank) {
    Type w = {.dtype = t->dtype, .rank = (uint8_t)rank};
    for (int d = 0; d < rank; d++)
        w.dim[d] = d < rank - t->rank ? (Dim){1, false} : t->dim[d - (rank - t->rank)];
    return w;
}

static bool is_one(Dim d) {
    return d.size == 1 && !d.by_n;
}

/* Dimensions d and d+1 are one for everyone: nobody broadcasts along one of them only. */
static bool can_merge(Type *const *types, uint32_t count, int d) {
    const Type *out = types[count - 1];
    for (uint32_t i = 0; i < count; i++)
        for (int k = d; k <= d + 1; k++)
            if (is_one(types[i]->dim[k]) != is_one(out->dim[k]) &&
                is_one(types[i]->dim[d]) != is_one(types[i]->dim[d + 1]))
                return false;
    return true;
}

static void merge(Type *t, int d) {
    t->dim[d].size *= t->dim[d + 1].size; /* fits: it is at most the number of elements */
    t->rank--;
    for (int k = d + 1; k < t->rank; k++)
        t->dim[k] = t->dim[k + 1];
}

/* Dense tensors: merge all dimensions that can be. */
static void collapse(LowerKernel *lk) {
    Arena *a = &lk->lw->cx->arena;
    uint32_t count = lk->n->n_operands + 1;
    Type *types[17];
    for (uint32_t i = 0; i < count; i++) {
        Type t = widened(i + 1 < count ? lk->in[i] : lk->out, lk->out->rank);
        types[i] = arena_copy(a, &t, sizeof t);
    }
    for (int d = 0; d + 1 < types[0]->rank;) {
        if (can_merge(types, count, d))
            for (uint32_t i = 0; i < count; i++)
                merge(types[i], d);
        else
            d++;
    }
    for (uint32_t i = 0; i + 1 < count; i++)
        lk->in[i] = types[i];
    lk->out = types[count - 1];
}

static bool all_dense(const LowerKernel *lk) {
    for (uint32_t i = 0; i < lk->n->n_operands; i++)
        if (!layout_is_dense(&lk->in[i]->layout))
            return false;
    return layout_is_dense(&lk->out->layout);
}

/* ---- The nests ---- */

static void sweep_flat(Sweep *s) {
    LBuild *b = &s->lk->b;
    Idx total = lb_dim(b, s->lk->out->dim[0]);
    Idx tasks = lb_divc(b, lb_addc(b, total, TASK_ELEMS - 1), TASK_ELEMS);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), tasks, 1);
    Idx lo = lb_mulc(b, t, TASK_ELEMS), hi = lb_min(b, lb_addc(b, lo, TASK_ELEMS), total);
    s->coord[0] = lb_for_vector(b, "i", lo, hi, (uint8_t)s->lk->lanes);
    sweep_element(s, 1);
    lb_end(b);
    lb_end(b);
}

/* The loops from dimension d inwards; `lanes` of the vector, 1 in the tail. */
static void sweep_dims(Sweep *s, int d, uint8_t lanes) {
    static const char *const names[MAX_RANK] = {"a", "b", "c", "d", "e", "f"};
    LBuild *b = &s->lk->b;
    const Type *out = s->lk->out;
    if (d == out->rank) {
        sweep_element(s, lanes);
        return;
    }
    Idx extent = lb_dim(b, out->dim[d]), zero = lb_c(b, 0);
    if (d != s->lane_dim || s->lanes == 1) {
        s->coord[d] = lb_for(b, FOR_SERIAL, names[d], zero, extent, 1);
        sweep_dims(s, d + 1, lanes);
        lb_end(b);
        return;
    }
    int64_t whole = out->dim[d].size / s->lanes;
    if (whole) {
        Idx i = lb_for(b, FOR_SERIAL, names[d], zero, lb_c(b, whole), 1);
        s->coord[d] = lb_mulc(b, i, s->lanes);
        sweep_dims(s, d + 1, s->lanes);
        lb_end(b);
    }
    if (out->dim[d].size % s->lanes) {
        s->coord[d] = lb_for(b, FOR_SERIAL, names[d], lb_c(b, whole * s->lanes), extent, 1);
        sweep_dims(s, d + 1, 1);
        lb_end(b);
    }
}

/* One parallel loop over the leading dimensions, those of `lane_dim` in steps of `lanes` from `first` on. */
static void sweep_parallel(Sweep *s, int64_t first, int64_t steps, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    const Type *out = s->lk->out;
    Idx count = lb_c(b, 1);
    for (int d = 0; d < s->parallel; d++)
        count = lb_mul(b, count, d == s->lane_dim ? lb_c(b, steps) : lb_dim(b, out->dim[d]));
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    for (int d = s->parallel - 1; d >= 0; d--) {
        int64_t extent = d == s->lane_dim ? steps : out->dim[d].size;
        Idx i = d ? lb_modc(b, t, extent) : t;
        s->coord[d] = d == s->lane_dim ? lb_addc(b, lb_mulc(b, i, lanes), first) : i;
        if (d)
            t = lb_divc(b, t, extent);
    }
    sweep_dims(s, s->parallel, lanes);
    lb_end(b);
}

static void sweep_nest(Sweep *s) {
    LowerKernel *lk = s->lk;
    const Type *out = lk->out;
    s->lane_dim = shape_lane_dim(out);
    bool by_n = out->dim[s->lane_dim].by_n;
    s->lanes = by_n ? 1 : (uint8_t)lk->lanes;
    for (uint32_t i = 0; i <= lk->n->n_operands; i++) {
        const Type *t = i < lk->n->n_operands ? lk->in[i] : out;
        s->lanes = shape_lanes(t, s->lane_dim - (out->rank - t->rank), s->lanes);
    }
    int64_t inner = type_elems(out, 1) / out->dim[0].size;
    for (s->parallel = 1; s->parallel + 1 < out->rank && inner > TASK_ELEMS; s->parallel++)
        inner /= out->dim[s->parallel].size;
    int64_t size = out->dim[s->lane_dim].size;
    if (s->lane_dim >= s->parallel || s->lanes == 1) {
        int keep = s->lane_dim;
        if (s->lane_dim < s->parallel)
            s->lane_dim = -1; /* scalars: an ordinary dimension */
        sweep_parallel(s, 0, 0, 1);
        s->lane_dim = keep;
        return;
    }
    if (size / s->lanes)
        sweep_parallel(s, 0, size / s->lanes, s->lanes);
    if (size % s->lanes)
        sweep_parallel(s, size / s->lanes * s->lanes, size % s->lanes, 1);
}

/* ---- In place ---- */

/* No later node and no output uses the value. */
static bool dies_here(const Graph *g, const Node *n, ValueId v) {
    if (g->values.data[v].kind != VK_RESULT)
        return false;
    for (uint32_t i = 0; i < g->outputs.len; i++)
        if (g->outputs.data[i].value == v)
            return false;
    for (const Node *later = n + 1; later < g->nodes.data + g->nodes.len; later++)
        for (uint32_t i = 0; i < later->n_operands; i++)
            if (later->operands[i] == v)
                return false;
    return true;
}

/* Which operand's memory the result may take: one that nobody needs any more, else the first that fits. */
static int32_t inplace_operand(const LowerKernel *lk) {
    const Node *n = lk->n;
    int32_t fits = -1;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        if (!type_same_memory(lk->in[i], lk->out))
            continue;
        if (dies_here(lk->lw->g, n, n->operands[i]))
            return (int32_t)i;
        if (fits < 0)
            fits = (int32_t)i;
    }
    return fits;
}

bool lower_pointwise(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    Sweep s = {.lk = &lk};
    const Type *out = lk.out;
    bool zero = true;
    lk.b.k->bufs.data[lk.out_buf].inplace = inplace_operand(&lk);
    if (all_same_memory(&lk)) {
        for (uint32_t i = 0; i < n->n_operands; i++)
            lk.in[i] = flat_type(&lw->cx->arena, lk.in[i]);
        lk.out = flat_type(&lw->cx->arena, out);
        zero = !keeps_zero(n); /* else border and padding lanes are zero again */
    } else if (all_dense(&lk)) {
        collapse(&lk);
    }
    if (!lk.out->rank)
        sweep_element(&s, 1);
    else if (lk.out->rank == 1 && layout_is_dense(&lk.out->layout))
        sweep_flat(&s);
    else
        sweep_nest(&s);
    lk.out = out;
    if (zero)
        lower_zero_border(&lk);
    return lower_end(&lk);
}
