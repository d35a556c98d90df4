#include "ir/lower/transpose.h"

/* Bit `bit` of the lane and of the element change places. */
static void exchange(LBuild *b, uint32_t regs, int64_t i, int64_t bit, int64_t lanes) {
    LType t = {DT_F32, (uint8_t)lanes};
    uint8_t low[64], high[64];
    for (int64_t l = 0; l < lanes; l++) {
        low[l] = (uint8_t)(l & bit ? lanes + l - bit : l);
        high[l] = (uint8_t)(l & bit ? lanes + l : l + bit);
    }
    LVal x = lb_load(b, t, regs, lb_c(b, i)), y = lb_load(b, t, regs, lb_c(b, i + bit));
    LVal first = lb_shuffle(b, x, y, low, t.lanes), second = lb_shuffle(b, x, y, high, t.lanes);
    lb_store(b, regs, lb_c(b, i), first);
    lb_store(b, regs, lb_c(b, i + bit), second);
}

void lower_transpose(LBuild *b, uint32_t regs, int64_t lanes) {
    for (int64_t bit = 1; bit < lanes; bit *= 2)
        for (int64_t i = 0; i < lanes; i++)
            if (!(i & bit))
                exchange(b, regs, i, bit, lanes);
}

static int64_t row_elems(const Type *t) {
    return type_elems(t, 1) / t->dim[0].size;
}

int64_t transpose_rows(const Type *packed) {
    PhysicalPart part[MAX_PARTS];
    int64_t rows = 1;
    for (int p = 0, n = type_parts(packed, part); p < n; p++)
        if (part[p].dim == 0)
            rows *= part[p].extent.size;
    return rows;
}

bool transpose_suits(const Type *dense, const Type *packed, int64_t lanes) {
    PhysicalPart part[MAX_PARTS];
    if (dense->dtype != DT_F32 || dense->rank < 2 || type_has_n(dense) || !layout_is_dense(&dense->layout))
        return false;
    int n = type_parts(packed, part);
    if (part[n - 1].dim != 0 || part[n - 1].extent.size % lanes || lanes < 4 || row_elems(dense) < lanes)
        return false;
    for (int d = 0; d < packed->rank; d++)
        if (packed->layout.lo[d] || packed->layout.hi[d])
            return false;
    return type_physical_elems(packed, 1) == transpose_rows(packed) * row_elems(dense);
}

void transpose_coord(LBuild *b, const Type *dense, Idx c, Idx *coord) {
    for (int d = dense->rank - 1; d > 0; d--) {
        coord[d] = d > 1 ? lb_modc(b, c, dense->dim[d].size) : c;
        c = lb_divc(b, c, dense->dim[d].size);
    }
}

typedef struct Squares {
    LBuild *b;
    int64_t lanes, columns; /* columns of a row */
    SquareBuilder *square;
    void *own;
} Squares;

static void for_columns(Squares *s, Idx row, int64_t rows, Idx lo, Idx hi) {
    Idx c = lb_for(s->b, FOR_NOUNROLL, "c", lo, hi, s->lanes);
    s->square(s->own, row, rows, c);
    lb_end(s->b);
}

/* As many `bands` of rows, from `first` on, in tasks of some squares each; the last task of a band has what
 * is left over, too. */
static void build_bands(Squares *s, int64_t first, int64_t bands, int64_t rows) {
    enum { TASK_SQUARES = 16 };
    LBuild *b = s->b;
    int64_t whole = s->columns / s->lanes * s->lanes, task = s->lanes * TASK_SQUARES;
    int64_t tasks = whole > task ? whole / task : 1;
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_c(b, bands * tasks), 1);
    Idx row = lb_addc(b, lb_mulc(b, lb_divc(b, t, tasks), s->lanes), first), part = lb_modc(b, t, tasks);
    if (tasks > 1) {
        lb_if(b, IF_LT, part, lb_c(b, tasks - 1));
        Idx lo = lb_mulc(b, part, task);
        for_columns(s, row, rows, lo, lb_addc(b, lo, task));
        lb_else(b);
    }
    for_columns(s, row, rows, lb_c(b, (tasks - 1) * task), lb_c(b, whole));
    if (whole < s->columns)
        s->square(s->own, row, rows, lb_c(b, s->columns - s->lanes));
    if (tasks > 1)
        lb_end(b);
    lb_end(b);
}

void lower_squares(LowerKernel *lk, const Type *dense, int64_t end, SquareBuilder *square, void *own) {
    Squares s = {&lk->b, lk->lanes, row_elems(dense), square, own};
    int64_t size = dense->dim[0].size, whole = size / s.lanes, rest = size % s.lanes;
    int64_t padding = (end - (whole + (rest > 0)) * s.lanes) / s.lanes;
    if (whole)
        build_bands(&s, 0, whole, s.lanes);
    if (rest)
        build_bands(&s, whole * s.lanes, 1, rest);
    if (padding > 0)
        build_bands(&s, end - padding * s.lanes, padding, 0);
}
