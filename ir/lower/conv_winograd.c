/* Winograd's convolution over channel blocks. A task takes some tiles, of one image or several, and some
 * output channels: it transforms the inputs of its tiles into scratch, V [point][ic block][tile][lanes],
 * multiplies at each of the (m + r - 1)^2 points by U [point][oc group][ic][vectors * lanes] with `pixels`
 * tiles x `vectors` accumulators in registers, M [point][oc block][tile][lanes], and transforms that into
 * outputs. Each element of M is one sum in ascending input channels, whatever tiles stand beside it. */
#include "ir/lower/winograd.h"

enum { STRIDE_PAD = 16 }; /* floats between points, that their addresses differ in the lower 12 bits */

typedef struct Wino {
    LowerKernel *lk;
    const Choice *ch;
    const Winograd *w;
    const IntList *padding;
    LType vec;
    int64_t tile_rows, tile_columns; /* of an image */
    int64_t ic, groups, out_blocks;
    int64_t part_groups;    /* of output channels, of a task */
    uint32_t v, m, spot;    /* V, M, and a tile between the two halves of its transform */
    Idx first, end, filled; /* tiles of the task; `filled`: their number, whole register tiles */
    Idx first_group, end_group;
} Wino;

static int64_t ic_blocks(const Wino *wn) {
    return (wn->ic + wn->vec.lanes - 1) / wn->vec.lanes;
}

/* Where the element of a point is in V or M: of `blocks` blocks number `block`, tile `tile` of the task. */
static Idx point_at(Wino *wn, Idx point, int64_t blocks, Idx block, Idx tile) {
    LBuild *b = &wn->lk->b;
    Idx at = lb_add(b, lb_mulc(b, block, wn->ch->rows), tile);
    return lb_add(b, lb_mulc(b, point, blocks * wn->ch->rows * wn->vec.lanes + STRIDE_PAD),
                  lb_mulc(b, at, wn->vec.lanes));
}

static Idx v_at(Wino *wn, Idx point, Idx block, Idx tile) {
    return point_at(wn, point, ic_blocks(wn), block, tile);
}

static Idx m_at(Wino *wn, Idx point, Idx oc_block, Idx tile) {
    LBuild *b = &wn->lk->b;
    int64_t V = wn->ch->vectors;
    return point_at(wn, point, wn->part_groups * V, lb_sub(b, oc_block, lb_mulc(b, wn->first_group, V)),
                    tile);
}

static Idx spot_at(Wino *wn, Idx row, Idx column) {
    LBuild *b = &wn->lk->b;
    return lb_mulc(b, lb_add(b, lb_mulc(b, row, wn->w->in), column), wn->vec.lanes);
}

static Idx for_count(LBuild *b, const char *name, int64_t count) {
    return lb_for(b, FOR_NOUNROLL, name, lb_c(b, 0), lb_c(b, count), 1);
}

/* Image, and first output row and column, of a tile counted over all images. */
static void tile_place(Wino *wn, Idx tile, Idx place[3]) {
    LBuild *b = &wn->lk->b;
    int64_t tiles = wn->tile_rows * wn->tile_columns;
    place[0] = lb_divc(b, tile, tiles);
    place[1] = lb_mulc(b, lb_divc(b, lb_modc(b, tile, tiles), wn->tile_columns), wn->w->out);
    place[2] = lb_mulc(b, lb_modc(b, tile, wn->tile_columns), wn->w->out);
}

/* ---- V = B^T x B ---- */

static void transform_input(Wino *wn, Idx block, Idx tile) {
    LowerKernel *lk = wn->lk;
    LBuild *b = &lk->b;
    const int side = wn->w->in;
    Idx place[3];
    tile_place(wn, tile, place);
    LVal x[WINOGRAD_IN], t[WINOGRAD_IN];
    Idx column = for_count(b, "column", side);
    for (int i = 0; i < side; i++) {
        Idx coord[4] = {place[0], lb_mulc(b, block, wn->vec.lanes),
                        lb_addc(b, place[1], i - wn->padding->v[0]),
                        lb_addc(b, lb_add(b, place[2], column), -wn->padding->v[1])};
        x[i] = lb_load(b, wn->vec, lk->in_buf[0], lower_index(b, lk->in[0], coord));
    }
    lower_winograd(b, &wn->w->input, x, t);
    for (int i = 0; i < side; i++)
        lb_store(b, wn->spot, spot_at(wn, lb_c(b, i), column), t[i]);
    lb_end(b);
    Idx row = for_count(b, "row", side);
    for (int i = 0; i < side; i++)
        x[i] = lb_load(b, wn->vec, wn->spot, spot_at(wn, row, lb_c(b, i)));
    lower_winograd(b, &wn->w->input, x, t);
    for (int i = 0; i < side; i++) {
        Idx point = lb_addc(b, lb_mulc(b, row, side), i);
        lb_store(b, wn->v, v_at(wn, point, block, lb_sub(b, tile, wn->first)), t[i]);
    }
    lb_end(b);
}

/* The tiles of the last register tile that there are not. */
static void zero_rest(Wino *wn, Idx block) {
    LBuild *b = &wn->lk->b;
    Idx tile = lb_for(b, FOR_NOUNROLL, "rest", lb_sub(b, wn->end, wn->first), wn->filled, 1);
    Idx point = for_count(b, "point", (int64_t)wn->w->in * wn->w->in);
    lb_store(b, wn->v, v_at(wn, point, block, tile), lb_const(b, wn->vec, 0));
    lb_end(b);
    lb_end(b);
}

static void transform_inputs(Wino *wn) {
    LBuild *b = &wn->lk->b;
    Idx block = for_count(b, "icb", ic_blocks(wn));
    Idx tile = lb_for(b, FOR_NOUNROLL, "tile", wn->first, wn->end, 1);
    transform_input(wn, block, tile);
    lb_end(b);
    if (wn->ch->pixels > 1)
        zero_rest(wn, block);
    lb_end(b);
}

/* ---- M = U V ---- */

/* A register tile at a point (row, column) of the transformed tile. */
typedef struct Product {
    Idx row, column, point, group, tile;
    uint32_t acc, u;
} Product;

static void rank1_update(Wino *wn, const Product *pr, Idx block, Idx lane) {
    enum { AHEAD = 4096 }; /* floats of U, which comes from a distant cache or memory */
    LowerKernel *lk = wn->lk;
    LBuild *b = &lk->b;
    int64_t V = wn->ch->vectors, L = wn->vec.lanes;
    Idx coord[4] = {lb_mulc(b, pr->group, V * L), lb_add(b, lb_mulc(b, block, L), lane), pr->row, pr->column};
    Idx u_at = lower_index(b, lk->in[1], coord);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx at = lb_add(b, u_at, lb_mulc(b, v, L));
    lb_store(b, pr->u, v, lb_load(b, wn->vec, lk->in_buf[1], at));
    lb_prefetch(b, lk->in_buf[1], lb_addc(b, at, AHEAD), 3);
    lb_end(b);
    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, wn->ch->pixels), 1);
    Idx x_at = lb_add(b, v_at(wn, pr->point, block, lb_add(b, pr->tile, p)), lane);
    LVal x = lb_splat(b, lb_load(b, (LType){DT_F32, 1}, wn->v, x_at), wn->vec.lanes);
    v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx a = lb_add(b, lb_mulc(b, p, V), v);
    LVal u = lb_load(b, wn->vec, pr->u, v), sum = lb_load(b, wn->vec, pr->acc, a);
    lb_store(b, pr->acc, a, lb_mad(b, x, u, sum));
    lb_end(b);
    lb_end(b);
}

static void reduce(Wino *wn, const Product *pr) {
    LBuild *b = &wn->lk->b;
    int64_t whole = wn->ic / wn->vec.lanes, rest = wn->ic % wn->vec.lanes;
    if (whole) {
        Idx block = for_count(b, "icb", whole);
        Idx lane = lb_for(b, FOR_UNROLL, "ic", lb_c(b, 0), lb_c(b, wn->vec.lanes), 1);
        rank1_update(wn, pr, block, lane);
        lb_end(b);
        lb_end(b);
    }
    Idx lane = lb_for(b, FOR_UNROLL, "ic", lb_c(b, 0), lb_c(b, rest), 1);
    rank1_update(wn, pr, lb_c(b, whole), lane);
    lb_end(b);
}

static void multiply(Wino *wn, Product *pr) {
    LBuild *b = &wn->lk->b;
    int64_t V = wn->ch->vectors, T = wn->ch->pixels;
    pr->acc = lb_alloc(b, LB_REG, "acc", wn->vec, T * V);
    pr->u = lb_alloc(b, LB_REG, "u", wn->vec, V);
    Idx a = lb_for(b, FOR_UNROLL, "a", lb_c(b, 0), lb_c(b, T * V), 1);
    lb_store(b, pr->acc, a, lb_const(b, wn->vec, 0));
    lb_end(b);
    reduce(wn, pr);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, T), 1);
    Idx block = lb_add(b, lb_mulc(b, pr->group, V), v);
    lb_store(b, wn->m, m_at(wn, pr->point, block, lb_add(b, pr->tile, p)),
             lb_load(b, wn->vec, pr->acc, lb_add(b, lb_mulc(b, p, V), v)));
    lb_end(b);
    lb_end(b);
}

static void multiply_all(Wino *wn) {
    LBuild *b = &wn->lk->b;
    Product pr = {0};
    pr.row = for_count(b, "row", wn->w->in);
    pr.column = for_count(b, "column", wn->w->in);
    pr.point = lb_add(b, lb_mulc(b, pr.row, wn->w->in), pr.column);
    pr.group = lb_for(b, FOR_NOUNROLL, "group", wn->first_group, wn->end_group, 1);
    pr.tile = lb_for(b, FOR_NOUNROLL, "tile", lb_c(b, 0), wn->filled, wn->ch->pixels);
    multiply(wn, &pr);
    for (int i = 0; i < 4; i++)
        lb_end(b);
}

/* ---- A^T M A, bias and epilogue ---- */

static LVal bias(Wino *wn, Idx block) {
    LowerKernel *lk = wn->lk;
    if (lk->n->n_operands - lk->n->n_epilogue <= 2)
        return NO_LVAL;
    return lb_load(&lk->b, wn->vec, lk->in_buf[2], lb_mulc(&lk->b, block, wn->vec.lanes));
}

static void store_output(Wino *wn, LVal y, LVal shift, const Idx *coord) {
    LBuild *b = &wn->lk->b;
    Pos pos = {.coord = coord, .lane_dim = 1, .lanes = wn->vec.lanes};
    y = shift == NO_LVAL ? y : lb_op2(b, LOP_ADD, y, shift);
    lower_store(wn->lk, lower_epilogue(wn->lk, y, &pos), &pos);
}

/* A row of outputs of the tile. Where the last tile of a row sticks out, they wait in `spot`, whose row they
 * came from, until the columns that there are get stored. */
static void store_row(Wino *wn, const LVal *y, LVal shift, Idx row, Idx coord[4]) {
    LBuild *b = &wn->lk->b;
    const int out = wn->w->out;
    int64_t width = wn->lk->out->dim[3].size;
    Idx left = coord[3];
    if (width % out == 0) {
        for (int j = 0; j < out; j++) {
            coord[3] = lb_addc(b, left, j);
            store_output(wn, y[j], shift, coord);
        }
        return;
    }
    for (int j = 0; j < out; j++)
        lb_store(b, wn->spot, spot_at(wn, row, lb_c(b, j)), y[j]);
    Idx end = lb_min(b, lb_c(b, out), lb_sub(b, lb_c(b, width), left));
    Idx j = lb_for(b, FOR_NOUNROLL, "x", lb_c(b, 0), end, 1);
    coord[3] = lb_add(b, left, j);
    store_output(wn, lb_load(b, wn->vec, wn->spot, spot_at(wn, row, j)), shift, coord);
    lb_end(b);
}

static void transform_output(Wino *wn, Idx block, LVal shift, Idx tile) {
    LBuild *b = &wn->lk->b;
    const int side = wn->w->in, out = wn->w->out;
    int64_t height = wn->lk->out->dim[2].size;
    Idx place[3];
    tile_place(wn, tile, place);
    LVal x[WINOGRAD_IN], t[WINOGRAD_OUT];
    Idx column = for_count(b, "column", side);
    for (int i = 0; i < side; i++) {
        Idx point = lb_addc(b, column, (int64_t)i * side);
        x[i] = lb_load(b, wn->vec, wn->m, m_at(wn, point, block, lb_sub(b, tile, wn->first)));
    }
    lower_winograd(b, &wn->w->output, x, t);
    for (int i = 0; i < out; i++)
        lb_store(b, wn->spot, spot_at(wn, lb_c(b, i), column), t[i]);
    lb_end(b);
    Idx end = lb_c(b, out);
    if (height % out)
        end = lb_min(b, end, lb_sub(b, lb_c(b, height), place[1]));
    Idx row = lb_for(b, FOR_NOUNROLL, "y", lb_c(b, 0), end, 1);
    for (int i = 0; i < side; i++)
        x[i] = lb_load(b, wn->vec, wn->spot, spot_at(wn, row, lb_c(b, i)));
    lower_winograd(b, &wn->w->output, x, t);
    Idx coord[4] = {place[0], lb_mulc(b, block, wn->vec.lanes), lb_add(b, place[1], row), place[2]};
    store_row(wn, t, shift, row, coord);
    lb_end(b);
}

static void transform_outputs(Wino *wn) {
    LBuild *b = &wn->lk->b;
    int64_t V = wn->ch->vectors;
    Idx end = lb_mulc(b, wn->end_group, V);
    if (wn->out_blocks < wn->groups * V)
        end = lb_min(b, end, lb_c(b, wn->out_blocks));
    Idx block = lb_for(b, FOR_NOUNROLL, "ocb", lb_mulc(b, wn->first_group, V), end, 1);
    LVal shift = bias(wn, block);
    Idx tile = lb_for(b, FOR_NOUNROLL, "tile", wn->first, wn->end, 1);
    transform_output(wn, block, shift, tile);
    lb_end(b);
    lb_end(b);
}

/* ---- Tasks ---- */

static void alloc_scratch(Wino *wn) {
    LBuild *b = &wn->lk->b;
    LType f32 = {DT_F32, 1};
    int64_t points = (int64_t)wn->w->in * wn->w->in, block = wn->ch->rows * wn->vec.lanes;
    wn->v = lb_alloc(b, LB_SCRATCH, "v", f32, points * (ic_blocks(wn) * block + STRIDE_PAD));
    wn->m =
        lb_alloc(b, LB_SCRATCH, "m", f32, points * (wn->part_groups * wn->ch->vectors * block + STRIDE_PAD));
    wn->spot = lb_alloc(b, LB_STACK, "spot", f32, points * wn->vec.lanes);
}

static void build_tasks(Wino *wn) {
    LBuild *b = &wn->lk->b;
    int64_t rows = wn->ch->rows, T = wn->ch->pixels;
    int64_t parts = (wn->groups + wn->part_groups - 1) / wn->part_groups;
    Idx total = lb_mulc(b, lb_dim(b, wn->lk->out->dim[0]), wn->tile_rows * wn->tile_columns);
    Idx blocks = lb_divc(b, lb_addc(b, total, rows - 1), rows);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, blocks, parts), 1);
    wn->first_group = lb_mulc(b, lb_modc(b, t, parts), wn->part_groups);
    wn->end_group = lb_addc(b, wn->first_group, wn->part_groups);
    if (wn->groups % wn->part_groups)
        wn->end_group = lb_min(b, wn->end_group, lb_c(b, wn->groups));
    wn->first = lb_mulc(b, lb_divc(b, t, parts), rows);
    wn->end = lb_min(b, lb_addc(b, wn->first, rows), total);
    Idx count = lb_sub(b, wn->end, wn->first);
    wn->filled = lb_mulc(b, lb_divc(b, lb_addc(b, count, T - 1), T), T);
    alloc_scratch(wn);
    transform_inputs(wn);
    multiply_all(wn);
    transform_outputs(wn);
    lb_end(b);
}

void conv_winograd_border(const IntList *padding, int64_t taps, int64_t tile, const Type *x,
                          int64_t border[4]) {
    for (int i = 0; i < 2; i++) {
        int64_t out = x->dim[2 + i].size + padding->v[i] + padding->v[i + 2] - (taps - 1);
        border[i] = padding->v[i];
        border[i + 2] = padding->v[i + 2] + (tile - out % tile) % tile;
    }
}

bool lower_conv_winograd(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "conv2d_winograd");
    const Choice *ch = n->choice;
    Wino wn = {.lk = &lk, .ch = ch, .vec = {DT_F32, (uint8_t)lk.lanes}};
    wn.w = winograd_of_weight(lk.in[1], ch->tile);
    int64_t group = ch->vectors * lk.lanes;
    wn.padding = &((const Conv2dWinogradAttrs *)n->attrs)->padding;
    wn.tile_rows = (lk.out->dim[2].size + wn.w->out - 1) / wn.w->out;
    wn.tile_columns = (lk.out->dim[3].size + wn.w->out - 1) / wn.w->out;
    wn.ic = lk.in[1]->dim[1].size;
    wn.groups = (lk.out->dim[1].size + group - 1) / group;
    wn.out_blocks = (lk.out->dim[1].size + lk.lanes - 1) / lk.lanes;
    wn.part_groups = ch->oc_block ? ch->oc_block / group : wn.groups;
    if (wn.part_groups > wn.groups)
        wn.part_groups = wn.groups;
    build_tasks(&wn);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
