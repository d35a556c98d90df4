/* expand: a tensor repeated along its dimensions of one element, times a number: the gradient of a sum or
 * mean. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"shape", ATTR_INTS, offsetof(ExpandAttrs, shape), 0, 1, 9e15, NULL, false, 0},
    {"scale", ATTR_FLOAT, offsetof(ExpandAttrs, scale), 0, 1, -1, NULL, true, 1},
};

static bool infer_shape(const OpCall *c, Type *out) {
    const ExpandAttrs *a = c->attrs;
    const Type *in = &c->operands[0];
    const int batch = in->rank && in->dim[0].by_n;
    *out = type_dense(in);
    bool fits = a->shape.n == in->rank - batch;
    for (int d = batch; d < in->rank && fits; d++) {
        out->dim[d].size = a->shape.v[d - batch];
        fits = in->dim[d].size == 1 || in->dim[d].size == out->dim[d].size;
    }
    return fits || diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "%s cannot be expanded to its shape", op_operand_text(c, 0));
}

static double first(double a, double b) {
    (void)b;
    return a;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const ExpandAttrs *a = attrs;
    const Tensor both[2] = {in[0], *out};
    const int64_t count = tensor_elems(out);
    (void)n;
    eval_binary(both, out, first);
    for (int64_t i = 0; i < count; i++)
        out->data[i] *= a->scale;
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    const ExpandAttrs *a = attrs;
    return a->scale == 1 ? in[0] : lb_op2(b, LOP_MUL, in[0], lb_const(b, lb_type(b, in[0]), a->scale));
}

static const OpSample samples[] = {
    {.attrs = &(const ExpandAttrs){{3, {3, 7, 5}}, 0.25}, .n = 1, .operands = {TN4(3, 1, 1)}, .batch = 3},
    {.attrs = &(const ExpandAttrs){{2, {4, 17}}, 1}, .n = 1, .operands = {TN3(1, 17)}, .batch = 2},
};

const OpDesc op_expand = {
    .name = "expand",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, ExpandAttrs),
    .flags = OP_ROOT | OP_INTERNAL,
    .verify = op_need_floats,
    .infer_shape = infer_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    SAMPLES(samples),
};
