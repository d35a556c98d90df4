/* batch_norm_stats: mean and biased variance of each channel over the batch. Each task sums its images, then
 * the squared deviations from their mean; the parts are put together by the formula of Chan, Golub and
 * LeVeque (1979) for several samples, in f64. */
#include "ir/lower/channel.h"
#include "ir/ops/batch_norm.h"

enum { TERM_SUM, TERM_SQUARES };

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, 0);
}

static bool infer_shape(const OpCall *c, Type *out) {
    return batch_norm_rows_shape(c, 0, out);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t channels = out->dim[1], plane = batch_norm_plane(in), count = tensor_elems(in);
    double *mean = out->data, *var = out->data + channels;
    const double each = (double)batch_norm_count(in);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++)
        mean[i / plane % channels] += in[0].data[i] / each;
    for (int64_t i = 0; i < count; i++) {
        const double d = in[0].data[i] - mean[i / plane % channels];
        var[i / plane % channels] += d * d / each;
    }
}

static void sum_term(Channels *c, const Pos *pos, int slot) {
    channel_take(c, 0, slot, lower_load(c->lk, 0, &c->like, pos), NO_LVAL);
}

static void square_term(Channels *c, const Pos *pos, int slot) {
    const LVal x = lower_load(c->lk, 0, &c->like, pos);
    const LVal d = lb_op2(&c->lk->b, LOP_SUB, x, channel_number(c, 0, pos->lanes));
    channel_take(c, 0, slot, d, d);
}

static void task(Channels *c) {
    LBuild *b = &c->lk->b;
    LVal sum[CHANNEL_TERMS];
    channel_sum(c, 1, sum_term, sum);
    channel_store_partial(c, TERM_SUM, sum[0]);
    const Idx count = channel_count(c, lb_sub(b, c->end, c->first));
    const LVal each = lb_splat(b, lb_index(b, (LType){DT_F64, 1}, count), c->width);
    c->number[0] = lb_convert(b, DT_F32, lb_op2(b, LOP_DIV, sum[0], each));
    channel_sum(c, 1, square_term, sum);
    channel_store_partial(c, TERM_SQUARES, sum[0]);
}

/* The sum over the parts of squares + count * (sum / count - mean)^2. */
static LVal squares(Combine *m, Idx channel, LVal mean) {
    LBuild *b = &m->b;
    const LType t = {DT_F64, 1};
    const Idx zero = lb_c(b, 0);
    const uint32_t all = lb_alloc(b, LB_REG, "squares", t, 1);
    lb_store(b, all, zero, lb_const(b, t, 0));
    const Idx k = lb_for(b, FOR_SERIAL, "k", zero, channel_parts(m), 1);
    const LVal count = lb_index(b, t, channel_part_count(m, k));
    const LVal sum = channel_load_partial(m, k, TERM_SUM, channel);
    const LVal own = channel_load_partial(m, k, TERM_SQUARES, channel);
    const LVal d = lb_op2(b, LOP_SUB, lb_op2(b, LOP_DIV, sum, count), mean);
    const LVal old = lb_op2(b, LOP_ADD, lb_load(b, t, all, zero), own);
    lb_store(b, all, zero, lb_mad(b, lb_op2(b, LOP_MUL, d, d), count, old));
    lb_end(b);
    return lb_load(b, t, all, zero);
}

static void rows_of(Combine *m, Idx channel, LVal *row) {
    LBuild *b = &m->b;
    const LVal count = lb_index(b, (LType){DT_F64, 1}, channel_all_count(m));
    row[STATS_MEAN] = lb_op2(b, LOP_DIV, channel_total(m, TERM_SUM, channel), count);
    row[STATS_VAR] = lb_op2(b, LOP_DIV, squares(m, channel, row[STATS_MEAN]), count);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "batch_norm_stats");
    Channels c = channel_begin(&lk);
    channel_partial(&c, 2);
    channel_tasks(&c, task);
    return channel_combine(&c, 2, -1, rows_of);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 4 * (double)type_elems(&c->operands[0], n);
}

static const OpSample samples[] = {
    {.n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.n = 1, .operands = {TN4(17, 1, 13)}, .batch = 2},
    {.n = 1, .operands = {TN4(8, 19, 29)}, .batch = 2},
    {.n = 1, .operands = {TN2(17)}, .batch = 5},
};

const OpDesc op_batch_norm_stats = {
    .name = "batch_norm_stats",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .flags = OP_FOLLOWS | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    SAMPLES(samples),
};
