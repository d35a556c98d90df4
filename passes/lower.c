/* From graphs to loops: each node builds its kernels and steps. What depends on parameters alone goes to the
 * entry `prepare`, the rest to the entry of its graph; values that cross from one to the other are the packed
 * weights. Graphs of one unit share what they name alike (lower_share.c). */
#include "ir/lower/lower.h"
#include "passes/lower_share.h"
#include "passes/util.h"
#include <string.h>

typedef struct Split {
    Unit *u;
    const Graph *g;
    const BindTime *bind;
    Lower lw;
    LowerShare share;
    uint32_t inputs, outputs; /* of the module, which begin its buffers */
    uint32_t *at_load;        /* value -> module buffer, as prepare sees it */
    uint32_t *at_call;        /* and as the graph's entry sees it */
    bool *crosses;            /* needed by the entry, known at load */
    bool *written;            /* a state that the entry writes */
    int32_t *output;          /* number of the first output that is this value, or -1 */
} Split;

static void select_entry(Split *s, bool prepare) {
    s->lw.entry = loops_entry(s->lw.m, prepare ? "prepare" : s->g->entry);
    s->lw.buf = prepare ? s->at_load : s->at_call;
    s->lw.contract = !prepare;
}

/* Is the value made by the graph's entry, as opposed to prepare? */
static bool at_call(const Split *s, ValueId v) {
    return s->bind[v] >= BIND_STEP;
}

static ModBuf buf_of(const Value *v, ModBufKind kind, const char *name) {
    return (ModBuf){
        .name = name, .kind = kind, .type = v->type, .align = 64, .offset = -1, .alias = -1, .loc = v->loc};
}

static uint32_t add_buf(Split *s, const Value *v, ModBufKind kind, const char *name) {
    return loops_buf(s->lw.m, buf_of(v, kind, share_name(&s->share, name, s->g->entry)));
}

static bool is_alias(const Split *s, const Node *n) {
    const Type *from = &s->g->values.data[n->operands[0]].type, *to = &s->g->values.data[n->result].type;
    if (op_desc(n->op)->flags & OP_VIEW)
        return true;
    return n->op == OP_reorder && type_same_memory(from, to);
}

static void find_crossing(Split *s) {
    for (uint32_t i = 0; i < s->g->nodes.len; i++) {
        const Node *n = &s->g->nodes.data[i];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            s->crosses[n->operands[k]] |= at_call(s, n->result) && !at_call(s, n->operands[k]);
            s->written[n->operands[k]] |= k < 32 && op_desc(n->op)->writes >> k & 1;
        }
    }
    for (uint32_t i = 0; i < s->g->outputs.len; i++) {
        ValueId v = s->g->outputs.data[i].value;
        s->crosses[v] |= !at_call(s, v);
    }
}

/* ---- Buffers of leaves ---- */

/* Arguments first, in the order of the call. All graphs that have any have the same ones. */
static void declare_arguments(Split *s) {
    const Graph *g = s->g;
    s->inputs = g->inputs.len;
    s->outputs = g->outputs.len;
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        ModBuf b = buf_of(v, MB_IN, share_name(&s->share, v->name, g->entry));
        b.key = v->name;
        b.target = v->target;
        b.picture = v->picture;
        b.align = dtype_bytes(v->type.dtype);
        loops_buf(s->lw.m, b);
    }
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        const GraphOutput *o = &g->outputs.data[i];
        const char *name = share_name(&s->share, intern_f(s->u->cx, "out.%s", o->name), g->entry);
        ModBuf b = buf_of(&g->values.data[o->value], MB_OUT, name);
        b.key = o->name;
        b.align = 4;
        loops_buf(s->lw.m, b);
    }
}

static void bind_arguments(Split *s) {
    const Graph *g = s->g;
    for (uint32_t i = 0; i < g->inputs.len; i++)
        s->at_call[g->inputs.data[i]] = i;
    for (uint32_t i = 0; i < g->outputs.len; i++)
        if (s->output[g->outputs.data[i].value] < 0)
            s->output[g->outputs.data[i].value] = (int32_t)(s->inputs + i);
}

static void declare_leaf(Split *s, ValueId v) {
    static const ModBufKind kinds[] = {[VK_PARAM] = MB_PARAM,
                                       [VK_BUFFER] = MB_PARAM,
                                       [VK_CONST] = MB_CONST,
                                       [VK_STATE] = MB_STATE,
                                       [VK_HYPER] = MB_HYPER};
    const Value *value = &s->g->values.data[v];
    if (value->kind == VK_INPUT || value->kind == VK_RESULT || value->kind == VK_ARG)
        return;
    ModBuf b = buf_of(value, kinds[value->kind], value->name);
    b.key = value->key;
    b.role = value->role;
    b.data = value->data;
    if (value->kind == VK_HYPER)
        b.align = dtype_bytes(DT_F64);
    const uint32_t buf = value->kind == VK_CONST ? share_const(&s->share, b, s->g->entry)
                                                 : share_leaf(&s->share, b, s->g->entry);
    if (b.kind == MB_PARAM || b.kind == MB_CONST)
        s->at_load[v] = buf;
    if (b.kind != MB_PARAM)
        s->at_call[v] = buf;
}

/* A parameter that the entry reads as it is gets a copy in the weights block. */
static bool copy_crossing_params(Split *s) {
    select_entry(s, true);
    for (uint32_t i = 0; i < s->g->values.len; i++) {
        const Value *v = &s->g->values.data[i];
        if (!s->crosses[i] || (v->kind != VK_PARAM && v->kind != VK_BUFFER))
            continue;
        uint32_t *shared = share_load(&s->share, s->g, NULL, &s->at_load[i]), buf = *shared;
        if (buf == NO_BUF) {
            *shared = buf = s->lw.m->bufs.len;
            add_buf(s, v, MB_CONST, intern_f(s->u->cx, "%s.packed", v->name));
            if (!lower_copy(&s->lw, s->at_load[i], buf, v->key))
                return false;
        }
        s->at_call[i] = buf;
    }
    return true;
}

/* ---- Nodes ---- */

/* A view, or a reorder that moves nothing: work shares the operand's memory, unless that holds weights or a
 * state that will be written. */
static bool lower_alias(Split *s, const Node *n, uint32_t from, uint32_t to) {
    ModBuf *b = s->lw.m->bufs.data;
    if (b[to].kind != MB_WORK || b[from].kind == MB_PARAM || b[from].kind == MB_CONST ||
        s->written[n->operands[0]])
        return lower_copy(&s->lw, from, to, n->name);
    b[to].alias = (int32_t)from;
    return true;
}

static bool lower_load_node(Split *s, const Node *n) {
    const Value *v = &s->g->values.data[n->result];
    const bool crosses = s->crosses[n->result];
    uint32_t args[MAX_OPERANDS];
    for (uint32_t i = 0; i < n->n_operands; i++)
        args[i] = s->at_load[n->operands[i]];
    uint32_t *shared = share_load(&s->share, s->g, n, args);
    if (*shared != NO_BUF && (!crosses || s->lw.m->bufs.data[*shared].kind == MB_CONST)) {
        s->at_load[n->result] = s->at_call[n->result] = *shared;
        return true;
    }
    uint32_t buf = *shared = s->lw.m->bufs.len;
    s->at_load[n->result] = s->at_call[n->result] = buf;
    add_buf(s, v, crosses ? MB_CONST : MB_WORK, v->name);
    select_entry(s, true);
    if (is_alias(s, n))
        return lower_alias(s, n, s->at_load[n->operands[0]], buf);
    return op_desc(n->op)->lower(&s->lw, n);
}

/* A node that updates a trained parameter says by its attribute `group` which group that is in. */
static void note_group(Split *s, const Node *n) {
    const AttrTable *t = &op_desc(n->op)->attrs;
    ModBuf *b = &s->lw.m->bufs.data[s->at_call[n->operands[0]]];
    for (uint32_t i = 0; i < t->count && b->kind == MB_STATE && b->role == ROLE_PARAM; i++)
        if (t->rows[i].kind == ATTR_INT && !strcmp(t->rows[i].name, "group"))
            b->group = (uint32_t)*(const int64_t *)((const char *)n->attrs + t->rows[i].offset);
}

/* What a node writes in place stays where it is. */
static uint32_t result_buf(Split *s, const Node *n) {
    const Value *v = &s->g->values.data[n->result];
    if (op_desc(n->op)->writes) {
        note_group(s, n);
        return s->at_call[n->operands[0]];
    }
    const int32_t out = s->output[n->result];
    return out >= 0 ? (uint32_t)out : add_buf(s, v, MB_WORK, v->name);
}

static bool lower_call_node(Split *s, const Node *n) {
    select_entry(s, false);
    const uint32_t buf = s->at_call[n->result] = result_buf(s, n);
    if (is_alias(s, n))
        return lower_alias(s, n, s->at_call[n->operands[0]], buf);
    return op_desc(n->op)->lower(&s->lw, n);
}

static bool lower_nodes(Split *s) {
    for (uint32_t i = 0; i < s->g->nodes.len; i++) {
        const Node *n = &s->g->nodes.data[i];
        if (!op_desc(n->op)->lower && !is_alias(s, n)) {
            diag_error(&s->u->cx->diag, DIAG_NO_LOWERING, &n->loc, "%s has no lowering",
                       op_desc(n->op)->name);
            return diag_hint(&s->u->cx->diag,
                             "the passes canonicalize and fold-bn replace it; they must run before lower");
        }
        if (!lower_choice_fits(&s->lw, n) ||
            !(at_call(s, n->result) ? lower_call_node(s, n) : lower_load_node(s, n)))
            return false;
    }
    return true;
}

/* Outputs that no node writes: inputs, parameters, states, and a value that is given out twice. */
static bool copy_outputs(Split *s) {
    select_entry(s, false);
    for (uint32_t i = 0; i < s->g->outputs.len; i++) {
        ValueId v = s->g->outputs.data[i].value;
        uint32_t buf = s->inputs + i;
        if (s->at_call[v] != buf && !lower_copy(&s->lw, s->at_call[v], buf, s->g->outputs.data[i].name))
            return false;
    }
    return true;
}

static uint32_t *filled(Arena *a, uint32_t n) {
    uint32_t *p = NEW_ARRAY(a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        p[i] = NO_BUF;
    return p;
}

/* What a caller gives and takes lies densely: the header tells nothing of layouts. The pass layout sees to
 * it; a graph from text may have been laid out otherwise. */
static bool check_dense(const Graph *g, ValueId id, const char *what) {
    const Value *v = &g->values.data[id];
    Type dense = type_dense(&v->type);
    if (type_same_memory(&v->type, &dense))
        return true;
    StrBuf sb = sb_new(&g->cx->arena);
    type_print(&sb, &v->type);
    return diag_error(&g->cx->diag, DIAG_IR_INVALID, &v->loc, "%s %%%s must have the dense layout, not %s",
                      what, v->name, sb_str(&sb));
}

static bool check_interface(const Graph *g) {
    bool ok = true;
    for (uint32_t i = 0; i < g->inputs.len; i++)
        ok &= check_dense(g, g->inputs.data[i], "the input");
    for (uint32_t i = 0; i < g->outputs.len; i++)
        ok &= check_dense(g, g->outputs.data[i].value, "the output");
    return ok;
}

static bool lower_graph(Split *s, const Graph *g) {
    Arena *a = &s->u->cx->arena;
    s->g = s->lw.g = g;
    s->bind = graph_bind_times(g);
    s->at_load = filled(a, g->values.len);
    s->at_call = filled(a, g->values.len);
    s->output = (int32_t *)filled(a, g->values.len);
    s->crosses = NEW_ARRAY(a, bool, g->values.len);
    s->written = NEW_ARRAY(a, bool, g->values.len);
    find_crossing(s);
    bind_arguments(s);
    for (uint32_t i = 0; i < g->values.len; i++)
        declare_leaf(s, i);
    return copy_crossing_params(s) && lower_nodes(s) && copy_outputs(s);
}

static LoopModule *new_module(const Graph *g) {
    LoopModule *m = loops_new(g->cx, g->name);
    m->batch = g->batch;
    m->n_fixed = g->n_fixed;
    m->classes = g->classes;
    m->n_classes = g->n_classes;
    for (; g; g = g->next)
        loops_add_entry(m, g->entry);
    loops_add_entry(m, "prepare");
    return m;
}

bool pass_lower(Unit *u) {
    const Graph *first = u->graph;
    for (const Graph *g = first; g; g = g->next)
        if (!check_interface(g))
            return false;
    Split s = {.u = u, .g = first};
    s.lw = (Lower){.cx = u->cx, .g = first, .target = u->target, .m = new_module(first)};
    s.share.m = s.lw.m;
    for (s.g = first; s.g->next && !s.g->outputs.len && !s.g->inputs.len;)
        s.g = s.g->next;
    declare_arguments(&s);
    for (const Graph *g = first; g; g = g->next)
        if (!lower_graph(&s, g))
            return false;
    u->loops = s.lw.m;
    u->graph = NULL;
    return true;
}
