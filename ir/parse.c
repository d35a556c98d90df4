/* Reads the text that print.c writes. Any bytes may come: what is not the language is reported once, with its
 * place, and what is against the rules of a graph is found by graph_verify, which has the last word. */
#include "ir/op.h"

#include <string.h>

typedef struct Parser {
    Lexer lx;
    Context *cx;
} Parser;

/* A node on its way in. Extra operands are kept apart until both regions are read. */
typedef struct Draft {
    Node node;
    const char *name;
    ValueId operand[MAX_OPERANDS];
    uint32_t n;
    void *type_attr; /* where the node's type is to be put, for ops that have it as attribute */
} Draft;

/* %name, which must be new in `g`. */
static bool new_name(Lexer *lx, const Graph *g, const char **name) {
    if (lx->tok.kind != TOK_LOCAL)
        return lex_fail(lx, "expected a value such as %%x, found %s", lex_found(lx));
    if (graph_find(g, lx->tok.text) != NO_VALUE)
        return lex_invalid(lx, "%%%s is defined already", lx->tok.text);
    *name = lx->tok.text;
    lex_next(lx);
    return true;
}

/* %name, which must stand for a value of `g`; becomes one more operand. */
static bool operand(Lexer *lx, const Graph *g, Draft *d) {
    if (lx->tok.kind != TOK_LOCAL)
        return lex_fail(lx, "expected an operand such as %%x, found %s", lex_found(lx));
    ValueId v = graph_find(g, lx->tok.text);
    if (v == NO_VALUE)
        return lex_invalid(lx, "%%%s is not defined before its use", lx->tok.text);
    if (d->n == MAX_OPERANDS)
        return lex_invalid(lx, "a node has at most %d operands", MAX_OPERANDS);
    d->operand[d->n++] = v;
    lex_next(lx);
    return true;
}

static bool quoted(Lexer *lx, const char **out) {
    if (lx->tok.kind != TOK_STRING)
        return lex_fail(lx, "expected a string, found %s", lex_found(lx));
    *out = lx->tok.text;
    lex_next(lx);
    return true;
}

static bool word(Lexer *lx, const char **out) {
    if (lx->tok.kind != TOK_WORD)
        return lex_fail(lx, "expected a word, found %s", lex_found(lx));
    *out = lx->tok.text;
    lex_next(lx);
    return true;
}

static bool global(Lexer *lx, const char **out) {
    if (lx->tok.kind != TOK_GLOBAL)
        return lex_fail(lx, "expected a name such as @x, found %s", lex_found(lx));
    *out = lx->tok.text;
    lex_next(lx);
    return true;
}

/* Absent: the value is its own origin. */
static bool origin(Lexer *lx, const char *name, const char **out) {
    *out = name;
    if (!lex_accept(lx, "origin"))
        return true;
    *out = NULL;
    return lex_accept(lx, "none") || global(lx, out);
}

/* ---- Constants ---- */

static bool int_element(Lexer *lx, int64_t lo, int64_t hi, int64_t *out) {
    if (!lex_int(lx, out))
        return false;
    return (*out >= lo && *out <= hi) ||
           lex_invalid(lx, "%lld does not fit the element type", (long long)*out);
}

/* One element at the start of `slot`. */
static bool element(Lexer *lx, DType dtype, uint64_t *slot) {
    static const struct {
        int64_t lo, hi;
    } range[DT_COUNT] = {
        [DT_BF16] = {0, UINT16_MAX},
        [DT_F16] = {0, UINT16_MAX},
        [DT_I8] = {INT8_MIN, INT8_MAX},
        [DT_U8] = {0, UINT8_MAX},
        [DT_BOOL] = {0, 1},
        [DT_I32] = {INT32_MIN, INT32_MAX},
        [DT_U32] = {0, UINT32_MAX},
        [DT_I64] = {INT64_MIN, INT64_MAX},
    };
    int64_t i = 0;
    double f = 0;
    if (dtype == DT_F32 || dtype == DT_F64 ? !lex_number(lx, &f)
                                           : !int_element(lx, range[dtype].lo, range[dtype].hi, &i))
        return false;
    float single = (float)f;
    uint8_t byte = (uint8_t)i;
    uint16_t half = (uint16_t)i;
    uint32_t word = (uint32_t)i;
    const void *from = dtype == DT_F32 ? (const void *)&single : dtype == DT_F64 ? (const void *)&f : &i;
    uint32_t bytes = dtype_bytes(dtype);
    if (dtype != DT_F32 && bytes < 8)
        from = bytes == 1 ? (const void *)&byte : bytes == 2 ? (const void *)&half : (const void *)&word;
    memcpy(slot, from, bytes);
    return true;
}

/* [1, 2, ...]: as many as the type says. */
static const void *elements(Lexer *lx, const Type *t) {
    Arena *a = &lx->cx->arena;
    int64_t count = type_elems(t, 1);
    uint32_t bytes = dtype_bytes(t->dtype);
    VEC(uint64_t) slots = {0};
    if (!lex_expect(lx, "["))
        return NULL;
    do {
        uint64_t slot = 0;
        if (!element(lx, t->dtype, &slot))
            return NULL;
        vec_push(a, &slots, slot);
    } while ((int64_t)slots.len <= count && lex_accept(lx, ","));
    if ((int64_t)slots.len != count) {
        lex_invalid(lx, "the type has %lld elements, but %s%u are given", (long long)count,
                    (int64_t)slots.len > count ? "at least " : "", slots.len);
        return NULL;
    }
    char *data = arena_alloc(a, slots.len * (size_t)bytes);
    for (uint32_t i = 0; i < slots.len; i++)
        memcpy(data + (size_t)i * bytes, &slots.data[i], bytes);
    return lex_expect(lx, "]") ? data : NULL;
}

/* The role of a state value. */
static bool state_role(Lexer *lx, StateRole *role) {
    for (uint32_t i = 0; i < ROLE_COUNT; i++)
        if (lex_accept(lx, state_role_names[i])) {
            *role = (StateRole)i;
            return true;
        }
    return lex_fail(lx, "expected what the state is, such as 'param', found %s", lex_found(lx));
}

/* state TYPE ROLE [@"key"], hyper TYPE; the word is read already. Both are their own origin. */
static bool kept(Parser *p, Graph *g, bool hyper, const char *name, Loc loc) {
    Lexer *lx = &p->lx;
    Type t;
    StateRole role = ROLE_PARAM;
    const char *key = name;
    if (!type_parse(lx, &t) || (!hyper && !state_role(lx, &role)))
        return false;
    if (!hyper && lx->tok.kind == TOK_GLOBAL && !global(lx, &key))
        return false;
    if (hyper && g->hyper != NO_VALUE)
        return lex_invalid(lx, "a graph has one hyper value, and %%%s is it", graph_value(g, g->hyper)->name);
    ValueId v = hyper ? graph_hyper(g, name, t) : graph_state(g, role, name, key, t, loc);
    graph_value(g, v)->loc = loc;
    return true;
}

/* param TYPE [@"key"], buffer TYPE [@"key"], const TYPE [...]; the word is read already. */
static bool leaf(Parser *p, Graph *g, ValueKind kind, const char *name, Loc loc) {
    Lexer *lx = &p->lx;
    Type t;
    const char *key, *from;
    const void *data = NULL;
    ValueId v;
    if (!type_parse(lx, &t))
        return false;
    if (kind == VK_CONST) {
        data = elements(lx, &t);
        if (!data)
            return false;
        v = graph_const(g, name, t, data, loc);
    } else {
        key = name;
        if (lx->tok.kind == TOK_GLOBAL && !global(lx, &key))
            return false;
        v = graph_param(g, kind, name, key, t, loc);
    }
    if (!origin(lx, name, &from))
        return false;
    graph_value(g, v)->origin = from;
    return true;
}

/* ---- Nodes ---- */

static bool op_name(Lexer *lx, OpId *op) {
    const char *word = lx->tok.text;
    if (lx->tok.kind != TOK_WORD)
        return lex_fail(lx, "expected an op, found %s", lex_found(lx));
    if (op_by_name(word, strlen(word), op)) {
        lex_next(lx);
        return true;
    }
    const char *names[OP_COUNT];
    for (uint32_t i = 0; i < OP_COUNT; i++)
        names[i] = op_table[i]->name;
    lex_invalid(lx, "there is no op '%.60s'", word);
    const char *nearest = diag_nearest(word, names, OP_COUNT);
    return nearest ? diag_hint(&lx->cx->diag, "did you mean '%s'?", nearest) : false;
}

/* OP %a, %b {attributes} */
static bool op_call(Lexer *lx, const Graph *g, Draft *d) {
    if (!op_name(lx, &d->node.op))
        return false;
    const OpDesc *desc = op_desc(d->node.op);
    if (lx->tok.kind == TOK_LOCAL) {
        do {
            if (!operand(lx, g, d))
                return false;
        } while (lex_accept(lx, ","));
    }
    void *attrs = arena_alloc(&lx->cx->arena, desc->attrs.size);
    d->node.attrs = desc->attrs.count ? attrs : NULL;
    const AttrRow *row = attr_only_type(&desc->attrs);
    if (row && !lex_is(lx, "{")) {
        d->type_attr = (char *)attrs + row->offset;
        return true;
    }
    return attr_parse(lx, &desc->attrs, attrs, desc->name);
}

/* layer "name" loc "pointer", both optional */
static bool place(Lexer *lx, Draft *d) {
    Node *n = &d->node;
    if (lex_accept(lx, "layer") && !quoted(lx, &n->name))
        return false;
    n->loc.name = n->name;
    return !lex_accept(lx, "loc") || quoted(lx, &n->loc.pointer);
}

static bool draft_begin(Lexer *lx, const Graph *g, Draft *d) {
    d->node.loc = lex_loc(lx);
    return new_name(lx, g, &d->name) && lex_expect(lx, "=");
}

/* The type of the op's own result, before any epilogue. */
static bool infer(const Graph *g, const Draft *d, Type *out) {
    Type types[MAX_OPERANDS] = {0};
    for (uint32_t i = 0; i < d->n; i++)
        types[i] = g->values.data[d->operand[i]].type;
    OpCall call = {.cx = g->cx, .op = d->node.op, .attrs = d->node.attrs, .operands = types, .n = d->n};
    call.loc = d->node.loc;
    return op_infer(&call, out);
}

/* (%x, %scale = %operand): the arguments of a region, whose further operands go to `d`. */
static bool region_args(Lexer *lx, const Graph *g, Graph *region, Type first, Draft *d) {
    const char *name = NULL;
    if (!lex_expect(lx, "(") || !new_name(lx, region, &name))
        return false;
    graph_arg(region, name, type_dense(&first));
    while (lex_accept(lx, ",")) {
        if (!new_name(lx, region, &name) || !lex_expect(lx, "=") || !operand(lx, g, d))
            return false;
        Type t = g->values.data[d->operand[d->n - 1]].type;
        graph_arg(region, name, type_dense(&t));
    }
    return lex_expect(lx, ")");
}

/* A node of a region: its type follows from its operands. */
static bool region_node(Lexer *lx, Graph *region) {
    Draft d = {0};
    if (!draft_begin(lx, region, &d) || !op_call(lx, region, &d) || !place(lx, &d))
        return false;
    return graph_node(region, d.node.op, d.operand, d.n, d.node.attrs, d.name, d.node.loc) != NO_VALUE;
}

/* What follows "prologue" or "epilogue". */
static Graph *region_body(Parser *p, const Graph *g, const Type *first, Draft *d) {
    Lexer *lx = &p->lx;
    Graph *region = graph_new(p->cx, "region");
    if (!region_args(lx, g, region, *first, d) || !lex_expect(lx, "{"))
        return NULL;
    while (lx->tok.kind == TOK_LOCAL)
        if (!region_node(lx, region))
            return NULL;
    return lex_expect(lx, "}") ? region : NULL;
}

static bool regions(Parser *p, const Graph *g, Draft *d) {
    Lexer *lx = &p->lx;
    Node *n = &d->node;
    Type inferred;
    if (!lex_is(lx, "prologue") && !lex_is(lx, "epilogue"))
        return true;
    if (!d->n)
        return lex_invalid(lx, "a node without operands has no regions");
    if (!infer(g, d, &inferred))
        return false;
    Type operand0 = g->values.data[d->operand[0]].type;
    uint32_t own = d->n;
    if (lex_accept(lx, "prologue") && !(n->prologue = region_body(p, g, &operand0, d)))
        return false;
    n->n_prologue = d->n - own;
    if (lex_accept(lx, "epilogue") && !(n->epilogue = region_body(p, g, &inferred, d)))
        return false;
    n->n_epilogue = d->n - own - n->n_prologue;
    return true;
}

static bool choice(Parser *p, Node *n) {
    if (!lex_accept(&p->lx, "choice"))
        return true;
    Choice *c = NEW(&p->cx->arena, Choice);
    n->choice = c;
    return attr_parse(&p->lx, &choice_table, c, "choice");
}

/* The rest of a node: its result is already named. */
static bool node(Parser *p, Graph *g, Draft *d) {
    Lexer *lx = &p->lx;
    Arena *a = &p->cx->arena;
    Value v = {.kind = VK_RESULT, .def = g->nodes.len};
    if (!op_call(lx, g, d) || !choice(p, &d->node) || !regions(p, g, d) || !lex_expect(lx, ":") ||
        !type_parse(lx, &v.type) || !origin(lx, d->name, &v.origin) || !place(lx, d))
        return false;
    if (d->type_attr)
        memcpy(d->type_attr, &v.type, sizeof v.type);
    v.loc = d->node.loc;
    d->node.result = g->values.len;
    d->node.operands = arena_copy(a, d->operand, d->n * sizeof *d->operand);
    d->node.n_operands = d->n;
    vec_push(a, &g->values, v);
    vec_push(a, &g->nodes, d->node);
    graph_name_value(g, d->node.result, d->name);
    return true;
}

/* ---- The graph ---- */

static bool statement(Parser *p, Graph *g) {
    Draft d = {0};
    Lexer *lx = &p->lx;
    if (!draft_begin(lx, g, &d))
        return false;
    if (lex_accept(lx, "param"))
        return leaf(p, g, VK_PARAM, d.name, d.node.loc);
    if (lex_accept(lx, "buffer"))
        return leaf(p, g, VK_BUFFER, d.name, d.node.loc);
    if (lex_accept(lx, "const"))
        return leaf(p, g, VK_CONST, d.name, d.node.loc);
    if (lex_accept(lx, "state"))
        return kept(p, g, false, d.name, d.node.loc);
    if (lex_accept(lx, "hyper"))
        return kept(p, g, true, d.name, d.node.loc);
    return node(p, g, &d);
}

static bool inputs(Parser *p, Graph *g) {
    Lexer *lx = &p->lx;
    if (!lex_expect(lx, "("))
        return false;
    while (!lex_is(lx, ")")) {
        const char *name = NULL;
        Type t;
        Loc loc = lex_loc(lx);
        if (!new_name(lx, g, &name) || !lex_expect(lx, ":") || !type_parse(lx, &t))
            return false;
        ValueId v = graph_input(g, name, t, loc);
        graph_value(g, v)->target = lex_accept(lx, "target");
        if (!picture_parse(lx, &graph_value(g, v)->picture))
            return false;
        if (!lex_is(lx, ")") && !lex_expect(lx, ","))
            return false;
    }
    return lex_expect(lx, ")");
}

static bool classes(Parser *p, Graph *g) {
    VEC(const char *) names = {0};
    const char *name = NULL;
    if (!lex_accept(&p->lx, "classes"))
        return true;
    do {
        if (!quoted(&p->lx, &name))
            return false;
        vec_push(&p->cx->arena, &names, name);
    } while (lex_accept(&p->lx, ","));
    g->classes = names.data;
    g->n_classes = names.len;
    return true;
}

/* return %y as "logits", ... ; or nothing */
static bool outputs(Parser *p, Graph *g) {
    Lexer *lx = &p->lx;
    if (!lex_expect(lx, "return"))
        return false;
    if (lex_is(lx, "}"))
        return true;
    do {
        Draft d = {0};
        const char *name = NULL;
        if (g->outputs.len == MAX_OUTPUTS)
            return lex_invalid(lx, "a graph returns at most %d values", MAX_OUTPUTS);
        if (!operand(lx, g, &d) || !lex_expect(lx, "as") || !quoted(lx, &name))
            return false;
        graph_output(g, name, d.operand[0]);
    } while (lex_accept(lx, ","));
    return true;
}

static bool body(Parser *p, Graph *g) {
    Lexer *lx = &p->lx;
    if (!inputs(p, g) || !lex_expect(lx, "batch"))
        return false;
    const Loc at = lex_loc(lx);
    if (!lex_int(lx, &g->batch))
        return false;
    if (g->batch < 1 || g->batch > MAX_BATCH)
        return diag_error(&p->cx->diag, DIAG_IR_INVALID, &at,
                          "the batch is %lld, which is not between 1 and %d", (long long)g->batch, MAX_BATCH);
    g->n_fixed = lex_accept(lx, "fixed");
    if (!lex_expect(lx, "{") || !classes(p, g))
        return false;
    while (lx->tok.kind == TOK_LOCAL)
        if (!statement(p, g))
            return false;
    return outputs(p, g) && lex_expect(lx, "}");
}

/* graph @name or graph @name:entry, then the rest */
static Graph *one_graph(Parser *p) {
    Lexer *lx = &p->lx;
    const char *name = NULL, *entry = NULL;
    if (!lex_expect(lx, "graph") || !global(lx, &name))
        return NULL;
    Graph *g = graph_new(p->cx, name);
    if (lex_accept(lx, ":")) {
        if (!word(lx, &entry))
            return NULL;
        g->entry = entry;
    }
    return body(p, g) ? g : NULL;
}

Graph *graph_parse(Context *cx, const char *file, const char *text, size_t size) {
    Parser p = {.cx = cx};
    Graph *first = NULL, **next = &first;
    lex_init(&p.lx, cx, file, text, size);
    do {
        *next = one_graph(&p);
        if (!*next)
            return NULL;
        next = &(*next)->next;
    } while (lex_is(&p.lx, "graph"));
    if (p.lx.tok.kind != TOK_EOF) {
        lex_fail(&p.lx, "expected the end of the file, found %s", lex_found(&p.lx));
        return NULL;
    }
    return graph_verify(first) ? first : NULL;
}
