/* prelu: x, times weight where it is not above 0. The weight is one number, or one a channel in a shape that
 * broadcasts to x: [C,1,1] for images. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include <math.h>

static const AttrRow rows[] = {
    {"init", ATTR_FLOAT, offsetof(PreluAttrs, init), 0, 1, 0, NULL, true, 0.25},
};

static bool verify(const OpCall *c) {
    Type wide;
    if (!op_need_floats(c) || !op_need_fixed(c, 1) || !op_broadcast_shape(c, &wide))
        return false;
    return type_same_shape(&wide, &c->operands[0]) ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "the weight %s is larger than %s",
                      op_operand_text(c, 1), op_operand_text(c, 0));
}

static double scaled(double x, double weight) {
    return x > 0 ? x : weight * x;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    eval_binary(in, out, scaled);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal above = lb_op2(b, LOP_CMPLT, lb_const(b, lb_type(b, in[0]), 0), in[0]);
    return lb_select(b, above, in[0], lb_op2(b, LOP_MUL, in[0], in[1]));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_x[3] = {dy, n->operands[0], n->operands[1]};
    if (grad_wanted(gr, n, 0) &&
        !grad_add(gr, n, 0, grad_node(gr, n, OP_prelu_backward, of_x, 3, NULL, "grad")))
        return false;
    if (!grad_wanted(gr, n, 1))
        return true;
    const HardtanhAttrs below = {.min_val = -INFINITY, .max_val = 0};
    ValueId of_weight[2] = {dy, grad_node(gr, n, OP_hardtanh, &of_x[1], 1, &below, "below")};
    return grad_add(gr, n, 1, grad_node(gr, n, OP_mul, of_weight, 2, NULL, "grad_terms"));
}

#define INIT .attrs = &(const PreluAttrs){.init = 0.25}
static const OpSample samples[] = {
    {INIT, .n = 2, .operands = {TN4(3, 7, 5), T3(3, 1, 1)}, .batch = 3},
    {INIT, .n = 2, .operands = {TN4(17, 3, 5), T1(1)}, .batch = 2},
    {INIT, .n = 2, .operands = {TN2(17), T1(17)}, .batch = 2},
    {INIT, .n = 2, .operands = {TN3(5, 7), T2(5, 1)}, .batch = 2},
};

const OpDesc op_prelu = {
    .name = "prelu",
    .min_operands = 2,
    .max_operands = 2,
    .operand_names = (const char *const[]){"input", "weight"},
    .attrs = ATTR_TABLE(rows, PreluAttrs),
    .flags = OP_POINTWISE | OP_INPLACE | OP_KEEPS_ZERO,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    .grad = grad,
    SAMPLES(samples),
};
