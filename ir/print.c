/* The text of a graph; docs/ir.md is the reference, parse.c reads it back. */
#include "ir/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONSTS_A_LINE = 8 };

typedef struct Printer {
    StrBuf *sb;
    const Graph *g;
    const PrintOptions *o;
    const bool *shown; /* values that the filter lets through; NULL: all */
    int depth;
} Printer;

static const PrintOptions everything = {.locations = true};

static void put_global(StrBuf *sb, const char *name) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    sb_putc(sb, '@');
    if (*name && !name[strspn(name, plain)])
        sb_puts(sb, name);
    else
        sb_quote(sb, name);
}

static const Value *value(const Printer *p, ValueId v) {
    return &p->g->values.data[v];
}

/* Floats as hex: exact, and short for round numbers. 16-bit floats as their bit patterns. */
static void put_float(StrBuf *sb, double v) {
    if (isnan(v))
        sb_puts(sb, signbit(v) ? "-nan" : "nan");
    else
        sb_printf(sb, "%a", v);
}

static void put_element(StrBuf *sb, DType dtype, const void *data, int64_t i) {
    switch (dtype) {
    case DT_F32:
        put_float(sb, (double)((const float *)data)[i]);
        break;
    case DT_F64:
        put_float(sb, ((const double *)data)[i]);
        break;
    case DT_BF16:
    case DT_F16:
        sb_printf(sb, "%u", ((const uint16_t *)data)[i]);
        break;
    case DT_I8:
        sb_printf(sb, "%d", ((const int8_t *)data)[i]);
        break;
    case DT_U8:
    case DT_BOOL:
        sb_printf(sb, "%u", ((const uint8_t *)data)[i]);
        break;
    case DT_I32:
        sb_printf(sb, "%d", ((const int32_t *)data)[i]);
        break;
    case DT_U32:
        sb_printf(sb, "%u", ((const uint32_t *)data)[i]);
        break;
    case DT_I64:
        sb_printf(sb, "%lld", (long long)((const int64_t *)data)[i]);
        break;
    case DT_COUNT:
        break;
    }
}

static void print_data(Printer *p, const Value *v) {
    int64_t count = type_elems(&v->type, 1);
    sb_putc(p->sb, '[');
    for (int64_t i = 0; i < count; i++) {
        if (i)
            sb_putc(p->sb, ',');
        if (count > CONSTS_A_LINE && i % CONSTS_A_LINE == 0) {
            sb_putc(p->sb, '\n');
            sb_indent(p->sb, p->depth + 2);
        } else if (i) {
            sb_putc(p->sb, ' ');
        }
        put_element(p->sb, v->type.dtype, v->data, i);
    }
    sb_putc(p->sb, ']');
}

/* Nothing when a value is its own origin, which is how graphs come in. */
static void print_origin(Printer *p, const Value *v) {
    if (!v->origin)
        sb_puts(p->sb, " origin none");
    else if (v->origin != v->name && strcmp(v->origin, v->name) != 0)
        sb_puts(p->sb, " origin "), put_global(p->sb, v->origin);
}

/* What stands before the nodes; inputs are in the head. */
static bool is_leaf(ValueKind kind) {
    return kind != VK_INPUT && kind != VK_RESULT && kind != VK_ARG;
}

static void print_leaf(Printer *p, const Value *v) {
    static const char *const words[] = {[VK_PARAM] = "param",
                                        [VK_BUFFER] = "buffer",
                                        [VK_CONST] = "const",
                                        [VK_STATE] = "state",
                                        [VK_HYPER] = "hyper"};
    sb_indent(p->sb, p->depth);
    sb_printf(p->sb, "%%%s = %s ", v->name, words[v->kind]);
    type_print(p->sb, &v->type);
    if (v->kind == VK_STATE)
        sb_printf(p->sb, " %s", state_role_names[v->role]);
    if (v->kind == VK_CONST)
        sb_putc(p->sb, ' '), print_data(p, v);
    else if (v->key && strcmp(v->key, v->name) != 0)
        sb_puts(p->sb, " @"), sb_quote(p->sb, v->key);
    if (v->kind != VK_STATE && v->kind != VK_HYPER)
        print_origin(p, v);
    sb_putc(p->sb, '\n');
}

static void print_nodes(Printer *p, bool region);

/* prologue(%x, %scale = %operand) { nodes }: argument 0, then each further argument with what it stands for.
 */
static void print_region(Printer *p, const char *word, Graph *region, const ValueId *extra) {
    StrBuf *sb = p->sb;
    uint32_t arg = 0;
    sb_printf(sb, " %s(", word);
    for (uint32_t v = 0; v < region->values.len; v++) {
        if (region->values.data[v].kind != VK_ARG)
            continue;
        sb_printf(sb, "%s%%%s", arg ? ", " : "", region->values.data[v].name);
        if (arg)
            sb_printf(sb, " = %%%s", value(p, extra[arg - 1])->name);
        arg++;
    }
    sb_puts(sb, ") {\n");
    Printer inner = {.sb = sb, .g = region, .o = p->o, .depth = p->depth + 1};
    print_nodes(&inner, true);
    sb_indent(sb, p->depth);
    sb_putc(sb, '}');
}

static void print_attrs(StrBuf *sb, const AttrTable *t, const void *attrs) {
    size_t before = sb->len;
    if (!t->count || !attrs)
        return;
    sb_putc(sb, ' ');
    attr_print(sb, t, attrs);
    if (sb->len == before + 1)
        sb->data[--sb->len] = 0;
}

/* Is the op's attribute the type that stands at the end of the line anyway? */
static bool says_type(const Node *n, const Value *result) {
    const AttrRow *row = attr_only_type(&op_desc(n->op)->attrs);
    return row && n->attrs && type_equal((const void *)((const char *)n->attrs + row->offset), &result->type);
}

static void print_node(Printer *p, const Node *n, bool region) {
    StrBuf *sb = p->sb;
    const Value *result = value(p, n->result);
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    sb_indent(sb, p->depth);
    sb_printf(sb, "%%%s = %s", result->name, op_desc(n->op)->name);
    for (uint32_t i = 0; i < own; i++)
        sb_printf(sb, "%s%%%s", i ? ", " : " ", value(p, n->operands[i])->name);
    if (region || !says_type(n, result))
        print_attrs(sb, &op_desc(n->op)->attrs, n->attrs);
    if (n->choice) {
        sb_puts(sb, " choice");
        print_attrs(sb, &choice_table, n->choice);
    }
    if (n->prologue)
        print_region(p, "prologue", n->prologue, n->operands + own);
    if (n->epilogue)
        print_region(p, "epilogue", n->epilogue, n->operands + own + n->n_prologue);
    if (!region) { /* a region's types and origins follow from its surroundings */
        sb_puts(sb, " : ");
        type_print(sb, &result->type);
        print_origin(p, result);
    }
    if (n->name)
        sb_puts(sb, " layer "), sb_quote(sb, n->name);
    if (p->o->locations && n->loc.pointer)
        sb_puts(sb, " loc "), sb_quote(sb, n->loc.pointer);
    sb_putc(sb, '\n');
}

static void print_gap(Printer *p, uint32_t *left_out) {
    if (*left_out) {
        sb_indent(p->sb, p->depth);
        sb_printf(p->sb, "# ... %u node%s\n", *left_out, *left_out > 1 ? "s" : "");
    }
    *left_out = 0;
}

static bool matches(const PrintOptions *o, const Node *n) {
    return !o->filter || (n->name && strstr(n->name, o->filter));
}

static void print_nodes(Printer *p, bool region) {
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < p->g->nodes.len; i++) {
        const Node *n = &p->g->nodes.data[i];
        if (region || matches(p->o, n)) {
            print_gap(p, &left_out);
            print_node(p, n, region);
        } else {
            left_out++;
        }
    }
    print_gap(p, &left_out);
}

/* With a filter: the operands of the nodes that pass it. */
static const bool *find_shown(const Graph *g, const PrintOptions *o) {
    if (!o->filter)
        return NULL;
    bool *shown = NEW_ARRAY(&g->cx->arena, bool, g->values.len + 1);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        for (uint32_t k = 0; k < g->nodes.data[i].n_operands && matches(o, &g->nodes.data[i]); k++)
            shown[g->nodes.data[i].operands[k]] = true;
    return shown;
}

static void print_head(Printer *p) {
    const Graph *g = p->g;
    sb_puts(p->sb, "graph ");
    put_global(p->sb, g->name);
    if (strcmp(g->entry, "infer") != 0)
        sb_printf(p->sb, ":%s", g->entry);
    sb_putc(p->sb, '(');
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = value(p, g->inputs.data[i]);
        sb_printf(p->sb, "%s%%%s: ", i ? ", " : "", v->name);
        type_print(p->sb, &v->type);
        sb_puts(p->sb, v->target ? " target" : "");
        picture_print(p->sb, v->picture);
    }
    sb_printf(p->sb, ") batch %lld%s {\n", (long long)g->batch, g->n_fixed ? " fixed" : "");
    for (uint32_t i = 0; i < g->n_classes; i++) {
        sb_puts(p->sb, i ? ", " : "  classes ");
        sb_quote(p->sb, g->classes[i]);
    }
    if (g->n_classes)
        sb_putc(p->sb, '\n');
}

static void print_graph(StrBuf *sb, const Graph *g, const PrintOptions *o) {
    Printer p = {.sb = sb, .g = g, .o = o, .depth = 1};
    p.shown = find_shown(g, p.o);
    print_head(&p);
    for (uint32_t v = 0; v < g->values.len; v++)
        if (is_leaf(g->values.data[v].kind) && (!p.shown || p.shown[v]))
            print_leaf(&p, &g->values.data[v]);
    print_nodes(&p, false);
    sb_puts(sb, "  return");
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        sb_printf(sb, "%s%%%s as ", i ? ", " : " ", value(&p, g->outputs.data[i].value)->name);
        sb_quote(sb, g->outputs.data[i].name);
    }
    sb_puts(sb, "\n}\n");
}

void graph_print(StrBuf *sb, const Graph *g, const PrintOptions *o) {
    for (; g; g = g->next) {
        print_graph(sb, g, o ? o : &everything);
        sb_puts(sb, g->next ? "\n" : "");
    }
}
