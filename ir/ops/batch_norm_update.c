/* batch_norm_update: running = (1 - momentum) * running + momentum * of the batch, for the mean and the
 * unbiased variance; x only says how many values a channel has. */
#include "ir/lower/lower.h"
#include "ir/ops/batch_norm.h"

enum { RUNNING_MEAN, RUNNING_VAR, STATS, INPUT };

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, INPUT) &&
           batch_norm_need_vector(c, RUNNING_MEAN, INPUT) && batch_norm_need_vector(c, RUNNING_VAR, INPUT) &&
           batch_norm_need_rows(c, STATS, INPUT);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    const int64_t channels = out->dim[0];
    const double count = (double)batch_norm_count(&in[INPUT]);
    (void)n;
    for (int64_t c = 0; c < channels; c++) {
        const double mean = in[STATS].data[STATS_MEAN * channels + c];
        const double var = in[STATS].data[STATS_VAR * channels + c] * count / (count - 1);
        double *running_mean = &in[RUNNING_MEAN].data[c], *running_var = &in[RUNNING_VAR].data[c];
        out->data[c] = *running_mean = (1 - a->momentum) * *running_mean + a->momentum * mean;
        *running_var = (1 - a->momentum) * *running_var + a->momentum * var;
    }
}

/* running[c] takes in stats[at], scaled, in f64. */
static void take_in(LowerKernel *lk, uint32_t running, Idx c, Idx at, LVal scale) {
    LBuild *b = &lk->b;
    const BatchNormAttrs *a = lk->n->attrs;
    const LType f32 = {DT_F32, 1}, f64 = {DT_F64, 1};
    const LVal old = lb_convert(b, DT_F64, lb_load(b, f32, lk->in_buf[running], c));
    const LVal now = lb_convert(b, DT_F64, lb_load(b, f32, lk->in_buf[STATS], at));
    const LVal kept = lb_op2(b, LOP_MUL, old, lb_const(b, f64, 1 - a->momentum));
    const LVal sum = lb_op2(b, LOP_ADD, kept, lb_op2(b, LOP_MUL, now, scale));
    lb_store(b, lk->in_buf[running], c, lb_convert(b, DT_F32, sum));
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "batch_norm_update");
    LBuild *b = &lk.b;
    const BatchNormAttrs *a = n->attrs;
    const int64_t channels = lk.in[INPUT]->dim[1].size;
    const LType f64 = {DT_F64, 1};
    const LVal momentum = lb_const(b, f64, a->momentum), one = lb_const(b, f64, 1);
    const LVal count = lb_index(b, f64, batch_norm_elems(b, lk.in[INPUT]));
    const LVal unbiased = lb_op2(b, LOP_DIV, count, lb_op2(b, LOP_SUB, count, one));
    const LVal scale = lb_op2(b, LOP_MUL, momentum, unbiased);
    const uint8_t lanes = (uint8_t)target_lanes(lw->target, 8);
    const Idx c = lb_for_vector(b, "c", lb_c(b, 0), lb_c(b, channels), lanes);
    take_in(&lk, RUNNING_MEAN, c, lb_addc(b, c, STATS_MEAN * channels), momentum);
    take_in(&lk, RUNNING_VAR, c, lb_addc(b, c, STATS_VAR * channels), scale);
    lb_end(b);
    return lower_end(&lk);
}

static const AttrRow rows[] = {
    {"momentum", ATTR_FLOAT, offsetof(BatchNormAttrs, momentum), 0, 0, 1, NULL, true, 0.1},
};
static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){0, 0.25},
     .n = 4,
     .operands = {T1(17), T1(17), T2(2, 17), TN4(17, 2, 3)},
     .batch = 3},
};

const OpDesc op_batch_norm_update = {
    .name = "batch_norm_update",
    .min_operands = 4,
    .max_operands = 4,
    .operand_names = (const char *const[]){"running_mean", "running_var", "stats", "input"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .flags = OP_FOLLOWS | OP_INTERNAL,
    .writes = 1u << RUNNING_MEAN | 1u << RUNNING_VAR,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = op_no_flops,
    SAMPLES(samples),
};
