/* batch_norm_train: (x - mean) / sqrt(var + eps) * weight + bias for each channel, with the statistics of the
 * batch that batch_norm_stats found. */
#include "ir/grad.h"
#include "ir/lower/channel.h"
#include "ir/ops/batch_norm.h"
#include <math.h>

enum { INPUT, WEIGHT, BIAS, STATS };
enum { MEAN, SCALE, SHIFT }; /* numbers per channel */

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, INPUT) && batch_norm_need_vector(c, WEIGHT, INPUT) &&
           batch_norm_need_vector(c, BIAS, INPUT) && batch_norm_need_rows(c, STATS, INPUT);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    const int64_t channels = out->dim[1], plane = batch_norm_plane(out), count = tensor_elems(out);
    const double *mean = in[STATS].data, *var = mean + channels;
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = i / plane % channels;
        const double scale = in[WEIGHT].data[c] / sqrt(var[c] + a->eps);
        out->data[i] = (in[INPUT].data[i] - mean[c]) * scale + in[BIAS].data[c];
    }
}

static void numbers(Channels *c, Idx channel, LVal *number) {
    const BatchNormAttrs *a = c->lk->n->attrs;
    const LVal weight = channel_load(c, WEIGHT, 0, channel);
    number[MEAN] = channel_load(c, STATS, STATS_MEAN, channel);
    number[SHIFT] = channel_load(c, BIAS, 0, channel);
    const LVal std = channel_std(c, channel_load(c, STATS, STATS_VAR, channel), a->eps);
    number[SCALE] = lb_op2(&c->lk->b, LOP_DIV, weight, std);
}

static void element(Channels *c, const Pos *pos) {
    LBuild *b = &c->lk->b;
    const uint8_t lanes = pos->lanes;
    const LVal x = lower_load(c->lk, INPUT, &c->like, pos);
    const LVal d = lb_op2(b, LOP_SUB, x, channel_number(c, MEAN, lanes));
    const LVal scale = channel_number(c, SCALE, lanes), shift = channel_number(c, SHIFT, lanes);
    const LVal y = lb_mad(b, d, scale, shift);
    lower_store(c->lk, lower_epilogue(c->lk, y, pos), pos);
}

static void task(Channels *c) {
    channel_numbers(c, 3, numbers);
    channel_sweep(c, element);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "batch_norm_train");
    Channels c = channel_begin(&lk);
    channel_tasks(&c, task);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId x = n->operands[INPUT], weight = n->operands[WEIGHT], stats = n->operands[STATS];
    const ValueId of_sums[3] = {dy, x, stats};
    const ValueId sums = grad_node(gr, n, OP_batch_norm_sums, of_sums, 3, n->attrs, "sums");
    const ValueId of_x[5] = {dy, x, weight, stats, sums};
    const SelectAttrs row[2] = {{SUMS_DY_XHAT}, {SUMS_DY}};
    if (sums == NO_VALUE)
        return false;
    if (grad_wanted(gr, n, INPUT) &&
        !grad_add(gr, n, INPUT, grad_node(gr, n, OP_batch_norm_backward, of_x, 5, n->attrs, "grad")))
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const char *suffix = i ? "grad_bias" : "grad_weight";
        if (grad_wanted(gr, n, WEIGHT + i) &&
            !grad_add(gr, n, WEIGHT + i, grad_node(gr, n, OP_select, &sums, 1, &row[i], suffix)))
            return false;
    }
    return true;
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 3 * (double)type_elems(out, n);
}

static const AttrRow rows[] = {BATCH_NORM_EPS};
static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){4, 0},
     .n = 4,
     .operands = {TN4(3, 7, 5), T1(3), T1(3), T2(2, 3)},
     .batch = 3},
    {.attrs = &(const BatchNormAttrs){1, 0},
     .n = 4,
     .operands = {TN4(17, 3, 19), T1(17), T1(17), T2(2, 17)},
     .batch = 2},
    {.attrs = &(const BatchNormAttrs){5, 0},
     .n = 4,
     .operands = {TN2(17), T1(17), T1(17), T2(2, 17)},
     .batch = 3},
};

const OpDesc op_batch_norm_train = {
    .name = "batch_norm_train",
    .min_operands = 4,
    .max_operands = 4,
    .operand_names = (const char *const[]){"input", "weight", "bias", "stats"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .flags = OP_FOLLOWS | OP_ROOT | OP_INTERNAL,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
