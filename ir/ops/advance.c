/* advance: a counter of a training run, counted up by one where it stands. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static bool verify(const OpCall *c) {
    const Type *t = &c->operands[0];
    if (t->dtype == DT_I64 && t->rank == 1 && !t->dim[0].by_n && t->dim[0].size == 1)
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "advance counts an i64[1], but got %s",
                      op_operand_text(c, 0));
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    out->data[0] = ++in[0].data[0];
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "advance");
    LBuild *b = &lk.b;
    const LType i64 = {DT_I64, 1};
    LVal old = lb_load(b, i64, lk.in_buf[0], lb_c(b, 0));
    lb_store(b, lk.out_buf, lb_c(b, 0), lb_op2(b, LOP_ADD, old, lb_const_int(b, i64, 1)));
    return lower_end(&lk);
}

static const OpSample samples[] = {
    {.n = 1, .operands = {{.dtype = DT_I64, .rank = 1, .dim = {{1, false}}}}, .batch = 1},
};

const OpDesc op_advance = {
    .name = "advance",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"counter"},
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .writes = 1,
    .flops = op_no_flops,
    SAMPLES(samples),
};
