/* check_batch_norm: batch statistics need more than one value a channel; the status of a call that has only
 * one. */
#include "ir/lower/lower.h"
#include "ir/ops/batch_norm.h"

static bool verify(const OpCall *c) {
    return op_need_floats(c) && batch_norm_need_input(c, 0);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const Dim one = {1, false};
    (void)c;
    *out = type_make(DT_I32, 1, &one);
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    out->data[0] = batch_norm_count(&in[0]) == 1 ? STATUS_BATCH_NORM : 0;
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "check_batch_norm");
    LBuild *b = &lk.b;
    const LType status = {DT_I32, 1};
    const Idx count = batch_norm_elems(b, lk.in[0]);
    lb_if(b, IF_EQ, count, lb_c(b, 1));
    lb_store(b, lk.out_buf, lb_c(b, 0), lb_const_int(b, status, STATUS_BATCH_NORM));
    lb_else(b);
    lb_store(b, lk.out_buf, lb_c(b, 0), lb_const_int(b, status, 0));
    lb_end(b);
    return lower_end(&lk);
}

static const OpSample samples[] = {
    {.n = 1, .operands = {TN2(17)}, .batch = 2},
    {.n = 1, .operands = {TN4(3, 1, 1)}, .batch = 1},
};

const OpDesc op_check_batch_norm = {
    .name = "check_batch_norm",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .flags = OP_FOLLOWS | OP_CHECK | OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = op_no_flops,
    SAMPLES(samples),
};
