/* From graph to loops: each node builds its kernels and steps. What depends on parameters alone goes to the
 * entry `prepare`, the rest to `infer`; values that cross from one to the other are the packed weights. */
#include "ir/lower/lower.h"
#include "passes/util.h"

typedef struct Split {
    Unit *u;
    const Graph *g;
    const BindTime *bind;
    Lower lw;
    uint32_t *at_load; /* value -> module buffer, as prepare sees it */
    uint32_t *at_call; /* and as infer sees it */
    bool *crosses;     /* needed by infer, known at load */
    int32_t *output;   /* number of the first output that is this value, or -1 */
} Split;

#define NO_BUF UINT32_MAX

static void select_entry(Split *s, const char *entry) {
    bool infer = entry[0] == 'i';
    s->lw.entry = loops_entry(s->lw.m, entry);
    s->lw.buf = infer ? s->at_call : s->at_load;
    s->lw.contract = infer;
}

static uint32_t add_buf(Split *s, const Value *v, ModBufKind kind, const char *name) {
    ModBuf b = {
        .name = name, .kind = kind, .type = v->type, .key = v->key, .align = 64, .offset = -1, .alias = -1};
    return loops_buf(s->lw.m, b);
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
        if (s->bind[n->result] != BIND_CALL)
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++)
            s->crosses[n->operands[k]] |= s->bind[n->operands[k]] != BIND_CALL;
    }
    for (uint32_t i = 0; i < s->g->outputs.len; i++) {
        ValueId v = s->g->outputs.data[i].value;
        s->crosses[v] |= s->bind[v] != BIND_CALL;
    }
}

/* Arguments first, in the order of the call; then parameters and constants. */
static void declare_arguments(Split *s) {
    const Graph *g = s->g;
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        ModBuf b = {.name = v->name,
                    .kind = MB_IN,
                    .loc = v->loc,
                    .type = v->type,
                    .key = v->name,
                    .align = 4,
                    .offset = -1,
                    .alias = -1};
        s->at_call[g->inputs.data[i]] = loops_buf(s->lw.m, b);
    }
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        const GraphOutput *o = &g->outputs.data[i];
        const Value *v = &g->values.data[o->value];
        ModBuf b = {
            .name = intern_f(s->u->cx, "out.%s", o->name), .kind = MB_OUT, .type = v->type, .key = o->name};
        b.loc = v->loc;
        b.align = 4;
        b.offset = b.alias = -1;
        uint32_t n = loops_buf(s->lw.m, b);
        if (s->output[o->value] < 0)
            s->output[o->value] = (int32_t)n;
    }
    for (uint32_t i = 0; i < g->values.len; i++) {
        const Value *v = &g->values.data[i];
        if (v->kind == VK_PARAM || v->kind == VK_BUFFER)
            s->at_load[i] = add_buf(s, v, MB_PARAM, v->name);
        if (v->kind == VK_CONST) {
            s->at_load[i] = s->at_call[i] = add_buf(s, v, MB_CONST, v->name);
            s->lw.m->bufs.data[s->at_load[i]].data = v->data;
        }
    }
}

/* A parameter that infer reads as it is gets a copy in the weights block. */
static bool copy_crossing_params(Split *s) {
    select_entry(s, "prepare");
    for (uint32_t i = 0; i < s->g->values.len; i++) {
        const Value *v = &s->g->values.data[i];
        if (!s->crosses[i] || (v->kind != VK_PARAM && v->kind != VK_BUFFER))
            continue;
        s->at_call[i] = add_buf(s, v, MB_CONST, intern_f(s->u->cx, "%s.packed", v->name));
        s->lw.m->bufs.data[s->at_call[i]].key = NULL;
        if (!lower_copy(&s->lw, s->at_load[i], s->at_call[i], v->key))
            return false;
    }
    return true;
}

/* A view, or a reorder that moves nothing: work shares the operand's memory, unless that holds weights. */
static bool lower_alias(Split *s, const Node *n, uint32_t from, uint32_t to) {
    ModBuf *b = s->lw.m->bufs.data;
    if (b[to].kind != MB_WORK || b[from].kind == MB_PARAM || b[from].kind == MB_CONST)
        return lower_copy(&s->lw, from, to, n->name);
    b[to].alias = (int32_t)from;
    return true;
}

static bool lower_load_node(Split *s, const Node *n) {
    const Value *v = &s->g->values.data[n->result];
    select_entry(s, "prepare");
    uint32_t buf = add_buf(s, v, s->crosses[n->result] ? MB_CONST : MB_WORK, v->name);
    s->at_load[n->result] = s->at_call[n->result] = buf;
    if (is_alias(s, n))
        return lower_alias(s, n, s->at_load[n->operands[0]], buf);
    return op_desc(n->op)->lower(&s->lw, n);
}

static bool lower_call_node(Split *s, const Node *n) {
    const Value *v = &s->g->values.data[n->result];
    select_entry(s, "infer");
    int32_t out = s->output[n->result];
    uint32_t buf = out >= 0 ? (uint32_t)out : add_buf(s, v, MB_WORK, v->name);
    s->at_call[n->result] = buf;
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
            !(s->bind[n->result] == BIND_CALL ? lower_call_node(s, n) : lower_load_node(s, n)))
            return false;
    }
    return true;
}

/* Outputs that no node writes: inputs, parameters, and a value that is given out twice. */
static bool copy_outputs(Split *s) {
    select_entry(s, "infer");
    for (uint32_t i = 0; i < s->g->outputs.len; i++) {
        ValueId v = s->g->outputs.data[i].value;
        uint32_t buf = s->g->inputs.len + i;
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

bool pass_lower(Unit *u) {
    const Graph *g = u->graph;
    if (!check_interface(g))
        return false;
    Arena *a = &u->cx->arena;
    Split s = {.u = u, .g = g, .bind = graph_bind_times(g)};
    s.lw = (Lower){.cx = u->cx, .g = g, .target = u->target, .m = loops_new(u->cx, g->name)};
    s.lw.m->batch = g->batch;
    s.lw.m->n_fixed = g->n_fixed;
    s.lw.m->classes = g->classes;
    s.lw.m->n_classes = g->n_classes;
    s.at_load = filled(a, g->values.len);
    s.at_call = filled(a, g->values.len);
    s.output = (int32_t *)filled(a, g->values.len);
    s.crosses = NEW_ARRAY(a, bool, g->values.len);
    loops_add_entry(s.lw.m, "infer");
    loops_add_entry(s.lw.m, "prepare");
    find_crossing(&s);
    declare_arguments(&s);
    if (!copy_crossing_params(&s) || !lower_nodes(&s) || !copy_outputs(&s))
        return false;
    u->loops = s.lw.m;
    u->graph = NULL;
    return true;
}
