/* The way back through a graph, and what the `grad` hooks of ops share: which parts are wanted, and sums of
 * what several users contribute. */
#include "ir/grad.h"

void grad_begin(Grad *gr) {
    const Graph *g = gr->g;
    gr->n = g->values.len;
    gr->wanted = NEW_ARRAY(&g->cx->arena, bool, gr->n + 1);
    gr->of = NEW_ARRAY(&g->cx->arena, ValueId, gr->n + 1);
    for (ValueId v = 0; v < gr->n; v++) {
        gr->of[v] = NO_VALUE;
        gr->wanted[v] = g->values.data[v].kind == VK_STATE && g->values.data[v].role == ROLE_PARAM;
    }
}

void grad_spread(Grad *gr) {
    const Graph *g = gr->g;
    for (uint32_t i = 0; i < g->nodes.len; i++)
        for (uint32_t k = 0; k < g->nodes.data[i].n_operands; k++)
            gr->wanted[g->nodes.data[i].result] |= gr->wanted[g->nodes.data[i].operands[k]];
}

static bool any_wanted(const Grad *gr, const Node *n) {
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (grad_wanted(gr, n, i))
            return true;
    return false;
}

bool grad_through(Grad *gr, const Node *n) {
    const ValueId dy = gr->of[n->result];
    Diag *diag = &gr->g->cx->diag;
    if (dy == NO_VALUE || !any_wanted(gr, n))
        return true;
    if (op_desc(n->op)->grad)
        return op_desc(n->op)->grad(gr, n, dy);
    diag_error(diag, DIAG_NO_GRADIENT, &n->loc,
               "%s has no gradient, and parameters in front of it are to be trained", op_desc(n->op)->name);
    return diag_hint(diag, "freeze the layers in front of it, or train without it");
}

bool grad_wanted(const Grad *gr, const Node *n, uint32_t i) {
    return n->operands[i] < gr->n && gr->wanted[n->operands[i]];
}

/* "conv1.grad_weight" */
static const char *grad_name(const Grad *gr, const Node *n, const char *suffix) {
    return intern_f(gr->g->cx, "%s.%s", gr->g->values.data[n->result].name, suffix);
}

ValueId grad_node(Grad *gr, const Node *n, OpId op, const ValueId *operands, uint32_t count,
                  const void *attrs, const char *suffix) {
    for (uint32_t i = 0; i < count; i++)
        if (operands[i] == NO_VALUE)
            return NO_VALUE;
    const char *layer = n->name; /* a new node may move n */
    ValueId v = graph_node(gr->g, op, operands, count, attrs, grad_name(gr, n, suffix), n->loc);
    if (v != NO_VALUE)
        graph_def(gr->g, v)->name = layer;
    return v;
}

/* d in the shape of `to`. */
static ValueId reshaped(Grad *gr, const Node *n, ValueId d, const Type *to) {
    ReshapeAttrs attrs = {0};
    if (d == NO_VALUE || type_same_shape(&graph_value(gr->g, d)->type, to))
        return d;
    for (int k = type_has_n(to); k < to->rank; k++)
        attrs.shape.v[attrs.shape.n++] = to->dim[k].size;
    return grad_node(gr, n, OP_reshape, &d, 1, &attrs, "grad_view");
}

/* The sum of d over the dimensions along which broadcasting repeated a tensor of type `to`. The batch comes
 * last, as the channels' sum over images. */
static ValueId sum_repeated(Grad *gr, const Node *n, ValueId d, const Type *to) {
    const Type from = graph_value(gr->g, d)->type;
    const int shift = from.rank - to->rank;
    const bool over_batch = type_has_n(&from) && !type_has_n(to);
    ReduceAttrs sum = {0};
    for (int k = over_batch; k < from.rank; k++)
        if (from.dim[k].size != (k < shift ? 1 : to->dim[k - shift].size))
            sum.dim.v[sum.dim.n++] = k;
    if (sum.dim.n)
        d = grad_node(gr, n, OP_sum, &d, 1, &sum, "grad_repeated");
    if (over_batch && d != NO_VALUE) {
        Type flat = type_make(DT_F32, 2, (const Dim[2]){from.dim[0], {type_elems(to, 1), false}});
        d = reshaped(gr, n, d, &flat);
        d = grad_node(gr, n, OP_channel_sum, &d, 1, NULL, "grad_images");
    }
    return reshaped(gr, n, d, to);
}

bool grad_add(Grad *gr, const Node *n, uint32_t i, ValueId d) {
    const ValueId to = n->operands[i];
    if (d == NO_VALUE)
        return false;
    if (!type_same_shape(&graph_value(gr->g, d)->type, &graph_value(gr->g, to)->type)) {
        const Type type = graph_value(gr->g, to)->type;
        d = sum_repeated(gr, n, d, &type);
    }
    if (d == NO_VALUE)
        return false;
    if (gr->of[to] != NO_VALUE) {
        const ValueId both[2] = {gr->of[to], d};
        d = grad_node(gr, n, OP_add, both, 2, NULL, "grad_sum");
    }
    gr->of[to] = d;
    return d != NO_VALUE;
}

ValueId grad_negative(Grad *gr, const Node *n, ValueId d) {
    static const float zero = 0;
    const ValueId part[2] = {graph_const(gr->g, "zero", type_make(DT_F32, 0, NULL), &zero, n->loc), d};
    return grad_node(gr, n, OP_sub, part, 2, NULL, "grad");
}

bool grad_view(Grad *gr, const Node *n, ValueId dy) {
    const Graph *g = gr->g;
    const Type *in = &g->values.data[n->operands[0]].type, *out = &g->values.data[n->result].type;
    const bool by_n = type_has_n(in);
    if (by_n != type_has_n(out) || (by_n && in->dim[0].size != out->dim[0].size))
        return diag_error(&g->cx->diag, DIAG_NO_GRADIENT, &n->loc,
                          "%s changes how often the batch counts, and has no gradient then",
                          op_desc(n->op)->name);
    ReshapeAttrs attrs = {0};
    for (uint32_t i = by_n; i < in->rank; i++)
        attrs.shape.v[attrs.shape.n++] = in->dim[i].size;
    return grad_add(gr, n, 0, grad_node(gr, n, OP_reshape, &dy, 1, &attrs, "grad"));
}
