/* Dropout in training: random numbers from a counter, four at a time (ir/ops/dropout_train.c says which).
 * Where a vector of counters makes the numbers of consecutive elements, they are put in order and applied at
 * once: a dense tensor, and channel blocks of pictures whose pixels come in fours. Elsewhere each element
 * takes its one of four. Where channels are dropped whole, a number is drawn for each. */
#include "ir/ops/philox.h"
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include <math.h>

enum { TASK_ELEMS = 4096 };

static LVal word(LBuild *b, LVal like, uint32_t v) {
    return lb_const_int(b, (LType){DT_U32, lb_type(b, like).lanes}, v);
}

/* Ten rounds; `counter` is overwritten by the four numbers. */
static void philox(LBuild *b, LVal counter[4], const LVal key[2]) {
    LVal key0 = key[0], key1 = key[1];
    for (int r = 0; r < PHILOX_ROUNDS; r++) {
        LVal mul0 = word(b, key0, PHILOX_MUL0), mul1 = word(b, key0, PHILOX_MUL1);
        LVal high0 = lb_op2(b, LOP_MULHI, mul0, counter[0]), low0 = lb_op2(b, LOP_MUL, mul0, counter[0]);
        LVal high1 = lb_op2(b, LOP_MULHI, mul1, counter[2]), low1 = lb_op2(b, LOP_MUL, mul1, counter[2]);
        counter[0] = lb_op2(b, LOP_XOR, lb_op2(b, LOP_XOR, high1, counter[1]), key0);
        counter[1] = low1;
        counter[2] = lb_op2(b, LOP_XOR, lb_op2(b, LOP_XOR, high0, counter[3]), key1);
        counter[3] = low0;
        key0 = lb_op2(b, LOP_ADD, key0, word(b, key0, PHILOX_KEY0));
        key1 = lb_op2(b, LOP_ADD, key1, word(b, key1, PHILOX_KEY1));
    }
}

typedef struct Drop {
    LowerKernel *lk;
    const DropoutTrainAttrs *a;
    int64_t size;        /* elements of a sample */
    Idx coord[MAX_RANK]; /* of the first lane */
} Drop;

/* 0, step, 2*step... in u32 lanes: bit by bit, each a shuffle of 0 and its power of two. */
static LVal ramp(LBuild *b, uint8_t lanes, int64_t step) {
    const LType t = {DT_U32, lanes};
    LVal sum = lb_const_int(b, t, 0), zero = sum;
    for (int bit = 1; bit < lanes; bit *= 2) {
        uint8_t lane[64];
        for (int i = 0; i < lanes; i++)
            lane[i] = (uint8_t)(i & bit ? lanes + i : i);
        LVal set = lb_const_int(b, t, (int64_t)(uint32_t)(step * bit));
        sum = lb_op2(b, LOP_ADD, sum, lb_shuffle(b, zero, set, lane, lanes));
    }
    return sum;
}

/* first + i*step in lane i. */
static LVal counts(LBuild *b, Idx first, uint8_t lanes, int64_t step) {
    LVal v = lb_splat(b, lb_index(b, (LType){DT_U32, 1}, first), lanes);
    return lanes == 1 ? v : lb_op2(b, LOP_ADD, v, ramp(b, lanes, step));
}

/* The four numbers of each counter: `group` is position / 4. */
static void draw(Drop *d, Idx sample, LVal group, LVal numbers[4]) {
    const LType i64 = {DT_I64, 1};
    LBuild *b = &d->lk->b;
    const uint8_t lanes = lb_type(b, group).lanes;
    Idx zero = lb_c(b, 0);
    LVal seed = lb_load(b, i64, d->lk->in_buf[1], zero), calls = lb_load(b, i64, d->lk->in_buf[2], zero);
    LVal high = lb_op2(b, LOP_SHR, seed, lb_const_int(b, i64, 32));
    LVal key[2];
    key[0] = lb_splat(b, lb_convert(b, DT_U32, seed), lanes);
    key[1] = lb_splat(b, lb_convert(b, DT_U32, high), lanes);
    numbers[0] = counts(b, sample, lanes, 0);
    numbers[1] = group;
    numbers[2] = lb_splat(b, lb_convert(b, DT_U32, calls), lanes);
    numbers[3] = word(b, group, (uint32_t)d->a->layer);
    philox(b, numbers, key);
}

/* x where number * 2^-32 >= p, scaled, else 0. */
static LVal drop(Drop *d, LVal x, LVal number) {
    LBuild *b = &d->lk->b;
    const LType t = lb_type(b, x);
    const double limit = ceil(ldexp(d->a->p, 32));
    LVal zero = lb_const(b, t, 0);
    if (limit > UINT32_MAX)
        return zero;
    LVal keep = lb_op2(b, LOP_CMPLE, word(b, number, (uint32_t)limit), number);
    return lb_select(b, keep, lb_op2(b, LOP_MUL, x, lb_const(b, t, 1 / (1 - d->a->p))), zero);
}

/* ---- Dense ---- */

/* a[0], b[0], a[1], b[1]... */
static LVal zip(LBuild *b, LVal even, LVal odd) {
    uint8_t lane[64];
    const uint8_t lanes = lb_type(b, even).lanes;
    for (size_t i = 0; i < lanes; i++) {
        lane[2 * i] = (uint8_t)i;
        lane[2 * i + 1] = (uint8_t)(lanes + i);
    }
    return lb_shuffle(b, even, odd, lane, (uint8_t)(2 * lanes));
}

/* The elements of groups [group, group + lanes) of the sample, which are consecutive. */
static void dense_groups(Drop *d, Idx sample, Idx group, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    LVal number[4];
    draw(d, sample, counts(b, group, lanes, 1), number);
    LVal even = zip(b, number[0], number[2]), odd = zip(b, number[1], number[3]), all = zip(b, even, odd);
    Idx at = lb_add(b, lb_mulc(b, sample, d->size), lb_mulc(b, group, 4));
    LVal x = lb_load(b, (LType){DT_F32, (uint8_t)(4 * lanes)}, d->lk->in_buf[0], at);
    lb_store(b, d->lk->out_buf, at, drop(d, x, all));
}

/* The last elements of a sample, from group `group` on: one, two or three of them. */
static void dense_rest(Drop *d, Idx sample, int64_t group) {
    LBuild *b = &d->lk->b;
    LVal number[4];
    draw(d, sample, counts(b, lb_c(b, group), 1, 0), number);
    for (int64_t i = 4 * group; i < d->size; i++) {
        Idx at = lb_addc(b, lb_mulc(b, sample, d->size), i);
        LVal x = lb_load(b, (LType){DT_F32, 1}, d->lk->in_buf[0], at);
        lb_store(b, d->lk->out_buf, at, drop(d, x, number[i % 4]));
    }
}

static void sweep_dense(Drop *d, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    const int64_t whole = d->size / 4 / lanes, per_task = TASK_ELEMS / 4 / lanes;
    const int64_t chunks = (whole + per_task - 1) / per_task;
    Idx samples = lb_dim(b, d->lk->out->dim[0]), zero = lb_c(b, 0);
    if (whole) {
        Idx t = lb_for(b, FOR_PARALLEL, "t", zero, lb_mulc(b, samples, chunks), 1);
        Idx lo = lb_mulc(b, lb_modc(b, t, chunks), per_task);
        Idx hi = lb_min(b, lb_addc(b, lo, per_task), lb_c(b, whole));
        Idx v = lb_for(b, FOR_SERIAL, "v", lo, hi, 1);
        dense_groups(d, lb_divc(b, t, chunks), lb_mulc(b, v, lanes), lanes);
        lb_end(b);
        lb_end(b);
    }
    if (whole * lanes * 4 == d->size)
        return;
    Idx sample = lb_for(b, FOR_PARALLEL, "t", zero, samples, 1);
    Idx group = lb_for(b, FOR_SERIAL, "v", lb_c(b, whole * lanes), lb_c(b, d->size / 4), 1);
    dense_groups(d, sample, group, 1);
    lb_end(b);
    if (d->size % 4)
        dense_rest(d, sample, d->size / 4);
    lb_end(b);
}

/* ---- Any layout ---- */

/* Lanes are channels, `inner` elements apart in the dense order, of which this is number `place`. */
static void store_at(Drop *d, Idx place, LVal number) {
    LBuild *b = &d->lk->b;
    const Type *out = d->lk->out;
    for (int k = out->rank - 1; k >= 2; k--) {
        d->coord[k] = k > 2 ? lb_modc(b, place, out->dim[k].size) : place;
        place = lb_divc(b, place, out->dim[k].size);
    }
    Pos pos = {.coord = d->coord, .lane_dim = 1, .lanes = lb_type(b, number).lanes};
    lower_store(d->lk, drop(d, lower_load(d->lk, 0, out, &pos), number), &pos);
}

/* The number of the four that belongs to the position. */
static LVal pick(LBuild *b, LVal position, const LVal number[4]) {
    LVal which = lb_op2(b, LOP_AND, position, word(b, position, 3)), v = number[0];
    for (uint32_t i = 1; i < 4; i++)
        v = lb_select(b, lb_op2(b, LOP_CMPEQ, which, word(b, which, i)), number[i], v);
    return v;
}

/* Channels from d->coord[1] on, all their places. */
static void channel_places(Drop *d, int64_t inner, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    const bool fours = inner % 4 == 0;
    Idx first = lb_mulc(b, d->coord[1], inner);
    Idx i = lb_for(b, FOR_SERIAL, "i", lb_c(b, 0), lb_c(b, inner), fours ? 4 : 1);
    LVal position = counts(b, lb_add(b, first, i), lanes, inner), number[4];
    draw(d, d->coord[0], lb_op2(b, LOP_SHR, position, word(b, position, 2)), number);
    if (fours)
        for (int k = 0; k < 4; k++)
            store_at(d, lb_addc(b, i, k), number[k]);
    else
        store_at(d, i, pick(b, position, number));
    lb_end(b);
}

/* Channels from d->coord[1] on, each with one number for all its places. */
static void whole_channels(Drop *d, int64_t inner, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    const LVal channel = counts(b, d->coord[1], lanes, 1);
    LVal number[4];
    draw(d, d->coord[0], lb_op2(b, LOP_SHR, channel, word(b, channel, 2)), number);
    number[0] = pick(b, channel, number);
    store_at(d, lb_for(b, FOR_SERIAL, "i", lb_c(b, 0), lb_c(b, inner), 1), number[0]);
    lb_end(b);
}

/* Elements [lo, hi) of a channel that begins at `first`, `lanes` at a time. */
static void channel_run(Drop *d, LVal number, Idx first, int64_t lo, int64_t hi, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    if (lo == hi)
        return;
    const Idx e = lb_for(b, FOR_SERIAL, "e", lb_c(b, lo), lb_c(b, hi), lanes), at = lb_add(b, first, e);
    const LVal x = lb_load(b, (LType){DT_F32, lanes}, d->lk->in_buf[0], at);
    lb_store(b, d->lk->out_buf, at, drop(d, x, lb_splat(b, number, lanes)));
    lb_end(b);
}

/* Whole channels of dense tensors, whose places are consecutive. */
static void sweep_channels(Drop *d, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    const int64_t channels = d->lk->out->dim[1].size, inner = d->size / channels;
    const int64_t whole = inner / lanes * lanes;
    const Idx count = lb_mulc(b, lb_dim(b, d->lk->out->dim[0]), channels);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    const LVal channel = counts(b, lb_modc(b, t, channels), 1, 0);
    LVal number[4];
    draw(d, lb_divc(b, t, channels), lb_op2(b, LOP_SHR, channel, word(b, channel, 2)), number);
    number[0] = pick(b, channel, number);
    channel_run(d, number[0], lb_mulc(b, t, inner), 0, whole, lanes);
    channel_run(d, number[0], lb_mulc(b, t, inner), whole, inner, 1);
    lb_end(b);
}

/* Channels [first, first + steps * lanes). */
static void channels(Drop *d, int64_t first, int64_t steps, uint8_t lanes) {
    LBuild *b = &d->lk->b;
    const Type *out = d->lk->out;
    if (!steps)
        return;
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), lb_mulc(b, lb_dim(b, out->dim[0]), steps), 1);
    d->coord[0] = lb_divc(b, t, steps);
    d->coord[1] = lb_addc(b, lb_mulc(b, lb_modc(b, t, steps), lanes), first);
    if (d->a->channels)
        whole_channels(d, d->size / out->dim[1].size, lanes);
    else
        channel_places(d, d->size / out->dim[1].size, lanes);
    lb_end(b);
}

bool lower_dropout(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "dropout_train");
    const Type *out = lk.out, dense = type_dense(out);
    Drop d = {.lk = &lk, .a = n->attrs, .size = type_elems(out, 1) / out->dim[0].size};
    uint8_t lanes = (uint8_t)lk.lanes;
    if (type_same_memory(lk.in[0], out))
        lk.b.k->bufs.data[lk.out_buf].inplace = 0;
    if (type_same_memory(lk.in[0], &dense) && type_same_memory(out, &dense)) {
        if (d.a->channels)
            sweep_channels(&d, lanes);
        else
            sweep_dense(&d, lanes);
    } else {
        lanes = shape_lanes(out, 1, shape_lanes(lk.in[0], 1, lanes));
        channels(&d, 0, out->dim[1].size / lanes, lanes);
        channels(&d, out->dim[1].size / lanes * lanes, out->dim[1].size % lanes, 1);
        lower_zero_border(&lk);
    }
    return lower_end(&lk);
}
