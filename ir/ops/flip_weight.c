/* flip_weight: the weight of the convolution that gives conv2d's input gradient. [O, I/groups, KH, KW]
 * becomes [I, O/groups, KH, KW]: within a group out and in change places, and each kernel is turned by 180
 * degrees. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"groups", ATTR_INT, offsetof(FlipWeightAttrs, groups), 0, 1, OP_MAX_INT, NULL, true, 1},
};

static bool verify(const OpCall *c) {
    const FlipWeightAttrs *a = c->attrs;
    if (!op_need_floats(c) ||
        !op_need_rank(c, 0, 4, "out_channels, in_channels / groups, kernel height, kernel width") ||
        !op_need_fixed(c, 0))
        return false;
    return c->operands[0].dim[0].size % a->groups == 0 ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%lld groups do not divide %s",
                      (long long)a->groups, op_operand_text(c, 0));
}

static bool infer_shape(const OpCall *c, Type *out) {
    const FlipWeightAttrs *a = c->attrs;
    const Type *w = &c->operands[0];
    *out = type_dense(w);
    if (__builtin_mul_overflow(w->dim[1].size, a->groups, &out->dim[0].size))
        return op_fail_overflow(c);
    out->dim[1].size = w->dim[0].size / a->groups;
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const FlipWeightAttrs *a = attrs;
    const Tensor *w = &in[0];
    int64_t ics = w->dim[1], ocs = w->dim[0] / a->groups, taps = w->dim[2] * w->dim[3];
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        int64_t k = i % taps, o = i / taps % ocs, c = i / taps / ocs;
        out->data[i] = w->data[((c / ics * ocs + o) * ics + c % ics) * taps + taps - 1 - k];
    }
}

/* Flipped twice it is what it was. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return grad_add(gr, n, 0, grad_node(gr, n, OP_flip_weight, &dy, 1, n->attrs, "grad_weight"));
}

#define GROUPS(g)                                                                                            \
    .attrs = &(const FlipWeightAttrs) {                                                                      \
        g                                                                                                    \
    }
static const OpSample samples[] = {
    {GROUPS(1), .n = 1, .operands = {T4(5, 3, 3, 2)}, .batch = 1},
    {GROUPS(3), .n = 1, .operands = {T4(6, 4, 1, 5)}, .batch = 1},
    {GROUPS(1), .n = 1, .operands = {T4(17, 32, 1, 1)}, .batch = 1},
};

const OpDesc op_flip_weight = {
    .name = "flip_weight",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"weight"},
    .attrs = ATTR_TABLE(rows, FlipWeightAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_reorder,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
