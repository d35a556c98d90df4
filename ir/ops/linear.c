/* linear: rows of the input [..., K] times the transposed weight [O, K], plus a bias [O]. */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static bool verify(const OpCall *c) {
    const Type *in = &c->operands[0], *w = &c->operands[1];
    if (!op_need_floats(c) || !op_need_rank(c, 1, 2, "out_features, in_features") || !op_need_fixed(c, 1))
        return false;
    if (!in->rank || in->dim[in->rank - 1].by_n || in->dim[in->rank - 1].size != w->dim[1].size) {
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                   "in_features is %lld, which is not the last dimension of %s", (long long)w->dim[1].size,
                   op_operand_text(c, 0));
        return in->rank == 4 && diag_hint(&c->cx->diag, "a Flatten layer makes one dimension of the image's");
    }
    return c->n < 3 || op_need_vector(c, 2, w->dim[0].size, "out_features");
}

static bool infer_shape(const OpCall *c, Type *out) {
    *out = type_dense(&c->operands[0]);
    out->dim[out->rank - 1] = c->operands[1].dim[0];
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    int64_t k = in[1].dim[1], o = in[1].dim[0], rows = tensor_elems(out) / o;
    (void)attrs;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < o; j++) {
            double sum = n > 2 ? in[2].data[j] : 0;
            for (int64_t i = 0; i < k; i++)
                sum += in[0].data[r * k + i] * in[1].data[j * k + i];
            out->data[r * o + j] = sum;
        }
}

static bool lower(Lower *lw, const Node *n) {
    return n->choice && n->choice->algorithm == ALGO_PRODUCT ? lower_product(lw, n)
                                                             : lower_linear_plain(lw, n);
}

/* The sum over rows: all dimensions but the last, which are made one for channel_sum. */
static ValueId grad_bias(Grad *gr, const Node *n, ValueId dy) {
    const FlattenAttrs rows = {.start_dim = 0, .end_dim = -2};
    uint8_t rank = gr->g->values.data[n->result].type.rank;
    if (rank == 1)
        return dy;
    if (rank > 2)
        dy = grad_node(gr, n, OP_flatten, &dy, 1, &rows, "grad_rows");
    return grad_node(gr, n, OP_channel_sum, &dy, 1, NULL, "grad_bias");
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId weight[2] = {dy, n->operands[0]}, input[2] = {dy, n->operands[1]};
    if (n->n_operands > 2 && grad_wanted(gr, n, 2) && !grad_add(gr, n, 2, grad_bias(gr, n, dy)))
        return false;
    if (grad_wanted(gr, n, 1) &&
        !grad_add(gr, n, 1, grad_node(gr, n, OP_linear_backward_weight, weight, 2, NULL, "grad_weight")))
        return false;
    return !grad_wanted(gr, n, 0) ||
           grad_add(gr, n, 0, grad_node(gr, n, OP_linear_backward_input, input, 2, NULL, "grad_input"));
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    return (double)type_elems(out, n) * (2 * (double)c->operands[1].dim[1].size + (c->n > 2));
}

static const OpSample samples[] = {
    {.n = 3, .operands = {TN2(17), T2(3, 17), T1(3)}, .batch = 3},
    {.n = 2, .operands = {TN2(64), T2(33, 64)}, .batch = 5},
    {.n = 3, .operands = {T1(7), T2(1, 7), T1(1)}, .batch = 1},
    {.n = 3, .operands = {TN3(3, 5), T2(17, 5), T1(17)}, .batch = 2},
};

const OpDesc op_linear = {
    .name = "linear",
    .min_operands = 2,
    .max_operands = 3,
    .operand_names = (const char *const[]){"input", "weight", "bias"},
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower,
    .grad = grad,
    .flops = flops,
    SAMPLES(samples),
};
