/* Rows times packed columns, for linear layers: out[r][o] = bias[o] + sum over k of x[r][k] * w[o][k], the
 * sum always in ascending k with one accumulator an output, so that a row gives the same bits alone and in a
 * batch. Weights: [group of columns][k][vectors * lanes]. One row streams a whole group; `pixels` rows share
 * loads. */
#include "ir/lower/lower.h"

typedef struct Product {
    LowerKernel *lk;
    const Choice *ch;
    LType vec;
    int64_t depth, columns; /* K and O */
    int64_t group;          /* columns of a group: vectors * lanes */
} Product;

static LVal start_value(Product *pr, Idx at) {
    LowerKernel *lk = pr->lk;
    bool bias = lk->n->n_operands - lk->n->n_epilogue > 2;
    return bias ? lb_load(&lk->b, pr->vec, lk->in_buf[2], at) : lb_const(&lk->b, pr->vec, 0);
}

static void reduce(Product *pr, uint32_t acc, Idx row, int64_t rows, Idx group, int64_t v0, int64_t vectors) {
    LowerKernel *lk = pr->lk;
    LBuild *b = &lk->b;
    Idx k = lb_for(b, FOR_NOUNROLL, "k", lb_c(b, 0), lb_c(b, pr->depth), 1);
    Idx w_at = lb_addc(b, lb_mulc(b, lb_add(b, lb_mulc(b, group, pr->depth), k), pr->group), v0 * lk->lanes);
    uint32_t x = lb_alloc(b, LB_REG, "x", pr->vec, rows);
    Idx r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, rows), 1);
    Idx x_at = lower_index(b, lk->in[0], (Idx[]){lb_add(b, row, r), k});
    lb_store(b, x, r, lb_splat(b, lb_load(b, (LType){DT_F32, 1}, lk->in_buf[0], x_at), pr->vec.lanes));
    lb_end(b);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, vectors), 1);
    LVal w = lb_load(b, pr->vec, lk->in_buf[1], lb_add(b, w_at, lb_mulc(b, v, lk->lanes)));
    r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, rows), 1);
    Idx a = lb_add(b, lb_mulc(b, r, vectors), v);
    LVal xr = lb_load(b, pr->vec, x, r), sum = lb_load(b, pr->vec, acc, a);
    lb_store(b, acc, a, lb_mad(b, xr, w, sum));
    lb_end(b);
    lb_end(b);
    lb_end(b);
}

static void store_vector(Product *pr, uint32_t acc, Idx a, Idx row, Idx column) {
    Idx coord[2] = {row, column};
    Pos pos = {.coord = coord, .lane_dim = 1, .lanes = pr->vec.lanes};
    LVal v = lb_load(&pr->lk->b, pr->vec, acc, a);
    lower_store(pr->lk, lower_epilogue(pr->lk, v, &pos), &pos);
}

/* The first `lanes` lanes one by one: the last vector of a row may stick out. */
static void store_lanes(Product *pr, uint32_t acc, Idx a, Idx row, Idx column, int64_t lanes) {
    LBuild *b = &pr->lk->b;
    LVal v = lb_load(b, pr->vec, acc, a);
    for (int64_t lane = 0; lane < lanes; lane++) {
        Idx coord[2] = {row, lb_addc(b, column, lane)};
        Pos pos = {.coord = coord, .lane_dim = 1, .lanes = 1};
        LVal s = pr->vec.lanes == 1 ? v : lb_extract(b, v, (int)lane);
        lower_store(pr->lk, lower_epilogue(pr->lk, s, &pos), &pos);
    }
}

/* rows x vectors accumulators from column vector v0 of the group; `stored` columns are real. */
static void build_tile(Product *pr, Idx row, int64_t rows, Idx group, int64_t v0, int64_t vectors,
                       int64_t stored) {
    LowerKernel *lk = pr->lk;
    LBuild *b = &lk->b;
    uint32_t acc = lb_alloc(b, LB_REG, "acc", pr->vec, rows * vectors);
    Idx column = lb_addc(b, lb_mulc(b, group, pr->group), v0 * lk->lanes);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, vectors), 1);
    LVal start = start_value(pr, lb_add(b, column, lb_mulc(b, v, lk->lanes)));
    Idx r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, rows), 1);
    lb_store(b, acc, lb_add(b, lb_mulc(b, r, vectors), v), start);
    lb_end(b);
    lb_end(b);
    reduce(pr, acc, row, rows, group, v0, vectors);
    int64_t whole = stored / lk->lanes, rest = stored % lk->lanes;
    r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, rows), 1);
    v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, whole), 1);
    store_vector(pr, acc, lb_add(b, lb_mulc(b, r, vectors), v), lb_add(b, row, r),
                 lb_add(b, column, lb_mulc(b, v, lk->lanes)));
    lb_end(b);
    if (rest)
        store_lanes(pr, acc, lb_addc(b, lb_mulc(b, r, vectors), whole), lb_add(b, row, r),
                    lb_addc(b, column, whole * lk->lanes), rest);
    lb_end(b);
}

/* All `stored` columns of a group for rows [row, row + rows): one row takes the group at once, more rows take
 * it in pairs of vectors, so that rows * vectors accumulators fit the registers. */
static void build_group(Product *pr, Idx row, int64_t rows, Idx group, int64_t stored) {
    int64_t lanes = pr->lk->lanes, step = rows == 1 ? pr->ch->vectors : 2;
    for (int64_t v0 = 0; v0 * lanes < stored; v0 += step) {
        int64_t left = stored - v0 * lanes;
        int64_t vectors = ceil_div(left, lanes) < step ? ceil_div(left, lanes) : step;
        build_tile(pr, row, rows, group, v0, vectors, left < vectors * lanes ? left : vectors * lanes);
    }
}

/* Rows [first, end) of one group: blocks of `pixels` rows, then single ones. */
static void build_rows(Product *pr, Idx first, Idx end, Idx group, int64_t stored) {
    LBuild *b = &pr->lk->b;
    int64_t rows = pr->ch->pixels;
    Idx split = first;
    if (rows > 1) {
        split = lb_add(b, first, lb_mulc(b, lb_divc(b, lb_sub(b, end, first), rows), rows));
        Idx r = lb_for(b, FOR_SERIAL, "rows", first, split, rows);
        build_group(pr, r, rows, group, stored);
        lb_end(b);
    }
    Idx r = lb_for(b, FOR_SERIAL, "row", split, end, 1);
    build_group(pr, r, 1, group, stored);
    lb_end(b);
}

static void build_tasks(Product *pr) {
    LBuild *b = &pr->lk->b;
    int64_t groups = (pr->columns + pr->group - 1) / pr->group;
    int64_t last = pr->columns - (groups - 1) * pr->group, rows = pr->ch->rows;
    Idx total = lb_dim(b, pr->lk->out->dim[0]);
    Idx chunks = lb_divc(b, lb_addc(b, total, rows - 1), rows);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, chunks, groups), 1);
    Idx chunk = lb_divc(b, t, groups), group = lb_modc(b, t, groups);
    Idx first = lb_mulc(b, chunk, rows), end = lb_min(b, lb_addc(b, first, rows), total);
    if (groups == 1) {
        build_rows(pr, first, end, lb_c(b, 0), last);
    } else if (last == pr->group) {
        build_rows(pr, first, end, group, last);
    } else {
        lb_if(b, IF_LT, group, lb_c(b, groups - 1));
        build_rows(pr, first, end, group, pr->group);
        lb_else(b);
        build_rows(pr, first, end, lb_c(b, groups - 1), last);
        lb_end(b);
    }
    lb_end(b);
}

bool lower_product(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "linear");
    Product pr = {.lk = &lk, .ch = n->choice, .vec = {DT_F32, (uint8_t)lk.lanes}};
    pr.columns = lk.in[1]->dim[0].size;
    pr.depth = lk.in[1]->dim[1].size;
    pr.group = pr.ch->vectors * lk.lanes;
    build_tasks(&pr);
    return lower_end(&lk);
}
