/* check_label: 0, or STATUS_LABEL where a class index is none of the classes nor ignore_index. */
#include "ir/lower/lower.h"
#include "ir/ops/loss.h"

static const AttrRow rows[] = {
    {"classes", ATTR_INT, offsetof(CheckLabelAttrs, classes), 0, 1, OP_MAX_INT, NULL, false, 0},
    {"ignore_index", ATTR_INT, offsetof(CheckLabelAttrs, ignore_index), 0, 1, 0, NULL, true, -100},
};

static bool verify(const OpCall *c) {
    Type dense = type_dense(&c->operands[0]);
    if (c->operands[0].dtype != DT_I64 || !type_same_memory(&c->operands[0], &dense))
        return diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                          "check_label needs dense i64, but got %s", op_operand_text(c, 0));
    return true;
}

static bool infer_shape(const OpCall *c, Type *out) {
    (void)c;
    *out = type_make(DT_I32, 1, &(Dim){1, false});
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const CheckLabelAttrs *a = attrs;
    (void)n;
    for (int64_t i = 0, count = tensor_elems(&in[0]); i < count; i++) {
        int64_t label = (int64_t)in[0].data[i];
        if ((label < 0 || label >= a->classes) && label != a->ignore_index)
            out->data[0] = STATUS_LABEL;
    }
}

/* The status of one label. */
static LVal label_status(LBuild *b, const CheckLabelAttrs *a, LVal label) {
    const LType i64 = {DT_I64, 1}, i32 = {DT_I32, 1};
    LVal low = lb_op2(b, LOP_CMPLE, lb_const_int(b, i64, 0), label);
    LVal high = lb_op2(b, LOP_CMPLT, label, lb_const_int(b, i64, a->classes));
    LVal ignored = lb_op2(b, LOP_CMPEQ, label, lb_const_int(b, i64, a->ignore_index));
    LVal fine = lb_op2(b, LOP_OR, lb_op2(b, LOP_AND, low, high), ignored);
    return lb_select(b, fine, lb_const_int(b, i32, 0), lb_const_int(b, i32, STATUS_LABEL));
}

static bool lower(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "check_label");
    const LType i32 = {DT_I32, 1};
    LBuild *b = &lk.b;
    Idx zero = lb_c(b, 0);
    Dim count = {type_elems(lk.in[0], 1), type_has_n(lk.in[0])};
    uint32_t status = lb_alloc(b, LB_REG, "status", i32, 1);
    lb_store(b, status, zero, lb_const_int(b, i32, 0));
    Idx i = lb_for(b, FOR_SERIAL, "i", zero, lb_dim(b, count), 1);
    LVal one = label_status(b, n->attrs, lb_load(b, (LType){DT_I64, 1}, lk.in_buf[0], i));
    LVal old = lb_load(b, i32, status, zero);
    lb_store(b, status, zero, lb_op2(b, LOP_MAX, old, one));
    lb_end(b);
    lb_store(b, lk.out_buf, zero, lb_load(b, i32, status, zero));
    return lower_end(&lk);
}

static const OpSample samples[] = {
    {.attrs = &(const CheckLabelAttrs){10, -100}, .n = 1, .operands = {LABELS_N}, .batch = 19},
    {.attrs = &(const CheckLabelAttrs){5, 7}, .n = 1, .operands = {LABELS_N3(7, 3)}, .batch = 3},
};

const OpDesc op_check_label = {
    .name = "check_label",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"target"},
    .attrs = ATTR_TABLE(rows, CheckLabelAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE | OP_CHECK,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .flops = op_no_flops,
    SAMPLES(samples),
};
