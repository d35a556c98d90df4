/* The gradient of a convolution's weight, direct: `channels` x `kernel_rows` x `kernel_columns` x `vectors`
 * sums stay in registers while a run of output pixels passes: a pixel's output channels are loaded as
 * vectors, and multiplied by single elements of the input. A run's sums begin at zero and are added to the
 * task's in memory, so no sum is longer than a run and then than the runs of a task. A task computes the
 * output channels of `vectors` vectors and `ic_block` input channels over `images` images; its part of the
 * buffer of partial gradients lies as packed weights do: [images][oc group][ic block][kh][kw][ic][vectors *
 * lanes]. A second kernel adds the parts up in their order and makes them dense. */
#include "ir/lower/lower.h"
#include "ir/lower/transpose.h"

typedef struct Weight Weight;
typedef void TileBuilder(Weight *w);

struct Weight {
    LowerKernel *lk;
    const Conv2dAttrs *at;
    const Choice *ch;
    LType vec;
    int64_t oc_groups, ic_blocks; /* ic_blocks: of one group of the convolution */
    int64_t lanes_used;           /* channels of a block that exist, rounded up to `channels` */
    int64_t oh, ow, kh, kw;
    Type parts; /* [part][O][I][KH][KW] */
    uint32_t parts_buf;
    Idx parts_count;
    bool one_run; /* a task has a single run, whose sums are stored */
    /* Of the tile being built. */
    Idx part, oc_group, ic_block, channel, tap[2];
    int64_t taps[2];
    Idx n0, n1, row0, row1; /* the run */
};

/* The partial gradients for the full batch. */
static Type parts_type(const Type *w, const Choice *ch, int64_t lanes, int64_t parts) {
    Type t = type_make(w->dtype, 5, (Dim[]){{parts, false}, w->dim[0], w->dim[1], w->dim[2], w->dim[3]});
    Type packed = lower_packed_weight(*w, ch, lanes);
    t.layout.part[t.layout.nparts++] = (LayoutPart){0, 0};
    for (int p = 0; p < packed.layout.nparts; p++) {
        LayoutPart part = packed.layout.part[p];
        part.dim++;
        t.layout.part[t.layout.nparts++] = part;
    }
    return t;
}

/* ---- One tile ---- */

/* Register of the tile: channel c, kernel row and column from the tile's first, vector v. */
static Idx reg(Weight *w, Idx c, Idx kh, Idx kw, Idx v) {
    LBuild *b = &w->lk->b;
    Idx tap = lb_add(b, lb_mulc(b, kh, w->taps[1]), kw);
    Idx at = lb_add(b, lb_mulc(b, tap, w->ch->channels), c);
    return lb_add(b, lb_mulc(b, at, w->ch->vectors), v);
}

/* Opens the loops over the tile's channels, kernel rows and columns; close three. */
static void for_tile(Weight *w, Idx *c, Idx *kh, Idx *kw) {
    LBuild *b = &w->lk->b;
    Idx zero = lb_c(b, 0);
    *c = lb_for(b, FOR_UNROLL, "ic", zero, lb_c(b, w->ch->channels), 1);
    *kh = lb_for(b, FOR_UNROLL, "kh", zero, lb_c(b, w->taps[0]), 1);
    *kw = lb_for(b, FOR_UNROLL, "kw", zero, lb_c(b, w->taps[1]), 1);
}

static void end_loops(LBuild *b, int count) {
    while (count-- > 0)
        lb_end(b);
}

/* The channel of x that is channel c of the tile. */
static Idx input_channel(Weight *w, Idx c) {
    LBuild *b = &w->lk->b;
    Idx block = w->ic_block;
    if (w->at->groups > 1) {
        Idx group = lb_divc(b, w->oc_group, w->oc_groups / w->at->groups);
        block = lb_add(b, block, lb_mulc(b, group, w->ic_blocks));
    }
    return lb_add(b, lb_mulc(b, block, w->ch->block), lb_add(b, w->channel, c));
}

/* acc += one pixel of dy times the elements of x under the tile. */
static void add_pixel(Weight *w, uint32_t acc, uint32_t dy, Idx n, Idx oh, Idx ow) {
    LowerKernel *lk = w->lk;
    LBuild *b = &lk->b;
    const Conv2dAttrs *at = w->at;
    int64_t V = w->ch->vectors, L = lk->lanes;
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1), c, kh, kw;
    Idx block = lb_add(b, lb_mulc(b, w->oc_group, V), v);
    int64_t blocks = ceil_div(lk->in[0]->dim[1].size, L);
    if (w->oc_groups * V > blocks) /* the last group may have too many: nobody asks for what they sum */
        block = lb_min(b, block, lb_c(b, blocks - 1));
    Idx y_at = lower_index(b, lk->in[0], (Idx[]){n, lb_mulc(b, block, L), oh, ow});
    lb_store(b, dy, v, lb_load(b, w->vec, lk->in_buf[0], y_at));
    lb_end(b);
    for_tile(w, &c, &kh, &kw);
    Idx row = lb_mulc(b, lb_add(b, w->tap[0], kh), at->dilation.v[0]);
    Idx column = lb_mulc(b, lb_add(b, w->tap[1], kw), at->dilation.v[1]);
    Idx ih = lb_addc(b, lb_add(b, lb_mulc(b, oh, at->stride.v[0]), row), -at->padding.v[0]);
    Idx iw = lb_addc(b, lb_add(b, lb_mulc(b, ow, at->stride.v[1]), column), -at->padding.v[1]);
    Idx x_at = lower_index(b, lk->in[1], (Idx[]){n, input_channel(w, c), ih, iw});
    LVal x = lb_splat(b, lb_load(b, (LType){DT_F32, 1}, lk->in_buf[1], x_at), (uint8_t)L);
    v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx r = reg(w, c, kh, kw, v);
    LVal y = lb_load(b, w->vec, dy, v), sum = lb_load(b, w->vec, acc, r);
    lb_store(b, acc, r, lb_mad(b, x, y, sum));
    lb_end(b);
    end_loops(b, 3);
}

/* The run's sums go to, or are added to, those of the task. */
static void store_tile(Weight *w, uint32_t acc) {
    LowerKernel *lk = w->lk;
    LBuild *b = &lk->b;
    int64_t V = w->ch->vectors, L = lk->lanes;
    Idx c, kh, kw;
    for_tile(w, &c, &kh, &kw);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx oc = lb_mulc(b, lb_add(b, lb_mulc(b, w->oc_group, V), v), L);
    Idx ic = lb_add(b, lb_mulc(b, w->ic_block, w->ch->block), lb_add(b, w->channel, c));
    Idx at = lower_index(b, &w->parts,
                         (Idx[]){w->part, oc, ic, lb_add(b, w->tap[0], kh), lb_add(b, w->tap[1], kw)});
    LVal sum = lb_load(b, w->vec, acc, reg(w, c, kh, kw, v));
    if (!w->one_run) {
        LVal before = lb_load(b, w->vec, w->parts_buf, at);
        sum = lb_op2(b, LOP_ADD, before, sum);
    }
    lb_store(b, w->parts_buf, at, sum);
    lb_end(b);
    end_loops(b, 3);
}

static void build_tile(Weight *w) {
    LBuild *b = &w->lk->b;
    int64_t V = w->ch->vectors, size = w->ch->channels * w->taps[0] * w->taps[1] * V;
    uint32_t acc = lb_alloc(b, LB_REG, "acc", w->vec, size), dy = lb_alloc(b, LB_REG, "dy", w->vec, V);
    LVal zero = lb_const(b, w->vec, 0);
    Idx r = lb_for(b, FOR_UNROLL, "r", lb_c(b, 0), lb_c(b, size), 1);
    lb_store(b, acc, r, zero);
    lb_end(b);
    Idx n = lb_for(b, FOR_NOUNROLL, "n", w->n0, w->n1, 1);
    Idx oh = lb_for(b, FOR_NOUNROLL, "oh", w->row0, w->row1, 1);
    Idx ow = lb_for(b, FOR_NOUNROLL, "ow", lb_c(b, 0), lb_c(b, w->ow), 1);
    add_pixel(w, acc, dy, n, oh, ow);
    end_loops(b, 3);
    store_tile(w, acc);
}

/* ---- The tiles of a run ---- */

static void build_channels(Weight *w) {
    LBuild *b = &w->lk->b;
    w->channel = lb_for(b, FOR_SERIAL, "c", lb_c(b, 0), lb_c(b, w->lanes_used), w->ch->channels);
    build_tile(w);
    lb_end(b);
}

/* The taps of one axis in pieces of at most `most`, whose sizes differ by at most one. */
static void for_taps(Weight *w, int axis, int64_t count, int64_t most, TileBuilder *build) {
    LBuild *b = &w->lk->b;
    int64_t pieces = ceil_div(count, most), narrow = count / pieces, wide = count % pieces;
    const char *name = axis ? "column" : "row";
    if (wide) {
        Idx i = lb_for(b, FOR_SERIAL, name, lb_c(b, 0), lb_c(b, wide), 1);
        w->tap[axis] = lb_mulc(b, i, narrow + 1);
        w->taps[axis] = narrow + 1;
        build(w);
        lb_end(b);
    }
    Idx i = lb_for(b, FOR_SERIAL, name, lb_c(b, 0), lb_c(b, pieces - wide), 1);
    w->tap[axis] = lb_addc(b, lb_mulc(b, i, narrow), wide * (narrow + 1));
    w->taps[axis] = narrow;
    build(w);
    lb_end(b);
}

static void build_columns(Weight *w) {
    for_taps(w, 1, w->kw, w->ch->kernel_columns, build_channels);
}

static void build_run(Weight *w, Idx first_block, Idx end_block) {
    LBuild *b = &w->lk->b;
    w->ic_block = lb_for(b, FOR_SERIAL, "icb", first_block, end_block, 1);
    for_taps(w, 0, w->kh, w->ch->kernel_rows, build_columns);
    lb_end(b);
}

/* ---- Tasks ---- */

/* The task's part begins at zero. */
static void clear_part(Weight *w, Idx first_block, Idx blocks) {
    LBuild *b = &w->lk->b;
    int64_t block = w->ch->block ? w->ch->block : w->parts.dim[2].size;
    Idx ic = lb_mulc(b, first_block, w->ch->block), zero = lb_c(b, 0);
    Idx oc = lb_mulc(b, w->oc_group, w->ch->vectors * w->lk->lanes);
    Idx at = lower_index(b, &w->parts, (Idx[]){w->part, oc, ic, zero, zero});
    Idx count = lb_mulc(b, blocks, block * w->kh * w->kw * w->ch->vectors);
    Idx i = lb_for(b, FOR_SERIAL, "z", zero, count, 1);
    lb_store(b, w->parts_buf, lb_add(b, at, lb_mulc(b, i, w->lk->lanes)), lb_const(b, w->vec, 0));
    lb_end(b);
}

/* Images [first, end) of the task, cut into runs of `rows` output rows. */
static void build_runs(Weight *w, Idx first, Idx end, Idx first_block, Idx end_block) {
    LBuild *b = &w->lk->b;
    int64_t rows = w->ch->rows;
    if (rows >= w->oh) { /* whole images */
        w->n0 = lb_for(b, FOR_SERIAL, "run", first, end, rows / w->oh);
        w->n1 = lb_min(b, lb_addc(b, w->n0, rows / w->oh), end);
        w->row0 = lb_c(b, 0);
        w->row1 = lb_c(b, w->oh);
        build_run(w, first_block, end_block);
        lb_end(b);
        return;
    }
    w->n0 = lb_for(b, FOR_SERIAL, "image", first, end, 1);
    w->n1 = lb_addc(b, w->n0, 1);
    w->row0 = lb_for(b, FOR_SERIAL, "run", lb_c(b, 0), lb_c(b, w->oh), rows);
    w->row1 = lb_min(b, lb_addc(b, w->row0, rows), lb_c(b, w->oh));
    build_run(w, first_block, end_block);
    end_loops(b, 2);
}

static void build_tasks(Weight *w) {
    LBuild *b = &w->lk->b;
    int64_t step = w->ch->block && w->ch->ic_block ? w->ch->ic_block / w->ch->block : w->ic_blocks;
    int64_t ic_groups = ceil_div(w->ic_blocks, step), images = w->ch->images;
    Idx batch = lb_dim(b, w->lk->in[0]->dim[0]);
    Idx parts = lb_divc(b, lb_addc(b, batch, images - 1), images);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, parts, w->oc_groups * ic_groups), 1);
    w->part = lb_divc(b, t, w->oc_groups * ic_groups);
    w->oc_group = lb_modc(b, lb_divc(b, t, ic_groups), w->oc_groups);
    Idx first_block = lb_mulc(b, lb_modc(b, t, ic_groups), step), end_block = lb_addc(b, first_block, step);
    if (w->ic_blocks % step)
        end_block = lb_min(b, end_block, lb_c(b, w->ic_blocks));
    Idx first = lb_mulc(b, w->part, images), end = lb_min(b, lb_addc(b, first, images), batch);
    if (!w->one_run)
        clear_part(w, first_block, lb_sub(b, end_block, first_block));
    build_runs(w, first, end, first_block, end_block);
    lb_end(b);
}

/* ---- The parts become one dense gradient ---- */

/* One vector of output channels, all parts. */
static LVal sum_parts(Weight *w, Idx parts, const Idx *coord) {
    LBuild *b = &w->lk->b;
    Idx zero = lb_c(b, 0), at[5] = {zero, coord[0], coord[1], coord[2], coord[3]};
    uint32_t acc = lb_alloc(b, LB_REG, "acc", w->vec, 1);
    LVal first = lb_load(b, w->vec, w->parts_buf, lower_index(b, &w->parts, at));
    lb_store(b, acc, zero, first);
    at[0] = lb_for(b, FOR_SERIAL, "part", lb_c(b, 1), parts, 1);
    LVal next = lb_load(b, w->vec, w->parts_buf, lower_index(b, &w->parts, at));
    lb_store(b, acc, zero, lb_op2(b, LOP_ADD, lb_load(b, w->vec, acc, zero), next));
    lb_end(b);
    return lb_load(b, w->vec, acc, zero);
}

/* The first `lanes` of output channels from coord[0] on. */
static void store_outs(Weight *w, LVal sum, const Idx *coord, int64_t lanes) {
    LBuild *b = &w->lk->b;
    Idx at = lower_index(b, w->lk->out, coord);
    int64_t stride = lower_lane_stride(w->lk->out, 0);
    if (lanes == w->vec.lanes) {
        lb_store_strided(b, w->lk->out_buf, at, sum, stride);
        return;
    }
    for (int64_t i = 0; i < lanes; i++)
        lb_store(b, w->lk->out_buf, lb_addc(b, at, i * stride), lb_extract(b, sum, (int)i));
}

/* Output channels from `oc` on, input channel `ic`. */
static void combine_filters(Weight *w, Idx parts, Idx oc, Idx ic, int64_t lanes) {
    LBuild *b = &w->lk->b;
    Idx kh = lb_for(b, FOR_SERIAL, "kh", lb_c(b, 0), lb_c(b, w->kh), 1);
    Idx kw = lb_for(b, FOR_SERIAL, "kw", lb_c(b, 0), lb_c(b, w->kw), 1);
    Idx coord[4] = {oc, ic, kh, kw};
    store_outs(w, sum_parts(w, parts, coord), coord, lanes);
    end_loops(b, 2);
}

/* The same for a square of output channels and columns of the rest, which is turned over in registers. */
static void combine_square(void *own, Idx row, int64_t rows, Idx column) {
    Weight *w = own;
    LBuild *b = &w->lk->b;
    const Type *out = w->lk->out;
    int64_t lanes = w->lk->lanes, width = type_elems(out, 1) / out->dim[0].size;
    uint32_t square = lb_alloc(b, LB_REG, "square", w->vec, lanes);
    for (int64_t i = 0; i < lanes; i++) {
        Idx coord[4] = {row};
        transpose_coord(b, out, lb_addc(b, column, i), coord);
        lb_store(b, square, lb_c(b, i), sum_parts(w, w->parts_count, coord));
    }
    lower_transpose(b, square, lanes);
    for (int64_t i = 0; i < rows; i++) {
        Idx at = lb_add(b, lb_mulc(b, lb_addc(b, row, i), width), column);
        lb_store(b, w->lk->out_buf, at, lb_load(b, w->vec, square, lb_c(b, i)));
    }
}

static void build_combine(Weight *w) {
    LBuild *b = &w->lk->b;
    const Type *out = w->lk->out;
    int64_t lanes = w->lk->lanes, whole = out->dim[0].size / lanes, rest = out->dim[0].size % lanes;
    int64_t ics = out->dim[1].size, images = w->ch->images;
    Dim batch = w->lk->lw->g->values.data[w->lk->n->operands[0]].type.dim[0];
    Idx parts = lb_divc(b, lb_addc(b, lb_dim(b, batch), images - 1), images);
    Type packed = lower_packed_weight(*out, w->ch, lanes);
    w->parts_count = parts;
    if (transpose_suits(out, &packed, lanes)) {
        lower_squares(w->lk, out, out->dim[0].size, combine_square, w);
        return;
    }
    if (whole) {
        Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_c(b, whole * ics), 1);
        combine_filters(w, parts, lb_mulc(b, lb_divc(b, t, ics), lanes), lb_modc(b, t, ics), lanes);
        lb_end(b);
    }
    if (rest) {
        Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_c(b, ics), 1);
        combine_filters(w, parts, lb_c(b, whole * lanes), t, rest);
        lb_end(b);
    }
}

/* ---- Both kernels ---- */

static Dim physical_extent(const Type *t) {
    return (Dim){.size = type_physical_elems(t, 1), .by_n = type_has_n(t)};
}

static LowerKernel begin_kernel(Lower *lw, const Node *n, const char *name) {
    LowerKernel lk = {.lw = lw, .n = n, .lanes = target_lanes(lw->target, 4)};
    lk.b = lb_begin(lw->cx, intern_f(lw->cx, "%s.k%u", name, lw->m->kernels.len));
    lk.b.contract = lw->contract;
    lk.out = &lw->g->values.data[n->result].type;
    return lk;
}

static void end_kernel(LowerKernel *lk, const uint32_t *bufs, uint32_t count) {
    Lower *lw = lk->lw;
    Arena *a = &lw->cx->arena;
    Step s = {.kernel = lw->m->kernels.len, .name = lk->n->name, .loc = lk->n->loc};
    s.args = NEW_ARRAY(a, StepArg, count);
    for (uint32_t i = 0; i < count; i++)
        s.args[i].buf = bufs[i];
    vec_push(a, &lw->m->kernels, lk->b.k);
    vec_push(a, &lw->entry->steps, s);
}

static uint32_t make_parts(Lower *lw, const Node *n, const Type *parts) {
    const Value *v = &lw->g->values.data[n->result];
    ModBuf buf = {.name = intern_f(lw->cx, "%s.parts", v->name), .kind = MB_WORK, .type = *parts};
    buf.align = 64;
    buf.offset = buf.alias = -1;
    return loops_buf(lw->m, buf);
}

static void lower_parts(Lower *lw, Weight *w, uint32_t parts_buf) {
    const Node *n = w->lk->n;
    LowerKernel *lk = w->lk;
    for (uint32_t i = 0; i < 2; i++) {
        lk->in[i] = &lw->g->values.data[n->operands[i]].type;
        lk->in_buf[i] =
            lb_param(&lk->b, i ? "input" : "grad_output", LB_IN, DT_F32, physical_extent(lk->in[i]));
    }
    w->oh = lk->in[0]->dim[2].size;
    w->ow = lk->in[0]->dim[3].size;
    w->one_run = w->ch->rows / w->oh >= w->ch->images;
    w->parts_buf =
        lb_param(&lk->b, "parts", w->one_run ? LB_OUT : LB_INOUT, DT_F32, physical_extent(&w->parts));
    build_tasks(w);
    end_kernel(lk, (uint32_t[]){lw->buf[n->operands[0]], lw->buf[n->operands[1]], parts_buf}, 3);
}

static void lower_combine(Lower *lw, Weight *w, uint32_t parts_buf) {
    LowerKernel *lk = w->lk;
    w->parts_buf = lb_param(&lk->b, "parts", LB_IN, DT_F32, physical_extent(&w->parts));
    lk->out_buf = lb_param(&lk->b, "out", LB_OUT, DT_F32, physical_extent(lk->out));
    build_combine(w);
    end_kernel(lk, (uint32_t[]){parts_buf, lw->buf[lk->n->result]}, 2);
}

bool lower_conv_weight_direct(Lower *lw, const Node *n) {
    LowerKernel sums = begin_kernel(lw, n, "conv2d_backward_weight");
    const Choice *ch = n->choice;
    const Type *out = sums.out;
    const Dim batch = lw->g->values.data[n->operands[0]].type.dim[0];
    int64_t oc_step = ch->vectors * sums.lanes, ic = out->dim[1].size, block = ch->block ? ch->block : ic;
    Weight w = {.lk = &sums, .at = &((const ConvGradAttrs *)n->attrs)->conv, .ch = ch};
    w.vec = (LType){DT_F32, (uint8_t)sums.lanes};
    w.oc_groups = ceil_div(out->dim[0].size, oc_step);
    w.ic_blocks = ceil_div(ic, block);
    w.lanes_used = ic < block ? ceil_div(ic, ch->channels) * ch->channels : block;
    w.kh = out->dim[2].size;
    w.kw = out->dim[3].size;
    w.parts = parts_type(out, ch, sums.lanes, ceil_div(dim_at(batch, lw->g->batch), ch->images));
    uint32_t parts = make_parts(lw, n, &w.parts);
    lower_parts(lw, &w, parts);
    LowerKernel combine = begin_kernel(lw, n, "combine");
    w.lk = &combine;
    lower_combine(lw, &w, parts);
    return true;
}
