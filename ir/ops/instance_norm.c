/* instance_norm: (x - mean) / sqrt(var + eps) with the mean and biased variance of each image and channel.
 * Group and layer norms are this under other views. */
#include "ir/ops/instance_norm.h"
#include "ir/grad.h"
#include <math.h>

static const AttrRow rows[] = {BATCH_NORM_EPS};

/* The operand that is normalised: the last one of this op and of its gradient. */
static uint32_t operand(const Node *n) {
    return op_desc(n->op)->min_operands - 1u;
}

bool instance_norm_verify(const OpCall *c) {
    const uint32_t x = c->n - 1;
    return op_need_floats(c) && op_need_shape_of(c, x, 0) &&
           (c->operands[x].rank >= 3 ||
            diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                       "%s needs a batch, channels and what is normalised, but got %s", op_desc(c->op)->name,
                       op_operand_text(c, x)));
}

void instance_norm_moments(const double *x, int64_t count, double eps, double *mean, double *rstd) {
    double var = 0;
    *mean = 0;
    for (int64_t i = 0; i < count; i++)
        *mean += x[i] / (double)count;
    for (int64_t i = 0; i < count; i++)
        var += (x[i] - *mean) * (x[i] - *mean) / (double)count;
    *rstd = 1 / sqrt(var + eps);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    const int64_t plane = batch_norm_plane(out), count = tensor_elems(out);
    double mean = 0, rstd = 0;
    (void)n;
    for (int64_t i = 0; i < count; i++) {
        if (i % plane == 0)
            instance_norm_moments(in[0].data + i, plane, a->eps, &mean, &rstd);
        out->data[i] = (in[0].data[i] - mean) * rstd;
    }
}

static LVal centred(Channels *c, const Pos *pos) {
    const LVal x = lower_load(c->lk, operand(c->lk->n), &c->like, pos);
    return lb_op2(&c->lk->b, LOP_SUB, x, channel_number(c, INSTANCE_MEAN, pos->lanes));
}

static void sum_term(Channels *c, const Pos *pos, int slot) {
    channel_take(c, 0, slot, lower_load(c->lk, operand(c->lk->n), &c->like, pos), NO_LVAL);
}

static void square_term(Channels *c, const Pos *pos, int slot) {
    const LVal d = centred(c, pos);
    channel_take(c, 0, slot, d, d);
}

Channels instance_norm_begin(LowerKernel *lk) {
    const BatchNormAttrs *a = lk->n->attrs;
    Channels c = channel_begin(lk);
    c.group = 1;
    c.padded &= a->eps > 0; /* padding lanes have no variance */
    return c;
}

LVal instance_norm_mean(Channels *c, LVal sum) {
    LBuild *b = &c->lk->b;
    const LVal count = lb_const(b, lb_type(b, sum), (double)c->plane);
    return lb_convert(b, c->like.dtype, lb_op2(b, LOP_DIV, sum, count));
}

void instance_norm_numbers(Channels *c) {
    LBuild *b = &c->lk->b;
    const BatchNormAttrs *a = c->lk->n->attrs;
    LVal sum[CHANNEL_TERMS];
    channel_sum(c, 1, sum_term, sum);
    c->number[INSTANCE_MEAN] = instance_norm_mean(c, sum[0]);
    channel_sum(c, 1, square_term, sum);
    const LVal std = channel_std(c, instance_norm_mean(c, sum[0]), a->eps);
    c->number[INSTANCE_RSTD] = lb_op2(b, LOP_DIV, lb_const(b, lb_type(b, std), 1), std);
}

static void element(Channels *c, const Pos *pos) {
    const LVal d = centred(c, pos);
    const LVal y = lb_op2(&c->lk->b, LOP_MUL, d, channel_number(c, INSTANCE_RSTD, pos->lanes));
    lower_store(c->lk, lower_epilogue(c->lk, y, pos), pos);
}

static void task(Channels *c) {
    instance_norm_numbers(c);
    channel_sweep(c, element);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "instance_norm");
    if (type_same_memory(lk.in[0], lk.out))
        lk.b.k->bufs.data[lk.out_buf].inplace = 0;
    Channels c = instance_norm_begin(&lk);
    channel_tasks(&c, task);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[2] = {dy, n->operands[0]};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_instance_norm_backward, of_dx, 2, n->attrs, "grad"));
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 5 * (double)type_elems(out, n);
}

static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){.eps = 4}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const BatchNormAttrs){.eps = 1}, .n = 1, .operands = {TN4(17, 3, 19)}, .batch = 2},
    {.attrs = &(const BatchNormAttrs){.eps = 0}, .n = 1, .operands = {TN4(9, 1, 5)}, .batch = 1},
    {.attrs = &(const BatchNormAttrs){.eps = 1}, .n = 1, .operands = {TN3(2, 613)}, .batch = 2},
};

const OpDesc op_instance_norm = {
    .name = "instance_norm",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .flags = OP_FOLLOWS | OP_ROOT | OP_INPLACE,
    .verify = instance_norm_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
