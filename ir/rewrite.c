/* Copying a graph into a new one, which is how passes change it. */
#include "ir/rewrite.h"
#include "ir/op.h"

/* The value `old` itself, without its node, in the new graph. */
static ValueId copy_value(Rewrite *rw, const Value *v) {
    Graph *to = rw->to;
    ValueId id = NO_VALUE;
    switch (v->kind) {
    case VK_INPUT:
        id = graph_input(to, v->name, v->type, v->loc);
        graph_value(to, id)->target = v->target;
        graph_value(to, id)->picture = v->picture;
        break;
    case VK_PARAM:
    case VK_BUFFER:
        id = graph_param(to, v->kind, v->name, v->key, v->type, v->loc);
        break;
    case VK_STATE:
        id = graph_state(to, v->role, v->name, v->key, v->type, v->loc);
        break;
    case VK_HYPER:
        id = graph_hyper(to, v->name, v->type);
        break;
    case VK_CONST:
        id = graph_const(to, v->name, v->type, v->data, v->loc);
        break;
    case VK_ARG:
        id = graph_arg(to, v->name, v->type);
        break;
    case VK_RESULT:
        return NO_VALUE;
    }
    graph_value(to, id)->origin = v->origin;
    return id;
}

Rewrite rw_begin(Graph *from) {
    Rewrite rw = {.from = from, .to = graph_new(from->cx, from->name)};
    Graph *to = rw.to;
    to->entry = from->entry;
    to->next = from->next;
    to->batch = from->batch;
    to->n_fixed = from->n_fixed;
    to->classes = from->classes;
    to->n_classes = from->n_classes;
    to->derived = true;
    rw.map = NEW_ARRAY(&from->cx->arena, ValueId, from->values.len + 1);
    for (uint32_t v = 0; v < from->values.len; v++)
        rw.map[v] = copy_value(&rw, graph_value(from, v));
    return rw;
}

ValueId rw_map(const Rewrite *rw, ValueId old) {
    return old < rw->from->values.len ? rw->map[old] : NO_VALUE;
}

static bool missing(Rewrite *rw, const Node *n, ValueId old) {
    const Graph *from = rw->from;
    return diag_error(
        &from->cx->diag, DIAG_IR_INVALID, &n->loc, "a pass lost the value %%%s, which %%%s uses",
        old < from->values.len ? from->values.data[old].name : "?", from->values.data[n->result].name);
}

ValueId rw_copy(Rewrite *rw, const Node *n) {
    Graph *to = rw->to;
    Arena *a = &to->cx->arena;
    const Value *old = graph_value(rw->from, n->result);
    Node node = *n;
    node.operands = NEW_ARRAY(a, ValueId, n->n_operands);
    for (uint32_t i = 0; i < n->n_operands; i++) {
        node.operands[i] = rw_map(rw, n->operands[i]);
        if (node.operands[i] == NO_VALUE) {
            missing(rw, n, n->operands[i]);
            return NO_VALUE;
        }
    }
    Value value = *old;
    value.def = to->nodes.len;
    value.name = NULL;
    node.result = to->values.len;
    vec_push(a, &to->values, value);
    vec_push(a, &to->nodes, node);
    graph_name_value(to, node.result, old->name);
    rw->map[n->result] = node.result;
    return node.result;
}

void rw_replace(Rewrite *rw, const Node *n, ValueId v, bool same) {
    rw->map[n->result] = v;
    if (!same || v == NO_VALUE)
        return;
    const Value *old = graph_value(rw->from, n->result);
    Value *now = graph_value(rw->to, v);
    if (now->kind != VK_RESULT)
        return; /* an input or parameter stays what it is */
    if (!now->origin)
        now->origin = old->origin;
    if (graph_is_number(now->name) && !graph_is_number(old->name))
        graph_rename(rw->to, v, old->name);
}

/* ---- Leaving out what nobody uses ---- */

static bool *find_live(const Graph *g) {
    bool *live = NEW_ARRAY(&g->cx->arena, bool, g->values.len + 1);
    for (uint32_t i = 0; i < g->inputs.len; i++)
        live[g->inputs.data[i]] = true;
    for (uint32_t i = 0; i < g->outputs.len; i++)
        live[g->outputs.data[i].value] = true;
    for (uint32_t i = g->nodes.len; i-- > 0;) {
        const Node *n = &g->nodes.data[i];
        live[n->result] |= op_desc(n->op)->writes || op_desc(n->op)->flags & OP_CHECK;
        for (uint32_t k = 0; live[n->result] && k < n->n_operands; k++)
            live[n->operands[k]] = true;
    }
    return live;
}

static void map_list(uint32_t *ids, uint32_t *len, const ValueId *to) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *len; i++)
        if (to[ids[i]] != NO_VALUE)
            ids[kept++] = to[ids[i]];
    *len = kept;
}

/* Squeeze the live values and nodes together, in place: the graph is still private to this rewrite. */
static void compact(Graph *g, const bool *live) {
    ValueId *to = NEW_ARRAY(&g->cx->arena, ValueId, g->values.len + 1);
    uint32_t values = 0, nodes = 0;
    for (uint32_t v = 0; v < g->values.len; v++) {
        to[v] = live[v] ? values : NO_VALUE;
        if (live[v])
            g->values.data[values++] = g->values.data[v];
    }
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        Node n = g->nodes.data[i];
        if (!live[n.result])
            continue;
        n.result = to[n.result];
        for (uint32_t k = 0; k < n.n_operands; k++)
            n.operands[k] = to[n.operands[k]];
        g->values.data[n.result].def = nodes;
        g->nodes.data[nodes++] = n;
    }
    g->values.len = values;
    g->nodes.len = nodes;
    map_list(g->inputs.data, &g->inputs.len, to);
    map_list(g->params.data, &g->params.len, to);
    map_list(g->states.data, &g->states.len, to);
    g->hyper = g->hyper == NO_VALUE ? NO_VALUE : to[g->hyper];
    for (uint32_t i = 0; i < g->outputs.len; i++)
        g->outputs.data[i].value = to[g->outputs.data[i].value];
    graph_index_names(g);
}

Graph *rw_finish(Rewrite *rw) {
    const Graph *from = rw->from;
    for (uint32_t i = 0; i < from->outputs.len; i++) {
        GraphOutput out = from->outputs.data[i];
        ValueId v = rw_map(rw, out.value);
        if (v == NO_VALUE) {
            diag_error(&from->cx->diag, DIAG_IR_INVALID, NULL, "a pass lost the output \"%s\"", out.name);
            return NULL;
        }
        graph_output(rw->to, out.name, v);
    }
    compact(rw->to, find_live(rw->to));
    return rw->to;
}
