/* canonicalize: drop what does nothing at inference. Dropout, views and slices that keep the shape, views of
 * views, relu of relu, windows of one element and reorders to the layout that is there already. Pointwise
 * nodes and batch norms go before the view that they work on, where what makes the value can take them in. */
#include "passes/util.h"

static bool all_equal(const IntList *list, int64_t v) {
    for (uint32_t i = 0; i < list->n; i++)
        if (list->v[i] != v)
            return false;
    return true;
}

/* Does `n` give its operand 0 unchanged? `in` is that operand's type in the new graph. */
static bool is_identity(const Graph *g, const Node *n, const Type *in) {
    const Type *out = &g->values.data[n->result].type;
    switch (n->op) {
    case OP_dropout:
        return true;
    case OP_flatten:
    case OP_reshape:
    case OP_reorder:
    case OP_slice:
    case OP_adaptive_avg_pool2d:
    case OP_adaptive_max_pool2d: /* as many windows as pixels: each is one pixel */
        return type_equal(in, out);
    case OP_max_pool2d:
    case OP_avg_pool2d: {
        const Pool2dAttrs *a = n->attrs;
        return all_equal(&a->kernel_size, 1) && all_equal(&a->stride, 1) && all_equal(&a->padding, 0) &&
               a->divisor_override <= 1 && type_equal(in, out);
    }
    default:
        return false;
    }
}

static bool is_view(const Node *n) {
    return n->op == OP_flatten || n->op == OP_reshape;
}

/* What the view `v` of the new graph shows, or NO_VALUE where it is none. */
static ValueId view_source(const Graph *g, ValueId v) {
    const Value *value = &g->values.data[v];
    const Node *d = value->kind == VK_RESULT ? &g->nodes.data[value->def] : NULL;
    return d && is_view(d) && pass_is_plain(d) ? d->operands[0] : NO_VALUE;
}

/* Can reshape say it? The batch stays in front, whole. */
static bool can_reshape(const Type *in, const Type *out) {
    const bool by_n = type_has_n(in);
    return by_n == type_has_n(out) && (!by_n || in->dim[0].size == out->dim[0].size);
}

/* `v` seen with the dimensions of `out`. */
static ValueId emit_view(Rewrite *rw, const Node *n, ValueId v, const Type *out, const char *name) {
    ReshapeAttrs attrs = {0};
    for (uint32_t i = type_has_n(out); i < out->rank; i++)
        attrs.shape.v[attrs.shape.n++] = out->dim[i].size;
    return pass_emit(rw, n, OP_reshape, &v, 1, &attrs, name);
}

/* A view of a view is one reshape, or what the inner one shows. */
static bool view_of_view(Rewrite *rw, const Node *n, ValueId inner) {
    const ValueId source = is_view(n) ? view_source(rw->to, inner) : NO_VALUE;
    const Value *v = &rw->from->values.data[n->result];
    if (source == NO_VALUE)
        return false;
    const Type in = rw->to->values.data[source].type;
    if (type_equal(&in, &v->type)) {
        pass_alias(rw, n, source);
        return true;
    }
    const ValueId made = can_reshape(&in, &v->type) ? emit_view(rw, n, source, &v->type, v->name) : NO_VALUE;
    if (made != NO_VALUE)
        rw_replace(rw, n, made, true);
    return made != NO_VALUE;
}

static bool is_relu(const Graph *g, ValueId v) {
    const Value *value = &g->values.data[v];
    return value->kind == VK_RESULT && g->nodes.data[value->def].op == OP_relu &&
           pass_is_plain(&g->nodes.data[value->def]);
}

/* ---- Before the view ---- */

typedef struct Canonicalize {
    Rewrite rw;
    const uint32_t *uses; /* by old value */
} Canonicalize;

/* May operand i of `n` make way for what it shows? It is a view, with no other user, that has the dimensions
 * of n's result, of what a node makes that can take `n` in. */
static bool makes_way(const Canonicalize *c, const Node *n, uint32_t i) {
    const Value *in = &c->rw.from->values.data[n->operands[i]], *out = &c->rw.from->values.data[n->result];
    const ValueId source = view_source(c->rw.to, rw_map(&c->rw, n->operands[i]));
    if (source == NO_VALUE || c->uses[n->operands[i]] != 1 || !type_same_shape(&in->type, &out->type))
        return false;
    const Node *maker = graph_def(c->rw.to, source);
    return maker && (maker->op == OP_batch_norm || pass_producer_rank(maker)) &&
           can_reshape(&c->rw.to->values.data[source].type, &out->type);
}

/* Does `n` compute the same on a value with the dimensions `seen`? A batch norm's channels must be the same;
 * a pointwise node's operands have the dimensions of its result, or one element. */
static bool fits_source(const Graph *g, const Node *n, const Type *seen) {
    const Type *out = &g->values.data[n->result].type;
    if (n->op == OP_batch_norm)
        return seen->rank >= 2 && seen->dim[0].size == out->dim[0].size &&
               seen->dim[1].size == out->dim[1].size;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Type *t = &g->values.data[n->operands[i]].type;
        const bool number = !type_has_n(t) && type_elems(t, 1) == 1 && t->rank <= seen->rank;
        if (!number && !type_same_shape(t, out))
            return false;
    }
    return op_desc(n->op)->flags & OP_POINTWISE;
}

/* Operand `v` of the new graph with the dimensions `seen`. */
static ValueId as_source(Rewrite *rw, const Node *n, ValueId v, const Type *seen) {
    const ValueId source = view_source(rw->to, v);
    const char *name = rw->to->values.data[v].name;
    if (source != NO_VALUE && type_equal(&rw->to->values.data[source].type, seen))
        return source;
    return emit_view(rw, n, v, seen, intern_f(rw->to->cx, "%s.seen", name));
}

/* A pointwise node or batch norm on a view becomes a view of one on what that shows. */
static bool before_view(Canonicalize *c, const Node *n) {
    Rewrite *rw = &c->rw;
    const Value *out = &rw->from->values.data[n->result];
    ValueId operands[MAX_OPERANDS];
    uint32_t view = 0;
    while (view < n->n_operands && !makes_way(c, n, view))
        view++;
    if (view == n->n_operands)
        return false;
    const ValueId source = view_source(rw->to, rw_map(rw, n->operands[view]));
    const Type seen = rw->to->values.data[source].type;
    if (!fits_source(rw->from, n, &seen))
        return false;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        operands[i] = rw_map(rw, n->operands[i]);
        if (type_same_shape(&rw->from->values.data[n->operands[i]].type, &out->type))
            operands[i] = as_source(rw, n, operands[i], &seen);
    }
    const char *name = intern_f(rw->to->cx, "%s.source", out->name);
    const ValueId v = pass_emit(rw, n, n->op, operands, n->n_operands, n->attrs, name);
    const ValueId made = v == NO_VALUE ? v : emit_view(rw, n, v, &out->type, out->name);
    if (made != NO_VALUE)
        rw_replace(rw, n, made, true);
    return made != NO_VALUE;
}

static void canonicalize_node(Canonicalize *c, const Node *n) {
    Rewrite *rw = &c->rw;
    const ValueId x = n->n_operands ? rw_map(rw, n->operands[0]) : NO_VALUE;
    if (x == NO_VALUE || !pass_is_plain(n))
        rw_copy(rw, n);
    else if (is_identity(rw->from, n, &rw->to->values.data[x].type) ||
             (n->op == OP_relu && is_relu(rw->to, x)))
        pass_alias(rw, n, x);
    else if (!view_of_view(rw, n, x) && !before_view(c, n))
        rw_copy(rw, n);
}

bool pass_canonicalize(Unit *u) {
    Canonicalize c = {.rw = rw_begin(u->graph), .uses = graph_use_counts(u->graph)};
    for (uint32_t i = 0; i < u->graph->nodes.len; i++)
        canonicalize_node(&c, &u->graph->nodes.data[i]);
    u->graph = rw_finish(&c.rw);
    return true;
}
