/* The plain nests of conv2d's gradients: any layout, stride, dilation and groups. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/ops/common.h"

typedef struct Grad2d {
    LowerKernel *lk;
    const Conv2dAttrs *a;
    int64_t ics, ocs;      /* channels of a group */
    int64_t in[2], out[2]; /* rows and columns of x and dy */
    int64_t taps[2];
} Grad2d;

static Idx ceil_divc(LBuild *b, Idx x, int64_t c) {
    return lb_divc(b, lb_addc(b, x, c - 1), c);
}

/* Outputs [lo, hi) for which a tap lies inside the input; lo == hi where it never does. */
static void output_bounds(Grad2d *g, int axis, Idx tap, Idx *lo, Idx *hi) {
    LBuild *b = &g->lk->b;
    Idx start = lb_sub(b, lb_c(b, g->a->padding.v[axis]), lb_mulc(b, tap, g->a->dilation.v[axis]));
    *lo = lb_max(b, lb_c(b, 0), ceil_divc(b, start, g->a->stride.v[axis]));
    const Idx end = ceil_divc(b, lb_addc(b, start, g->in[axis]), g->a->stride.v[axis]);
    *hi = lb_max(b, *lo, lb_min(b, lb_c(b, g->out[axis]), end));
}

static Idx input_at(Grad2d *g, int axis, Idx o, Idx tap) {
    LBuild *b = &g->lk->b;
    Idx at = lb_add(b, lb_mulc(b, o, g->a->stride.v[axis]), lb_mulc(b, tap, g->a->dilation.v[axis]));
    return lb_addc(b, at, -g->a->padding.v[axis]);
}

/* ---- The weight ---- */

typedef struct Tap {
    Idx n, o, c, kh, kw, oh; /* c: of all input channels */
} Tap;

/* sum += dy * x for `lanes` outputs from column ow of a row. */
static void add_pixels(Grad2d *g, const Tap *t, uint32_t sum, Idx ow, uint8_t lanes) {
    LowerKernel *lk = g->lk;
    LBuild *b = &lk->b;
    LType type = {lk->out->dtype, lanes};
    Pos at = {.coord = (Idx[]){t->n, t->o, t->oh, ow}, .lane_dim = 3, .lanes = lanes};
    LVal dy = lower_load(lk, 0, lk->in[0], &at);
    Idx coord[4] = {t->n, t->c, input_at(g, 0, t->oh, t->kh), input_at(g, 1, ow, t->kw)};
    int64_t stride = lanes > 1 ? lower_lane_stride(lk->in[1], 3) * g->a->stride.v[1] : 1;
    LVal x = lb_load_strided(b, type, lk->in_buf[1], lower_index(b, lk->in[1], coord), stride);
    lb_store(b, sum, lb_c(b, 0), lb_mad(b, dy, x, lb_load(b, type, sum, lb_c(b, 0))));
}

/* The sum over one image, as a scalar: rows add up in lanes, then what is left of them one by one. */
static LVal image_sum(Grad2d *g, Tap *t, uint8_t lanes) {
    LBuild *b = &g->lk->b;
    Idx zero = lb_c(b, 0), h0, h1, w0, w1;
    LType wide = {g->lk->out->dtype, lanes}, one = {g->lk->out->dtype, 1};
    uint32_t vector = lb_alloc(b, LB_REG, "vector", wide, 1), rest = lb_alloc(b, LB_REG, "rest", one, 1);
    lb_store(b, vector, zero, lb_const(b, wide, 0));
    lb_store(b, rest, zero, lb_const(b, one, 0));
    output_bounds(g, 0, t->kh, &h0, &h1);
    output_bounds(g, 1, t->kw, &w0, &w1);
    t->oh = lb_for(b, FOR_SERIAL, "oh", h0, h1, 1);
    Idx split = w0;
    if (lanes > 1) {
        split = lb_add(b, w0, lb_mulc(b, lb_divc(b, lb_sub(b, w1, w0), lanes), lanes));
        Idx ow = lb_for(b, FOR_SERIAL, "ow", w0, split, lanes);
        add_pixels(g, t, vector, ow, lanes);
        lb_end(b);
    }
    Idx ow = lb_for(b, FOR_SERIAL, "ow", split, w1, 1);
    add_pixels(g, t, rest, ow, 1);
    lb_end(b);
    lb_end(b);
    LVal sum = lb_load(b, wide, vector, zero);
    sum = lanes > 1 ? lb_op1(b, LOP_SUM, sum) : sum;
    return lb_op2(b, LOP_ADD, sum, lb_load(b, one, rest, zero));
}

static Grad2d begin(LowerKernel *lk, const Type *dy, const Type *x, const Type *w) {
    const ConvGradAttrs *at = lk->n->attrs;
    Grad2d g = {.lk = lk, .a = &at->conv, .ics = w->dim[1].size};
    g.ocs = w->dim[0].size / at->conv.groups;
    for (int i = 0; i < 2; i++) {
        g.in[i] = x->dim[2 + i].size;
        g.out[i] = dy->dim[2 + i].size;
        g.taps[i] = w->dim[2 + i].size;
    }
    return g;
}

bool lower_conv_weight_plain(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "conv2d_backward_weight");
    LBuild *b = &lk.b;
    Grad2d g = begin(&lk, lk.in[0], lk.in[1], lk.out);
    LType one = {lk.out->dtype, 1};
    uint8_t lanes = shape_lanes(lk.in[0], 3, shape_lanes(lk.in[1], 3, (uint8_t)lk.lanes));
    Idx zero = lb_c(b, 0), filters = lb_c(b, lk.out->dim[0].size * g.ics);
    Idx t = lb_for(b, FOR_PARALLEL, "t", zero, filters, 1);
    Tap tap = {.o = lb_divc(b, t, g.ics)};
    Idx i = lb_modc(b, t, g.ics);
    tap.c = lb_add(b, lb_mulc(b, lb_divc(b, tap.o, g.ocs), g.ics), i);
    tap.kh = lb_for(b, FOR_SERIAL, "kh", zero, lb_c(b, g.taps[0]), 1);
    tap.kw = lb_for(b, FOR_SERIAL, "kw", zero, lb_c(b, g.taps[1]), 1);
    uint32_t acc = lb_alloc(b, LB_REG, "acc", one, 1);
    lb_store(b, acc, zero, lb_const(b, one, 0));
    tap.n = lb_for(b, FOR_SERIAL, "n", zero, lb_dim(b, lk.in[0]->dim[0]), 1);
    LVal image = image_sum(&g, &tap, lanes);
    lb_store(b, acc, zero, lb_op2(b, LOP_ADD, image, lb_load(b, one, acc, zero)));
    lb_end(b);
    Pos at = {.coord = (Idx[]){tap.o, i, tap.kh, tap.kw}, .lane_dim = 3, .lanes = 1};
    lower_store(&lk, lb_load(b, one, acc, zero), &at);
    lb_end(b);
    lb_end(b);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

/* ---- The input ---- */

/* Opens the ifs (close three) in which tap `tap` reaches input `at` from an output, which is returned. */
static Idx from_output(Grad2d *g, int axis, Idx at, Idx tap) {
    LBuild *b = &g->lk->b;
    int64_t stride = g->a->stride.v[axis];
    Idx x = lb_sub(b, lb_addc(b, at, g->a->padding.v[axis]), lb_mulc(b, tap, g->a->dilation.v[axis]));
    lb_if(b, IF_EQ, lb_modc(b, x, stride), lb_c(b, 0));
    lb_if(b, IF_LE, lb_c(b, 0), lb_divc(b, x, stride));
    lb_if(b, IF_LT, lb_divc(b, x, stride), lb_c(b, g->out[axis]));
    return lb_divc(b, x, stride);
}

static void end_from_output(Grad2d *g) {
    for (int i = 0; i < 3; i++)
        lb_end(&g->lk->b);
}

/* One element of dx: the sum over the outputs that its pixel had a part in. */
static LVal input_sum(Grad2d *g, const Idx *x) {
    LowerKernel *lk = g->lk;
    LBuild *b = &lk->b;
    LType one = {lk->out->dtype, 1};
    Idx zero = lb_c(b, 0), group = lb_mulc(b, lb_divc(b, x[1], g->ics), g->ocs);
    uint32_t acc = lb_alloc(b, LB_REG, "acc", one, 1);
    lb_store(b, acc, zero, lb_const(b, one, 0));
    Idx kh = lb_for(b, FOR_SERIAL, "kh", zero, lb_c(b, g->taps[0]), 1);
    Idx oh = from_output(g, 0, x[2], kh);
    Idx kw = lb_for(b, FOR_SERIAL, "kw", zero, lb_c(b, g->taps[1]), 1);
    Idx ow = from_output(g, 1, x[3], kw);
    Idx o = lb_add(b, group, lb_for(b, FOR_SERIAL, "o", zero, lb_c(b, g->ocs), 1));
    Idx dy_at = lower_index(b, lk->in[0], (Idx[]){x[0], o, oh, ow});
    Idx w_at = lower_index(b, lk->in[1], (Idx[]){o, lb_modc(b, x[1], g->ics), kh, kw});
    LVal dy = lb_load(b, one, lk->in_buf[0], dy_at);
    LVal w = lb_load(b, one, lk->in_buf[1], w_at);
    lb_store(b, acc, zero, lb_mad(b, dy, w, lb_load(b, one, acc, zero)));
    lb_end(b);
    end_from_output(g);
    lb_end(b);
    end_from_output(g);
    lb_end(b);
    return lb_load(b, one, acc, zero);
}

bool lower_conv_input_plain(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "conv2d_backward_input");
    LBuild *b = &lk.b;
    Grad2d g = begin(&lk, lk.in[0], lk.out, lk.in[1]);
    int64_t channels = lk.out->dim[1].size;
    Idx zero = lb_c(b, 0), count = lb_mulc(b, lb_dim(b, lk.out->dim[0]), channels);
    Idx t = lb_for(b, FOR_PARALLEL, "t", zero, count, 1);
    Idx x[4] = {lb_divc(b, t, channels), lb_modc(b, t, channels)};
    x[2] = lb_for(b, FOR_SERIAL, "ih", zero, lb_c(b, g.in[0]), 1);
    x[3] = lb_for(b, FOR_SERIAL, "iw", zero, lb_c(b, g.in[1]), 1);
    Pos at = {.coord = x, .lane_dim = 3, .lanes = 1};
    lower_store(&lk, lower_epilogue(&lk, input_sum(&g, x), &at), &at);
    lb_end(b);
    lb_end(b);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
