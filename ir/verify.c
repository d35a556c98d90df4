/* The rules of a graph: what every pass may rely on, and what text must satisfy. Nothing is assumed of the
 * graph but that its arrays are as long as they say. */
#include "ir/op.h"

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

/* Kernels compute on f32, and callers give and take f32; values of other types are only stored so far. */
static bool check_f32(Check *c, ValueId v, const char *who, const char *does) {
    const Type *t = &value(c, v)->type;
    if (t->dtype == DT_F32)
        return true;
    c->ok = false;
    return diag_error(&c->g->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                      "%s%s %s f32 only in this version; %%%s is %s", c->place, who, does, value(c, v)->name,
                      type_text(c, t));
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
        check_f32(c, id, "a graph", "takes");
}

/* The lists of inputs and parameters hold exactly the values of those kinds, in order. */
static void check_lists(Check *c) {
    const Graph *g = c->g;
    uint32_t inputs = 0, params = 0;
    c->loc = (Loc){0};
    for (ValueId v = 0; v < g->values.len; v++) {
        ValueKind k = value(c, v)->kind;
        if (k == VK_INPUT && (inputs >= g->inputs.len || g->inputs.data[inputs++] != v))
            fault(c, "%%%s is missing from the list of inputs, or out of order", value(c, v)->name);
        if ((k == VK_PARAM || k == VK_BUFFER) && (params >= g->params.len || g->params.data[params++] != v))
            fault(c, "%%%s is missing from the list of parameters, or out of order", value(c, v)->name);
        if (k == VK_ARG)
            fault(c, "%%%s is an argument outside of a region", value(c, v)->name);
    }
    if (inputs != g->inputs.len || params != g->params.len)
        fault(c, "the lists of inputs and parameters do not fit the values");
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
        if (!check_f32(c, n->operands[i], op_desc(n->op)->name, "works on"))
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

/* ---- Graphs ---- */

static void check_outputs(Check *c) {
    const Graph *g = c->g;
    c->loc = (Loc){0};
    if (!g->outputs.len || g->outputs.len > MAX_OUTPUTS)
        fault(c, "the graph returns %u values instead of 1 to %d", g->outputs.len, MAX_OUTPUTS);
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

bool graph_verify(const Graph *g) {
    Check c = {.g = g, .place = "", .ok = true};
    Type inferred;
    if (g->batch < 1 || g->batch > MAX_BATCH)
        return fault(&c, "the batch is %lld, which is not between 1 and %d", (long long)g->batch, MAX_BATCH);
    for (ValueId v = 0; v < g->values.len; v++)
        check_value(&c, v);
    check_lists(&c);
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
    return c.ok;
}
