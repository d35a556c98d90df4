/* fold_depth: the adjoint of unfold_depth: each element of the volume is the sum of its copies. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/unfold_depth.h"

static const AttrRow rows[] = {
    UNFOLD_DEPTH_ROWS(FoldDepthAttrs, unfold.),
    {"input_size", ATTR_INTS, offsetof(FoldDepthAttrs, input_size), 2, 1, OP_MAX_INT, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const FoldDepthAttrs *a = c->attrs;
    const Type *dy = &c->operands[0];
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, channels, height, width"))
        return false;
    const Window w = unfold_depth_window(&a->unfold, a->input_size.v[0]);
    int64_t planes, height = a->input_size.v[1] + a->unfold.rows.v[0] + a->unfold.rows.v[1];
    if (!window_need(c->cx, &c->loc, &w, "depth", &planes))
        return false;
    if (dy->dim[1].size % a->unfold.kernel_size == 0 && dy->dim[2].size % height == 0 &&
        dy->dim[2].size / height == planes)
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "%s is not %lld planes of %lld rows with channels for %lld taps", op_operand_text(c, 0),
                      (long long)planes, (long long)height, (long long)a->unfold.kernel_size);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const FoldDepthAttrs *a = c->attrs;
    const Type *dy = &c->operands[0];
    *out = type_make(dy->dtype, 5,
                     (Dim[]){dy->dim[0],
                             {dy->dim[1].size / a->unfold.kernel_size, false},
                             {a->input_size.v[0], false},
                             {a->input_size.v[1], false},
                             dy->dim[3]});
    return type_elems(out, 1) >= 0 || op_fail_overflow(c);
}

static void add(double *in_volume, double *in_picture) {
    *in_volume += *in_picture;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    unfold_depth_pairs(&((const FoldDepthAttrs *)attrs)->unfold, out, &in[0], add);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const FoldDepthAttrs *a = n->attrs;
    return grad_add(gr, n, 0, grad_node(gr, n, OP_unfold_depth, &dy, 1, &a->unfold, "grad"));
}

#define FOLD(k, s, before, after, d, above, below, depth, height)                                            \
    .attrs = &(const FoldDepthAttrs) {                                                                       \
        {k, s, INTS2(before, after), d, INTS2(above, below)}, INTS2(depth, height)                           \
    }
static const OpSample samples[] = {
    {FOLD(3, 1, 1, 1, 1, 1, 1, 5, 3), .n = 1, .operands = {TN4(9, 25, 7)}, .batch = 3},
    {FOLD(2, 2, 0, 1, 1, 0, 2, 7, 5), .n = 1, .operands = {TN4(4, 28, 9)}, .batch = 2},
    {FOLD(3, 2, 3, 0, 2, 2, 0, 6, 1), .n = 1, .operands = {TN4(3, 9, 17)}, .batch = 2},
    {FOLD(1, 3, 0, 0, 1, 0, 0, 4, 2), .n = 1, .operands = {TN4(4, 4, 1)}, .batch = 1},
    {FOLD(5, 1, 4, 4, 1, 0, 1, 1, 3), .n = 1, .operands = {TN4(10, 20, 3)}, .batch = 2},
};

const OpDesc op_fold_depth = {
    .name = "fold_depth",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"dy"},
    .attrs = ATTR_TABLE(rows, FoldDepthAttrs),
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_fold_depth,
    .grad = grad,
    SAMPLES(samples),
};
