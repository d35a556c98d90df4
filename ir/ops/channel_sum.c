/* channel_sum: the sum over all dimensions but the channels, dimension 1: the gradient of a bias. */
#include "ir/lower/channel.h"
#include "ir/ops/batch_norm.h"

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, 0);
}

static bool infer_shape(const OpCall *c, Type *out) {
    *out = type_make(c->operands[0].dtype, 1, &c->operands[0].dim[1]);
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t channels = out->dim[0], plane = batch_norm_plane(&in[0]), count = tensor_elems(&in[0]);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++)
        out->data[i / plane % channels] += in[0].data[i];
}

static void term(Channels *c, const Pos *pos, int slot) {
    channel_take(c, 0, slot, lower_load(c->lk, 0, &c->like, pos), NO_LVAL);
}

static void task(Channels *c) {
    LVal sum[CHANNEL_TERMS];
    channel_sum(c, 1, term, sum);
    channel_store_partial(c, 0, sum[0]);
}

static void row(Combine *m, Idx channel, LVal *out) {
    out[0] = channel_total(m, 0, channel);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "channel_sum");
    Channels c = channel_begin(&lk);
    channel_partial(&c, 1);
    channel_tasks(&c, task);
    return channel_combine(&c, 1, -1, row);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return (double)type_elems(&c->operands[0], n);
}

static const OpSample samples[] = {
    {.n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},   {.n = 1, .operands = {TN4(17, 1, 13)}, .batch = 2},
    {.n = 1, .operands = {TN4(8, 19, 29)}, .batch = 2}, {.n = 1, .operands = {TN3(5, 131)}, .batch = 2},
    {.n = 1, .operands = {TN2(17)}, .batch = 5},
};

const OpDesc op_channel_sum = {
    .name = "channel_sum",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"dy"},
    .flags = OP_FOLLOWS | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    SAMPLES(samples),
};
