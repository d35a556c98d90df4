/* Sums and sweeps by channel: see channel.h. */
#include "ir/lower/channel.h"
#include "ir/lower/shapes.h"

enum {
    TASK_ELEMS = 8192,
    SLOTS = 4,        /* partial sums in registers: an addition takes as many cycles */
    RUN = 32,         /* additions in f32 on one slot before they go to f64 */
    COMBINE_TASK = 16 /* channels */
};

/* ---- What is walked ---- */

/* Channel blocks in the usual order, N, C, the rest, then the block: is it without a border? */
static bool is_plain_blocked(const Type *t) {
    const Layout *l = &t->layout;
    if (l->nparts != t->rank + 1 || l->part[t->rank].dim != 1)
        return false;
    for (int d = 0; d < t->rank; d++)
        if (l->part[d].dim != d || l->part[d].factor || l->lo[d] || l->hi[d])
            return false;
    return true;
}

/* Dimensions 2 and on as one. */
static const Type *merged(LowerKernel *lk, const Type *t) {
    Type m = {.dtype = t->dtype, .rank = 3, .dim = {t->dim[0], t->dim[1], {1, false}}};
    for (int d = 2; d < t->rank; d++)
        m.dim[2].size *= t->dim[d].size;
    if (t->layout.nparts == t->rank + 1)
        m.layout = (Layout){.nparts = 4, .part = {{0, 0}, {1, 0}, {2, 0}, t->layout.part[t->rank]}};
    return arena_copy(&lk->lw->cx->arena, &m, sizeof m);
}

static bool is_walked(const Channels *c, const Type *t) {
    return type_same_shape(t, &c->like);
}

static void merge_dims(Channels *c) {
    LowerKernel *lk = c->lk;
    const uint32_t extra = lk->n->n_operands - lk->n->n_epilogue;
    bool fits = c->like.rank > 3;
    for (uint32_t i = 0; i <= lk->n->n_operands && fits; i++) {
        const Type *t = i < lk->n->n_operands ? lk->in[i] : lk->out;
        bool own = i < extra || i == lk->n->n_operands;
        fits = is_walked(c, t) ? layout_is_dense(&t->layout) || is_plain_blocked(t) : own;
    }
    if (!fits)
        return;
    for (uint32_t i = 0; i < lk->n->n_operands; i++)
        if (is_walked(c, lk->in[i]))
            lk->in[i] = merged(lk, lk->in[i]);
    if (is_walked(c, lk->out))
        lk->out = merged(lk, lk->out);
    c->like = *lk->in[0];
}

/* Is the dimension of the channels in `t`, which broadcasts to the walked tensor, fit for vectors? */
static void fit_lanes(Channels *c, const Type *t, bool extra) {
    const int d = c->lane_dim - (c->like.rank - t->rank);
    if (!is_walked(c, t) && !extra)
        return; /* numbers per channel */
    c->lanes = shape_lanes(t, d, c->lanes);
}

static bool reaches_padding(Channels *c, const Type *t, bool extra) {
    const int d = 1 - (c->like.rank - t->rank);
    if ((!is_walked(c, t) && !extra) || d < 0 || (t->dim[d].size == 1 && c->like.dim[1].size != 1))
        return true;
    return shape_padded(t, d, ceil_div(c->like.dim[1].size, c->lanes) * c->lanes);
}

static void choose_lanes(Channels *c) {
    LowerKernel *lk = c->lk;
    const uint32_t count = lk->n->n_operands, extra = count - lk->n->n_epilogue;
    bool along = true;
    for (uint32_t i = 0; i <= count; i++) {
        const Type *t = i < count ? lk->in[i] : lk->out;
        along &= !is_walked(c, t) || shape_lane_dim(t) == 1;
    }
    c->lane_dim = along || c->like.rank == 2 ? 1 : c->like.rank - 1;
    c->lanes = (uint8_t)lk->lanes;
    for (uint32_t i = 0; i <= count; i++)
        fit_lanes(c, i < count ? lk->in[i] : lk->out, i < count && i >= extra);
    c->padded = c->lane_dim == 1;
    for (uint32_t i = 0; i <= count && c->padded; i++)
        c->padded = reaches_padding(c, i < count ? lk->in[i] : lk->out, i < count && i >= extra);
}

Channels channel_begin(LowerKernel *lk) {
    Channels c = {.lk = lk, .like = *lk->in[0], .plane = 1};
    for (int d = 2; d < c.like.rank; d++)
        c.plane *= c.like.dim[d].size;
    merge_dims(&c);
    choose_lanes(&c);
    const int64_t images = dim_at(c.like.dim[0], lk->lw->g->batch);
    const int64_t task = TASK_ELEMS / (c.lane_dim == 1 ? c.lanes : 1);
    c.group = c.plane < task ? task / c.plane : 1;
    if (c.group > images)
        c.group = images;
    return c;
}

/* ---- Tasks ---- */

/* Channels [first, first + steps * width). */
static void tasks(Channels *c, int64_t first, int64_t steps, uint8_t width, void (*task)(Channels *c)) {
    LBuild *b = &c->lk->b;
    if (!steps)
        return;
    const Idx images = lb_dim(b, c->like.dim[0]);
    const Idx parts = lb_divc(b, lb_addc(b, images, c->group - 1), c->group);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, parts, steps), 1);
    c->width = width;
    c->part = lb_divc(b, t, steps);
    c->coord[1] = lb_addc(b, lb_mulc(b, lb_modc(b, t, steps), width), first);
    c->first = lb_mulc(b, c->part, c->group);
    c->end = lb_min(b, lb_addc(b, c->first, c->group), images);
    task(c);
    lb_end(b);
}

void channel_tasks(Channels *c, void (*task)(Channels *c)) {
    const int64_t channels = c->like.dim[1].size;
    const uint8_t lanes = c->lanes;
    if (c->lane_dim != 1) {
        tasks(c, 0, channels, 1, task);
    } else if (c->padded) {
        tasks(c, 0, ceil_div(channels, lanes), lanes, task);
    } else {
        tasks(c, 0, channels / lanes, lanes, task);
        c->lanes = 1;
        tasks(c, channels / lanes * lanes, channels % lanes, 1, task);
        c->lanes = lanes;
    }
}

void channel_numbers(Channels *c, int count, void (*make)(Channels *c, Idx channel, LVal *number)) {
    LBuild *b = &c->lk->b;
    const LType one = {c->like.dtype, 1}, wide = {c->like.dtype, c->width};
    LVal v[CHANNEL_NUMBERS];
    if (c->width == 1) {
        make(c, c->coord[1], c->number);
        return;
    }
    const uint32_t kept = lb_alloc(b, LB_STACK, "numbers", one, (int64_t)count * c->width);
    for (int i = 0; i < count; i++)
        lb_store(b, kept, lb_c(b, (int64_t)i * c->width), lb_const(b, wide, 0));
    const Idx left = lb_sub(b, lb_c(b, c->like.dim[1].size), c->coord[1]);
    const Idx k = lb_for_vector(b, "k", lb_c(b, 0), lb_min(b, left, lb_c(b, c->width)), c->width);
    make(c, lb_add(b, c->coord[1], k), v);
    for (int i = 0; i < count; i++)
        lb_store(b, kept, lb_addc(b, k, (int64_t)i * c->width), v[i]);
    lb_end(b);
    for (int i = 0; i < count; i++)
        c->number[i] = lb_load(b, wide, kept, lb_c(b, (int64_t)i * c->width));
}

LVal channel_number(Channels *c, int i, uint8_t lanes) {
    return c->width == 1 ? lb_splat(&c->lk->b, c->number[i], lanes) : c->number[i];
}

Idx channel_count(Channels *c, Idx images) {
    return lb_mulc(&c->lk->b, images, c->plane);
}

/* ---- Elements ---- */

LVal channel_load(Channels *c, uint32_t i, int row, Idx channel) {
    const Idx at = lb_addc(&c->lk->b, channel, row * c->like.dim[1].size);
    return lb_load(&c->lk->b, (LType){c->like.dtype, 1}, c->lk->in_buf[i], at);
}

LVal channel_std(Channels *c, LVal var, double eps) {
    LBuild *b = &c->lk->b;
    return lb_op1(b, LOP_SQRT, lb_op2(b, LOP_ADD, var, lb_const(b, lb_type(b, var), eps)));
}

static int last_dim(const Channels *c) {
    return c->like.rank > 2 ? c->like.rank - 1 : -1;
}

/* Opens the loops over the images of the task and all its dimensions but the last; how many. */
static int open_rows(Channels *c) {
    static const char *const names[MAX_RANK] = {"n", "c", "d", "h", "i", "w"};
    LBuild *b = &c->lk->b;
    int loops = 1;
    c->coord[0] = lb_for(b, FOR_SERIAL, "n", c->first, c->end, 1);
    for (int d = 2; d < last_dim(c); d++, loops++)
        c->coord[d] = lb_for(b, FOR_SERIAL, names[d], lb_c(b, 0), lb_c(b, c->like.dim[d].size), 1);
    return loops;
}

static void close_rows(Channels *c, int loops) {
    while (loops--)
        lb_end(&c->lk->b);
}

static Pos position(Channels *c, Idx at, uint8_t lanes) {
    if (last_dim(c) > 0)
        c->coord[last_dim(c)] = at;
    return (Pos){.coord = c->coord, .lane_dim = c->lane_dim, .lanes = lanes};
}

/* Elements of a row. */
static int64_t row_length(const Channels *c) {
    return last_dim(c) > 0 ? c->like.dim[last_dim(c)].size : 1;
}

void channel_sweep(Channels *c, void (*at)(Channels *c, const Pos *pos)) {
    LBuild *b = &c->lk->b;
    const int64_t step = c->lane_dim == 1 ? 1 : c->lanes, length = row_length(c),
                  whole = length / step * step;
    const int loops = open_rows(c);
    if (whole) {
        const Idx x = lb_for(b, FOR_SERIAL, "x", lb_c(b, 0), lb_c(b, whole), step);
        const Pos pos = position(c, x, c->lanes);
        at(c, &pos);
        lb_end(b);
    }
    if (whole < length) {
        const Idx x = lb_for(b, FOR_SERIAL, "x", lb_c(b, whole), lb_c(b, length), 1);
        const Pos pos = position(c, x, 1);
        at(c, &pos);
        lb_end(b);
    }
    close_rows(c, loops);
}

/* ---- Sums ---- */

void channel_take(Channels *c, int k, int slot, LVal x, LVal y) {
    LBuild *b = &c->lk->b;
    const Idx at = lb_c(b, k * c->slots + slot);
    const LVal old = lb_load(b, lb_type(b, x), c->acc, at);
    lb_store(b, c->acc, at, y == NO_LVAL ? lb_op2(b, LOP_ADD, old, x) : lb_mad(b, x, y, old));
}

/* The slots of term k, added in pairs, go to the f64 register `to`. */
static void flush(Channels *c, int k, uint32_t to, uint8_t lanes) {
    LBuild *b = &c->lk->b;
    LVal v[SLOTS];
    for (int i = 0; i < c->slots; i++)
        v[i] = lb_load(b, (LType){c->like.dtype, lanes}, c->acc, lb_c(b, k * c->slots + i));
    for (int half = c->slots / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = lb_op2(b, LOP_ADD, v[i], v[i + half]);
    const LVal old = lb_load(b, (LType){DT_F64, lanes}, to, lb_c(b, k));
    lb_store(b, to, lb_c(b, k), lb_op2(b, LOP_ADD, old, lb_convert(b, DT_F64, v[0])));
}

/* Elements [from + lo, from + hi) of a row in vectors of `lanes`, which cover `step` elements. */
static void sum_span(Channels *c, Idx from, int64_t lo, int64_t hi, int64_t step, uint8_t lanes,
                     uint32_t to) {
    LBuild *b = &c->lk->b;
    const int64_t vectors = (hi - lo) / step;
    if (!vectors)
        return;
    c->slots = vectors >= SLOTS ? SLOTS : 1;
    const int64_t grouped = lo + vectors / c->slots * c->slots * step;
    const LType t = {c->like.dtype, lanes};
    c->acc = lb_alloc(b, LB_REG, "acc", t, (int64_t)c->terms * c->slots);
    for (int i = 0; i < c->terms * c->slots; i++)
        lb_store(b, c->acc, lb_c(b, i), lb_const(b, t, 0));
    Idx x = lb_for(b, FOR_SERIAL, "x", lb_c(b, lo), lb_c(b, grouped), step * c->slots);
    for (int i = 0; i < c->slots; i++) {
        const Pos pos = position(c, lb_add(b, from, lb_addc(b, x, i * step)), lanes);
        c->term(c, &pos, i);
    }
    lb_end(b);
    if (grouped < lo + vectors * step) {
        x = lb_for(b, FOR_SERIAL, "x", lb_c(b, grouped), lb_c(b, lo + vectors * step), step);
        const Pos pos = position(c, lb_add(b, from, x), lanes);
        c->term(c, &pos, 0);
        lb_end(b);
    }
    for (int k = 0; k < c->terms; k++)
        flush(c, k, to, lanes);
}

static void sum_row(Channels *c) {
    LBuild *b = &c->lk->b;
    const int64_t step = c->lane_dim == 1 ? 1 : c->lanes, length = row_length(c);
    const int64_t run = step * SLOTS * RUN, runs = length / run;
    if (runs) {
        const Idx r = lb_for(b, FOR_SERIAL, "r", lb_c(b, 0), lb_c(b, runs), 1);
        sum_span(c, lb_mulc(b, r, run), 0, run, step, c->lanes, c->total);
        lb_end(b);
    }
    const int64_t done = runs * run, whole = length / step * step;
    sum_span(c, lb_c(b, 0), done, whole, step, c->lanes, c->total);
    sum_span(c, lb_c(b, 0), whole, length, 1, 1, c->rest);
}

void channel_sum(Channels *c, int terms, void (*term)(Channels *c, const Pos *pos, int slot), LVal *sum) {
    LBuild *b = &c->lk->b;
    const LType wide = {DT_F64, c->lanes}, one = {DT_F64, 1};
    const bool across = c->lane_dim != 1 && c->lanes > 1;
    c->terms = terms;
    c->term = term;
    c->total = lb_alloc(b, LB_REG, "total", wide, terms);
    c->rest = lb_alloc(b, LB_REG, "rest", one, terms);
    for (int k = 0; k < terms; k++) {
        lb_store(b, c->total, lb_c(b, k), lb_const(b, wide, 0));
        lb_store(b, c->rest, lb_c(b, k), lb_const(b, one, 0));
    }
    const int loops = open_rows(c);
    sum_row(c);
    close_rows(c, loops);
    for (int k = 0; k < terms; k++) {
        sum[k] = lb_load(b, wide, c->total, lb_c(b, k));
        if (across) {
            sum[k] = lb_op1(b, LOP_SUM, sum[k]);
            const LVal rest = lb_load(b, one, c->rest, lb_c(b, k));
            sum[k] = lb_op2(b, LOP_ADD, sum[k], rest);
        }
    }
}

/* ---- Partial sums ---- */

void channel_partial(Channels *c, int terms) {
    LowerKernel *lk = c->lk;
    Lower *lw = lk->lw;
    const int64_t images = dim_at(c->like.dim[0], lw->g->batch), channels = c->like.dim[1].size;
    Partial p = {.parts = ceil_div(images, c->group), .group = c->group, .terms = terms};
    p.channels = ceil_div(channels, lk->lanes) * lk->lanes;
    const Dim extent = {p.parts * terms * p.channels, false};
    const char *name = lw->g->values.data[lk->n->result].name;
    p.buf = loops_buf(lw->m, (ModBuf){.name = intern_f(lw->cx, "%s.partial.k%u", name, lw->m->kernels.len),
                                      .kind = MB_WORK,
                                      .type = type_make(DT_F64, 1, &extent),
                                      .offset = -1,
                                      .alias = -1});
    LBuf *out = &lk->b.k->bufs.data[lk->out_buf];
    out->name = intern(lw->cx, "partial");
    out->dtype = DT_F64;
    out->extent = extent;
    out->align = dtype_bytes(DT_F64);
    c->partial = p;
}

static Idx partial_at(LBuild *b, const Partial *p, Idx part, int term, Idx channel) {
    const Idx row = lb_addc(b, lb_mulc(b, part, p->terms), term);
    return lb_add(b, lb_mulc(b, row, p->channels), channel);
}

void channel_store_partial(Channels *c, int term, LVal v) {
    LBuild *b = &c->lk->b;
    lb_store(b, c->lk->out_buf, partial_at(b, &c->partial, c->part, term, c->coord[1]), v);
}

LVal channel_load_partial(Combine *m, Idx part, int term, Idx channel) {
    return lb_load(&m->b, (LType){DT_F64, 1}, m->partial, partial_at(&m->b, m->p, part, term, channel));
}

Idx channel_parts(Combine *m) {
    LBuild *b = &m->b;
    return lb_divc(b, lb_addc(b, lb_dim(b, m->images), m->p->group - 1), m->p->group);
}

Idx channel_all_count(Combine *m) {
    return lb_mulc(&m->b, lb_dim(&m->b, m->images), m->plane);
}

Idx channel_part_count(Combine *m, Idx part) {
    LBuild *b = &m->b;
    const Idx left = lb_sub(b, lb_dim(b, m->images), lb_mulc(b, part, m->p->group));
    return lb_mulc(b, lb_min(b, left, lb_c(b, m->p->group)), m->plane);
}

LVal channel_total(Combine *m, int term, Idx channel) {
    LBuild *b = &m->b;
    const LType t = {DT_F64, 1};
    const uint32_t sum = lb_alloc(b, LB_REG, "sum", t, 1);
    const Idx zero = lb_c(b, 0);
    lb_store(b, sum, zero, lb_const(b, t, 0));
    const Idx k = lb_for(b, FOR_SERIAL, "k", zero, channel_parts(m), 1);
    const LVal v = channel_load_partial(m, k, term, channel), old = lb_load(b, t, sum, zero);
    lb_store(b, sum, zero, lb_op2(b, LOP_ADD, old, v));
    lb_end(b);
    return lb_load(b, t, sum, zero);
}

/* The step of a kernel with parameters for the partial sums, `operand` (unless negative), the result. */
static bool add_step(Channels *c, Combine *m, int32_t operand) {
    Lower *lw = c->lk->lw;
    const Node *n = c->lk->n;
    Arena *a = &lw->cx->arena;
    Step s = {.kernel = lw->m->kernels.len, .name = n->name, .loc = n->loc};
    uint32_t args = 0;
    s.origin = lw->g->values.data[n->result].origin;
    s.args = NEW_ARRAY(a, StepArg, 3);
    s.args[args++].buf = m->p->buf;
    if (operand >= 0)
        s.args[args++].buf = lw->buf[n->operands[operand]];
    s.args[args].buf = lw->buf[n->result];
    vec_push(a, &lw->m->kernels, m->b.k);
    vec_push(a, &lw->entry->steps, s);
    return true;
}

static void end_partial(Channels *c, const Partial *p) {
    Lower *lw = c->lk->lw;
    lower_end(c->lk);
    Step *s = &lw->entry->steps.data[lw->entry->steps.len - 1];
    s->args[c->lk->n->n_operands].buf = p->buf;
    s->origin = NULL;
}

bool channel_combine(Channels *c, int rows, int32_t operand,
                     void (*make)(Combine *m, Idx channel, LVal *row)) {
    const Partial *p = &c->partial;
    Lower *lw = c->lk->lw;
    const Dim parts = {p->parts * p->terms * p->channels, false};
    const int64_t channels = c->like.dim[1].size;
    end_partial(c, p);
    Combine m = {
        .p = p, .attrs = c->lk->n->attrs, .channels = channels, .images = c->like.dim[0], .plane = c->plane};
    m.b = lb_begin(lw->cx, intern_f(lw->cx, "%s.k%u", op_desc(c->lk->n->op)->name, lw->m->kernels.len));
    LBuild *b = &m.b;
    b->contract = lw->contract;
    m.partial = lb_param(b, "partial", LB_IN, DT_F64, parts);
    if (operand >= 0)
        m.operand = lb_param(b, op_desc(c->lk->n->op)->operand_names[operand], LB_IN, DT_F32,
                             (Dim){type_physical_elems(c->lk->in[operand], 1), false});
    const uint32_t out = lb_param(b, "out", LB_OUT, DT_F32, (Dim){rows * channels, false});
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_c(b, ceil_div(channels, COMBINE_TASK)), 1);
    const Idx lo = lb_mulc(b, t, COMBINE_TASK);
    const Idx hi = lb_min(b, lb_addc(b, lo, COMBINE_TASK), lb_c(b, channels));
    const Idx channel = lb_for_vector(b, "c", lo, hi, (uint8_t)target_lanes(lw->target, 8));
    LVal row[CHANNEL_TERMS];
    make(&m, channel, row);
    for (int r = 0; r < rows; r++)
        lb_store(b, out, lb_addc(b, channel, r * channels), lb_convert(b, DT_F32, row[r]));
    lb_end(b);
    lb_end(b);
    return add_step(c, &m, operand);
}
