/* batch_norm_sums: the sums over the batch that the gradient of a batch norm needs, for each channel: of dy
 * (the gradient of the bias) and of dy * (x - mean) / sqrt(var + eps) (of the weight). */
#include "ir/lower/channel.h"
#include "ir/ops/batch_norm.h"
#include <math.h>

enum { DY, INPUT, STATS };

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, DY) && op_need_shape_of(c, INPUT, DY) &&
           batch_norm_need_rows(c, STATS, DY);
}

static bool infer_shape(const OpCall *c, Type *out) {
    return batch_norm_rows_shape(c, DY, out);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    const int64_t channels = out->dim[1], plane = batch_norm_plane(in), count = tensor_elems(in);
    const double *mean = in[STATS].data, *var = mean + channels;
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = i / plane % channels;
        const double dy = in[DY].data[i];
        out->data[SUMS_DY * channels + c] += dy;
        out->data[SUMS_DY_XHAT * channels + c] += dy * (in[INPUT].data[i] - mean[c]) / sqrt(var[c] + a->eps);
    }
}

static void numbers(Channels *c, Idx channel, LVal *number) {
    number[0] = channel_load(c, STATS, STATS_MEAN, channel);
}

static void term(Channels *c, const Pos *pos, int slot) {
    const LVal dy = lower_load(c->lk, DY, &c->like, pos), x = lower_load(c->lk, INPUT, &c->like, pos);
    const LVal d = lb_op2(&c->lk->b, LOP_SUB, x, channel_number(c, 0, pos->lanes));
    channel_take(c, SUMS_DY, slot, dy, NO_LVAL);
    channel_take(c, SUMS_DY_XHAT, slot, dy, d);
}

static void task(Channels *c) {
    LVal sum[CHANNEL_TERMS];
    channel_numbers(c, 1, numbers);
    channel_sum(c, 2, term, sum);
    channel_store_partial(c, SUMS_DY, sum[SUMS_DY]);
    channel_store_partial(c, SUMS_DY_XHAT, sum[SUMS_DY_XHAT]);
}

static void rows_of(Combine *m, Idx channel, LVal *row) {
    LBuild *b = &m->b;
    const BatchNormAttrs *a = m->attrs;
    const LType t = {DT_F64, 1};
    const Idx at = lb_addc(b, channel, STATS_VAR * m->channels);
    const LVal var = lb_convert(b, DT_F64, lb_load(b, (LType){DT_F32, 1}, m->operand, at));
    const LVal std = lb_op1(b, LOP_SQRT, lb_op2(b, LOP_ADD, var, lb_const(b, t, a->eps)));
    row[SUMS_DY] = channel_total(m, SUMS_DY, channel);
    row[SUMS_DY_XHAT] = lb_op2(b, LOP_DIV, channel_total(m, SUMS_DY_XHAT, channel), std);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "batch_norm_sums");
    Channels c = channel_begin(&lk);
    channel_partial(&c, 2);
    channel_tasks(&c, task);
    return channel_combine(&c, 2, STATS, rows_of);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 4 * (double)type_elems(&c->operands[0], n);
}

static const AttrRow rows[] = {BATCH_NORM_EPS};
static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){4, 0},
     .n = 3,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), T2(2, 3)},
     .batch = 3},
    {.attrs = &(const BatchNormAttrs){1, 0},
     .n = 3,
     .operands = {TN4(17, 3, 19), TN4(17, 3, 19), T2(2, 17)},
     .batch = 2},
    {.attrs = &(const BatchNormAttrs){5, 0}, .n = 3, .operands = {TN2(17), TN2(17), T2(2, 17)}, .batch = 3},
};

const OpDesc op_batch_norm_sums = {
    .name = "batch_norm_sums",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"dy", "input", "stats"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .flags = OP_FOLLOWS | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    SAMPLES(samples),
};
