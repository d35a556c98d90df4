/* Counting a training: parameters, the tensors of its state, arithmetic. A tensor that several graphs have is
 * one. */
#include "driver/sizes.h"
#include "driver/bench.h"
#include <string.h>

static bool same_tensor(const Value *a, const Value *b) {
    return a->kind == b->kind && a->role == b->role && !strcmp(a->key, b->key);
}

/* Is value `v` of graph `g` the first of its tensor in the chain? */
static bool is_first(const Graph *chain, const Graph *g, ValueId v) {
    for (const Graph *before = chain;; before = before->next) {
        const uint32_t end = before == g ? v : before->values.len;
        for (uint32_t i = 0; i < end; i++) {
            const Value *other = &before->values.data[i];
            if ((other->kind == VK_PARAM || other->kind == VK_STATE) &&
                same_tensor(other, &g->values.data[v]))
                return false;
        }
        if (before == g)
            return true;
    }
}

static void count_tensors(TrainingSizes *s, const Graph *chain, const Graph *g) {
    for (ValueId i = 0; i < g->values.len; i++) {
        const Value *v = &g->values.data[i];
        if ((v->kind != VK_PARAM && v->kind != VK_STATE) || !is_first(chain, g, i))
            continue;
        const int64_t elems = type_elems(&v->type, 1);
        if (v->kind == VK_PARAM) {
            s->frozen += elems;
            continue;
        }
        s->state_bytes[v->role] += elems * dtype_bytes(v->type.dtype);
        s->trained += v->role == ROLE_PARAM ? elems : 0;
    }
}

/* By value: do loss or outputs need it? */
static bool *find_forward(const Graph *g) {
    bool *needed = NEW_ARRAY(&g->cx->arena, bool, g->values.len + 1);
    for (uint32_t i = 0; i < g->outputs.len; i++)
        needed[g->outputs.data[i].value] = true;
    for (uint32_t i = g->nodes.len; i-- > 0;) {
        const Node *n = &g->nodes.data[i];
        for (uint32_t k = 0; needed[n->result] && k < n->n_operands; k++)
            needed[n->operands[k]] = true;
    }
    return needed;
}

/* What loss and outputs need is forward work, the rest of it is the way back. What is known at load is no
 * work of a call. */
static void count_flops(const Graph *g, double *forward, double *rest) {
    const bool *needed = find_forward(g);
    const BindTime *bind = graph_bind_times(g);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (bind[n->result] > BIND_LOAD)
            *(needed[n->result] ? forward : rest) += node_flops(g, n, g->batch);
    }
}

TrainingSizes training_sizes(const Graph *chain) {
    TrainingSizes s = {0};
    for (const Graph *g = chain; g; g = g->next) {
        count_tensors(&s, chain, g);
        if (!strcmp(g->entry, "backward"))
            count_flops(g, &s.forward, &s.backward);
        else if (!strcmp(g->entry, "apply"))
            count_flops(g, &s.update, &s.update);
        else if (!strcmp(g->entry, "eval"))
            count_flops(g, &s.evaluation, &s.evaluation);
    }
    return s;
}

double training_step_flops(const TrainingSizes *s) {
    return s->forward + s->backward + s->update;
}
