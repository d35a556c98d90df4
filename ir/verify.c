/* The rules of a graph: what every pass may rely on, and what text must satisfy. Nothing is assumed of the
 * graph but that its arrays are as long as they say. */
#include "ir/op.h"

#include <stdlib.h>
#include <string.h>

typedef struct Check {
    const Graph *g;
    const char *place; /* "" or which region of which value, for messages */
    Loc loc;           /* of the node being checked */
    bool ok;
} Check;

__attribute__((format(printf, 2, 3))) static bool fault(Check *c, const char *fmt, ...) {
    StrBuf sb = sb_new(&c->g->cx->arena);
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&sb, fmt, ap);
    va_end(ap);
    c->ok = false;
    return diag_error(&c->g->cx->diag, DIAG_IR_INVALID, &c->loc, "%s%s", c->place, sb_str(&sb));
}

static const char *type_text(const Check *c, const Type *t) {
    StrBuf sb = sb_new(&c->g->cx->arena);
    type_print(&sb, t);
    return sb_str(&sb);
}

static const Value *value(const Check *c, ValueId v) {
    return &c->g->values.data[v];
}

/* ---- Values ---- */

/* Callers give f32 or bytes and take f32, and kernels compute on it, but for ops that say otherwise. */
static bool check_f32(Check *c, ValueId v, const char *who, const char *does) {
    const Type *t = &value(c, v)->type;
    if (t->dtype == DT_F32)
        return true;
    c->ok = false;
    return diag_error(&c->g->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                      "%s%s %s f32 only in this version; %%%s is %s", c->place, who, does, value(c, v)->name,
                      type_text(c, t));
}

/* State and hyper: what is kept or given between calls, so dense. */
static void check_kept(Check *c, const Value *v) {
    const Type counter = {.dtype = DT_I64, .rank = 1, .dim = {{1, false}}};
    const bool hyper = v->kind == VK_HYPER, count = !hyper && v->role == ROLE_COUNTER;
    const DType want = hyper ? DT_F64 : count ? DT_I64 : DT_F32;
    if (!strcmp(c->g->entry, "infer"))
        fault(c, "%%%s is of training, but the entry is infer", v->name);
    else if (!hyper && ((unsigned)v->role >= ROLE_COUNT || !v->key))
        fault(c, "the state %%%s needs a role and a key", v->name);
    else if (type_has_n(&v->type) || !layout_is_dense(&v->type.layout))
        fault(c, "%%%s needs a dense layout and dimensions without N", v->name);
    else if (v->type.dtype != want || (hyper && v->type.rank != 1) ||
             (count && !type_same_shape(&v->type, &counter)))
        fault(c, "%%%s is %s, but %s", v->name, type_text(c, &v->type),
              hyper   ? "hyper values are a vector of f64"
              : count ? "a counter is i64[1]"
                      : "state is f32");
}

/* Class indices may be i64, and pixels bytes. */
static void check_input(Check *c, ValueId id) {
    const Value *v = value(c, id);
    const char *why = v->picture ? picture_fault(c->g->cx, v->picture, &v->type) : NULL;
    if (why)
        fault(c, "the picture %%%s: %s", v->name, why);
    else if (v->type.dtype != (v->target ? DT_I64 : DT_U8))
        check_f32(c, id, "a graph", "takes");
}

static void check_value(Check *c, ValueId id) {
    const Value *v = value(c, id);
    const char *why = type_fault(c->g->cx, &v->type);
    c->loc = v->loc;
    if (!v->name || graph_find(c->g, v->name) != id)
        fault(c, "the name of value %%%s is not its alone", v->name ? v->name : "");
    else if (why)
        fault(c, "%%%s: %s", v->name, why);
    else if (type_physical_elems(&v->type, c->g->batch) < 0)
        fault(c, "%%%s has 2^40 elements or more at batch %lld", v->name, (long long)c->g->batch);
    else if (v->kind == VK_RESULT && (v->def >= c->g->nodes.len || c->g->nodes.data[v->def].result != id))
        fault(c, "%%%s is not the result of its node", v->name);
    else if (v->kind == VK_CONST && (!v->data || type_has_n(&v->type) || !layout_is_dense(&v->type.layout)))
        fault(c, "the constant %%%s needs data, a dense layout and dimensions without N", v->name);
    else if ((v->kind == VK_PARAM || v->kind == VK_BUFFER) && (!v->key || type_has_n(&v->type)))
        fault(c, "the parameter %%%s needs a key and dimensions without N", v->name);
    else if (v->kind == VK_INPUT)
        check_input(c, id);
    else if (v->kind == VK_STATE || v->kind == VK_HYPER)
        check_kept(c, v);
    if (c->ok && !strcmp(c->g->entry, "apply") && type_has_n(&v->type))
        fault(c, "%%%s depends on the batch, of which apply knows nothing", v->name);
}

/* The lists of inputs, parameters and states hold exactly the values of those kinds, in order. */
static void check_lists(Check *c) {
    const Graph *g = c->g;
    uint32_t inputs = 0, params = 0, states = 0;
    c->loc = (Loc){0};
    for (ValueId v = 0; v < g->values.len; v++) {
        ValueKind k = value(c, v)->kind;
        if (k == VK_STATE && (states >= g->states.len || g->states.data[states++] != v))
            fault(c, "%%%s is missing from the list of states, or out of order", value(c, v)->name);
        if (k == VK_HYPER && g->hyper != v)
            fault(c, "%%%s is not the hyper value of the graph", value(c, v)->name);
        if (k == VK_INPUT && (inputs >= g->inputs.len || g->inputs.data[inputs++] != v))
            fault(c, "%%%s is missing from the list of inputs, or out of order", value(c, v)->name);
        if ((k == VK_PARAM || k == VK_BUFFER) && (params >= g->params.len || g->params.data[params++] != v))
            fault(c, "%%%s is missing from the list of parameters, or out of order", value(c, v)->name);
        if (k == VK_ARG)
            fault(c, "%%%s is an argument outside of a region", value(c, v)->name);
    }
    if (inputs != g->inputs.len || params != g->params.len || states != g->states.len)
        fault(c, "the lists of inputs, parameters and states do not fit the values");
}

/* Inputs that are targets belong to training and come last. */
static void check_targets(Check *c) {
    const Graph *g = c->g;
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = value(c, g->inputs.data[i]);
        c->loc = v->loc;
        if (v->target && !strcmp(g->entry, "infer"))
            fault(c, "%%%s is a target, but the entry is infer", v->name);
        if (!v->target && i && value(c, g->inputs.data[i - 1])->target)
            fault(c, "%%%s is no target, but stands behind one", v->name);
    }
}

/* ---- Nodes ---- */

/* Operands exist and are computed before node `at`. */
static bool check_operands(Check *c, const Node *n, NodeId at) {
    for (uint32_t i = 0; i < n->n_operands; i++) {
        if (n->operands[i] >= c->g->values.len)
            return fault(c, "operand %u of node %u does not exist", i, at);
        const Value *v = value(c, n->operands[i]);
        if (v->kind == VK_RESULT && v->def >= at)
            return fault(c, "%%%s uses %%%s before it is computed", value(c, n->result)->name, v->name);
        if (!(op_desc(n->op)->flags & OP_ANY_DTYPE) &&
            !check_f32(c, n->operands[i], op_desc(n->op)->name, "works on"))
            return false;
    }
    return true;
}

/* What the op gives for its own operands; false after a report. */
static bool infer(Check *c, const Node *n, Type *out) {
    Type types[MAX_OPERANDS] = {0};
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    for (uint32_t i = 0; i < own; i++)
        types[i] = value(c, n->operands[i])->type;
    OpCall call = {
        .cx = c->g->cx, .op = n->op, .attrs = n->attrs, .operands = types, .n = own, .loc = n->loc};
    if (op_infer(&call, out))
        return true;
    return c->ok = false;
}

static bool check_result(Check *c, const Node *n, const Type *inferred) {
    const Value *v = value(c, n->result);
    return type_same_shape(inferred, &v->type) ||
           fault(c, "%%%s is declared %s, but %s gives %s", v->name, type_text(c, &v->type),
                 op_desc(n->op)->name, type_text(c, inferred));
}

/* Node `at` by itself: everything but its regions. */
static bool check_node(Check *c, NodeId at, Type *inferred) {
    const Node *n = &c->g->nodes.data[at];
    c->loc = n->loc;
    if (n->op >= OP_COUNT || n->result >= c->g->values.len || value(c, n->result)->kind != VK_RESULT ||
        value(c, n->result)->def != at)
        return fault(c, "node %u has no valid op and result", at);
    if (op_desc(n->op)->attrs.count && !n->attrs)
        return fault(c, "%%%s has no attributes", value(c, n->result)->name);
    if (n->n_operands > MAX_OPERANDS || (uint64_t)n->n_prologue + n->n_epilogue > n->n_operands)
        return fault(c, "%%%s has %u operands; at most %d are possible", value(c, n->result)->name,
                     n->n_operands, MAX_OPERANDS);
    if (!check_operands(c, n, at) || !infer(c, n, inferred) || !check_result(c, n, inferred))
        return false;
    if ((op_desc(n->op)->writes || op_desc(n->op)->flags & OP_CHECK) && (n->prologue || n->epilogue))
        return fault(c, "%s takes no prologue and no epilogue", op_desc(n->op)->name);
    const char *why = n->choice ? choice_fault(c->g, n) : NULL;
    return !why || fault(c, "choice of %%%s: %s", value(c, n->result)->name, why);
}

/* ---- Regions ---- */

/* Arguments: as many as there are extra operands and one, and of their shapes. */
static bool check_args(Check *c, const Graph *region, const Type *first, const ValueId *extra,
                       uint32_t n_extra) {
    uint32_t args = 0;
    for (ValueId v = 0; v < region->values.len; v++) {
        const Value *arg = &region->values.data[v];
        if (arg->kind == VK_RESULT)
            continue;
        if (arg->kind != VK_ARG)
            return fault(c, "%%%s is neither an argument nor a result", arg->name);
        if (args > n_extra)
            break;
        const Type *t = args ? &value(c, extra[args - 1])->type : first;
        if (!type_same_shape(t, &arg->type))
            return fault(c, "argument %%%s is %s instead of %s", arg->name, type_text(c, &arg->type),
                         type_text(c, t));
        args++;
    }
    return args == n_extra + 1 || fault(c, "it has %u arguments for %u extra operands", args, n_extra);
}

static bool check_region_nodes(Check *c) {
    const Graph *g = c->g;
    Type inferred;
    for (ValueId v = 0; v < g->values.len; v++)
        check_value(c, v);
    for (NodeId i = 0; i < g->nodes.len && c->ok; i++) {
        const Node *n = &g->nodes.data[i];
        if (!check_node(c, i, &inferred))
            break;
        if (!(op_desc(n->op)->flags & OP_POINTWISE) || n->prologue || n->epilogue || n->choice)
            fault(c, "%s is not a plain pointwise op", op_desc(n->op)->name);
    }
    return c->ok;
}

/* `first` is the type of argument 0 and, regions being pointwise, that of the region's result. */
static void check_region(Check *outer, const Node *n, bool epilogue, const Type *first) {
    const Graph *region = epilogue ? n->epilogue : n->prologue;
    const ValueId *extra = n->operands + n->n_operands - n->n_epilogue - (epilogue ? 0 : n->n_prologue);
    uint32_t n_extra = epilogue ? n->n_epilogue : n->n_prologue;
    const char *word = epilogue ? "epilogue" : "prologue", *name = value(outer, n->result)->name;
    if (!region) {
        if (n_extra)
            fault(outer, "%%%s has operands for an %s, but none", name, word);
        return;
    }
    Check c = {.g = region, .loc = n->loc, .ok = true};
    c.place = arena_printf(&region->cx->arena, "%s of %%%s: ", word, name);
    Check args = *outer; /* extra operands are values of the outer graph */
    args.place = c.place;
    args.loc = n->loc;
    if (!region->nodes.len) {
        outer->ok = fault(&c, "it is empty");
    } else if (!check_args(&args, region, first, extra, n_extra) || !check_region_nodes(&c)) {
        outer->ok = false;
    } else {
        const Value *last = &region->values.data[region->nodes.data[region->nodes.len - 1].result];
        if (!type_same_shape(&last->type, first))
            outer->ok =
                fault(&c, "its result is %s instead of %s", type_text(&c, &last->type), type_text(&c, first));
    }
}

/* ---- Effects ---- */

/* Is v a state, or what a node made of one in its place? */
static bool in_state(const Check *c, ValueId v) {
    const Value *x = value(c, v);
    return x->kind == VK_STATE || (x->kind == VK_RESULT && op_desc(c->g->nodes.data[x->def].op)->writes);
}

/* Node n writes its operand i: it has memory of its own, which nothing else of the node touches. */
static bool check_write(Check *c, const Node *n, uint32_t i) {
    const Value *v = value(c, n->operands[i]), *result = value(c, n->result);
    if (!in_state(c, n->operands[i]))
        return fault(c, "%%%s writes %%%s, which is no state", result->name, v->name);
    if (i == 0 && !type_equal(&v->type, &result->type))
        return fault(c, "%%%s is %s, but is to lie where %%%s does, which is %s", result->name,
                     type_text(c, &result->type), v->name, type_text(c, &v->type));
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (k != i && n->operands[k] == n->operands[i])
            return fault(c, "%%%s writes %%%s and has it as another operand too", result->name, v->name);
    return true;
}

/* The status of a check ends the call before any state is written. */
static bool check_status(Check *c, const Node *n, bool written) {
    static const Type status = {.dtype = DT_I32, .rank = 1, .dim = {{1, false}}};
    const Value *v = value(c, n->result);
    return type_equal(&v->type, &status)
               ? !written || fault(c, "the check %%%s stands behind a node that writes state", v->name)
               : fault(c, "%%%s is a check, so its type is i32[1], not %s", v->name, type_text(c, &v->type));
}

/* States are written in place: a value that was written is gone. */
static void check_effects(Check *c) {
    const Graph *g = c->g;
    bool *gone = NEW_ARRAY(&g->cx->arena, bool, g->values.len + 1), written = false;
    for (NodeId i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        const OpDesc *op = op_desc(n->op);
        c->loc = n->loc;
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (gone[n->operands[k]])
                fault(c, "%%%s uses %%%s, which was written before", value(c, n->result)->name,
                      value(c, n->operands[k])->name);
        if (op->flags & OP_CHECK)
            check_status(c, n, written);
        for (uint32_t k = 0; k < n->n_operands && op->writes >> k; k++)
            if (op->writes >> k & 1)
                gone[n->operands[k]] |= check_write(c, n, k);
        written |= op->writes != 0;
    }
    for (uint32_t i = 0; i < g->outputs.len; i++)
        if (gone[g->outputs.data[i].value])
            fault(c, "the output \"%s\" is %%%s, which was written", g->outputs.data[i].name,
                  value(c, g->outputs.data[i].value)->name);
}

/* ---- Graphs ---- */

static void check_outputs(Check *c) {
    const Graph *g = c->g;
    const uint32_t least = strcmp(g->entry, "infer") == 0;
    c->loc = (Loc){0};
    if (g->outputs.len < least || g->outputs.len > MAX_OUTPUTS)
        fault(c, "the graph returns %u values instead of %u to %d", g->outputs.len, least, MAX_OUTPUTS);
    for (uint32_t i = 0; i < g->outputs.len && i < MAX_OUTPUTS; i++) {
        const GraphOutput *o = &g->outputs.data[i];
        const bool exists = o->value < g->values.len;
        c->loc = exists ? value(c, o->value)->loc : (Loc){0};
        if (!exists)
            fault(c, "output %u does not exist", i);
        else
            check_f32(c, o->value, "a graph", "returns");
        for (uint32_t k = 0; k < i && o->name; k++)
            if (g->outputs.data[k].name == o->name)
                fault(c, "two outputs are named \"%s\"", o->name);
    }
}

static bool check_entry(Check *c) {
    static const char *const entries[] = {"infer", "backward", "apply", "eval"};
    const Graph *g = c->g;
    if (g->batch < 1 || g->batch > MAX_BATCH)
        return fault(c, "the batch is %lld, which is not between 1 and %d", (long long)g->batch, MAX_BATCH);
    for (int i = 0; i < 4; i++)
        if (!strcmp(g->entry, entries[i]))
            return true;
    return fault(c, "there is no entry '%.60s': entries are infer, backward, apply and eval", g->entry);
}

static bool verify_graph(const Graph *g) {
    Check c = {.g = g, .place = "", .ok = true};
    Type inferred;
    if (strcmp(g->entry, "infer") != 0)
        c.place = arena_printf(&g->cx->arena, "%.60s: ", g->entry);
    if (!check_entry(&c))
        return false;
    for (ValueId v = 0; v < g->values.len; v++)
        check_value(&c, v);
    check_lists(&c);
    check_targets(&c);
    if (!c.ok)
        return false;
    for (NodeId i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (!check_node(&c, i, &inferred))
            continue;
        Type first =
            n->n_operands > n->n_prologue + n->n_epilogue ? value(&c, n->operands[0])->type : inferred;
        check_region(&c, n, false, &first);
        check_region(&c, n, true, &inferred);
    }
    check_outputs(&c);
    if (c.ok)
        check_effects(&c);
    return c.ok;
}

/* ---- Chains ---- */

/* What graphs of a chain share: a state or a parameter, in one of them. */
typedef struct Shared {
    const Graph *g;
    const Value *v;
    uint32_t number; /* in order of declaration */
} Shared;

static int compare_keys(const Value *x, const Value *y) {
    const bool state_x = x->kind == VK_STATE, state_y = y->kind == VK_STATE;
    const int order = state_x != state_y ? state_x - state_y : (int)x->role - (int)y->role;
    return order ? order : strcmp(x->key, y->key);
}

static int by_key(const void *a, const void *b) {
    const Shared *s = a, *t = b;
    const int order = compare_keys(s->v, t->v);
    return order ? order : s->number < t->number ? -1 : 1;
}

/* One key is one tensor: of one type everywhere, and a state once in a graph. */
static bool check_shared(Check *c, const Shared *all, uint32_t n) {
    for (uint32_t i = 1; i < n; i++) {
        const Value *a = all[i - 1].v, *b = all[i].v;
        const bool one_graph = all[i - 1].g == all[i].g;
        if (compare_keys(a, b) != 0 || (one_graph && a->kind != VK_STATE))
            continue;
        c->loc = b->loc;
        if (one_graph)
            fault(c, "%%%s and %%%s are the same state, @%s", a->name, b->name, a->key);
        else if (!type_equal(&a->type, &b->type) || a->kind != b->kind)
            fault(c, "@%s is %s in %s and %s in %s", a->key, type_text(c, &a->type), all[i - 1].g->entry,
                  type_text(c, &b->type), all[i].g->entry);
    }
    return c->ok;
}

static bool check_keys(Check *c, const Graph *first) {
    uint32_t n = 0;
    for (const Graph *g = first; g; g = g->next)
        n += g->states.len + g->params.len;
    Shared *all = NEW_ARRAY(&first->cx->arena, Shared, n + 1);
    n = 0;
    for (const Graph *g = first; g; g = g->next) {
        for (uint32_t i = 0; i < g->states.len; i++)
            all[n] = (Shared){g, &g->values.data[g->states.data[i]], n}, n++;
        for (uint32_t i = 0; i < g->params.len; i++)
            all[n] = (Shared){g, &g->values.data[g->params.data[i]], n}, n++;
    }
    if (n > 1)
        qsort(all, n, sizeof *all, by_key);
    return check_shared(c, all, n);
}

/* Graphs with arguments have the same ones: they are called with the same memory. */
static bool check_arguments(Check *c, const Graph *a, const Graph *b) {
    bool same = a->inputs.len == b->inputs.len && a->outputs.len == b->outputs.len;
    for (uint32_t i = 0; same && i < a->inputs.len; i++) {
        const Value *x = &a->values.data[a->inputs.data[i]], *y = &b->values.data[b->inputs.data[i]];
        same = x->name == y->name && x->target == y->target && type_equal(&x->type, &y->type) &&
               !x->picture == !y->picture &&
               (!x->picture || attr_equal(&picture_table, x->picture, y->picture));
    }
    for (uint32_t i = 0; same && i < a->outputs.len; i++) {
        const GraphOutput *x = &a->outputs.data[i], *y = &b->outputs.data[i];
        same = x->name == y->name &&
               type_same_shape(&a->values.data[x->value].type, &b->values.data[y->value].type);
    }
    return same || fault(c, "%s and %s do not have the same inputs and outputs", a->entry, b->entry);
}

static bool check_same_unit(Check *c, const Graph *a, const Graph *b) {
    bool same = a->name == b->name && a->batch == b->batch && a->n_fixed == b->n_fixed &&
                a->n_classes == b->n_classes;
    for (uint32_t i = 0; same && i < a->n_classes; i++)
        same = !strcmp(a->classes[i], b->classes[i]);
    return same || fault(c, "%s and %s differ in name, batch or classes", a->entry, b->entry);
}

/* There is one vector of numbers of a step. */
static bool check_hyper(Check *c, const Graph *a, const Graph *b) {
    const Value *x = &a->values.data[a->hyper], *y = &b->values.data[b->hyper];
    return type_equal(&x->type, &y->type) ||
           fault(c, "%%%s is %s in %s and %s in %s", y->name, type_text(c, &x->type), a->entry,
                 type_text(c, &y->type), b->entry);
}

static bool check_chain(const Graph *first) {
    Check c = {.g = first, .place = "", .ok = true};
    const Graph *called = NULL, *told = NULL;
    for (const Graph *g = first; g && c.ok; g = g->next) {
        if (told && g->hyper != NO_VALUE)
            check_hyper(&c, told, g);
        told = g->hyper != NO_VALUE ? g : told;
        for (const Graph *h = first; h != g && c.ok; h = h->next)
            if (!strcmp(h->entry, g->entry) || !strcmp(h->entry, "infer") || !strcmp(g->entry, "infer"))
                fault(&c, "%s and %s cannot be together", h->entry, g->entry);
        check_same_unit(&c, first, g);
        if (strcmp(g->entry, "apply") != 0) {
            if (called)
                check_arguments(&c, called, g);
            called = g;
        } else if (g->inputs.len || g->outputs.len) {
            fault(&c, "apply has inputs or outputs");
        }
    }
    return c.ok && check_keys(&c, first);
}

bool graph_verify(const Graph *g) {
    bool ok = true;
    for (const Graph *x = g; x; x = x->next)
        ok &= verify_graph(x);
    return ok && (!strcmp(g->entry, "infer") && !g->next ? true : check_chain(g));
}
