/* batch_norm_backward: the gradient of batch_norm_train's input, statistics included. With m elements a
 * channel and xhat = (x - mean) / std it is weight / std * (dy - sum(dy) / m - xhat * sum(dy * xhat) / m)
 * (Ioffe and Szegedy 2015). */
#include "ir/lower/channel.h"
#include "ir/ops/batch_norm.h"
#include <math.h>

enum { DY, INPUT, WEIGHT, STATS, SUMS };
enum { MEAN, SCALE, OFFSET, SLOPE }; /* numbers per channel: scale * (dy - offset - (x - mean) * slope) */

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, DY) && op_need_shape_of(c, INPUT, DY) &&
           batch_norm_need_vector(c, WEIGHT, DY) && batch_norm_need_rows(c, STATS, DY) &&
           batch_norm_need_rows(c, SUMS, DY);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    const int64_t channels = out->dim[1], plane = batch_norm_plane(out), count = tensor_elems(out);
    const double *mean = in[STATS].data, *var = mean + channels, m = (double)batch_norm_count(out);
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = i / plane % channels;
        const double std = sqrt(var[c] + a->eps), xhat = (in[INPUT].data[i] - mean[c]) / std;
        const double mean_dy = in[SUMS].data[SUMS_DY * channels + c] / m;
        const double mean_dy_xhat = in[SUMS].data[SUMS_DY_XHAT * channels + c] / m;
        out->data[i] = in[WEIGHT].data[c] / std * (in[DY].data[i] - mean_dy - xhat * mean_dy_xhat);
    }
}

static void numbers(Channels *c, Idx channel, LVal *number) {
    LBuild *b = &c->lk->b;
    const BatchNormAttrs *a = c->lk->n->attrs;
    const LType t = {c->like.dtype, 1};
    const LVal m = lb_index(b, t, channel_count(c, lb_dim(b, c->like.dim[0])));
    const LVal std = channel_std(c, channel_load(c, STATS, STATS_VAR, channel), a->eps);
    const LVal dy = channel_load(c, SUMS, SUMS_DY, channel);
    const LVal dy_xhat = channel_load(c, SUMS, SUMS_DY_XHAT, channel);
    number[MEAN] = channel_load(c, STATS, STATS_MEAN, channel);
    number[SCALE] = lb_op2(b, LOP_DIV, channel_load(c, WEIGHT, 0, channel), std);
    number[OFFSET] = lb_op2(b, LOP_DIV, dy, m);
    number[SLOPE] = lb_op2(b, LOP_DIV, lb_op2(b, LOP_DIV, dy_xhat, m), std);
}

static void element(Channels *c, const Pos *pos) {
    LBuild *b = &c->lk->b;
    const uint8_t lanes = pos->lanes;
    const LVal dy = lower_load(c->lk, DY, &c->like, pos), x = lower_load(c->lk, INPUT, &c->like, pos);
    const LVal d = lb_op2(b, LOP_SUB, x, channel_number(c, MEAN, lanes));
    const LVal centred = lb_op2(b, LOP_SUB, dy, channel_number(c, OFFSET, lanes));
    const LVal along = lb_op2(b, LOP_MUL, d, channel_number(c, SLOPE, lanes));
    const LVal left = lb_op2(b, LOP_SUB, centred, along);
    const LVal dx = lb_op2(b, LOP_MUL, left, channel_number(c, SCALE, lanes));
    lower_store(c->lk, lower_epilogue(c->lk, dx, pos), pos);
}

static void task(Channels *c) {
    channel_numbers(c, 4, numbers);
    channel_sweep(c, element);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "batch_norm_backward");
    if (type_same_memory(lk.in[DY], lk.out))
        lk.b.k->bufs.data[lk.out_buf].inplace = DY;
    Channels c = channel_begin(&lk);
    channel_tasks(&c, task);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 5 * (double)type_elems(out, n);
}

static const AttrRow rows[] = {BATCH_NORM_EPS};
static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){4, 0},
     .n = 5,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), T1(3), T2(2, 3), T2(2, 3)},
     .batch = 3},
    {.attrs = &(const BatchNormAttrs){1, 0},
     .n = 5,
     .operands = {TN4(17, 3, 19), TN4(17, 3, 19), T1(17), T2(2, 17), T2(2, 17)},
     .batch = 2},
    {.attrs = &(const BatchNormAttrs){5, 0},
     .n = 5,
     .operands = {TN2(17), TN2(17), T1(17), T2(2, 17), T2(2, 17)},
     .batch = 3},
};

const OpDesc op_batch_norm_backward = {
    .name = "batch_norm_backward",
    .min_operands = 5,
    .max_operands = 5,
    .operand_names = (const char *const[]){"dy", "input", "weight", "stats", "sums"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .flags = OP_FOLLOWS | OP_ROOT | OP_INPLACE | OP_INTERNAL,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    SAMPLES(samples),
};
