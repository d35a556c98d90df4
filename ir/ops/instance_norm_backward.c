/* instance_norm_backward: the gradient of instance_norm's input: with m elements an image and channel and
 * xhat = (x - mean) * rstd it is rstd * (dy - sum(dy) / m - xhat * sum(dy * xhat) / m). The statistics are
 * computed anew. */
#include "ir/ops/instance_norm.h"

enum { DY, INPUT };
enum { OFFSET = INSTANCE_RSTD + 1, SLOPE }; /* rstd * (dy - offset - (x - mean) * slope) */

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    const int64_t plane = batch_norm_plane(out), count = tensor_elems(out);
    (void)n;
    for (int64_t i = 0; i < count; i += plane) {
        const double *dy = in[DY].data + i, *x = in[INPUT].data + i;
        double mean, rstd, sum = 0, dot = 0;
        instance_norm_moments(x, plane, a->eps, &mean, &rstd);
        for (int64_t k = 0; k < plane; k++) {
            sum += dy[k] / (double)plane;
            dot += dy[k] * (x[k] - mean) * rstd / (double)plane;
        }
        for (int64_t k = 0; k < plane; k++)
            out->data[i + k] = rstd * (dy[k] - sum - (x[k] - mean) * rstd * dot);
    }
}

static LVal centred(Channels *c, const Pos *pos) {
    const LVal x = lower_load(c->lk, INPUT, &c->like, pos);
    return lb_op2(&c->lk->b, LOP_SUB, x, channel_number(c, INSTANCE_MEAN, pos->lanes));
}

static void term(Channels *c, const Pos *pos, int slot) {
    const LVal dy = lower_load(c->lk, DY, &c->like, pos), d = centred(c, pos);
    channel_take(c, 0, slot, dy, NO_LVAL);
    channel_take(c, 1, slot, dy, d);
}

static void element(Channels *c, const Pos *pos) {
    LBuild *b = &c->lk->b;
    const LVal dy = lower_load(c->lk, DY, &c->like, pos), d = centred(c, pos);
    const LVal left = lb_op2(b, LOP_SUB, dy, channel_number(c, OFFSET, pos->lanes));
    const LVal along = lb_op2(b, LOP_MUL, d, channel_number(c, SLOPE, pos->lanes));
    const LVal across = lb_op2(b, LOP_SUB, left, along);
    const LVal dx = lb_op2(b, LOP_MUL, across, channel_number(c, INSTANCE_RSTD, pos->lanes));
    lower_store(c->lk, lower_epilogue(c->lk, dx, pos), pos);
}

static void task(Channels *c) {
    LBuild *b = &c->lk->b;
    LVal sum[CHANNEL_TERMS];
    instance_norm_numbers(c);
    channel_sum(c, 2, term, sum);
    const LVal rstd = c->number[INSTANCE_RSTD], square = lb_op2(b, LOP_MUL, rstd, rstd);
    c->number[OFFSET] = instance_norm_mean(c, sum[0]);
    c->number[SLOPE] = lb_op2(b, LOP_MUL, instance_norm_mean(c, sum[1]), square);
    channel_sweep(c, element);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "instance_norm_backward");
    if (type_same_memory(lk.in[DY], lk.out))
        lk.b.k->bufs.data[lk.out_buf].inplace = DY;
    Channels c = instance_norm_begin(&lk);
    channel_tasks(&c, task);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 12 * (double)type_elems(out, n);
}

static const AttrRow rows[] = {BATCH_NORM_EPS};
static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){.eps = 4},
     .n = 2,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const BatchNormAttrs){.eps = 1},
     .n = 2,
     .operands = {TN4(17, 3, 19), TN4(17, 3, 19)},
     .batch = 2},
    {.attrs = &(const BatchNormAttrs){.eps = 1}, .n = 2, .operands = {TN3(2, 613), TN3(2, 613)}, .batch = 2},
};

const OpDesc op_instance_norm_backward = {
    .name = "instance_norm_backward",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"dy", "input"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .flags = OP_FOLLOWS | OP_ROOT | OP_INPLACE | OP_INTERNAL,
    .verify = instance_norm_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    SAMPLES(samples),
};
