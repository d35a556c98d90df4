/* Weights for conv2d_winograd: vectors of kernels, a kernel a lane, through G w G^T. Dense weights are turned
 * over in registers, or read with a stride where they are flipped; any other layout goes kernel by kernel. */
#include "ir/lower/transpose.h"
#include "ir/lower/winograd.h"

enum { MOST = WINOGRAD_TAPS * WINOGRAD_TAPS };

typedef struct Weights {
    LowerKernel *lk;
    const Winograd *wino;
    int taps; /* of a kernel */
    bool flip;
    int64_t outs, ins; /* of the result */
    LType vec;
} Weights;

/* The kernels w[k] of input channel c for output channels from oc on, transformed and stored. */
static void transform(const Weights *ws, const LVal *w, Idx oc, Idx c) {
    LowerKernel *lk = ws->lk;
    LBuild *b = &lk->b;
    const int side = ws->wino->in, taps = ws->wino->taps;
    LVal half[WINOGRAD_TAPS][WINOGRAD_IN], line[WINOGRAD_TAPS], out[WINOGRAD_IN];
    for (int k = 0; k < taps; k++) { /* the columns of w */
        for (int i = 0; i < taps; i++)
            line[i] = w[i * taps + k];
        lower_winograd(b, &ws->wino->weight, line, half[k]);
    }
    for (int i = 0; i < side; i++) {
        for (int k = 0; k < taps; k++)
            line[k] = half[k][i];
        lower_winograd(b, &ws->wino->weight, line, out);
        for (int j = 0; j < side; j++) {
            Idx coord[4] = {oc, c, lb_c(b, i), lb_c(b, j)};
            lb_store(b, lk->out_buf, lower_index(b, lk->out, coord), out[j]);
        }
    }
}

/* ---- Any layout ---- */

static void one_by_one(const Weights *ws) {
    LowerKernel *lk = ws->lk;
    LBuild *b = &lk->b;
    Idx oc = lb_for(b, FOR_PARALLEL, "o", lb_c(b, 0), lb_c(b, ws->outs), 1);
    Idx c = lb_for(b, FOR_NOUNROLL, "i", lb_c(b, 0), lb_c(b, ws->ins), 1);
    LVal w[MOST];
    for (int k = 0; k < ws->taps; k++) {
        int at = ws->flip ? ws->taps - 1 - k : k;
        Idx coord[4] = {ws->flip ? c : oc, ws->flip ? oc : c, lb_c(b, at / ws->wino->taps),
                        lb_c(b, at % ws->wino->taps)};
        Pos pos = {.coord = coord, .lanes = 1};
        w[k] = lower_load(lk, 0, lk->in[0], &pos);
    }
    transform(ws, w, oc, c);
    lb_end(b);
    lb_end(b);
    lower_zero_border(lk);
}

/* ---- Dense to packed ---- */

/* Elements `square` * lanes and on of the kernels of `lanes` input channels from c on: vectors over the
 * output channels from oc on, of which `rows` are real. */
static void turn_square(const Weights *ws, uint32_t taps, Idx square, Idx oc, int64_t rows, Idx c) {
    LBuild *b = &ws->lk->b;
    const int64_t lanes = ws->vec.lanes;
    uint32_t regs = lb_alloc(b, LB_REG, "square", ws->vec, lanes);
    LVal zero = lb_const(b, ws->vec, 0);
    for (int64_t i = 0; i < lanes; i++) {
        Idx at = lb_add(b, lb_mulc(b, lb_addc(b, oc, i), ws->ins), c);
        at = lb_add(b, lb_mulc(b, at, ws->taps), lb_mulc(b, square, lanes));
        lb_store(b, regs, lb_c(b, i), i < rows ? lb_load(b, ws->vec, ws->lk->in_buf[0], at) : zero);
    }
    lower_transpose(b, regs, lanes);
    for (int64_t i = 0; i < lanes; i++) {
        Idx to = lb_mulc(b, lb_addc(b, lb_mulc(b, square, lanes), i), lanes);
        lb_store(b, taps, to, lb_load(b, ws->vec, regs, lb_c(b, i)));
    }
}

/* All input channels for `rows` output channels from oc on, as many as lanes at a time; the last ones end
 * where the weight does, so some are built twice. */
static void by_squares(const Weights *ws, Idx oc, int64_t rows) {
    LBuild *b = &ws->lk->b;
    const int64_t lanes = ws->vec.lanes;
    uint32_t taps = lb_alloc(b, LB_STACK, "taps", (LType){DT_F32, 1}, ws->taps * lanes * lanes);
    Idx block = lb_for(b, FOR_NOUNROLL, "block", lb_c(b, 0), lb_c(b, ceil_div(ws->ins, lanes)), 1);
    Idx c = lb_mulc(b, block, lanes);
    if (ws->ins % lanes)
        c = lb_min(b, c, lb_c(b, ws->ins - lanes));
    Idx square = lb_for(b, FOR_NOUNROLL, "square", lb_c(b, 0), lb_c(b, ws->taps), 1);
    turn_square(ws, taps, square, oc, rows, c);
    lb_end(b);
    Idx i = lb_for(b, FOR_NOUNROLL, "i", lb_c(b, 0), lb_c(b, lanes), 1);
    LVal w[MOST];
    for (int k = 0; k < ws->taps; k++)
        w[k] = lb_load(b, ws->vec, taps, lb_mulc(b, lb_addc(b, lb_mulc(b, i, ws->taps), k), lanes));
    transform(ws, w, oc, lb_add(b, c, i));
    lb_end(b);
    lb_end(b);
}

/* The vector of tap k as it lies flipped. The last vector of output channels ends where the weight does, and
 * is shifted into place. */
static LVal flipped_tap(const Weights *ws, Idx oc, int64_t rows, Idx c, int k) {
    LBuild *b = &ws->lk->b;
    const uint8_t lanes = ws->vec.lanes;
    Idx first = lb_addc(b, oc, rows - lanes);
    Idx at = lb_addc(b, lb_mulc(b, lb_add(b, lb_mulc(b, c, ws->outs), first), ws->taps), ws->taps - 1 - k);
    LVal w = lb_load_strided(b, ws->vec, ws->lk->in_buf[0], at, ws->taps);
    if (rows == lanes)
        return w;
    uint8_t shift[64];
    for (int64_t i = 0; i < lanes; i++)
        shift[i] = (uint8_t)(i < rows ? lanes - rows + i : lanes);
    return lb_shuffle(b, w, lb_const(b, ws->vec, 0), shift, lanes);
}

static void by_strides(const Weights *ws, Idx oc, int64_t rows) {
    LBuild *b = &ws->lk->b;
    Idx c = lb_for(b, FOR_NOUNROLL, "i", lb_c(b, 0), lb_c(b, ws->ins), 1);
    LVal w[MOST], zero = rows ? NO_LVAL : lb_const(b, ws->vec, 0);
    for (int k = 0; k < ws->taps; k++)
        w[k] = rows ? flipped_tap(ws, oc, rows, c, k) : zero;
    transform(ws, w, oc, c);
    lb_end(b);
}

/* `vectors` vectors of output channels from `first` on, of which `rows` each are real. */
static void build_vectors(const Weights *ws, int64_t first, int64_t vectors, int64_t rows) {
    LBuild *b = &ws->lk->b;
    if (vectors < 1)
        return;
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_c(b, vectors), 1);
    Idx oc = lb_addc(b, lb_mulc(b, t, ws->vec.lanes), first);
    if (ws->flip || !rows)
        by_strides(ws, oc, rows);
    else
        by_squares(ws, oc, rows);
    lb_end(b);
}

static bool lies_packed(const Weights *ws) {
    const LowerKernel *lk = ws->lk;
    PhysicalPart part[MAX_PARTS];
    const int n = type_parts(lk->out, part);
    const int64_t lanes = ws->vec.lanes;
    if (!layout_is_dense(&lk->in[0]->layout) || lanes < 4 || (ws->flip ? ws->outs : ws->ins) < lanes ||
        part[n - 1].dim != 0 || part[n - 1].extent.size % lanes)
        return false;
    const int64_t dense = type_elems(lk->out, 1) / ws->outs;
    return type_physical_elems(lk->out, 1) == transpose_rows(lk->out) * dense && !lk->out->layout.lo[0];
}

bool lower_winograd_weight(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "winograd_weight");
    const WinogradWeightAttrs *a = n->attrs;
    Weights ws = {.lk = &lk, .flip = a->flip, .vec = {DT_F32, (uint8_t)lk.lanes}};
    ws.wino = winograd_of(lk.in[0]->dim[2].size, a->tile);
    ws.taps = ws.wino->taps * ws.wino->taps;
    ws.outs = lk.out->dim[0].size;
    ws.ins = lk.out->dim[1].size;
    if (lies_packed(&ws)) {
        const int64_t lanes = lk.lanes, whole = ws.outs / lanes, rest = ws.outs % lanes;
        const int64_t all = transpose_rows(lk.out) / lanes, first = whole + (rest > 0);
        build_vectors(&ws, 0, whole, lanes);
        build_vectors(&ws, whole * lanes, rest > 0, rest);
        build_vectors(&ws, first * lanes, all - first, 0);
    } else {
        one_by_one(&ws);
    }
    return lower_end(&lk);
}
