/* unfold_depth: a volume [N, C, D, H, W] as the picture [N, C*K, P*H', W] on which a convolution of volumes
 * is one of pictures. Channel c*K + k has tap k of channel c; the P planes that the window of K taps slides
 * to lie one under the other, with rows of zeros above and below each: H' = H + rows. */
#include "ir/ops/unfold_depth.h"
#include "ir/grad.h"
#include "ir/lower/lower.h"

static const AttrRow rows[] = {UNFOLD_DEPTH_ROWS(UnfoldDepthAttrs, )};

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_rank(c, 0, 5, "batch, channels, depth, height, width");
}

static bool infer_shape(const OpCall *c, Type *out) {
    const UnfoldDepthAttrs *a = c->attrs;
    const Type *x = &c->operands[0];
    const Window w = unfold_depth_window(a, x->dim[2].size);
    int64_t planes, height;
    if (!window_need(c->cx, &c->loc, &w, "depth", &planes))
        return false;
    *out = type_make(x->dtype, 4, (Dim[]){x->dim[0], x->dim[1], x->dim[3], x->dim[4]});
    if (__builtin_mul_overflow(x->dim[1].size, a->kernel_size, &out->dim[1].size) ||
        __builtin_add_overflow(x->dim[3].size, a->rows.v[0] + a->rows.v[1], &height) ||
        __builtin_mul_overflow(planes, height, &out->dim[2].size))
        return op_fail_overflow(c);
    return type_elems(out, 1) >= 0 || op_fail_overflow(c);
}

static void copy(double *in_volume, double *in_picture) {
    *in_picture = *in_volume;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)n;
    unfold_depth_pairs(attrs, &in[0], out, copy);
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    const UnfoldDepthAttrs *a = n->attrs;
    const FoldDepthAttrs fold = {*a, INTS2(x->dim[2].size, x->dim[3].size)};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_fold_depth, &dy, 1, &fold, "grad"));
}

#define UNFOLD(k, s, before, after, d, above, below)                                                         \
    .attrs = &(const UnfoldDepthAttrs) {                                                                     \
        k, s, INTS2(before, after), d, INTS2(above, below)                                                   \
    }
static const OpSample samples[] = {
    {UNFOLD(3, 1, 1, 1, 1, 1, 1), .n = 1, .operands = {TN5(3, 5, 3, 7)}, .batch = 3},
    {UNFOLD(2, 2, 0, 1, 1, 0, 2), .n = 1, .operands = {TN5(2, 7, 5, 9)}, .batch = 2},
    {UNFOLD(3, 2, 3, 0, 2, 2, 0), .n = 1, .operands = {TN5(1, 6, 1, 17)}, .batch = 2},
    {UNFOLD(1, 3, 0, 0, 1, 0, 0), .n = 1, .operands = {TN5(4, 4, 2, 1)}, .batch = 1},
    {UNFOLD(5, 1, 4, 4, 1, 0, 1), .n = 1, .operands = {TN5(2, 1, 3, 3)}, .batch = 2},
};

const OpDesc op_unfold_depth = {
    .name = "unfold_depth",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, UnfoldDepthAttrs),
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_unfold_depth,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
