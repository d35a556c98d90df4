/* permute: dimensions that stay neighbours are one. Then, dense tensors have the same innermost dimension,
 * and are copied in runs, or are turned over in squares of registers along both innermost ones. All else goes
 * element by element. */
#include "ir/lower/lower.h"
#include "ir/lower/transpose.h"

#include <string.h>

typedef struct Permute {
    LowerKernel *lk;
    Type in, out;        /* as the loops see them */
    int from[MAX_RANK];  /* dimension i of the result is this one of the operand */
    Idx coord[MAX_RANK]; /* of the result */
} Permute;

static const char *const names[MAX_RANK] = {"a", "b", "c", "d", "e", "f"};

static void remove_dim(Type *t, int d) {
    t->rank--;
    for (int k = d; k < t->rank; k++)
        t->dim[k] = t->dim[k + 1];
}

/* Dimension i of the result and the operand's for it are no more. */
static void drop(Permute *p, int i) {
    const int d = p->from[i];
    remove_dim(&p->out, i);
    remove_dim(&p->in, d);
    for (int k = i; k < p->out.rank; k++)
        p->from[k] = p->from[k + 1];
    for (int k = 0; k < p->out.rank; k++)
        p->from[k] -= p->from[k] > d;
}

static void collapse(Permute *p) {
    for (int i = 0; i < p->out.rank && p->out.rank > 1;) {
        const bool joins = i > 0 && p->from[i] == p->from[i - 1] + 1;
        if (joins) { /* fits: it is at most the number of elements */
            p->out.dim[i - 1].size *= p->out.dim[i].size;
            p->in.dim[p->from[i - 1]].size *= p->in.dim[p->from[i]].size;
        }
        if (joins || (p->out.dim[i].size == 1 && !p->out.dim[i].by_n))
            drop(p, i);
        else
            i++;
    }
}

static Idx address(Permute *p) {
    Idx coord[MAX_RANK];
    for (int i = 0; i < p->out.rank; i++)
        coord[p->from[i]] = p->coord[i];
    return lower_index(&p->lk->b, &p->in, coord);
}

static void copy(Permute *p) {
    LBuild *b = &p->lk->b;
    const LVal v = lb_load(b, (LType){p->out.dtype, 1}, p->lk->in_buf[0], address(p));
    lb_store(b, p->lk->out_buf, lower_index(b, &p->out, p->coord), v);
}

/* Opens a parallel loop over `steps` times the dimensions of the result but those of bit mask `not`, and
 * gives its part in steps. */
static Idx begin_parallel(Permute *p, uint32_t not, int64_t steps) {
    LBuild *b = &p->lk->b;
    Idx count = lb_c(b, steps);
    for (int d = 0; d < p->out.rank; d++)
        if (!(not>> d & 1))
            count = lb_mul(b, lb_dim(b, p->out.dim[d]), count);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    const Idx step = lb_modc(b, t, steps);
    t = lb_divc(b, t, steps);
    for (int d = p->out.rank - 1; d >= 0; d--) {
        if (not>> d & 1)
            continue;
        p->coord[d] = p->out.dim[d].by_n ? t : lb_modc(b, t, p->out.dim[d].size);
        t = p->out.dim[d].by_n ? t : lb_divc(b, t, p->out.dim[d].size);
    }
    return step;
}

/* Runs of the innermost dimension, which is the operand's, too, or single elements. */
static void runs(Permute *p, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    const int last = p->out.rank - 1;
    const Idx end = lb_dim(b, p->out.dim[last]);
    begin_parallel(p, 1u << last, 1);
    p->coord[last] = lanes > 1 ? lb_for_vector(b, names[last], lb_c(b, 0), end, lanes)
                               : lb_for(b, FOR_SERIAL, names[last], lb_c(b, 0), end, 1);
    copy(p);
    lb_end(b);
    lb_end(b);
}

/* Rows [row, row + count) of dimension `a` of the result, and columns [column, end) of its last one, one by
 * one. */
static void rest(Permute *p, int a, Idx row, int64_t count, int64_t column) {
    LBuild *b = &p->lk->b;
    const int last = p->out.rank - 1;
    if (count == 0 || column == p->out.dim[last].size)
        return;
    const Idx i = lb_for(b, FOR_SERIAL, names[a], lb_c(b, 0), lb_c(b, count), 1);
    p->coord[a] = lb_add(b, row, i);
    p->coord[last] = lb_for(b, FOR_SERIAL, names[last], lb_c(b, column), lb_c(b, p->out.dim[last].size), 1);
    copy(p);
    lb_end(b);
    lb_end(b);
}

/* Rows [row, row + lanes), of which as many columns from `column` on. */
static void square(Permute *p, int a, Idx row, Idx column) {
    LBuild *b = &p->lk->b;
    const int last = p->out.rank - 1, lanes = (int)p->lk->lanes;
    const LType t = {p->out.dtype, (uint8_t)lanes};
    const uint32_t regs = lb_alloc(b, LB_REG, "square", t, lanes);
    p->coord[a] = row;
    for (int i = 0; i < lanes; i++) {
        p->coord[last] = lb_addc(b, column, i);
        lb_store(b, regs, lb_c(b, i), lb_load(b, t, p->lk->in_buf[0], address(p)));
    }
    lower_transpose(b, regs, lanes);
    p->coord[last] = column;
    for (int i = 0; i < lanes; i++) {
        p->coord[a] = lb_addc(b, row, i);
        const LVal v = lb_load(b, t, regs, lb_c(b, i));
        lb_store(b, p->lk->out_buf, lower_index(b, &p->out, p->coord), v);
    }
}

/* Dimension `a` of the result is the operand's innermost. A task is a band of `lanes` rows of it. */
static void squares(Permute *p, int a) {
    LBuild *b = &p->lk->b;
    const int last = p->out.rank - 1;
    const int64_t lanes = p->lk->lanes, rows = p->out.dim[a].size, columns = p->out.dim[last].size;
    const int64_t bands = rows / lanes, whole = columns / lanes * lanes;
    const Idx band = begin_parallel(p, 1u << last | 1u << a, ceil_div(rows, lanes));
    const Idx row = lb_mulc(b, band, lanes);
    if (bands) {
        lb_if(b, IF_LT, band, lb_c(b, bands));
        const Idx i = lb_for(b, FOR_SERIAL, "run", lb_c(b, 0), lb_c(b, whole / lanes), 1);
        square(p, a, row, lb_mulc(b, i, lanes));
        lb_end(b);
        rest(p, a, row, lanes, whole);
        lb_else(b);
    }
    rest(p, a, lb_c(b, bands * lanes), rows % lanes, 0);
    if (bands)
        lb_end(b);
    lb_end(b);
}

bool lower_permute(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "permute");
    const PermuteAttrs *at = n->attrs;
    Permute p = {.lk = &lk, .in = *lk.in[0], .out = *lk.out};
    for (int i = 0; i < p.out.rank; i++)
        p.from[i] = (int)at->dims.v[i];
    const bool dense = layout_is_dense(&p.in.layout) && layout_is_dense(&p.out.layout);
    if (dense)
        collapse(&p);
    int a = 0; /* of the result: the operand's innermost */
    while (p.from[a] != p.in.rank - 1)
        a++;
    if (!dense)
        runs(&p, 1);
    else if (a == p.out.rank - 1)
        runs(&p, (uint8_t)lk.lanes);
    else if (p.out.dim[a].by_n || p.out.dim[p.out.rank - 1].by_n)
        runs(&p, 1);
    else
        squares(&p, a);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
