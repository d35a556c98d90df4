/* autodiff: from the imported graph and what a recipe says of training to the chain of graphs `backward`,
 * `apply` and `eval`. What is trained becomes state; what is frozen stays a parameter, known at load. The
 * forward nodes in training mode are walked backwards, each op's `grad` adding its parts; a parameter's
 * gradient goes into its state as soon as the last of its users has contributed, so that its memory is free
 * again. */
#include "passes/autodiff.h"
#include "passes/util.h"

#include <string.h>

Graph *autodiff_graph(const Autodiff *ad, const char *entry) {
    Graph *g = graph_new(ad->cx, ad->g->name);
    g->entry = intern(ad->cx, entry);
    g->batch = ad->g->batch;
    g->n_fixed = ad->g->n_fixed;
    g->classes = ad->g->classes;
    g->n_classes = ad->g->n_classes;
    return g;
}

ValueId autodiff_find_state(const Graph *g, StateRole role, const char *key) {
    key = intern(g->cx, key);
    for (uint32_t i = 0; i < g->states.len; i++) {
        const Value *v = &g->values.data[g->states.data[i]];
        if (v->role == role && v->key == key)
            return g->states.data[i];
    }
    return NO_VALUE;
}

ValueId autodiff_counter(Graph *g, const char *key) {
    const Type counter = type_make(DT_I64, 1, &(const Dim){1, false});
    return graph_state(g, ROLE_COUNTER, key, key, counter, (Loc){0});
}

ValueId autodiff_hyper(Graph *g, const TrainSpec *spec) {
    const Dim numbers = {HYPER_GROUPS + HYPER_PER_GROUP * (int64_t)spec->optimizer.n_groups, false};
    return g->hyper != NO_VALUE ? g->hyper : graph_hyper(g, "hyper", type_make(DT_F64, 1, &numbers));
}

/* ---- Forward ---- */

/* Inputs first, the target behind them; then what is trained, then what is not. */
static bool emit_leaves(Emit *e) {
    const Graph *from = e->ad->g;
    Graph *g = e->gr.g;
    for (uint32_t i = 0; i < from->inputs.len; i++) {
        const Value *v = &from->values.data[from->inputs.data[i]];
        const ValueId id = e->map[from->inputs.data[i]] = graph_input(g, v->name, v->type, v->loc);
        graph_value(g, id)->picture = v->picture;
    }
    if (!autodiff_target(e))
        return false;
    for (int role = ROLE_PARAM; role <= ROLE_BUFFER; role++)
        for (uint32_t i = 0; i < from->params.len; i++) {
            const ValueId id = from->params.data[i];
            const Value *v = &from->values.data[id];
            if (!e->ad->trained[id] || (v->kind == VK_BUFFER) != (role == ROLE_BUFFER))
                continue;
            e->map[id] = autodiff_find_state(g, (StateRole)role, v->key); /* two values may be one tensor */
            if (e->map[id] == NO_VALUE)
                e->map[id] = graph_state(g, (StateRole)role, v->name, v->key, v->type, v->loc);
        }
    for (ValueId id = 0; id < from->values.len; id++) {
        const Value *v = &from->values.data[id];
        if (v->kind == VK_CONST)
            e->map[id] = graph_const(g, v->name, v->type, v->data, v->loc);
        else if ((v->kind == VK_PARAM || v->kind == VK_BUFFER) && !e->ad->trained[id])
            e->map[id] = graph_param(g, v->kind, v->name, v->key, v->type, v->loc);
    }
    return true;
}

/* The node as it is at inference; then, in training mode, as it is there, under the same name. The former has
 * no user then. */
static ValueId emit_node(Emit *e, const Node *n) {
    Graph *g = e->gr.g;
    ValueId operands[MAX_OPERANDS];
    for (uint32_t i = 0; i < n->n_operands; i++)
        operands[i] = e->map[n->operands[i]];
    const Value *old = &e->ad->g->values.data[n->result];
    const ValueId plain = graph_node(g, n->op, operands, n->n_operands, n->attrs, old->name, n->loc);
    if (plain == NO_VALUE)
        return NO_VALUE;
    graph_def(g, plain)->name = n->name;
    if (!e->gr.training || !op_desc(n->op)->train)
        return plain;
    const Node like = *graph_def(g, plain);
    const ValueId v = op_desc(n->op)->train(&e->gr, &like, operands);
    if (v != NO_VALUE && v != plain && graph_value(g, v)->kind == VK_RESULT) {
        const char *name = graph_value(g, plain)->name;
        graph_rename(g, plain, intern_f(g->cx, "%s.inference", name));
        graph_rename(g, v, name);
        graph_value(g, v)->origin = graph_value(g, plain)->origin;
    }
    return v;
}

/* All nodes, the loss, and the outputs: the loss, then those of the model. */
static ValueId emit_forward(Emit *e) {
    const Graph *from = e->ad->g;
    for (uint32_t i = 0; i < from->nodes.len; i++) {
        const Node *n = &from->nodes.data[i];
        if (!pass_is_plain(n)) {
            diag_error(&e->ad->cx->diag, DIAG_PASS_LIST, &n->loc,
                       "autodiff needs the graph as it was imported, but %%%s is fused or chosen",
                       from->values.data[n->result].name);
            return NO_VALUE;
        }
        if ((e->map[n->result] = emit_node(e, n)) == NO_VALUE)
            return NO_VALUE;
    }
    const ValueId loss = autodiff_loss(e);
    if (loss == NO_VALUE)
        return NO_VALUE;
    graph_output(e->gr.g, "loss", loss);
    for (uint32_t i = 0; i < from->outputs.len; i++)
        graph_output(e->gr.g, from->outputs.data[i].name, e->map[from->outputs.data[i].value]);
    return loss;
}

static Emit begin(const Autodiff *ad, const char *entry, bool training) {
    Emit e = {.ad = ad, .gr = {.g = autodiff_graph(ad, entry), .training = training}};
    e.map = NEW_ARRAY(&ad->cx->arena, ValueId, ad->g->values.len + 1);
    return e;
}

/* ---- Backward ---- */

/* By parameter: the node that uses it first, so is the last to contribute to its gradient. */
static NodeId *find_first_uses(const Grad *gr, uint32_t nodes) {
    const Graph *g = gr->g;
    NodeId *first = NEW_ARRAY(&g->cx->arena, NodeId, gr->n + 1);
    memset(first, 0xff, gr->n * sizeof *first);
    for (NodeId i = nodes; i-- > 0;)
        for (uint32_t k = 0; k < g->nodes.data[i].n_operands; k++)
            first[g->nodes.data[i].operands[k]] = i;
    return first;
}

/* A gradient for each parameter that is trained, in their order. */
static void declare_gradients(Graph *g) {
    for (uint32_t i = 0, n = g->states.len; i < n; i++) {
        const Value v = *graph_value(g, g->states.data[i]);
        if (v.role == ROLE_PARAM)
            graph_state(g, ROLE_GRAD, intern_f(g->cx, "%s.grad", v.name), intern_f(g->cx, "grad/%s", v.key),
                        v.type, v.loc);
    }
}

/* The gradient of parameter p goes into its state. */
static bool accumulate(Grad *gr, const Node *n, ValueId p, ValueId accumulated) {
    Graph *g = gr->g;
    const Value *v = graph_value(g, p);
    const ValueId state = autodiff_find_state(g, ROLE_GRAD, intern_f(g->cx, "grad/%s", v->key));
    const ValueId operands[3] = {state, gr->of[p], accumulated};
    const char *name = intern_f(g->cx, "%s.grad_total", v->name);
    const ValueId total = graph_node(g, OP_accumulate, operands, 3, NULL, name, n->loc);
    if (total != NO_VALUE)
        graph_def(g, total)->name = n->name;
    gr->of[p] = NO_VALUE; /* done */
    return total != NO_VALUE;
}

/* Back from the loss; `made` counts the gradients of parameters. */
static bool walk_back(Grad *gr, uint32_t nodes, ValueId accumulated, uint32_t *made) {
    const NodeId *first = find_first_uses(gr, nodes);
    for (NodeId i = nodes; i-- > 0;) {
        const Node n = gr->g->nodes.data[i];
        if (!grad_through(gr, &n))
            return false;
        for (uint32_t k = 0; k < n.n_operands; k++) {
            const ValueId p = n.operands[k];
            if (graph_value(gr->g, p)->kind != VK_STATE || first[p] != i || gr->of[p] == NO_VALUE)
                continue;
            if (!accumulate(gr, &n, p, accumulated))
                return false;
            ++*made;
        }
    }
    return true;
}

static bool advance(Graph *g, ValueId counter) {
    return graph_node(g, OP_advance, &counter, 1, NULL, graph_value(g, counter)->name, (Loc){0}) != NO_VALUE;
}

/* Without what nobody uses, and with every check in front of every node that writes state. */
static Graph *finish(Graph *g) {
    Rewrite rw = rw_begin(g);
    uint32_t checked = 0; /* nodes up to the last check */
    for (uint32_t i = 0; i < g->nodes.len; i++)
        if (op_desc(g->nodes.data[i].op)->flags & OP_CHECK)
            checked = i + 1;
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        for (uint32_t k = 0; i == checked && k < checked; k++)
            if (op_desc(g->nodes.data[k].op)->writes)
                rw_copy(&rw, &g->nodes.data[k]);
        if (i >= checked || !op_desc(g->nodes.data[i].op)->writes)
            rw_copy(&rw, &g->nodes.data[i]);
    }
    return rw_finish(&rw);
}

static Graph *make_backward(const Autodiff *ad) {
    Emit e = begin(ad, "backward", true);
    Graph *g = e.gr.g;
    uint32_t made = 0;
    if (!emit_leaves(&e))
        return NULL;
    declare_gradients(g);
    const ValueId accumulated = autodiff_counter(g, "accumulated");
    e.gr.calls = autodiff_counter(g, "calls");
    e.gr.seed = autodiff_counter(g, "seed");
    const ValueId loss = emit_forward(&e);
    if (loss == NO_VALUE)
        return NULL;
    const uint32_t nodes = g->nodes.len;
    const ValueId scored = e.map[ad->g->outputs.data[ad->scored].value];
    grad_begin(&e.gr);
    grad_spread(&e.gr);
    if (e.gr.wanted[scored]) {
        e.gr.of[scored] = autodiff_loss_backward(&e, loss);
        if (e.gr.of[scored] == NO_VALUE || !walk_back(&e.gr, nodes, accumulated, &made))
            return NULL;
    }
    if (!made) {
        diag_error(&ad->cx->diag, DIAG_NOTHING_TRAINED, &ad->spec->loss.loc,
                   "the loss depends on no parameter that is trained");
        return NULL;
    }
    return advance(g, e.gr.calls) && advance(g, accumulated) ? finish(g) : NULL;
}

static Graph *make_eval(const Autodiff *ad) {
    Emit e = begin(ad, "eval", false);
    return emit_leaves(&e) && emit_forward(&e) != NO_VALUE ? finish(e.gr.g) : NULL;
}

bool pass_autodiff(Unit *u) {
    Autodiff ad = {.cx = u->cx, .g = u->graph, .spec = u->train};
    if (!u->train) {
        diag_error(&u->cx->diag, DIAG_PASS_LIST, NULL, "autodiff needs to be told what to train");
        return diag_hint(&u->cx->diag, "--train --recipe FILE tells it");
    }
    if (strcmp(u->graph->entry, "infer") != 0 || u->graph->next)
        return diag_error(&u->cx->diag, DIAG_PASS_LIST, NULL, "autodiff has done its work on this graph");
    if (!autodiff_spec(&ad) || !autodiff_find_scored(&ad))
        return false;
    Graph *backward = make_backward(&ad);
    Graph *apply = backward ? autodiff_apply(&ad, backward) : NULL;
    Graph *eval = apply ? make_eval(&ad) : NULL;
    if (!eval)
        return false;
    backward->next = apply;
    apply->next = eval;
    u->graph = backward;
    return true;
}
