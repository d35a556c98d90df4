/* accumulate: the gradient of several calls of backward: the first one since `accumulated` was 0, else the
 * sum with what is there. */
#include "ir/ops/update.h"

enum { GRAD, PART, ACCUMULATED };
enum { FIRST }; /* a truth */

static bool verify(const OpCall *c) {
    const Type *grad = &c->operands[GRAD], *count = &c->operands[ACCUMULATED];
    if (grad->dtype != DT_F32 || type_has_n(grad) || !type_same_shape(grad, &c->operands[PART]))
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "accumulate cannot add %s to %s",
                          op_operand_text(c, PART), op_operand_text(c, GRAD));
    if (count->dtype != DT_I64 || count->rank != 1 || count->dim[0].by_n || count->dim[0].size != 1)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "accumulate counts in an i64[1], not in %s", op_operand_text(c, ACCUMULATED));
    Type dense = type_dense(grad);
    for (uint32_t i = 0; i < ACCUMULATED; i++)
        if (!type_same_memory(&c->operands[i], &dense))
            return diag_error(&c->cx->diag, DIAG_IR_INVALID, &c->loc, "accumulate needs dense operands");
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        double *grad = &in[GRAD].data[i], part = in[PART].data[i];
        out->data[i] = *grad = in[ACCUMULATED].data[0] == 0 ? part : *grad + part;
    }
}

static void begin(Update *u) {
    const LType i64 = {DT_I64, 1};
    const LVal zero = lb_const_int(u->b, i64, 0);
    const LVal count = lb_load(u->b, i64, u->lk.in_buf[ACCUMULATED], lb_c(u->b, 0));
    u->number[FIRST] = lb_op2(u->b, LOP_CMPEQ, count, zero);
}

static void element(Update *u) {
    const LVal old = update_load(u, GRAD), part = update_load(u, PART);
    const LVal sum = lb_op2(u->b, LOP_ADD, old, part);
    update_store(u, GRAD, lb_select(u->b, u->number[FIRST], part, sum));
}

static bool lower(Lower *lw, const Node *n) {
    return lower_update(lw, n, begin, element);
}

const OpDesc op_accumulate = {
    .name = "accumulate",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"grad", "part", "accumulated"},
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .writes = 1 << GRAD,
};
