/* dilate: pixels spread apart, zeros between them. Lanes run along the channels of blocked pictures. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"

/* Channels come in runs of `lanes`; those that the last block has too many are zero in the operand, too. */
static int64_t channel_runs(const LowerKernel *lk, uint8_t lanes) {
    return ceil_div(lk->out->dim[1].size, lanes);
}

static uint8_t channel_lanes(const LowerKernel *lk) {
    bool blocked = lower_lane_stride(lk->in[0], 1) == 1 && lower_lane_stride(lk->out, 1) == 1;
    uint8_t lanes = shape_lanes(lk->in[0], 1, shape_lanes(lk->out, 1, (uint8_t)lk->lanes));
    bool whole = lk->out->dim[1].size % lanes == 0 || (lk->in[0]->layout.nparts && lk->out->layout.nparts);
    return blocked && whole ? lanes : 1;
}

/* Output row `row` of the channels: zeros, then pixels where the operand has them. */
static void build_row(LowerKernel *lk, Idx n, Idx c, Idx row, uint8_t lanes) {
    LBuild *b = &lk->b;
    const DilateAttrs *a = lk->n->attrs;
    Idx zero = lb_c(b, 0), from = lb_divc(b, row, a->stride.v[0]);
    Idx ow = lb_for(b, FOR_SERIAL, "ow", zero, lb_c(b, lk->out->dim[3].size), 1);
    Pos to = {.coord = (Idx[]){n, c, row, ow}, .lane_dim = 1, .lanes = lanes};
    lower_store(lk, lb_const(b, (LType){lk->out->dtype, lanes}, 0), &to);
    lb_end(b);
    lb_if(b, IF_EQ, lb_modc(b, row, a->stride.v[0]), zero);
    Idx iw = lb_for(b, FOR_SERIAL, "iw", zero, lb_c(b, lk->in[0]->dim[3].size), 1);
    Pos at = {.coord = (Idx[]){n, c, from, iw}, .lane_dim = 1, .lanes = lanes};
    LVal v = lower_load(lk, 0, lk->in[0], &at);
    to.coord = (Idx[]){n, c, row, lb_mulc(b, iw, a->stride.v[1])};
    lower_store(lk, v, &to);
    lb_end(b);
    lb_end(b);
}

bool lower_dilate(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "dilate");
    LBuild *b = &lk.b;
    uint8_t lanes = channel_lanes(&lk);
    int64_t runs = channel_runs(&lk, lanes);
    Idx count = lb_mulc(b, lb_dim(b, lk.out->dim[0]), runs);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    Idx image = lb_divc(b, t, runs), c = lb_mulc(b, lb_modc(b, t, runs), lanes);
    Idx row = lb_for(b, FOR_SERIAL, "oh", lb_c(b, 0), lb_c(b, lk.out->dim[2].size), 1);
    build_row(&lk, image, c, row, lanes);
    lb_end(b);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
