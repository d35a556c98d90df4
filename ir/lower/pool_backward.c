/* Gradients of pools: each output's gradient goes to the inputs of its window, all of it to the first largest
 * one, or an equal part to each. A task is the plane of one image and of one channel, or of the channels that
 * lie side by side. Where the windows tile the input each element is stored once; else the plane is zeroed,
 * the windows add to it in the order of the outputs, and what the epilogue does comes last. */
#include "ir/lower/shapes.h"
#include "ir/lower/window.h"

enum { UNROLL_WINDOW = 32 };
enum { DY, X, Y }; /* operands; the last two of max_pool2d_backward only */

typedef struct Back {
    LowerKernel *lk;
    bool is_max, count_pad;
    int64_t divisor; /* of every sum; 0: the elements that count */
    PoolAxis axis[2];
    bool disjoint; /* no input is in two windows */
    bool tiled;    /* each input is in one */
    uint8_t lanes;
    Idx n, c;
    Idx coord[4];  /* of the input */
    uint32_t left; /* register: what of dy the current window has not given away */
} Back;

static Pos position(const Back *p, const Idx *coord) {
    return (Pos){.coord = coord, .lane_dim = 1, .lanes = p->lanes};
}

static LVal load_result(Back *p, const Pos *pos) {
    LBuild *b = &p->lk->b;
    const Type *t = p->lk->out;
    const Idx at = lower_index(b, t, pos->coord);
    if (pos->lanes == 1)
        return lb_load(b, (LType){t->dtype, 1}, p->lk->out_buf, at);
    return lb_load_strided(b, (LType){t->dtype, pos->lanes}, p->lk->out_buf, at, lower_lane_stride(t, 1));
}

/* The part of what is left that the input at `pos` gets: all where it is the output y, or is no number, which
 * y is not then either. */
static LVal pick(Back *p, LVal y, const Pos *pos) {
    LBuild *b = &p->lk->b;
    const LType t = lb_type(b, y);
    const LVal x = lower_load(p->lk, X, p->lk->out, pos), zero = lb_const(b, t, 0);
    const LVal equal = lb_op2(b, LOP_CMPEQ, x, y), no_number = lb_op2(b, LOP_CMPNE, x, x);
    const LVal hit = lb_op2(b, LOP_OR, equal, no_number), left = lb_load(b, t, p->left, lb_c(b, 0));
    lb_store(b, p->left, lb_c(b, 0), lb_select(b, hit, zero, left));
    return lb_select(b, hit, left, zero);
}

static void give(Back *p, LVal part, const Pos *pos) {
    LBuild *b = &p->lk->b;
    if (!p->disjoint)
        part = lb_op2(b, LOP_ADD, load_result(p, pos), part);
    lower_store(p->lk, p->tiled ? lower_epilogue(p->lk, part, pos) : part, pos);
}

/* dy / the number of elements of the mean. */
static LVal share(Back *p, LVal dy, const Idx *o, const Idx taps[2][2]) {
    LBuild *b = &p->lk->b;
    const Idx high = pool_tap_count(b, &p->axis[0], p->count_pad, o[0], taps[0][0], taps[0][1]);
    const Idx wide = pool_tap_count(b, &p->axis[1], p->count_pad, o[1], taps[1][0], taps[1][1]);
    const LVal count = lb_index(b, (LType){lb_type(b, dy).dtype, 1},
                                p->divisor ? lb_c(b, p->divisor) : lb_mul(b, high, wide));
    return lb_op2(b, LOP_DIV, dy, lb_splat(b, count, p->lanes));
}

/* The window of output (o[0], o[1]). */
static void window(Back *p, const Idx *o, const bool *inside) {
    LowerKernel *lk = p->lk;
    LBuild *b = &lk->b;
    const Idx coord[4] = {p->n, p->c, o[0], o[1]};
    const Pos from = position(p, coord), to = position(p, p->coord);
    Idx taps[2][2];
    for (int i = 0; i < 2; i++)
        pool_taps(b, &p->axis[i], o[i], inside[i], &taps[i][0], &taps[i][1]);
    LVal dy = lower_load(lk, DY, lk->in[DY], &from), y = NO_LVAL;
    if (p->is_max) {
        y = lower_load(lk, Y, lk->in[Y], &from);
        p->left = lb_alloc(b, LB_REG, "left", lb_type(b, dy), 1);
        lb_store(b, p->left, lb_c(b, 0), dy);
    } else {
        dy = share(p, dy, o, taps);
    }
    const bool small = inside[0] && inside[1] && p->axis[0].taps * p->axis[1].taps <= UNROLL_WINDOW;
    const ForKind kind = small ? FOR_UNROLL : FOR_SERIAL;
    const Idx kh = lb_for(b, kind, "kh", taps[0][0], taps[0][1], 1);
    const Idx kw = lb_for(b, kind, "kw", taps[1][0], taps[1][1], 1);
    p->coord[2] = pool_input(b, &p->axis[0], o[0], kh);
    p->coord[3] = pool_input(b, &p->axis[1], o[1], kw);
    give(p, p->is_max ? pick(p, y, &to) : dy, &to);
    lb_end(b);
    lb_end(b);
}

/* Outputs along axis i and inwards: first those whose window begins outside of the input, then those whose
 * window lies inside, then the rest. */
static void outputs(Back *p, int i, Idx *o, bool *inside) {
    static const char *const names[2] = {"oh", "ow"};
    LBuild *b = &p->lk->b;
    const PoolAxis *a = &p->axis[i];
    const int64_t bound[4] = {0, a->lo, a->hi, a->out};
    for (int k = 0; k < 3; k++) {
        if (bound[k] >= bound[k + 1])
            continue;
        inside[i] = k == 1;
        o[i] = lb_for(b, FOR_SERIAL, names[i], lb_c(b, bound[k]), lb_c(b, bound[k + 1]), 1);
        if (i == 0)
            outputs(p, 1, o, inside);
        else
            window(p, o, inside);
        lb_end(b);
    }
}

/* Each element of the plane: 0, or what the epilogue makes of it. */
static void sweep(Back *p, bool finish) {
    LowerKernel *lk = p->lk;
    LBuild *b = &lk->b;
    const Pos pos = position(p, p->coord);
    p->coord[2] = lb_for(b, FOR_SERIAL, "h", lb_c(b, 0), lb_c(b, p->axis[0].in), 1);
    p->coord[3] = lb_for(b, FOR_SERIAL, "w", lb_c(b, 0), lb_c(b, p->axis[1].in), 1);
    if (finish)
        lower_store(lk, lower_epilogue(lk, load_result(p, &pos), &pos), &pos);
    else
        lower_store(lk, lb_const(b, (LType){lk->out->dtype, p->lanes}, 0), &pos);
    lb_end(b);
    lb_end(b);
}

/* Channels [first, first + steps * lanes), `lanes` of them a task. */
static void tasks(Back *p, int64_t first, int64_t steps, uint8_t lanes) {
    LBuild *b = &p->lk->b;
    Idx o[2];
    bool inside[2];
    if (!steps)
        return;
    const Idx count = lb_mulc(b, lb_dim(b, p->lk->out->dim[0]), steps);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    p->lanes = lanes;
    p->n = p->coord[0] = lb_divc(b, t, steps);
    p->c = p->coord[1] = lb_addc(b, lb_mulc(b, lb_modc(b, t, steps), lanes), first);
    if (!p->tiled)
        sweep(p, false);
    outputs(p, 0, o, inside);
    if (!p->tiled && p->lk->n->epilogue)
        sweep(p, true);
    lb_end(b);
}

static void find_axes(Back *p) {
    const LowerKernel *lk = p->lk;
    const Node *n = lk->n;
    p->disjoint = p->tiled = true;
    for (int i = 0; i < 2; i++) {
        const int64_t in = lk->out->dim[2 + i].size, out = lk->in[DY]->dim[2 + i].size;
        PoolAxis *a = &p->axis[i];
        if (n->op == OP_adaptive_avg_pool2d_backward || n->op == OP_adaptive_max_pool2d_backward)
            *a = pool_axis_adaptive(in, out);
        else
            *a = pool_axis(p->is_max ? n->attrs : &((const PoolBackwardAttrs *)n->attrs)->pool, in, out, i);
        const int64_t span = (a->taps - 1) * a->dilation + 1;
        p->disjoint &= !a->adaptive && a->stride >= span;
        p->tiled &= !a->before && a->stride == a->taps && a->dilation == 1 && a->out * a->stride == a->in;
    }
    p->tiled &= p->disjoint;
}

bool lower_pool_backward(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    Back p = {.lk = &lk,
              .is_max = n->op == OP_max_pool2d_backward || n->op == OP_adaptive_max_pool2d_backward};
    if (n->op == OP_avg_pool2d_backward) {
        const Pool2dAttrs *a = &((const PoolBackwardAttrs *)n->attrs)->pool;
        p.count_pad = a->count_include_pad;
        p.divisor = a->divisor_override;
    }
    find_axes(&p);
    if (!p.tiled)
        lk.b.k->bufs.data[lk.out_buf].kind = LB_INOUT; /* read again once it is written */
    const ChannelSplit split = lower_channel_split(&lk);
    tasks(&p, 0, split.whole, split.lanes);
    tasks(&p, split.whole * split.lanes, split.rest, 1);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
