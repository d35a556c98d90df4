/* canonicalize: drop what does nothing at inference. Dropout, views and slices that keep the shape, views of
 * views, relu of relu, windows of one element and reorders to the layout that is there already. */
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
               type_equal(in, out);
    }
    default:
        return false;
    }
}

static bool is_view(const Node *n) {
    return n->op == OP_flatten || n->op == OP_reshape;
}

/* A view of a view is one reshape, if reshape can say it: the batch stays in front, whole. */
static bool view_of_view(Rewrite *rw, const Node *n, ValueId inner) {
    const Graph *g = rw->to;
    const Value *v = &g->values.data[inner];
    if (!is_view(n) || v->kind != VK_RESULT)
        return false;
    const Node *d = &g->nodes.data[v->def];
    if (!is_view(d) || !pass_is_plain(d))
        return false;
    const ValueId source = d->operands[0];
    const Type *in = &g->values.data[source].type, *out = &rw->from->values.data[n->result].type;
    if (type_equal(in, out)) {
        pass_alias(rw, n, source);
        return true;
    }
    const bool by_n = type_has_n(in);
    if (by_n != type_has_n(out) || (by_n && in->dim[0].size != out->dim[0].size))
        return false;
    ReshapeAttrs attrs = {0};
    for (uint32_t i = by_n; i < out->rank; i++)
        attrs.shape.v[attrs.shape.n++] = out->dim[i].size;
    const char *name = rw->from->values.data[n->result].name;
    const ValueId made = pass_emit(rw, n, OP_reshape, &source, 1, &attrs, name);
    if (made != NO_VALUE)
        rw_replace(rw, n, made, true);
    return made != NO_VALUE;
}

static bool is_relu(const Graph *g, ValueId v) {
    const Value *value = &g->values.data[v];
    return value->kind == VK_RESULT && g->nodes.data[value->def].op == OP_relu &&
           pass_is_plain(&g->nodes.data[value->def]);
}

static void canonicalize_node(Rewrite *rw, const Node *n) {
    const ValueId x = n->n_operands ? rw_map(rw, n->operands[0]) : NO_VALUE;
    if (x == NO_VALUE || !pass_is_plain(n))
        rw_copy(rw, n);
    else if (is_identity(rw->from, n, &rw->to->values.data[x].type) ||
             (n->op == OP_relu && is_relu(rw->to, x)))
        pass_alias(rw, n, x);
    else if (!view_of_view(rw, n, x))
        rw_copy(rw, n);
}

bool pass_canonicalize(Unit *u) {
    Rewrite rw = rw_begin(u->graph);
    for (uint32_t i = 0; i < u->graph->nodes.len; i++)
        canonicalize_node(&rw, &u->graph->nodes.data[i]);
    u->graph = rw_finish(&rw);
    return true;
}
