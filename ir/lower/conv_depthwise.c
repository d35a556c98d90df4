/* A convolution of as many groups as channels, over channel blocks: `pixels` accumulators stay in registers
 * while the taps run; lanes are channels, so that a tap is one multiply-add of vectors. The input carries its
 * zero border in memory. Weights: [channel block][kh][kw][lanes]. */
#include "ir/lower/lower.h"

enum { UNROLL_TAPS = 25, UNROLL_COLUMNS = 7 };

typedef struct Depthwise {
    LowerKernel *lk;
    const Conv2dAttrs *at;
    LType vec;
    int64_t kernel[2];
    bool bias;
    Idx n, channel, row; /* of the tile being built; the first channel of the block */
} Depthwise;

/* Tap (kh, kw) of the pixels from ow0 on. */
static void build_tap(Depthwise *d, uint32_t acc, int64_t pixels, Idx ow0, Idx kh, Idx kw) {
    LowerKernel *lk = d->lk;
    LBuild *b = &lk->b;
    const Conv2dAttrs *at = d->at;
    const Idx zero = lb_c(b, 0), w_at = lower_index(b, lk->in[1], (Idx[]){d->channel, zero, kh, kw});
    const LVal w = lb_load(b, d->vec, lk->in_buf[1], w_at);
    const Idx top = lb_addc(b, lb_mulc(b, d->row, at->stride.v[0]), -at->padding.v[0]);
    const Idx ih = lb_add(b, top, lb_mulc(b, kh, at->dilation.v[0]));
    const Idx p = lb_for(b, FOR_UNROLL, "p", zero, lb_c(b, pixels), 1);
    const Idx left = lb_addc(b, lb_mulc(b, lb_add(b, ow0, p), at->stride.v[1]), -at->padding.v[1]);
    const Idx iw = lb_add(b, left, lb_mulc(b, kw, at->dilation.v[1]));
    const Idx x_at = lower_index(b, lk->in[0], (Idx[]){d->n, d->channel, ih, iw});
    const LVal x = lb_load(b, d->vec, lk->in_buf[0], x_at);
    lb_store(b, acc, p, lb_mad(b, x, w, lb_load(b, d->vec, acc, p)));
    lb_end(b);
}

static void build_tile(Depthwise *d, int64_t pixels, Idx ow0) {
    LowerKernel *lk = d->lk;
    LBuild *b = &lk->b;
    const bool few = d->kernel[0] * d->kernel[1] <= UNROLL_TAPS, narrow = d->kernel[1] <= UNROLL_COLUMNS;
    const Idx zero = lb_c(b, 0), end = lb_c(b, pixels);
    const uint32_t acc = lb_alloc(b, LB_REG, "acc", d->vec, pixels);
    const LVal start = d->bias ? lb_load(b, d->vec, lk->in_buf[2], d->channel) : lb_const(b, d->vec, 0);
    lb_store(b, acc, lb_for(b, FOR_UNROLL, "p", zero, end, 1), start);
    lb_end(b);
    const Idx kh = lb_for(b, few ? FOR_UNROLL : FOR_NOUNROLL, "kh", zero, lb_c(b, d->kernel[0]), 1);
    const Idx kw = lb_for(b, narrow ? FOR_UNROLL : FOR_NOUNROLL, "kw", zero, lb_c(b, d->kernel[1]), 1);
    build_tap(d, acc, pixels, ow0, kh, kw);
    lb_end(b);
    lb_end(b);
    const Idx p = lb_for(b, FOR_UNROLL, "p", zero, end, 1);
    const Pos pos = {
        .coord = (Idx[]){d->n, d->channel, d->row, lb_add(b, ow0, p)}, .lane_dim = 1, .lanes = d->vec.lanes};
    lower_store(lk, lower_epilogue(lk, lb_load(b, d->vec, acc, p), &pos), &pos);
    lb_end(b);
}

/* A row in tiles whose widths differ by at most one. */
static void build_row(Depthwise *d) {
    LBuild *b = &d->lk->b;
    const int64_t width = d->lk->out->dim[3].size, most = d->lk->n->choice->pixels;
    const int64_t tiles = (width + most - 1) / most, narrow = width / tiles, wide_tiles = width % tiles;
    if (wide_tiles) {
        const Idx i = lb_for(b, FOR_SERIAL, "wide", lb_c(b, 0), lb_c(b, wide_tiles), 1);
        build_tile(d, narrow + 1, lb_mulc(b, i, narrow + 1));
        lb_end(b);
    }
    const Idx i = lb_for(b, FOR_SERIAL, "tile", lb_c(b, 0), lb_c(b, tiles - wide_tiles), 1);
    build_tile(d, narrow, lb_addc(b, lb_mulc(b, i, narrow), wide_tiles * (narrow + 1)));
    lb_end(b);
}

bool lower_conv_depthwise(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "conv2d");
    LBuild *b = &lk.b;
    const int64_t rows = n->choice->rows, height = lk.out->dim[2].size, lanes = lk.lanes;
    const int64_t chunks = ceil_div(height, rows), blocks = ceil_div(lk.out->dim[1].size, lanes);
    Depthwise d = {.lk = &lk, .at = n->attrs, .vec = {DT_F32, (uint8_t)lanes}};
    for (int i = 0; i < 2; i++)
        d.kernel[i] = lk.in[1]->dim[2 + i].size;
    d.bias = n->n_operands - n->n_epilogue > 2;
    const Idx count = lb_mulc(b, lb_dim(b, lk.out->dim[0]), blocks * chunks);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    d.n = lb_divc(b, t, blocks * chunks);
    d.channel = lb_mulc(b, lb_modc(b, lb_divc(b, t, chunks), blocks), lanes);
    const Idx first = lb_mulc(b, lb_modc(b, t, chunks), rows);
    const Idx end = lb_min(b, lb_addc(b, first, rows), lb_c(b, height));
    d.row = lb_for(b, FOR_SERIAL, "oh", first, end, 1);
    build_row(&d);
    lb_end(b);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
