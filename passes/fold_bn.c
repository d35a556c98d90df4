/* fold-bn: a batch norm at inference is x * scale + shift with a scale and a shift per channel, both known
 * once the weights are. After a convolution or product that nothing else uses they go into its weight and
 * bias, else they become a mul and an add. All arithmetic on parameters stays in the graph: its binding time
 * is load, so it becomes part of `prepare`. */
#include "passes/util.h"

enum { BN_INPUT, BN_WEIGHT, BN_BIAS, BN_MEAN, BN_VAR }; /* operands, as in ir/ops/batch_norm.c */

typedef struct FoldBn {
    Rewrite rw;
    const Graph *g;
    const uint32_t *uses;
    bool *absorbed; /* by old node: a convolution or product that its batch norm replaces */
} FoldBn;

/* One node on parameters, called after the batch norm: bn1.scale. */
static ValueId emit(FoldBn *f, const Node *bn, OpId op, ValueId a, ValueId b, const char *suffix) {
    if (a == NO_VALUE || b == NO_VALUE)
        return NO_VALUE;
    const ValueId operands[2] = {a, b};
    const char *base = f->g->values.data[bn->result].name;
    return pass_emit(&f->rw, bn, op, operands, 2, NULL, intern_f(f->g->cx, "%s.%s", base, suffix));
}

/* [C] as [C,1,1...]: `ones` dimensions of one element behind. */
static ValueId emit_reshape(FoldBn *f, const Node *bn, ValueId v, uint32_t ones, const char *suffix) {
    if (v == NO_VALUE || ones == 0)
        return v;
    ReshapeAttrs attrs = {
        .shape = {.n = (uint8_t)(ones + 1), .v = {graph_value(f->rw.to, v)->type.dim[0].size}}};
    for (uint32_t i = 1; i <= ones; i++)
        attrs.shape.v[i] = 1;
    const char *base = f->g->values.data[bn->result].name;
    return pass_emit(&f->rw, bn, OP_reshape, &v, 1, &attrs, intern_f(f->g->cx, "%s.%s", base, suffix));
}

static ValueId emit_scale(FoldBn *f, const Node *bn) {
    const BatchNormAttrs *a = bn->attrs;
    const RsqrtAttrs attrs = {.eps = a->eps};
    const ValueId var = rw_map(&f->rw, bn->operands[BN_VAR]);
    const char *base = f->g->values.data[bn->result].name;
    const ValueId r = pass_emit(&f->rw, bn, OP_rsqrt, &var, 1, &attrs, intern_f(f->g->cx, "%s.rstd", base));
    return emit(f, bn, OP_mul, rw_map(&f->rw, bn->operands[BN_WEIGHT]), r, "scale");
}

/* beta + (bias - mean) * scale; without a bias beta - mean * scale. */
static ValueId emit_shift(FoldBn *f, const Node *bn, ValueId scale, ValueId bias) {
    const ValueId mean = rw_map(&f->rw, bn->operands[BN_MEAN]), beta = rw_map(&f->rw, bn->operands[BN_BIAS]);
    if (bias == NO_VALUE)
        return emit(f, bn, OP_sub, beta, emit(f, bn, OP_mul, mean, scale, "mean_scaled"), "shift");
    const ValueId centred = emit(f, bn, OP_sub, bias, mean, "centred");
    return emit(f, bn, OP_add, beta, emit(f, bn, OP_mul, centred, scale, "centred_scaled"), "shift");
}

/* The convolution or product before `bn` that can take it in. */
static const Node *producer(const FoldBn *f, const Node *bn) {
    const Node *d = pass_operand_def(f->g, bn, BN_INPUT);
    if (!d || !pass_is_plain(d) || !pass_is_plain(bn) || f->uses[d->result] != 1)
        return NULL;
    /* Dimension 1 must be what the weight's first dimension makes: of a linear layer's, only in rank 2. */
    const bool linear = d->op == OP_linear && f->g->values.data[d->result].type.rank == 2;
    return d->op == OP_conv2d || linear ? d : NULL;
}

static ValueId fold_into(FoldBn *f, const Node *bn, const Node *d) {
    const ValueId scale = emit_scale(f, bn);
    const ValueId bias = d->n_operands > 2 ? rw_map(&f->rw, d->operands[2]) : NO_VALUE;
    const ValueId weight = rw_map(&f->rw, d->operands[1]);
    const uint32_t ones = f->rw.to->values.data[weight].type.rank - 1u;
    ValueId operands[3] = {rw_map(&f->rw, d->operands[0])};
    operands[1] = emit(f, bn, OP_mul, weight, emit_reshape(f, bn, scale, ones, "scale_view"), "folded");
    operands[2] = scale == NO_VALUE ? NO_VALUE : emit_shift(f, bn, scale, bias);
    if (operands[1] == NO_VALUE || operands[2] == NO_VALUE)
        return NO_VALUE;
    return pass_emit(&f->rw, d, d->op, operands, 3, d->attrs, f->g->values.data[bn->result].name);
}

static ValueId expand(FoldBn *f, const Node *bn) {
    const ValueId x = rw_map(&f->rw, bn->operands[BN_INPUT]);
    const uint32_t rank = f->rw.to->values.data[x].type.rank;
    const uint32_t ones = rank > 2 ? rank - 2u : 0;
    const ValueId scale = emit_scale(f, bn);
    if (scale == NO_VALUE)
        return NO_VALUE;
    const ValueId shift = emit_shift(f, bn, scale, NO_VALUE);
    const ValueId scaled = emit(f, bn, OP_mul, x, emit_reshape(f, bn, scale, ones, "scale_view"), "scaled");
    const ValueId operands[2] = {scaled, emit_reshape(f, bn, shift, ones, "shift_view")};
    if (operands[0] == NO_VALUE || operands[1] == NO_VALUE)
        return NO_VALUE;
    return pass_emit(&f->rw, bn, OP_add, operands, 2, NULL, f->g->values.data[bn->result].name);
}

bool pass_fold_bn(Unit *u) {
    const Graph *g = u->graph;
    FoldBn f = {.rw = rw_begin(u->graph), .g = g, .uses = graph_use_counts(g)};
    f.absorbed = NEW_ARRAY(&u->cx->arena, bool, g->nodes.len);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i], *d = n->op == OP_batch_norm ? producer(&f, n) : NULL;
        if (d)
            f.absorbed[d - g->nodes.data] = true;
    }
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (f.absorbed[i])
            continue;
        if (n->op != OP_batch_norm || !pass_is_plain(n)) {
            rw_copy(&f.rw, n);
            continue;
        }
        const Node *d = producer(&f, n);
        const ValueId v = d ? fold_into(&f, n, d) : expand(&f, n);
        if (v == NO_VALUE)
            return false;
        rw_replace(&f.rw, n, v, true);
    }
    u->graph = rw_finish(&f.rw);
    return true;
}
