/* fuse: move pointwise nodes into the node that makes their operand (its epilogue), and what no producer
 * takes into the pool that reads it (its prologue).
 *
 * First each node finds its group: a root, with a chain of pointwise nodes behind it. A value inside a group
 * has one use, the next node of the chain, so the whole group may stand where its last node stood: there
 * every operand of every member is at hand, and nothing can form a cycle. Then the groups are emitted. */
#include "passes/util.h"

typedef struct Group {
    uint32_t last;     /* its last node; the group is emitted there */
    uint32_t next;     /* of a member: the node behind it in the chain, or NONE */
    uint32_t operands; /* of the root and all members together, at most */
    uint32_t pool;     /* the pool whose prologue this group becomes, or NONE */
    uint32_t prologue; /* of a pool: the root of the group before it, or NONE */
} Group;
#define NONE UINT32_MAX

typedef struct Fuse {
    Rewrite rw;
    Graph *g;
    const uint32_t *uses;
    const BindTime *bind;
    uint32_t *root; /* by node */
    Group *group;   /* by root; `next` by member */
} Fuse;

static bool is_pointwise(const Node *n) {
    return (op_desc(n->op)->flags & OP_POINTWISE) && pass_is_plain(n);
}

static uint32_t node_id(const Fuse *f, const Node *n) {
    return (uint32_t)(n - f->g->nodes.data);
}

/* The root of the group that can take `n` in through operand i, or NONE. */
static uint32_t candidate(const Fuse *f, const Node *n, uint32_t i) {
    const ValueId x = n->operands[i];
    const Node *d = pass_operand_def(f->g, n, i);
    if (!d || f->uses[x] != 1 || f->bind[x] != f->bind[n->result] || !pass_is_plain(d))
        return NONE;
    const Type *from = &f->g->values.data[x].type, *to = &f->g->values.data[n->result].type;
    const uint32_t root = f->root[node_id(f, d)];
    if (!type_same_shape(from, to) || !pass_producer_rank(&f->g->nodes.data[root]))
        return NONE;
    return f->group[root].operands + n->n_operands - 1 <= MAX_OPERANDS ? root : NONE;
}

static void join(Fuse *f, uint32_t id) {
    const Node *n = &f->g->nodes.data[id];
    uint32_t best = NONE;
    for (uint32_t i = 0; is_pointwise(n) && i < n->n_operands; i++) {
        const uint32_t root = candidate(f, n, i);
        if (root == NONE)
            continue;
        const int rank = pass_producer_rank(&f->g->nodes.data[root]);
        const int best_rank = best == NONE ? 0 : pass_producer_rank(&f->g->nodes.data[best]);
        if (rank > best_rank ||
            (best != NONE && rank == best_rank && f->group[root].last > f->group[best].last))
            best = root;
    }
    f->root[id] = best == NONE ? id : best;
    f->group[id] =
        (Group){.last = id, .next = NONE, .operands = n->n_operands, .pool = NONE, .prologue = NONE};
    if (best == NONE)
        return;
    f->group[f->group[best].last].next = id;
    f->group[best].last = id;
    f->group[best].operands += n->n_operands - 1;
}

/* May the chain of `root` be computed again for each window of `pool`? Only on values that are known at load
 * besides the one it works on; and where an average counts padding, only if it keeps zero. */
static bool fits_prologue(const Fuse *f, uint32_t root, const Node *pool) {
    const Pool2dAttrs *a = pool->attrs;
    bool pads = pool->op == OP_avg_pool2d && a->ceil_mode;
    for (uint32_t i = 0; pool->op == OP_avg_pool2d && i < a->padding.n; i++)
        pads |= a->padding.v[i] != 0;
    ValueId chain = f->g->nodes.data[root].operands[0];
    if (!type_same_shape(&f->g->values.data[chain].type, &f->g->values.data[pool->operands[0]].type))
        return false;
    for (uint32_t id = root; id != NONE; id = f->group[id].next) {
        const Node *n = &f->g->nodes.data[id];
        const bool keeps_zero = op_desc(n->op)->flags & OP_KEEPS_ZERO; /* when every operand is zero */
        for (uint32_t i = 0; i < n->n_operands; i++)
            if (n->operands[i] != chain && (pads || f->bind[n->operands[i]] > BIND_LOAD))
                return false;
        if (pads && !keeps_zero)
            return false;
        chain = n->result;
    }
    return true;
}

static void find_prologue(Fuse *f, uint32_t id) {
    const Node *n = &f->g->nodes.data[id];
    if ((n->op != OP_max_pool2d && n->op != OP_avg_pool2d) || !pass_is_plain(n))
        return;
    const Node *d = pass_operand_def(f->g, n, 0);
    if (!d || f->uses[n->operands[0]] != 1 || f->bind[d->result] != f->bind[n->result])
        return;
    const uint32_t root = f->root[node_id(f, d)];
    if (!is_pointwise(&f->g->nodes.data[root]) || !fits_prologue(f, root, n) ||
        f->group[root].operands + f->group[id].operands > MAX_OPERANDS)
        return;
    f->group[root].pool = id;
    f->group[id].prologue = root;
}

/* A region under construction, with the operands its node gets from it. */
typedef struct Region {
    Graph *graph;
    ValueId operands[MAX_OPERANDS], args[MAX_OPERANDS]; /* new value -> argument */
    uint32_t n;
} Region;

static ValueId region_arg(Fuse *f, Region *r, ValueId old) {
    const ValueId v = rw_map(&f->rw, old);
    for (uint32_t i = 0; i < r->n; i++)
        if (r->operands[i] == v)
            return r->args[i];
    const Value *value = graph_value(f->rw.to, v);
    r->operands[r->n] = v;
    return r->args[r->n++] = graph_arg(r->graph, value->name, value->type);
}

/* The chain from node `id` on, as a region whose argument 0 stands for the old value `chain`. */
static bool build_region(Fuse *f, Region *r, uint32_t id, ValueId chain) {
    const Value *first = graph_value(f->g, chain);
    r->graph = graph_new(f->g->cx, first->name);
    r->graph->derived = true;
    ValueId at = graph_arg(r->graph, first->name, first->type);
    for (; id != NONE; id = f->group[id].next) {
        const Node *n = &f->g->nodes.data[id];
        ValueId operands[MAX_OPERANDS];
        for (uint32_t i = 0; i < n->n_operands; i++)
            operands[i] = n->operands[i] == chain ? at : region_arg(f, r, n->operands[i]);
        at = graph_node(r->graph, n->op, operands, n->n_operands, n->attrs, f->g->values.data[n->result].name,
                        n->loc);
        if (at == NO_VALUE)
            return false;
        graph_def(r->graph, at)->name = n->name;
        chain = n->result;
    }
    return true;
}

/* Emit the group of `root` in place of its last node. */
static bool emit_group(Fuse *f, uint32_t root) {
    const Node *n = &f->g->nodes.data[root];
    const Group *group = &f->group[root];
    const Node *last = &f->g->nodes.data[group->last];
    Region prologue = {0}, epilogue = {0};
    ValueId operands[MAX_OPERANDS];
    uint32_t count = n->n_operands;
    ValueId first = n->operands[0];
    if (group->prologue != NONE) {
        first = f->g->nodes.data[group->prologue].operands[0];
        if (!build_region(f, &prologue, group->prologue, first))
            return false;
    }
    if (group->next != NONE && !build_region(f, &epilogue, group->next, n->result))
        return false;
    operands[0] = rw_map(&f->rw, first);
    for (uint32_t i = 1; i < count; i++)
        operands[i] = rw_map(&f->rw, n->operands[i]);
    const ValueId v =
        pass_emit(&f->rw, n, n->op, operands, count, n->attrs, f->g->values.data[last->result].name);
    if (v == NO_VALUE)
        return false;
    for (uint32_t i = 0; i < prologue.n; i++)
        operands[count++] = prologue.operands[i];
    for (uint32_t i = 0; i < epilogue.n; i++)
        operands[count++] = epilogue.operands[i];
    Node *made = graph_def(f->rw.to, v);
    made->operands = arena_copy(&f->g->cx->arena, operands, count * sizeof *operands);
    made->n_operands = count;
    made->prologue = prologue.graph;
    made->epilogue = epilogue.graph;
    made->n_prologue = prologue.n;
    made->n_epilogue = epilogue.n;
    rw_replace(&f->rw, last, v, true);
    return true;
}

bool pass_fuse(Unit *u) {
    Graph *g = u->graph;
    Fuse f = {.rw = rw_begin(g), .g = g, .uses = graph_use_counts(g), .bind = graph_bind_times(g)};
    f.root = NEW_ARRAY(&u->cx->arena, uint32_t, g->nodes.len);
    f.group = NEW_ARRAY(&u->cx->arena, Group, g->nodes.len);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        join(&f, i);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        find_prologue(&f, i);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const uint32_t root = f.root[i];
        if (f.group[root].last != i || f.group[root].pool != NONE)
            continue;
        if (root == i && f.group[i].prologue == NONE)
            rw_copy(&f.rw, &g->nodes.data[i]);
        else if (!emit_group(&f, root))
            return false;
    }
    u->graph = rw_finish(&f.rw);
    return true;
}
