/* Direct convolution over channel blocks: `pixels` x `vectors` accumulators stay in registers while the
 * reduction runs over input blocks, kernel rows, kernel columns and the channels of a block. The input
 * carries its zero border in memory, so there are no edge cases; a planar input (few channels) is read as it
 * lies. Weights: [oc group][ic block][kh][kw][ic][vectors * lanes], planar [oc group][kh][kw][ic][vectors *
 * lanes]. */
#include "ir/lower/lower.h"

typedef struct Conv {
    LowerKernel *lk;
    const Conv2dAttrs *at;
    const Choice *ch;
    LType vec;
    int64_t groups_of_oc; /* OC / (vectors * lanes), rounded up */
    int64_t out_blocks;   /* channel blocks that the result has in memory */
    int64_t ic;           /* input channels of a group */
    int64_t oh, ow, kh, kw;
    Type flat[16];        /* types seen as one row, for 1x1 convolutions */
    Idx n, oc_group, row; /* of the tile being built */
} Conv;

/* One multiply-add of the tile for input channel c at kernel position (kh, kw), pixels from column ow0. */
static void rank1_update(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0, Idx c, Idx lane,
                         Idx kh, Idx kw) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    int64_t V = cv->ch->vectors, L = lk->lanes;
    Idx w_at =
        lower_index(b, lk->in[1], (Idx[]){lb_mulc(b, cv->oc_group, V * L), lb_add(b, c, lane), kh, kw});
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    lb_store(b, wreg, v, lb_load(b, cv->vec, lk->in_buf[1], lb_add(b, w_at, lb_mulc(b, v, L))));
    lb_end(b);

    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    Idx per_group = lb_divc(b, cv->oc_group, cv->groups_of_oc / cv->at->groups);
    Idx channel = lb_add(b, lb_mulc(b, per_group, cv->at->groups > 1 ? cv->ic : 0), lb_add(b, c, lane));
    Idx ih = lb_add(b, lb_mulc(b, cv->row, cv->at->stride.v[0]), lb_mulc(b, kh, cv->at->dilation.v[0]));
    Idx iw =
        lb_add(b, lb_mulc(b, lb_add(b, ow0, p), cv->at->stride.v[1]), lb_mulc(b, kw, cv->at->dilation.v[1]));
    Idx x_at = lower_index(b, lk->in[0],
                           (Idx[]){cv->n, channel, lb_addc(b, ih, -cv->at->padding.v[0]),
                                   lb_addc(b, iw, -cv->at->padding.v[1])});
    LVal x = lb_splat(b, lb_load(b, (LType){DT_F32, 1}, lk->in_buf[0], x_at), (uint8_t)L);
    v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx a = lb_add(b, lb_mulc(b, p, V), v);
    lb_store(b, acc, a, lb_mad(b, x, lb_load(b, cv->vec, wreg, v), lb_load(b, cv->vec, acc, a)));
    lb_end(b);
    lb_end(b);
}

/* The reduction over `lanes` channels from channel c, all kernel positions. */
static void reduce_block(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0, Idx c,
                         int64_t lanes) {
    LBuild *b = &cv->lk->b;
    Idx kh = lb_for(b, FOR_NOUNROLL, "kh", lb_c(b, 0), lb_c(b, cv->kh), 1);
    Idx kw = lb_for(b, FOR_NOUNROLL, "kw", lb_c(b, 0), lb_c(b, cv->kw), 1);
    Idx lane = lb_for(b, FOR_UNROLL, "ic", lb_c(b, 0), lb_c(b, lanes), 1);
    rank1_update(cv, acc, wreg, pixels, ow0, c, lane, kh, kw);
    lb_end(b);
    lb_end(b);
    lb_end(b);
}

static void init_tile(Conv *cv, uint32_t acc, int64_t pixels) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    int64_t V = cv->ch->vectors, L = lk->lanes;
    bool bias = lk->n->n_operands - lk->n->n_epilogue > 2;
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    LVal start;
    if (bias) {
        Idx at = lb_mulc(b, lb_add(b, lb_mulc(b, cv->oc_group, V), v), L);
        start = lb_load(b, cv->vec, lk->in_buf[2], at);
    } else {
        start = lb_const(b, cv->vec, 0);
    }
    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    lb_store(b, acc, lb_add(b, lb_mulc(b, p, V), v), start);
    lb_end(b);
    lb_end(b);
}

static void store_tile(Conv *cv, uint32_t acc, int64_t pixels, Idx ow0) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    int64_t V = cv->ch->vectors, L = lk->lanes;
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx block = lb_add(b, lb_mulc(b, cv->oc_group, V), v);
    bool guard = cv->groups_of_oc * V > cv->out_blocks;
    if (guard)
        lb_if(b, IF_LT, block, lb_c(b, cv->out_blocks));
    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    Idx coord[4] = {cv->n, lb_mulc(b, block, L), cv->row, lb_add(b, ow0, p)};
    Pos pos = {.coord = coord, .lane_dim = 1, .lanes = (uint8_t)L};
    LVal r = lb_load(b, cv->vec, acc, lb_add(b, lb_mulc(b, p, V), v));
    lower_store(lk, lower_epilogue(lk, r, &pos), &pos);
    lb_end(b);
    if (guard)
        lb_end(b);
    lb_end(b);
}

static void build_tile(Conv *cv, int64_t pixels, Idx ow0) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    int64_t block = cv->ch->block, V = cv->ch->vectors;
    uint32_t acc = lb_alloc(b, LB_REG, "acc", cv->vec, pixels * V);
    uint32_t wreg = lb_alloc(b, LB_REG, "w", cv->vec, V);
    init_tile(cv, acc, pixels);
    if (!block) {
        reduce_block(cv, acc, wreg, pixels, ow0, lb_c(b, 0), cv->ic);
    } else {
        Idx icb = lb_for(b, FOR_NOUNROLL, "icb", lb_c(b, 0), lb_c(b, cv->ic / block), 1);
        reduce_block(cv, acc, wreg, pixels, ow0, lb_mulc(b, icb, block), block);
        lb_end(b);
        if (cv->ic % block)
            reduce_block(cv, acc, wreg, pixels, ow0, lb_c(b, cv->ic - cv->ic % block), cv->ic % block);
    }
    store_tile(cv, acc, pixels, ow0);
}

/* A row in tiles whose widths differ by at most one. */
static void build_row(Conv *cv) {
    LBuild *b = &cv->lk->b;
    int64_t tiles = (cv->ow + cv->ch->pixels - 1) / cv->ch->pixels;
    int64_t narrow = cv->ow / tiles, wide_tiles = cv->ow % tiles;
    if (wide_tiles) {
        Idx i = lb_for(b, FOR_SERIAL, "wide", lb_c(b, 0), lb_c(b, wide_tiles), 1);
        build_tile(cv, narrow + 1, lb_mulc(b, i, narrow + 1));
        lb_end(b);
    }
    Idx i = lb_for(b, FOR_SERIAL, "tile", lb_c(b, 0), lb_c(b, tiles - wide_tiles), 1);
    build_tile(cv, narrow, lb_addc(b, lb_mulc(b, i, narrow), wide_tiles * (narrow + 1)));
    lb_end(b);
}

static void build_tasks(Conv *cv) {
    LBuild *b = &cv->lk->b;
    int64_t rows = cv->ch->rows, chunks = (cv->oh + rows - 1) / rows;
    Idx count = lb_mul(b, lb_dim(b, cv->lk->out->dim[0]), lb_c(b, cv->groups_of_oc * chunks));
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    Idx chunk;
    cv->n = lb_divc(b, t, cv->groups_of_oc * chunks);
    if (cv->ch->order == 0) { /* a group's weights stay, rows pass */
        chunk = lb_modc(b, t, chunks);
        cv->oc_group = lb_modc(b, lb_divc(b, t, chunks), cv->groups_of_oc);
    } else { /* rows stay, the weights pass */
        cv->oc_group = lb_modc(b, t, cv->groups_of_oc);
        chunk = lb_modc(b, lb_divc(b, t, cv->groups_of_oc), chunks);
    }
    Idx first = lb_mulc(b, chunk, rows);
    Idx end = cv->oh % rows ? lb_min(b, lb_addc(b, first, rows), lb_c(b, cv->oh)) : lb_addc(b, first, rows);
    if (rows == 1) {
        cv->row = first;
        build_row(cv);
    } else {
        cv->row = lb_for(b, FOR_SERIAL, "oh", first, end, 1);
        build_row(cv);
        lb_end(b);
    }
    lb_end(b);
}

static bool has_border(const Type *t) {
    for (int d = 0; d < t->rank; d++)
        if (t->layout.nparts && (t->layout.lo[d] || t->layout.hi[d]))
            return true;
    return false;
}

bool conv_is_flat(const Conv2dAttrs *at, const Type *input, const Type *weight, const Type *out) {
    return weight->dim[2].size == 1 && weight->dim[3].size == 1 && at->stride.v[0] == 1 &&
           at->stride.v[1] == 1 && !at->padding.v[0] && !at->padding.v[1] && !at->padding.v[2] &&
           !at->padding.v[3] && !has_border(input) && !has_border(out);
}

/* A 1x1 convolution without borders sees the picture as one row of pixels. */
static void flatten(Conv *cv) {
    LowerKernel *lk = cv->lk;
    const Node *n = lk->n;
    if (!conv_is_flat(cv->at, lk->in[0], lk->in[1], lk->out))
        return;
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (i != 1 && lk->in[i]->rank == 4 && has_border(lk->in[i]))
            return;
    for (uint32_t i = 0; i <= n->n_operands; i++) {
        const Type **t = i == n->n_operands ? &lk->out : &lk->in[i];
        if (i == 1 || (*t)->rank < 2)
            continue;
        cv->flat[i] = **t;
        Dim *d = &cv->flat[i].dim[(*t)->rank - 2];
        d[1].size *= d[0].size;
        d[0].size = 1;
        *t = &cv->flat[i];
    }
}

bool lower_conv_direct(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "conv2d");
    Conv cv = {.lk = &lk, .at = n->attrs, .ch = n->choice, .vec = {DT_F32, (uint8_t)lk.lanes}};
    int64_t oc_step = cv.ch->vectors * lk.lanes;
    cv.ic = lk.in[1]->dim[1].size;
    cv.groups_of_oc = (lk.out->dim[1].size + oc_step - 1) / oc_step;
    cv.out_blocks = (lk.out->dim[1].size + lk.lanes - 1) / lk.lanes;
    flatten(&cv);
    cv.oh = lk.out->dim[2].size;
    cv.ow = lk.out->dim[3].size;
    cv.kh = lk.in[1]->dim[2].size;
    cv.kw = lk.in[1]->dim[3].size;
    build_tasks(&cv);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
