/* Direct convolution over channel blocks: `pixels` x `vectors` accumulators stay in registers while the
 * reduction runs over input blocks, kernel rows, kernel columns and the channels of a block. A long reduction
 * is cut into runs, whose sums are added up in scratch: f32's rounding grows with the length of a run. The
 * input carries its zero border in memory, so there are no edge cases; a planar input (few channels) is read
 * as it lies. Weights: [oc group][ic block][kh][kw][ic][vectors * lanes], planar [oc
 * group][kh][kw][ic][vectors * lanes].
 *
 * The gradient of the input is the same over the gradient of the output. Of a strided convolution only every
 * stride-th tap meets an output, and which ones depends on the input's row and column modulo the stride:
 * these phases are built one after the other, each a convolution of its own with fewer taps. */
#include "ir/lower/lower.h"

/* Rows or columns. Tap k of position p, of `count`, reads input p*step + k*tap_step + shift under the
 * weight's row or column k*weight_step + weight_first; the result is at p*out_step + phase. */
typedef struct Axis {
    int64_t count, taps;
    int64_t step, tap_step, shift;
    int64_t weight_step, weight_first;
    int64_t out_step, phase;
} Axis;

enum { RUN = 288 }; /* terms that are added one after the other, unless a block of channels has more */

typedef struct Conv {
    LowerKernel *lk;
    const Conv2dAttrs *at;
    const Choice *ch;
    LType vec;
    int64_t groups_of_oc; /* OC / (vectors * lanes), rounded up */
    int64_t out_blocks;   /* channel blocks that the result has in memory */
    int64_t ic;           /* input channels of a group */
    bool backward;        /* conv2d_backward_input: outputs are the input's channels, inputs the output's */
    Axis axis[2];
    int64_t phases[2];
    Type flat[16];        /* types seen as one row, for 1x1 convolutions */
    Idx n, oc_group, row; /* of the tile being built */
    /* Sums of the runs so far, from (partial_row, partial_column) on: [row][column][vector]. With ic_block,
     * of all rows of the task; else of a tile. */
    uint32_t partial;
    Idx partial_row, partial_column;
    Idx first_row, first_ic, end_ic; /* ic: in blocks */
} Conv;

/* Where a pixel's partial sums stand. */
static Idx partial_at(Conv *cv, Idx ow, Idx v) {
    LBuild *b = &cv->lk->b;
    Idx row = lb_sub(b, cv->row, cv->partial_row), column = lb_sub(b, ow, cv->partial_column);
    Idx pixel = lb_add(b, lb_mulc(b, row, cv->axis[1].count), column);
    return lb_mulc(b, lb_add(b, lb_mulc(b, pixel, cv->ch->vectors), v), cv->lk->lanes);
}

static Idx input_at(LBuild *b, const Axis *a, Idx position, Idx tap) {
    Idx at = lb_add(b, lb_mulc(b, position, a->step), lb_mulc(b, tap, a->tap_step));
    return lb_addc(b, at, a->shift);
}

static Idx weight_at(Conv *cv, Idx c, Idx kh, Idx kw) {
    LBuild *b = &cv->lk->b;
    Idx oc = lb_mulc(b, cv->oc_group, cv->ch->vectors * cv->lk->lanes);
    Idx tap[2] = {kh, kw};
    for (int i = 0; i < 2; i++)
        tap[i] = lb_addc(b, lb_mulc(b, tap[i], cv->axis[i].weight_step), cv->axis[i].weight_first);
    Idx coord[4] = {cv->backward ? c : oc, cv->backward ? oc : c, tap[0], tap[1]};
    return lower_index(b, cv->lk->in[1], coord);
}

/* One multiply-add of the tile for input channel c at kernel position (kh, kw), pixels from column ow0. */
static void rank1_update(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0, Idx c, Idx lane,
                         Idx kh, Idx kw) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    int64_t V = cv->ch->vectors, L = lk->lanes;
    Idx w_at = weight_at(cv, lb_add(b, c, lane), kh, kw);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    lb_store(b, wreg, v, lb_load(b, cv->vec, lk->in_buf[1], lb_add(b, w_at, lb_mulc(b, v, L))));
    lb_end(b);

    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    Idx per_group = lb_divc(b, cv->oc_group, cv->groups_of_oc / cv->at->groups);
    Idx channel = lb_add(b, lb_mulc(b, per_group, cv->at->groups > 1 ? cv->ic : 0), lb_add(b, c, lane));
    Idx ih = input_at(b, &cv->axis[0], cv->row, kh), iw = input_at(b, &cv->axis[1], lb_add(b, ow0, p), kw);
    Idx x_at = lower_index(b, lk->in[0], (Idx[]){cv->n, channel, ih, iw});
    LVal x = lb_splat(b, lb_load(b, (LType){DT_F32, 1}, lk->in_buf[0], x_at), (uint8_t)L);
    v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx a = lb_add(b, lb_mulc(b, p, V), v);
    LVal w = lb_load(b, cv->vec, wreg, v), sum = lb_load(b, cv->vec, acc, a);
    lb_store(b, acc, a, lb_mad(b, x, w, sum));
    lb_end(b);
    lb_end(b);
}

/* The reduction over `lanes` channels from channel c, all kernel positions. Few channels leave little to
 * unroll: then the kernel's rows are unrolled too (not its columns, where equal broadcasts would be kept
 * alive and spill). */
static void reduce_block(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0, Idx c,
                         int64_t lanes) {
    LBuild *b = &cv->lk->b;
    bool few = lanes * cv->axis[0].taps <= 32 && lanes < 8;
    Idx kh = few ? lb_c(b, 0) : lb_for(b, FOR_NOUNROLL, "kh", lb_c(b, 0), lb_c(b, cv->axis[0].taps), 1);
    Idx kw = lb_for(b, FOR_NOUNROLL, "kw", lb_c(b, 0), lb_c(b, cv->axis[1].taps), 1);
    if (few)
        kh = lb_for(b, FOR_UNROLL, "kh", lb_c(b, 0), lb_c(b, cv->axis[0].taps), 1);
    Idx lane = lb_for(b, FOR_UNROLL, "ic", lb_c(b, 0), lb_c(b, lanes), 1);
    rank1_update(cv, acc, wreg, pixels, ow0, c, lane, kh, kw);
    lb_end(b);
    lb_end(b);
    lb_end(b);
}

/* The bias of vector v of the group, or zero. */
static LVal start_value(Conv *cv, Idx v) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    if (lk->n->n_operands - lk->n->n_epilogue <= 2)
        return lb_const(b, cv->vec, 0);
    return lb_load(b, cv->vec, lk->in_buf[2],
                   lb_mulc(b, lb_add(b, lb_mulc(b, cv->oc_group, cv->ch->vectors), v), lk->lanes));
}

/* Sets the tile to the bias, or to zero. */
static void init_tile(Conv *cv, uint32_t acc, int64_t pixels, bool bias) {
    LBuild *b = &cv->lk->b;
    int64_t V = cv->ch->vectors;
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    LVal start = bias ? start_value(cv, v) : lb_const(b, cv->vec, 0);
    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    lb_store(b, acc, lb_add(b, lb_mulc(b, p, V), v), start);
    lb_end(b);
    lb_end(b);
}

/* A run's sums are added to those of the runs before. */
static void add_partial(Conv *cv, uint32_t acc, int64_t pixels, Idx ow0) {
    LBuild *b = &cv->lk->b;
    Idx p = lb_for(b, FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, cv->ch->vectors), 1);
    Idx at = partial_at(cv, lb_add(b, ow0, p), v), a = lb_add(b, lb_mulc(b, p, cv->ch->vectors), v);
    LVal before = lb_load(b, cv->vec, cv->partial, at);
    lb_store(b, cv->partial, at, lb_op2(b, LOP_ADD, before, lb_load(b, cv->vec, acc, a)));
    lb_end(b);
    lb_end(b);
}

/* Pixels [ow0, ow0 + pixels) of the row through the epilogue into the result; sums from `acc` or the partial
 * ones. */
static void store_pixels(Conv *cv, int64_t pixels, Idx ow0, const uint32_t *acc) {
    LowerKernel *lk = cv->lk;
    LBuild *b = &lk->b;
    int64_t V = cv->ch->vectors, L = lk->lanes;
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, V), 1);
    Idx block = lb_add(b, lb_mulc(b, cv->oc_group, V), v);
    bool guard = cv->groups_of_oc * V > cv->out_blocks;
    if (guard)
        lb_if(b, IF_LT, block, lb_c(b, cv->out_blocks));
    Idx p = lb_for(b, cv->ch->ic_block ? FOR_SERIAL : FOR_UNROLL, "p", lb_c(b, 0), lb_c(b, pixels), 1);
    const Axis *rows = &cv->axis[0], *columns = &cv->axis[1];
    Idx ow = lb_add(b, ow0, p), at[2] = {cv->row, ow};
    at[0] = lb_addc(b, lb_mulc(b, at[0], rows->out_step), rows->phase);
    at[1] = lb_addc(b, lb_mulc(b, at[1], columns->out_step), columns->phase);
    Idx coord[4] = {cv->n, lb_mulc(b, block, L), at[0], at[1]};
    Pos pos = {.coord = coord, .lane_dim = 1, .lanes = (uint8_t)L};
    LVal r = acc ? lb_load(b, cv->vec, *acc, lb_add(b, lb_mulc(b, p, V), v))
                 : lb_load(b, cv->vec, cv->partial, partial_at(cv, ow, v));
    lower_store(lk, lower_epilogue(lk, r, &pos), &pos);
    lb_end(b);
    if (guard)
        lb_end(b);
    lb_end(b);
}

/* Channel blocks [first, end). */
static void reduce_blocks(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0, Idx first,
                          Idx end) {
    LBuild *b = &cv->lk->b;
    Idx icb = lb_for(b, FOR_NOUNROLL, "icb", first, end, 1);
    reduce_block(cv, acc, wreg, pixels, ow0, lb_mulc(b, icb, cv->ch->block), cv->ch->block);
    lb_end(b);
}

/* The channels that are no whole block. */
static void reduce_rest(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0) {
    int64_t rest = cv->ch->block ? cv->ic % cv->ch->block : cv->ic;
    if (rest)
        reduce_block(cv, acc, wreg, pixels, ow0, lb_c(&cv->lk->b, cv->ic - rest), rest);
}

/* Channel blocks of a run; 0: the reduction is one run. */
static int64_t run_blocks(const Conv *cv) {
    const Choice *ch = cv->ch;
    const int64_t terms = cv->axis[0].taps * cv->axis[1].taps * ch->block;
    if (!terms)
        return 0;
    const int64_t blocks = terms < RUN ? RUN / terms : 1;
    return ch->ic_block || blocks * ch->block < cv->ic ? blocks : 0;
}

static void reduce_runs(Conv *cv, uint32_t acc, uint32_t wreg, int64_t pixels, Idx ow0, int64_t blocks) {
    LBuild *b = &cv->lk->b;
    Idx run = lb_for(b, FOR_NOUNROLL, "run", cv->first_ic, cv->end_ic, blocks);
    init_tile(cv, acc, pixels, false);
    reduce_blocks(cv, acc, wreg, pixels, ow0, run, lb_min(b, lb_addc(b, run, blocks), cv->end_ic));
    add_partial(cv, acc, pixels, ow0);
    lb_end(b);
    if (cv->ic % cv->ch->block) {
        init_tile(cv, acc, pixels, false);
        reduce_rest(cv, acc, wreg, pixels, ow0);
        add_partial(cv, acc, pixels, ow0);
    }
}

/* The sums of `count` pixels begin with the bias. */
static void start_partial(Conv *cv, int64_t count, Idx ow0) {
    LBuild *b = &cv->lk->b;
    Idx v = lb_for(b, FOR_UNROLL, "v", lb_c(b, 0), lb_c(b, cv->ch->vectors), 1);
    LVal start = start_value(cv, v);
    Idx p = lb_for(b, FOR_SERIAL, "p", lb_c(b, 0), lb_c(b, count), 1);
    lb_store(b, cv->partial, partial_at(cv, lb_add(b, ow0, p), v), start);
    lb_end(b);
    lb_end(b);
}

static void build_tile(Conv *cv, int64_t pixels, Idx ow0) {
    LBuild *b = &cv->lk->b;
    int64_t V = cv->ch->vectors, blocks = run_blocks(cv);
    uint32_t acc = lb_alloc(b, LB_REG, "acc", cv->vec, pixels * V);
    uint32_t wreg = lb_alloc(b, LB_REG, "w", cv->vec, V);
    if (cv->ch->ic_block) {
        reduce_runs(cv, acc, wreg, pixels, ow0, blocks);
    } else if (blocks) {
        cv->partial = lb_alloc(b, LB_SCRATCH, "partial", (LType){DT_F32, 1}, pixels * V * cv->lk->lanes);
        cv->partial_row = cv->row;
        cv->partial_column = ow0;
        start_partial(cv, pixels, ow0);
        reduce_runs(cv, acc, wreg, pixels, ow0, blocks);
        store_pixels(cv, pixels, ow0, NULL);
    } else {
        init_tile(cv, acc, pixels, true);
        if (cv->axis[0].taps && cv->axis[1].taps) { /* else a phase that no output saw */
            if (cv->ch->block)
                reduce_blocks(cv, acc, wreg, pixels, ow0, cv->first_ic, cv->end_ic);
            reduce_rest(cv, acc, wreg, pixels, ow0);
        }
        store_pixels(cv, pixels, ow0, &acc);
    }
}

/* A phase of a row in tiles whose widths differ by at most one. */
static void build_phase(Conv *cv) {
    LBuild *b = &cv->lk->b;
    int64_t tiles = (cv->axis[1].count + cv->ch->pixels - 1) / cv->ch->pixels;
    int64_t narrow = cv->axis[1].count / tiles, wide_tiles = cv->axis[1].count % tiles;
    if (wide_tiles) {
        Idx i = lb_for(b, FOR_SERIAL, "wide", lb_c(b, 0), lb_c(b, wide_tiles), 1);
        build_tile(cv, narrow + 1, lb_mulc(b, i, narrow + 1));
        lb_end(b);
    }
    Idx i = lb_for(b, FOR_SERIAL, "tile", lb_c(b, 0), lb_c(b, tiles - wide_tiles), 1);
    build_tile(cv, narrow, lb_addc(b, lb_mulc(b, i, narrow), wide_tiles * (narrow + 1)));
    lb_end(b);
}

/* Positions p of an axis that lie at p * stride + phase in the input, seen from its gradient. A full kernel
 * turned around would begin `before` ahead of them; taps from `first` on, stride apart, meet outputs. */
static void set_phase(Conv *cv, int axis, int64_t phase) {
    if (!cv->backward)
        return;
    const Type *x = cv->lk->out;
    int64_t s = cv->at->stride.v[axis], kernel = cv->lk->in[1]->dim[2 + axis].size;
    int64_t before = kernel - 1 - cv->at->padding.v[axis], first = ((before - phase) % s + s) % s;
    cv->axis[axis] = (Axis){
        .count = x->dim[2 + axis].size > phase ? (x->dim[2 + axis].size - phase + s - 1) / s : 0,
        .taps = first < kernel ? (kernel - first + s - 1) / s : 0,
        .step = 1,
        .tap_step = 1,
        .shift = (phase + first - before) / s,
        .weight_step = -s,
        .weight_first = kernel - 1 - first,
        .out_step = s,
        .phase = phase,
    };
}

static void build_row(Conv *cv) {
    for (int64_t phase = 0; phase < cv->phases[1]; phase++) {
        set_phase(cv, 1, phase);
        if (cv->axis[1].count)
            build_phase(cv);
    }
}

typedef void RowBuilder(Conv *cv);

static void for_rows(Conv *cv, Idx end, RowBuilder *build) {
    LBuild *b = &cv->lk->b;
    cv->row = cv->first_row;
    bool loop = cv->ch->rows > 1;
    if (loop)
        cv->row = lb_for(b, FOR_SERIAL, "oh", cv->first_row, end, 1);
    build(cv);
    if (loop)
        lb_end(b);
}

static void start_row(Conv *cv) {
    start_partial(cv, cv->axis[1].count, lb_c(&cv->lk->b, 0));
}

static void finish_row(Conv *cv) {
    store_pixels(cv, cv->axis[1].count, lb_c(&cv->lk->b, 0), NULL);
}

/* A block of input channels for all rows of the task, so that its weights come from the nearest cache; the
 * sums wait in scratch meanwhile. */
static void build_blocked_reduction(Conv *cv, Idx end) {
    LBuild *b = &cv->lk->b;
    const Choice *ch = cv->ch;
    int64_t step = ch->ic_block / ch->block;
    cv->partial = lb_alloc(b, LB_SCRATCH, "partial", (LType){DT_F32, 1},
                           ch->rows * cv->axis[1].count * ch->vectors * cv->lk->lanes);
    cv->partial_row = cv->first_row;
    cv->partial_column = lb_c(b, 0);
    for_rows(cv, end, start_row);
    cv->first_ic = lb_for(b, FOR_SERIAL, "ics", lb_c(b, 0), lb_c(b, cv->ic / ch->block), step);
    cv->end_ic = lb_addc(b, cv->first_ic, step);
    for_rows(cv, end, build_row);
    lb_end(b);
    for_rows(cv, end, finish_row);
}

/* The rows of a task up to `end`, phase by phase. The first phase has the most rows. */
static void build_row_phases(Conv *cv, Idx end) {
    LBuild *b = &cv->lk->b;
    int64_t most = cv->axis[0].count;
    for (int64_t phase = 0; phase < cv->phases[0]; phase++) {
        set_phase(cv, 0, phase);
        bool fewer = cv->axis[0].count < most;
        if (fewer && cv->ch->rows == 1)
            lb_if(b, IF_LT, cv->first_row, lb_c(b, cv->axis[0].count));
        if (cv->axis[0].count)
            for_rows(cv, fewer ? lb_min(b, end, lb_c(b, cv->axis[0].count)) : end, build_row);
        if (fewer && cv->ch->rows == 1)
            lb_end(b);
    }
}

static void build_tasks(Conv *cv) {
    LBuild *b = &cv->lk->b;
    int64_t rows = cv->ch->rows, chunks = (cv->axis[0].count + rows - 1) / rows;
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
    cv->first_row = lb_mulc(b, chunk, rows);
    Idx end = lb_addc(b, cv->first_row, rows);
    if (cv->axis[0].count % rows)
        end = lb_min(b, end, lb_c(b, cv->axis[0].count));
    if (cv->ch->ic_block) {
        build_blocked_reduction(cv, end);
    } else {
        cv->first_ic = lb_c(b, 0);
        cv->end_ic = lb_c(b, cv->ch->block ? cv->ic / cv->ch->block : 0);
        build_row_phases(cv, end);
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

/* Rows and columns of the convolution itself; of its gradient, the first phases. */
static void set_axes(Conv *cv) {
    for (int i = 0; i < 2; i++) {
        cv->phases[i] = cv->backward ? cv->at->stride.v[i] : 1;
        cv->axis[i] = (Axis){
            .count = cv->lk->out->dim[2 + i].size,
            .taps = cv->lk->in[1]->dim[2 + i].size,
            .step = cv->at->stride.v[i],
            .tap_step = cv->at->dilation.v[i],
            .shift = -cv->at->padding.v[i],
            .weight_step = 1,
            .out_step = 1,
        };
        set_phase(cv, i, 0);
    }
}

void conv_input_border(const ConvGradAttrs *a, const Type *dy, const Type *weight, int64_t border[4]) {
    for (int i = 0; i < 2; i++) {
        int64_t s = a->conv.stride.v[i], kernel = weight->dim[2 + i].size;
        int64_t before = kernel - 1 - a->conv.padding.v[i];
        int64_t last = a->size.v[i] - 1 + kernel - 1 - before; /* the last row of the spread gradient */
        border[i] = before > 0 ? before / s : 0;
        border[i + 2] = last / s - (dy->dim[2 + i].size - 1);
        border[i + 2] = border[i + 2] > 0 ? border[i + 2] : 0;
    }
}

bool lower_conv_direct(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    Conv cv = {.lk = &lk, .ch = n->choice, .vec = {DT_F32, (uint8_t)lk.lanes}};
    int64_t oc_step = cv.ch->vectors * lk.lanes;
    cv.backward = n->op == OP_conv2d_backward_input;
    cv.at = cv.backward ? &((const ConvGradAttrs *)n->attrs)->conv : n->attrs;
    cv.ic = lk.in[1]->dim[!cv.backward].size;
    cv.groups_of_oc = (lk.out->dim[1].size + oc_step - 1) / oc_step;
    cv.out_blocks = (lk.out->dim[1].size + lk.lanes - 1) / lk.lanes;
    if (!cv.backward)
        flatten(&cv);
    set_axes(&cv);
    build_tasks(&cv);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
