/* A graph as Graphviz: a box an op, shapes on the edges, what was chosen and fused inside the box. */
#include "ir/op.h"

#include <string.h>

/* Text inside a quoted label. */
static void put_label(StrBuf *sb, const char *s) {
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            sb_putc(sb, '\\');
        sb_putc(sb, (unsigned char)*s < 0x20 ? ' ' : *s);
    }
}

static void put_region(StrBuf *sb, const char *word, const Graph *region) {
    if (!region)
        return;
    sb_printf(sb, "\\n%s:", word);
    for (uint32_t i = 0; i < region->nodes.len; i++)
        sb_printf(sb, "%s %s", i ? "," : "", op_desc(region->nodes.data[i].op)->name);
}

static void put_node(StrBuf *sb, NodeId i, const Node *n) {
    static const char *const colors[] = {"white",       "palegreen", "lightblue",
                                         "lightyellow", "lightgray", "lightpink"};
    int32_t algorithm = n->choice ? n->choice->algorithm : ALGO_NONE;
    sb_printf(sb, "  n%u [label=\"%s", i, op_desc(n->op)->name);
    if (n->name) {
        sb_putc(sb, ' ');
        put_label(sb, n->name);
    }
    put_region(sb, "before", n->prologue);
    put_region(sb, "then", n->epilogue);
    if (n->choice) {
        sb_puts(sb, "\\n");
        attr_print(sb, &choice_table, n->choice);
    }
    bool known = algorithm >= 0 && algorithm < (int32_t)(sizeof colors / sizeof *colors);
    sb_printf(sb, "\", fillcolor=%s];\n", colors[known ? algorithm : 0]);
}

static void put_source(StrBuf *sb, const Value *v, ValueId id) {
    if (v->kind == VK_RESULT)
        sb_printf(sb, "n%u", v->def);
    else
        sb_printf(sb, "v%u", id);
}

static void put_edge(StrBuf *sb, const Graph *g, ValueId from, const char *to, uint32_t i) {
    const Value *v = &g->values.data[from];
    bool call = v->kind == VK_RESULT || v->kind == VK_INPUT;
    sb_puts(sb, "  ");
    put_source(sb, v, from);
    sb_printf(sb, " -> %s%u [label=\"", to, i);
    type_print(sb, &v->type);
    sb_puts(sb, call ? "\"];\n" : "\", style=dotted];\n");
}

static void put_leaf(StrBuf *sb, ValueId i, const Value *v) {
    static const char *const shapes[] = {
        [VK_INPUT] = "ellipse",   [VK_PARAM] = "note",     [VK_BUFFER] = "note",
        [VK_CONST] = "plaintext", [VK_STATE] = "cylinder", [VK_HYPER] = "plaintext"};
    if (v->kind == VK_RESULT || v->kind == VK_ARG)
        return;
    sb_printf(sb, "  v%u [shape=%s, label=\"", i, shapes[v->kind]);
    put_label(sb, v->key ? v->key : v->name);
    sb_puts(sb, "\"];\n");
}

static void put_graph(StrBuf *sb, const Graph *g) {
    sb_puts(sb, "digraph \"");
    put_label(sb, g->name);
    if (strcmp(g->entry, "infer") != 0)
        sb_putc(sb, ':'), put_label(sb, g->entry);
    sb_puts(sb, "\" {\n  node [shape=box, style=filled, fillcolor=white, fontname=\"monospace\"];\n"
                "  edge [fontname=\"monospace\", fontsize=10];\n");
    for (uint32_t i = 0; i < g->values.len; i++)
        put_leaf(sb, i, &g->values.data[i]);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        put_node(sb, i, n);
        for (uint32_t k = 0; k < n->n_operands; k++)
            put_edge(sb, g, n->operands[k], "n", i);
    }
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        sb_printf(sb, "  o%u [shape=ellipse, label=\"", i);
        put_label(sb, g->outputs.data[i].name);
        sb_puts(sb, "\"];\n");
        put_edge(sb, g, g->outputs.data[i].value, "o", i);
    }
    sb_puts(sb, "}\n");
}

/* Graphviz takes several graphs in one file. */
void graph_dot(StrBuf *sb, const Graph *g) {
    for (; g; g = g->next)
        put_graph(sb, g);
}
