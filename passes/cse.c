/* cse: share equal nodes: the same op with the same attributes, choice and operands gives the same value. */
#include "passes/util.h"
#include <string.h>

typedef struct Table {
    ValueId *slots; /* open addressing; NO_VALUE: empty */
    uint32_t cap;   /* a power of two, at least twice the nodes */
} Table;

static uint64_t mix(uint64_t h, uint64_t v) {
    h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    return h * 0xff51afd7ed558ccdu;
}

static bool is_commutative(const Node *n) {
    return (op_desc(n->op)->flags & OP_COMMUTATIVE) && n->n_operands == 2;
}

static uint64_t node_hash(const Node *n) {
    uint64_t h = mix(0, n->op);
    if (n->attrs)
        h = mix(h, attr_hash(&op_desc(n->op)->attrs, n->attrs));
    if (is_commutative(n)) /* a sum does not see the order */
        return mix(h, (uint64_t)n->operands[0] + n->operands[1]);
    for (uint32_t i = 0; i < n->n_operands; i++)
        h = mix(h, n->operands[i]);
    return h;
}

static bool same_operands(const Node *a, const Node *b) {
    if (a->n_operands != b->n_operands)
        return false;
    if (!memcmp(a->operands, b->operands, a->n_operands * sizeof *a->operands))
        return true;
    return is_commutative(a) && a->operands[0] == b->operands[1] && a->operands[1] == b->operands[0];
}

/* `a` is not in the graph yet; its result has the type `type`. */
static bool node_equal(const Graph *g, const Node *a, const Type *type, const Node *b) {
    if (a->op != b->op || !same_operands(a, b) || !a->choice != !b->choice)
        return false;
    if (a->attrs && !attr_equal(&op_desc(a->op)->attrs, a->attrs, b->attrs))
        return false;
    if (a->choice && !attr_equal(&choice_table, a->choice, b->choice))
        return false;
    return type_equal(type, &g->values.data[b->result].type);
}

/* The slot of an equal node of the graph, or the empty slot where `n` belongs. */
static ValueId *find(Table *t, Graph *g, const Node *n, const Type *type) {
    uint32_t i = (uint32_t)node_hash(n) & (t->cap - 1);
    while (t->slots[i] != NO_VALUE && !node_equal(g, n, type, graph_def(g, t->slots[i])))
        i = (i + 1) & (t->cap - 1);
    return &t->slots[i];
}

static void share_node(Rewrite *rw, Table *t, const Node *n) {
    if (n->prologue || n->epilogue || n->n_operands > MAX_OPERANDS || op_desc(n->op)->writes) {
        rw_copy(rw, n);
        return;
    }
    Node probe = *n; /* the node as it would stand in the new graph */
    ValueId operands[MAX_OPERANDS];
    for (uint32_t i = 0; i < n->n_operands; i++)
        operands[i] = rw_map(rw, n->operands[i]);
    probe.operands = operands;
    ValueId *slot = find(t, rw->to, &probe, &rw->from->values.data[n->result].type);
    if (*slot == NO_VALUE)
        *slot = rw_copy(rw, n);
    else
        pass_alias(rw, n, *slot);
}

bool pass_cse(Unit *u) {
    Table t = {.cap = 16};
    while (t.cap < 2 * u->graph->nodes.len)
        t.cap *= 2;
    t.slots = NEW_ARRAY(&u->cx->arena, ValueId, t.cap);
    for (uint32_t i = 0; i < t.cap; i++)
        t.slots[i] = NO_VALUE;
    Rewrite rw = rw_begin(u->graph);
    for (uint32_t i = 0; i < u->graph->nodes.len; i++)
        share_node(&rw, &t, &u->graph->nodes.data[i]);
    u->graph = rw_finish(&rw);
    return true;
}
