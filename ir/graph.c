/* Building graphs, and the names of their values. */
#include "ir/op.h"

#include <stdio.h>
#include <string.h>

/* A slot of the hash table of names (interned, so compared by address): which value has it, and the next
 * suffix to try when it is wanted again. */
typedef struct GraphName {
    const char *name;
    ValueId value;
    uint32_t next;
} GraphName;

const char *const state_role_names[ROLE_COUNT] = {"param", "buffer", "slot", "grad", "counter"};

Graph *graph_new(Context *cx, const char *name) {
    Graph *g = NEW(&cx->arena, Graph);
    g->cx = cx;
    g->name = intern(cx, name && *name ? name : "graph");
    g->entry = intern(cx, "infer");
    g->hyper = NO_VALUE;
    g->batch = 1;
    return g;
}

/* ---- Names ---- */

static uint32_t name_slot(const GraphName *slots, uint32_t cap, const char *name) {
    uint64_t h = (uint64_t)(uintptr_t)name * 0x9e3779b97f4a7c15u;
    uint32_t i = (uint32_t)(h >> 32) & (cap - 1);
    while (slots[i].name && slots[i].name != name)
        i = (i + 1) & (cap - 1);
    return i;
}

/* The entry of `name`, made if need be. */
static GraphName *name_entry(Graph *g, const char *name) {
    if (g->names.len >= g->names.cap / 2) {
        uint32_t cap = g->names.cap ? g->names.cap * 2 : 64;
        GraphName *slots = NEW_ARRAY(&g->cx->arena, GraphName, cap);
        for (uint32_t i = 0; i < g->names.cap; i++)
            if (g->names.slots[i].name)
                slots[name_slot(slots, cap, g->names.slots[i].name)] = g->names.slots[i];
        g->names.slots = slots;
        g->names.cap = cap;
    }
    GraphName *e = &g->names.slots[name_slot(g->names.slots, g->names.cap, name)];
    if (!e->name) {
        *e = (GraphName){.name = name, .value = NO_VALUE};
        g->names.len++;
    }
    return e;
}

ValueId graph_find(const Graph *g, const char *name) {
    if (!g->names.cap)
        return NO_VALUE;
    const GraphName *e = &g->names.slots[name_slot(g->names.slots, g->names.cap, intern(g->cx, name))];
    return e->name ? e->value : NO_VALUE;
}

static bool is_name_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
}

/* `want` with other characters replaced; an empty one becomes "", which stands for "any number". */
static const char *clean_name(Graph *g, const char *want) {
    char *s = arena_strdup(&g->cx->arena, want ? want : "");
    for (char *p = s; *p; p++)
        if (!is_name_char(*p))
            *p = '_';
    return intern(g->cx, s);
}

bool graph_is_number(const char *name) {
    return name[strspn(name, "0123456789")] == 0;
}

const char *graph_unique_name(Graph *g, const char *want) {
    const char *base = clean_name(g, want);
    if (*base && graph_find(g, base) == NO_VALUE)
        return base;
    if (graph_is_number(base)) /* a name that was made here: another number does as well */
        base = intern(g->cx, "");
    for (;;) { /* the entry is looked up anew: making names may move it */
        uint32_t k = name_entry(g, base)->next++;
        const char *name = *base ? intern_f(g->cx, "%s.%u", base, k + 1) : intern_f(g->cx, "%u", k);
        if (graph_find(g, name) == NO_VALUE)
            return name;
    }
}

void graph_name_value(Graph *g, ValueId v, const char *want) {
    const char *name = graph_unique_name(g, want);
    graph_value(g, v)->name = name;
    name_entry(g, name)->value = v;
}

void graph_rename(Graph *g, ValueId v, const char *want) {
    name_entry(g, graph_value(g, v)->name)->value = NO_VALUE;
    graph_name_value(g, v, want);
}

void graph_index_names(Graph *g) {
    g->names.slots = NULL;
    g->names.len = g->names.cap = 0;
    for (ValueId v = 0; v < g->values.len; v++)
        name_entry(g, graph_value(g, v)->name)->value = v;
}

/* ---- Values and nodes ---- */

static ValueId add_value(Graph *g, Value v, const char *want) {
    ValueId id = g->values.len;
    vec_push(&g->cx->arena, &g->values, v);
    graph_name_value(g, id, want);
    if (!g->derived && v.kind != VK_ARG)
        graph_value(g, id)->origin = graph_value(g, id)->name;
    return id;
}

ValueId graph_input(Graph *g, const char *name, Type type, Loc loc) {
    ValueId v = add_value(g, (Value){.kind = VK_INPUT, .type = type, .def = NO_NODE, .loc = loc}, name);
    vec_push(&g->cx->arena, &g->inputs, v);
    return v;
}

ValueId graph_param(Graph *g, ValueKind kind, const char *name, const char *key, Type type, Loc loc) {
    Value value = {
        .kind = kind, .type = type, .def = NO_NODE, .loc = loc, .key = intern(g->cx, key ? key : name)};
    ValueId v = add_value(g, value, name);
    vec_push(&g->cx->arena, &g->params, v);
    return v;
}

ValueId graph_state(Graph *g, StateRole role, const char *name, const char *key, Type type, Loc loc) {
    Value v = {
        .kind = VK_STATE, .role = role, .type = type, .def = NO_NODE, .key = intern(g->cx, key), .loc = loc};
    ValueId id = add_value(g, v, name);
    vec_push(&g->cx->arena, &g->states, id);
    return id;
}

ValueId graph_hyper(Graph *g, const char *name, Type type) {
    return g->hyper = add_value(g, (Value){.kind = VK_HYPER, .type = type, .def = NO_NODE}, name);
}

ValueId graph_const(Graph *g, const char *name, Type type, const void *data, Loc loc) {
    return add_value(g, (Value){.kind = VK_CONST, .type = type, .def = NO_NODE, .loc = loc, .data = data},
                     name);
}

ValueId graph_arg(Graph *g, const char *name, Type type) {
    return add_value(g, (Value){.kind = VK_ARG, .type = type, .def = NO_NODE}, name);
}

static bool infer(Graph *g, OpId op, const ValueId *operands, uint32_t n, const void *attrs, Loc loc,
                  Type *out) {
    Type types[MAX_OPERANDS] = {0};
    const char *names[MAX_OPERANDS] = {0};
    if (n > MAX_OPERANDS)
        return diag_error(&g->cx->diag, DIAG_IR_INVALID, &loc, "%s has %u operands; at most %d are possible",
                          op_desc(op)->name, n, MAX_OPERANDS);
    for (uint32_t i = 0; i < n; i++) {
        if (operands[i] >= g->values.len)
            return diag_error(&g->cx->diag, DIAG_IR_INVALID, &loc, "operand %u of %s is missing", i,
                              op_desc(op)->name);
        const Value *v = graph_value(g, operands[i]);
        types[i] = v->type;
        names[i] = graph_is_number(v->name) ? NULL : v->name;
    }
    OpCall call = {
        .cx = g->cx, .op = op, .attrs = attrs, .operands = types, .n = n, .loc = loc, .names = names};
    return op_infer(&call, out);
}

ValueId graph_node(Graph *g, OpId op, const ValueId *operands, uint32_t n, const void *attrs,
                   const char *name, Loc loc) {
    const AttrTable *table = &op_desc(op)->attrs;
    Arena *a = &g->cx->arena;
    Type type;
    void *own = table->count ? arena_alloc(a, table->size) : NULL;
    if (own && attrs)
        memcpy(own, attrs, table->size);
    else if (own)
        attr_defaults(table, own);
    if (!infer(g, op, operands, n, own, loc, &type))
        return NO_VALUE;
    Node node = {.op = op, .n_operands = n, .attrs = own, .loc = loc, .name = loc.name};
    node.operands = arena_copy(a, operands, n * sizeof *operands);
    node.result =
        add_value(g, (Value){.kind = VK_RESULT, .type = type, .def = g->nodes.len, .loc = loc}, name);
    vec_push(a, &g->nodes, node);
    return node.result;
}

void graph_output(Graph *g, const char *name, ValueId v) {
    vec_push(&g->cx->arena, &g->outputs, (GraphOutput){.name = intern(g->cx, name), .value = v});
}

uint32_t *graph_use_counts(const Graph *g) {
    uint32_t *uses = NEW_ARRAY(&g->cx->arena, uint32_t, g->values.len + 1);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        for (uint32_t k = 0; k < g->nodes.data[i].n_operands; k++)
            uses[g->nodes.data[i].operands[k]]++;
    for (uint32_t i = 0; i < g->outputs.len; i++)
        uses[g->outputs.data[i].value]++;
    return uses;
}

BindTime *graph_bind_times(const Graph *g) {
    BindTime *times = NEW_ARRAY(&g->cx->arena, BindTime, g->values.len + 1);
    for (uint32_t v = 0; v < g->values.len; v++) {
        ValueKind kind = g->values.data[v].kind;
        bool loaded = kind == VK_PARAM || kind == VK_BUFFER;
        bool step = kind == VK_STATE || kind == VK_HYPER;
        times[v] = loaded                               ? BIND_LOAD
                   : step                               ? BIND_STEP
                   : kind == VK_INPUT || kind == VK_ARG ? BIND_CALL
                                                        : BIND_COMPILE;
    }
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (times[n->operands[k]] > times[n->result])
                times[n->result] = times[n->operands[k]];
    }
    return times;
}
