/* docs/ir.md is true: its examples parse, print as they stand and compile, and its table of ops is the op
 * table.
 */
#include "ir/base/file.h"
#include "ir/op.h"
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *document(Context *cx) {
    FileData f;
    cr_assert(file_read(cx, SOURCE_DIR "/docs/ir.md", 1 << 20, &f));
    return f.data;
}

/* A graph with reorders was laid out already. */
static void compile(Context *cx, Graph *g) {
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64-v3", .features = ""};
    t.vector_bytes = 32;
    t.vector_regs = 16;
    t.has_fma = true;
    t.l1_bytes = 32 << 10;
    t.l2_bytes = 512 << 10;
    bool laid_out = false, stopped;
    for (uint32_t i = 0; i < g->nodes.len; i++)
        laid_out |= g->nodes.data[i].op == OP_reorder;
    Unit u = {.cx = cx, .target = &t, .graph = g};
    PipelineOptions o = {.passes = laid_out ? "lower,merge,expand,tidy,plan" : NULL, .verify_each = true};
    StrBuf faults = sb_new(&cx->arena);
    bool ok = passes_run(&u, &o, &stopped);
    diag_print_all(&faults, &cx->diag);
    cr_assert(ok && u.loops && u.loops->planned, "@%s: %s", g->name, sb_str(&faults));
}

Test(docs_ir, examples) {
    static const char open[] = "\n```cnnir\n", close[] = "\n```\n";
    Context cx;
    context_init(&cx, NULL);
    const char *at = document(&cx);
    int examples = 0;
    while ((at = strstr(at, open))) {
        at += strlen(open);
        const char *end = strstr(at, close);
        cr_assert(end);
        const char *text = arena_strndup(&cx.arena, at, (size_t)(end - at) + 1);
        Graph *g = graph_parse(&cx, "ir.md", text, strlen(text));
        StrBuf out = sb_new(&cx.arena), faults = sb_new(&cx.arena);
        diag_print_all(&faults, &cx.diag);
        cr_assert(g, "example %d: %s", examples, sb_str(&faults));
        graph_print(&out, g, NULL);
        cr_assert_str_eq(sb_str(&out), text);
        compile(&cx, g);
        at = end;
        examples++;
    }
    cr_assert(examples >= 4, "%d examples", examples);
    context_free(&cx);
}

/* The row of an op as its descriptor would have it, without the remark at its end. */
static const char *op_row(Context *cx, const OpDesc *d) {
    StrBuf sb = sb_new(&cx->arena);
    sb_printf(&sb, "\n| `%s` | ", d->name);
    for (uint32_t i = 0; i < d->max_operands; i++)
        sb_printf(&sb, i < d->min_operands ? "%s%s" : "%s[%s]", i ? ", " : "", d->operand_names[i]);
    sb_puts(&sb, " |");
    void *attrs = arena_alloc(&cx->arena, d->attrs.size + 1);
    if (d->attrs.count)
        attr_defaults(&d->attrs, attrs);
    for (uint32_t i = 0; i < d->attrs.count; i++) {
        AttrRow row = d->attrs.rows[i];
        AttrTable one = {&row, 1, d->attrs.size};
        StrBuf text = sb_new(&cx->arena);
        sb_printf(&sb, "%s `%s`", i ? "," : "", row.name);
        if (!row.optional)
            continue;
        row.optional = false; /* print it although it is at its default: "{name=value}" */
        attr_print(&text, &one, attrs);
        const char *value = strchr(sb_str(&text), '=');
        sb_put(&sb, value, strlen(value) - 1);
    }
    sb_puts(&sb, " |");
    return sb_str(&sb);
}

Test(docs_ir, op_table) {
    Context cx;
    context_init(&cx, NULL);
    const char *text = document(&cx);
    for (int i = 0; i < OP_COUNT; i++) {
        const char *row = op_row(&cx, op_table[i]);
        cr_assert(strstr(text, row), "docs/ir.md has no row that begins:%s", row);
    }
    for (uint32_t i = 0; i < choice_table.count; i++)
        cr_assert(strstr(text, arena_printf(&cx.arena, "\n| `%s` | ", choice_table.rows[i].name)));
    context_free(&cx);
}
