/* clip_scale: the numbers of a step with HYPER_CLIP, the largest norm that gradients may have, turned into
 * the factor that clip_grad_norm_ gives them: max_norm / (norm + 1e-6), at most 1. The norm is the root of
 * the total of operand 1. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/train.h"
#include <math.h>
#include <string.h>

enum { HYPER, SQUARES };

static bool verify(const OpCall *c) {
    for (uint32_t i = 0; i < 2; i++) {
        const Type *t = &c->operands[i];
        if (t->dtype != DT_F64 || t->rank != 1 || t->dim[0].by_n ||
            (i == HYPER && t->dim[0].size < HYPER_GROUPS))
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "clip_scale takes f64 vectors without N, not %s", op_operand_text(c, i));
    }
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    double sum = 0;
    (void)attrs, (void)n;
    for (int64_t i = 0; i < tensor_elems(&in[SQUARES]); i++)
        sum += in[SQUARES].data[i];
    memcpy(out->data, in[HYPER].data, (size_t)tensor_elems(out) * sizeof(double));
    const double scale = in[HYPER].data[HYPER_CLIP] / (sqrt(sum) + 1e-6);
    out->data[HYPER_CLIP] = scale > 1 ? 1 : scale; /* NaN stays */
}

static LVal total(LowerKernel *lk) {
    LBuild *b = &lk->b;
    const LType f64 = {DT_F64, 1};
    const Idx zero = lb_c(b, 0), count = lb_c(b, type_elems(lk->in[SQUARES], 1));
    const uint32_t sum = lb_alloc(b, LB_REG, "sum", f64, 1);
    lb_store(b, sum, zero, lb_const(b, f64, 0));
    const Idx i = lb_for(b, FOR_SERIAL, "i", zero, count, 1);
    const LVal old = lb_load(b, f64, sum, zero), more = lb_load(b, f64, lk->in_buf[SQUARES], i);
    lb_store(b, sum, zero, lb_op2(b, LOP_ADD, old, more));
    lb_end(b);
    return lb_load(b, f64, sum, zero);
}

/* Numbers [lo, hi) as they are. */
static void copy(LowerKernel *lk, int64_t lo, int64_t hi) {
    LBuild *b = &lk->b;
    const Idx i = lb_for(b, FOR_SERIAL, "i", lb_c(b, lo), lb_c(b, hi), 1);
    lb_store(b, lk->out_buf, i, lb_load(b, (LType){DT_F64, 1}, lk->in_buf[HYPER], i));
    lb_end(b);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "clip_scale");
    LBuild *b = &lk.b;
    const LType f64 = {DT_F64, 1};
    const Idx at = lb_c(b, HYPER_CLIP);
    const LVal one = lb_const(b, f64, 1), norm = lb_op1(b, LOP_SQRT, total(&lk));
    const LVal limit = lb_load(b, f64, lk.in_buf[HYPER], at);
    const LVal above = lb_op2(b, LOP_ADD, norm, lb_const(b, f64, 1e-6));
    const LVal scale = lb_op2(b, LOP_MIN, lb_op2(b, LOP_DIV, limit, above), one);
    copy(&lk, 0, HYPER_CLIP);
    lb_store(b, lk.out_buf, at, scale);
    copy(&lk, HYPER_CLIP + 1, lk.out->dim[0].size);
    return lower_end(&lk);
}

const OpDesc op_clip_scale = {
    .name = "clip_scale",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"hyper", "squares"},
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = op_no_flops,
};
