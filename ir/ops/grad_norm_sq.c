/* grad_norm_sq: squares of a gradient's elements, summed over runs of CHUNK elements, in f64. With a second
 * operand, such sums of other gradients, their total is added to the first sum: so a chain of these ops ends
 * in a few numbers whose total is the square of the global norm. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

enum { CHUNK = 16384 };

static bool verify(const OpCall *c) {
    const Type *grad = &c->operands[0], *before = &c->operands[1], dense = type_dense(grad);
    if (grad->dtype != DT_F32 || type_has_n(grad) || !type_same_memory(grad, &dense))
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "grad_norm_sq needs a dense f32 tensor without N, not %s", op_operand_text(c, 0));
    if (c->n > 1 && (before->dtype != DT_F64 || before->rank != 1 || before->dim[0].by_n))
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "grad_norm_sq adds sums in an f64 vector, not in %s", op_operand_text(c, 1));
    return true;
}

static bool infer_shape(const OpCall *c, Type *out) {
    const int64_t elems = type_elems(&c->operands[0], 1);
    if (elems < 0)
        return op_fail_overflow(c);
    *out = type_make(DT_F64, 1, &(const Dim){elems / CHUNK + (elems % CHUNK > 0), false});
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs;
    for (int64_t i = 0; i < tensor_elems(&in[0]); i++)
        out->data[i / CHUNK] += in[0].data[i] * in[0].data[i];
    for (int64_t i = 0; n > 1 && i < tensor_elems(&in[1]); i++)
        out->data[0] += in[1].data[i];
}

/* The squares of elements [lo, hi), `lanes` at a time, added to register `sums`. */
static void add_squares(LowerKernel *lk, uint32_t sums, Idx lo, Idx hi, uint8_t lanes) {
    LBuild *b = &lk->b;
    const Idx zero = lb_c(b, 0), i = lb_for(b, FOR_SERIAL, "i", lo, hi, lanes);
    const LVal x = lb_convert(b, DT_F64, lb_load(b, (LType){DT_F32, lanes}, lk->in_buf[0], i));
    const LVal old = lb_load(b, (LType){DT_F64, lanes}, sums, zero);
    lb_store(b, sums, zero, lb_mad(b, x, x, old));
    lb_end(b);
}

/* The sums that came before, in order, added to register `sum`. */
static void add_before(LowerKernel *lk, uint32_t sum) {
    LBuild *b = &lk->b;
    const LType f64 = {DT_F64, 1};
    const Idx zero = lb_c(b, 0), count = lb_c(b, type_elems(lk->in[1], 1));
    const Idx i = lb_for(b, FOR_SERIAL, "k", zero, count, 1);
    const LVal old = lb_load(b, f64, sum, zero), more = lb_load(b, f64, lk->in_buf[1], i);
    lb_store(b, sum, zero, lb_op2(b, LOP_ADD, old, more));
    lb_end(b);
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "grad_norm_sq");
    LBuild *b = &lk.b;
    const uint8_t lanes = (uint8_t)lk.lanes;
    const LType wide = {DT_F64, lanes}, f64 = {DT_F64, 1};
    const Idx zero = lb_c(b, 0), total = lb_c(b, type_elems(lk.in[0], 1));
    const Idx t = lb_for(b, FOR_PARALLEL, "t", zero, lb_dim(b, lk.out->dim[0]), 1);
    const Idx lo = lb_mulc(b, t, CHUNK), hi = lb_min(b, lb_addc(b, lo, CHUNK), total);
    const Idx split = lb_add(b, lo, lb_mulc(b, lb_divc(b, lb_sub(b, hi, lo), lanes), lanes));
    const uint32_t sums = lb_alloc(b, LB_REG, "sums", wide, 1), sum = lb_alloc(b, LB_REG, "sum", f64, 1);
    lb_store(b, sums, zero, lb_const(b, wide, 0));
    add_squares(&lk, sums, lo, split, lanes);
    const LVal side_by_side = lb_load(b, wide, sums, zero);
    lb_store(b, sum, zero, lanes > 1 ? lb_op1(b, LOP_SUM, side_by_side) : side_by_side);
    add_squares(&lk, sum, split, hi, 1);
    if (n->n_operands > 1) {
        lb_if(b, IF_EQ, t, zero);
        add_before(&lk, sum);
        lb_end(b);
    }
    lb_store(b, lk.out_buf, t, lb_load(b, f64, sum, zero));
    lb_end(b);
    return lower_end(&lk);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out, (void)n;
    return 2 * (double)type_elems(&c->operands[0], 1);
}

const OpDesc op_grad_norm_sq = {
    .name = "grad_norm_sq",
    .min_operands = 1,
    .max_operands = 2,
    .operand_names = (const char *const[]){"grad", "before"},
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
};
