/* Gives each value its layout and inserts the reorders that follow: channel blocks with a zero border for
 * convolutions and what lies between them, packed weights, dense tensors elsewhere. */
#include "ir/lower/lower.h"
#include "passes/borders.h"
#include "passes/util.h"

typedef struct Reordered {
    ValueId from, to;
} Reordered;

typedef struct Layouts {
    Unit *u;
    Graph *g; /* old */
    Rewrite rw;
    const Border *need; /* by value of the old graph */
    const BindTime *bind;
    const uint32_t *uses;
    int64_t lanes;
    VEC(Reordered) cache; /* of the new graph */
} Layouts;

/* ---- Layouts ---- */

static void add_part(Layout *l, int dim, int64_t factor) {
    l->part[l->nparts++] = (LayoutPart){(uint8_t)dim, (uint32_t)factor};
}

static void add_border(Type *t, Border b) {
    t->layout.lo[2] = b.top;
    t->layout.hi[2] = b.bottom;
    t->layout.lo[3] = b.left;
    t->layout.hi[3] = b.right;
}

/* nChw8c, with a border around the picture. */
static Type blocked(Type t, int64_t block, Border b) {
    t.layout = (Layout){0};
    add_part(&t.layout, 0, 0);
    for (int d = 1; d < t.rank; d++)
        add_part(&t.layout, d, 0);
    add_part(&t.layout, 1, block);
    add_border(&t, b);
    return t;
}

static Type planar(Type t, Border b) {
    t.layout = (Layout){0};
    if (!b.top && !b.left && !b.bottom && !b.right)
        return t;
    for (int d = 0; d < t.rank; d++)
        add_part(&t.layout, d, 0);
    add_border(&t, b);
    return t;
}

static bool is_blocked(const Type *t, int64_t block) {
    const Layout *l = &t->layout;
    return t->rank == 4 && l->nparts == 5 && l->part[4].dim == 1 && l->part[4].factor == block;
}

static bool border_covers(const Layout *l, Border b) {
    return l->lo[2] >= b.top && l->hi[2] >= b.bottom && l->lo[3] >= b.left && l->hi[3] >= b.right;
}

/* ---- Reorders ---- */

static Type *type_of(Layouts *ls, ValueId v) {
    return &graph_value(ls->rw.to, v)->type;
}

/* `v` of the new graph in layout `want`, through a reorder if need be. */
static ValueId reordered(Layouts *ls, ValueId v, Type want, const Node *user) {
    if (layout_equal(&type_of(ls, v)->layout, &want.layout))
        return v;
    for (uint32_t i = 0; i < ls->cache.len; i++)
        if (ls->cache.data[i].from == v &&
            layout_equal(&type_of(ls, ls->cache.data[i].to)->layout, &want.layout))
            return ls->cache.data[i].to;
    ReorderAttrs at = {.to = want};
    Graph *to = ls->rw.to;
    const Value *x = graph_value(to, v);
    const char *origin = x->origin;
    ValueId r = graph_node(to, OP_reorder, &v, 1, &at, intern_f(to->cx, "%s.reorder", x->name),
                           user ? user->loc : x->loc);
    if (r == NO_VALUE)
        return r;
    graph_value(to, r)->origin = origin;
    to->nodes.data[to->nodes.len - 1].name = user ? user->name : NULL;
    vec_push(&to->cx->arena, &ls->cache, (Reordered){v, r});
    return r;
}

static ValueId as_blocked(Layouts *ls, ValueId v, Border b, const Node *user) {
    const Type *t = type_of(ls, v);
    if (is_blocked(t, ls->lanes) && border_covers(&t->layout, b))
        return v;
    for (uint32_t i = 0; i < ls->cache.len; i++) { /* one with a wider border does */
        const Reordered *r = &ls->cache.data[i];
        const Type *made = type_of(ls, r->to);
        if (r->from == v && is_blocked(made, ls->lanes) && border_covers(&made->layout, b))
            return r->to;
    }
    return reordered(ls, v, blocked(*t, ls->lanes, b), user);
}

static ValueId as_planar(Layouts *ls, ValueId v, Border b, const Node *user) {
    const Type *t = type_of(ls, v);
    bool is_planar = layout_is_dense(&t->layout) || (t->layout.nparts == t->rank);
    if (is_planar && border_covers(&t->layout, b))
        return v;
    return reordered(ls, v, planar(*t, b), user);
}

static ValueId as_dense(Layouts *ls, ValueId v, const Node *user) {
    return reordered(ls, v, type_dense(type_of(ls, v)), user);
}

/* A further operand of a node whose result `like` is blocked: pictures blocked alike, channel vectors padded.
 */
static ValueId beside_blocked(Layouts *ls, ValueId v, const Type *like, const Node *user) {
    const Type *t = type_of(ls, v);
    int channel = t->rank - (like->rank - 1);
    if (channel < 0 || (t->dim[channel].size == 1 && !t->dim[channel].by_n))
        return as_dense(ls, v, user);
    if (t->rank == like->rank)
        return as_blocked(ls, v, (Border){0}, user);
    return reordered(ls, v, lower_padded(*t, channel, ls->lanes), user);
}

/* The weight of the old node's operand 1, packed. A weight that is flipped for this node alone is packed as
 * it is flipped. */
static ValueId as_packed(Layouts *ls, ValueId v, Type want, const Node *user) {
    const Node *def = graph_def(ls->rw.to, v);
    Type *t = type_of(ls, v);
    if (!def || def->op != OP_flip_weight || ls->uses[user->operands[1]] != 1 || !layout_is_dense(&t->layout))
        return reordered(ls, v, want, user);
    t->layout = want.layout;
    return v;
}

/* ---- Nodes ---- */

typedef struct Plan {
    ValueId operands[MAX_OPERANDS];
    bool blocked; /* the result */
} Plan;

static void plan_conv(Layouts *ls, const Node *n, Plan *p) {
    const Conv2dAttrs *at = n->attrs;
    const Choice *c = n->choice;
    Border pad = {(uint16_t)at->padding.v[0], (uint16_t)at->padding.v[1], (uint16_t)at->padding.v[2],
                  (uint16_t)at->padding.v[3]};
    p->blocked = true;
    p->operands[0] =
        c->block ? as_blocked(ls, p->operands[0], pad, n) : as_planar(ls, p->operands[0], pad, n);
    Type w = lower_packed_weight(*type_of(ls, p->operands[1]), c, ls->lanes);
    p->operands[1] = as_packed(ls, p->operands[1], w, n);
    if (n->n_operands - n->n_epilogue > 2)
        p->operands[2] = reordered(ls, p->operands[2],
                                   lower_padded(*type_of(ls, p->operands[2]), 0, c->vectors * ls->lanes), n);
}

static void plan_depthwise(Layouts *ls, const Node *n, Plan *p) {
    const int64_t *pad = ((const Conv2dAttrs *)n->attrs)->padding.v;
    const Border b = {(uint16_t)pad[0], (uint16_t)pad[1], (uint16_t)pad[2], (uint16_t)pad[3]};
    p->blocked = true;
    p->operands[0] = as_blocked(ls, p->operands[0], b, n);
    for (uint32_t i = 1; i < n->n_operands - n->n_epilogue; i++)
        p->operands[i] =
            reordered(ls, p->operands[i], lower_padded(*type_of(ls, p->operands[i]), 0, ls->lanes), n);
}

/* The transformed weight of a conv2d; that of a flipped weight is made from the weight as it was. */
static ValueId as_transformed(Layouts *ls, ValueId v, const Node *user) {
    const Node *def = graph_def(ls->rw.to, v);
    WinogradWeightAttrs at = {.tile = user->choice->tile};
    at.flip = def && def->op == OP_flip_weight && ((const FlipWeightAttrs *)def->attrs)->groups == 1;
    if (at.flip)
        v = def->operands[0];
    Graph *to = ls->rw.to;
    const char *name = intern_f(to->cx, "%s.winograd", graph_value(to, v)->name);
    v = as_dense(ls, v, user);
    ValueId r = v == NO_VALUE ? v : graph_node(to, OP_winograd_weight, &v, 1, &at, name, user->loc);
    if (r == NO_VALUE)
        return r;
    graph_def(to, r)->name = user->name;
    *type_of(ls, r) = lower_packed_winograd(*type_of(ls, r), user->choice, ls->lanes);
    return r;
}

static void plan_winograd(Layouts *ls, const Node *n, Plan *p) {
    const Choice *c = n->choice;
    p->blocked = true;
    p->operands[0] = as_blocked(ls, p->operands[0], ls->need[n->operands[0]], n);
    p->operands[1] = n->op == OP_conv2d
                         ? as_transformed(ls, p->operands[1], n)
                         : reordered(ls, p->operands[1],
                                     lower_packed_winograd(*type_of(ls, p->operands[1]), c, ls->lanes), n);
    if (n->n_operands - n->n_epilogue > 2)
        p->operands[2] = reordered(ls, p->operands[2],
                                   lower_padded(*type_of(ls, p->operands[2]), 0, c->vectors * ls->lanes), n);
}

/* The gradient of a convolution's weight reads what the convolution did, and makes it dense. Borders are
 * those that other users need, too: then one reorder serves all. */
static void plan_conv_weight(Layouts *ls, const Node *n, Plan *p) {
    const Border dy = ls->need[n->operands[0]], x = ls->need[n->operands[1]];
    p->operands[0] = as_blocked(ls, p->operands[0], dy, n);
    p->operands[1] =
        n->choice->block ? as_blocked(ls, p->operands[1], x, n) : as_planar(ls, p->operands[1], x, n);
}

static void plan_conv_input(Layouts *ls, const Node *n, Plan *p) {
    int64_t border[4];
    conv_input_border(n->attrs, type_of(ls, p->operands[0]), type_of(ls, p->operands[1]), border);
    Border b = {(uint16_t)border[0], (uint16_t)border[1], (uint16_t)border[2], (uint16_t)border[3]};
    p->blocked = true;
    p->operands[0] = as_blocked(ls, p->operands[0], b, n);
    Type w = lower_packed_backward(*type_of(ls, p->operands[1]), n->choice, ls->lanes);
    p->operands[1] = reordered(ls, p->operands[1], w, n);
}

static void plan_product(Layouts *ls, const Node *n, Plan *p) {
    int64_t group = n->choice->vectors * ls->lanes;
    p->operands[0] = as_dense(ls, p->operands[0], n);
    Type w = lower_padded(*type_of(ls, p->operands[1]), 0, group);
    p->operands[1] = reordered(ls, p->operands[1], w, n);
    if (n->n_operands - n->n_epilogue > 2)
        p->operands[2] =
            reordered(ls, p->operands[2], lower_padded(*type_of(ls, p->operands[2]), 0, group), n);
}

static bool any_blocked(Layouts *ls, const Plan *p, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (is_blocked(type_of(ls, p->operands[i]), ls->lanes))
            return true;
    return false;
}

/* Which layouts the operands of this node must have; its own operands first. */
static void plan_operands(Layouts *ls, const Node *n, Plan *p) {
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    const Type *like = &ls->g->values.data[n->result].type;
    bool pictures = like->rank == 4 && ls->bind[n->result] == BIND_CALL;
    bool pointwise = op_desc(n->op)->flags & OP_POINTWISE;
    int32_t algorithm = n->choice ? n->choice->algorithm : ALGO_NONE;
    uint32_t done = 0;
    if (algorithm == ALGO_DIRECT) {
        if (n->op == OP_conv2d)
            plan_conv(ls, n, p);
        else if (n->op == OP_conv2d_backward_input)
            plan_conv_input(ls, n, p);
        else
            plan_conv_weight(ls, n, p);
        done = own;
    } else if (algorithm == ALGO_DEPTHWISE) {
        plan_depthwise(ls, n, p);
        done = own;
    } else if (algorithm == ALGO_WINOGRAD) {
        plan_winograd(ls, n, p);
        done = own;
    } else if (algorithm == ALGO_PRODUCT) {
        plan_product(ls, n, p);
        done = own;
    } else if (op_desc(n->op)->flags & OP_POOL) {
        p->blocked = is_blocked(type_of(ls, p->operands[0]), ls->lanes);
        done = p->blocked ? 1 : 0;
    } else if (op_desc(n->op)->flags & OP_FOLLOWS) {
        p->blocked = any_blocked(ls, p, own);
        for (; done < own; done++)
            p->operands[done] = p->blocked && type_of(ls, p->operands[done])->rank == 4
                                    ? as_blocked(ls, p->operands[done], (Border){0}, n)
                                    : as_dense(ls, p->operands[done], n);
        p->blocked &= like->rank == 4;
    } else if (pointwise && pictures) {
        p->blocked = any_blocked(ls, p, own);
    }
    for (uint32_t i = done; i < n->n_operands; i++)
        p->operands[i] =
            p->blocked ? beside_blocked(ls, p->operands[i], like, n) : as_dense(ls, p->operands[i], n);
}

static bool assign(Layouts *ls, const Node *n) {
    Plan p = {0};
    for (uint32_t i = 0; i < n->n_operands; i++)
        p.operands[i] = rw_map(&ls->rw, n->operands[i]);
    if (n->op == OP_reorder) /* a graph that was laid out by hand keeps its reorders */
        return rw_copy(&ls->rw, n) != NO_VALUE;
    plan_operands(ls, n, &p);
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (p.operands[i] == NO_VALUE)
            return false;
    ValueId r = rw_copy(&ls->rw, n);
    Node *copy = &ls->rw.to->nodes.data[ls->rw.to->nodes.len - 1];
    for (uint32_t i = 0; i < n->n_operands; i++)
        copy->operands[i] = p.operands[i];
    if (n->op == OP_conv2d && n->choice && n->choice->algorithm == ALGO_WINOGRAD) {
        const Conv2dWinogradAttrs at = {n->choice->tile, ((const Conv2dAttrs *)n->attrs)->padding};
        copy->op = OP_conv2d_winograd;
        copy->attrs = arena_copy(&ls->u->cx->arena, &at, sizeof at);
    }
    Type *t = type_of(ls, r);
    if (p.blocked)
        *t = blocked(*t, ls->lanes, ls->need[n->result]);
    else if (t->rank == 4 && (op_desc(n->op)->flags & OP_POINTWISE || n->op == OP_to_tensor))
        *t = planar(*t, ls->need[n->result]); /* these write the border as they go */
    return true;
}

bool pass_layout(Unit *u) {
    Graph *g = u->graph;
    Layouts ls = {.u = u, .g = g, .need = border_needs(g), .bind = graph_bind_times(g)};
    ls.uses = graph_use_counts(g);
    ls.lanes = target_lanes(u->target, 4);
    ls.rw = rw_begin(g);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        if (!assign(&ls, &g->nodes.data[i]))
            return false;
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        ValueId old = g->outputs.data[i].value, v = rw_map(&ls.rw, old);
        ls.rw.map[old] = as_dense(&ls, v, NULL);
        if (ls.rw.map[old] == NO_VALUE)
            return false;
    }
    u->graph = rw_finish(&ls.rw);
    return u->graph != NULL;
}
