/* softmax: three passes over each line (maximum, exponentials, quotient by their sum), the exponentials kept
 * in thread scratch. log_softmax keeps x - max there and subtracts the logarithm of the sum. Along the
 * innermost dimension the lanes are elements of one line; along another, neighbouring lines. Every sum has
 * one fixed order. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/ops/common.h"
#include <math.h>

typedef struct Soft {
    LowerKernel *lk;
    int dim;             /* of the softmax */
    int lane_dim;        /* of vectors */
    int64_t len;         /* of a line */
    bool log;            /* log_softmax */
    Idx coord[MAX_RANK]; /* of the line; [dim] is the element */
    uint32_t line;       /* scratch: `len` elements for each lane */
} Soft;

static Pos position(Soft *s, Idx k, uint8_t lanes) {
    s->coord[s->dim] = k;
    return (Pos){.coord = s->coord, .lane_dim = s->lane_dim, .lanes = lanes};
}

/* A register that holds `first`. */
static uint32_t cell(LBuild *b, const char *name, LVal first) {
    uint32_t r = lb_alloc(b, LB_REG, name, lb_type(b, first), 1);
    lb_store(b, r, lb_c(b, 0), first);
    return r;
}

static void fold_into(LBuild *b, uint32_t r, LOp op, LVal x) {
    LVal old = lb_load(b, lb_type(b, x), r, lb_c(b, 0));
    lb_store(b, r, lb_c(b, 0), lb_op2(b, op, old, x));
}

static LVal value_of(LBuild *b, uint32_t r, LType t) {
    return lb_load(b, t, r, lb_c(b, 0));
}

/* Pass 1 over elements [lo, hi) in steps of `step`: r = max(r, x). */
static void pass_max(Soft *s, uint32_t r, int64_t lo, int64_t hi, int64_t step, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    if (lo >= hi)
        return;
    Pos pos = position(s, lb_for(b, FOR_SERIAL, "k", lb_c(b, lo), lb_c(b, hi), step), lanes);
    fold_into(b, r, LOP_MAX, lower_load0(s->lk, &pos));
    lb_end(b);
}

/* Pass 2: line[k] = exp(x - max), or x - max, r += the former. A step of several elements keeps them side by
 * side. */
static void pass_exp(Soft *s, uint32_t r, LVal max, int64_t lo, int64_t hi, int64_t step, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    if (lo >= hi)
        return;
    Idx k = lb_for(b, FOR_SERIAL, "k", lb_c(b, lo), lb_c(b, hi), step);
    Pos pos = position(s, k, lanes);
    LVal below = lb_op2(b, LOP_SUB, lower_load0(s->lk, &pos), max), e = lb_exp(b, below);
    lb_store(b, s->line, lb_mulc(b, k, lanes / step), s->log ? below : e);
    fold_into(b, r, LOP_ADD, e);
    lb_end(b);
}

/* Pass 3: the quotient by the sum, or x - max minus the sum's logarithm, which `by` is. */
static void pass_divide(Soft *s, LVal by, int64_t lo, int64_t hi, int64_t step, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    if (lo >= hi)
        return;
    Idx k = lb_for(b, FOR_SERIAL, "k", lb_c(b, lo), lb_c(b, hi), step);
    Pos pos = position(s, k, lanes);
    LVal e = lb_load(b, lb_type(b, by), s->line, lb_mulc(b, k, lanes / step));
    LVal y = lb_op2(b, s->log ? LOP_SUB : LOP_DIV, e, by);
    lower_store(s->lk, lower_epilogue(s->lk, y, &pos), &pos);
    lb_end(b);
}

static LVal divisor(Soft *s, uint32_t sum, LType t) {
    LVal v = value_of(&s->lk->b, sum, t);
    return s->log ? lb_log(&s->lk->b, v) : v;
}

/* `lanes` neighbouring lines at once. */
static void lines(Soft *s, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    LType t = {s->lk->out->dtype, lanes};
    s->line = lb_alloc(b, LB_SCRATCH, "line", (LType){t.dtype, 1}, s->len * lanes);
    uint32_t max = cell(b, "max", lb_const(b, t, -INFINITY)), sum = cell(b, "sum", lb_const(b, t, 0));
    pass_max(s, max, 0, s->len, 1, lanes);
    pass_exp(s, sum, value_of(b, max, t), 0, s->len, 1, lanes);
    pass_divide(s, divisor(s, sum, t), 0, s->len, 1, lanes);
}

/* One line in vectors of `lanes` elements, the rest one by one. */
static void line(Soft *s, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    LType t = {s->lk->out->dtype, lanes}, one = {t.dtype, 1};
    int64_t whole = s->len / lanes * lanes;
    s->line = lb_alloc(b, LB_SCRATCH, "line", one, s->len);
    uint32_t maxes = cell(b, "maxes", lb_const(b, t, -INFINITY));
    pass_max(s, maxes, 0, whole, lanes, lanes);
    uint32_t max = cell(b, "max", lb_op1(b, LOP_HMAX, value_of(b, maxes, t)));
    pass_max(s, max, whole, s->len, 1, 1);
    LVal m = value_of(b, max, one);
    uint32_t sums = cell(b, "sums", lb_const(b, t, 0));
    pass_exp(s, sums, lb_splat(b, m, lanes), 0, whole, lanes, lanes);
    uint32_t sum = cell(b, "sum", lb_op1(b, LOP_SUM, value_of(b, sums, t)));
    pass_exp(s, sum, m, whole, s->len, 1, 1);
    LVal total = divisor(s, sum, one);
    pass_divide(s, lb_splat(b, total, lanes), 0, whole, lanes, lanes);
    pass_divide(s, total, whole, s->len, 1, 1);
}

/* A parallel loop over all dimensions but the softmax's; `lane_dim` from `first` on in `steps` of `lanes`. */
static void tasks(Soft *s, int64_t first, int64_t steps, uint8_t lanes) {
    LBuild *b = &s->lk->b;
    const Type *out = s->lk->out;
    bool along = s->lane_dim == s->dim;
    Idx count = lb_c(b, 1);
    if (!along && !steps)
        return;
    for (int d = 0; d < out->rank; d++)
        if (d != s->dim)
            count = lb_mul(b, count, d == s->lane_dim ? lb_c(b, steps) : lb_dim(b, out->dim[d]));
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    for (int d = out->rank - 1; d >= 0; d--) {
        int64_t extent = d == s->lane_dim ? steps : out->dim[d].size;
        if (d == s->dim)
            continue;
        Idx i = d ? lb_modc(b, t, extent) : t;
        s->coord[d] = d == s->lane_dim ? lb_addc(b, lb_mulc(b, i, lanes), first) : i;
        t = d ? lb_divc(b, t, extent) : t;
    }
    if (along && lanes > 1)
        line(s, lanes);
    else
        lines(s, lanes);
    lb_end(b);
}

bool lower_softmax(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    const SoftmaxAttrs *a = n->attrs;
    const Type *out = lk.out;
    Soft s = {.lk = &lk, .dim = (int)(a->dim < 0 ? a->dim + out->rank : a->dim)};
    s.len = out->dim[s.dim].size;
    s.log = n->op == OP_log_softmax;
    s.lane_dim = shape_lane_dim(out);
    uint8_t lanes = out->dim[s.lane_dim].by_n ? 1 : shape_lanes(out, s.lane_dim, (uint8_t)lk.lanes);
    for (uint32_t i = 0; i < n->n_operands; i++)
        lanes = shape_lanes(lk.in[i], s.lane_dim - (out->rank - lk.in[i]->rank), lanes);
    if (s.len > INT32_MAX)
        lanes = 1; /* len * lanes must not overflow */
    int64_t size = out->dim[s.lane_dim].size;
    if (s.lane_dim == s.dim) {
        tasks(&s, 0, 0, lanes);
    } else if (lanes == 1) {
        s.lane_dim = -1; /* an ordinary dimension */
        tasks(&s, 0, 1, 1);
    } else {
        tasks(&s, 0, size / lanes, lanes);
        tasks(&s, size / lanes * lanes, size % lanes, 1);
    }
    lower_zero_border(&lk);
    return lower_end(&lk);
}
