/* The pass manager: runs a list of passes, verifies what each made, and in debug builds checks that its text
 * reads back to the identical thing. */
#include "passes/passes.h"
#include <string.h>
#include <time.h>

const Pass pass_table[] = {
#define PASS(id, name, level, summary) {name, PASS_##level, pass_##id, summary},
#include "passes/passes.def"
#undef PASS
};
const uint32_t pass_count = sizeof pass_table / sizeof *pass_table;

#ifdef CNNC_DEBUG
enum { DEBUG_CHECKS = 1 };
#else
enum { DEBUG_CHECKS = 0 };
#endif
enum { READ_BACK_LIMIT = 2 << 20 }; /* longer texts are not read back: big nets would take minutes */

const Pass *pass_by_name(const char *name) {
    for (uint32_t i = 0; i < pass_count; i++)
        if (!strcmp(pass_table[i].name, name))
            return &pass_table[i];
    return NULL;
}

/* The next word of a comma list, or NULL at its end. */
static const char *next_word(Context *cx, const char **list) {
    const char *p = *list + strspn(*list, ", ");
    const size_t n = strcspn(p, ", ");
    *list = p + n;
    return n ? intern_n(cx, p, n) : NULL;
}

const char *passes_unknown(Context *cx, const char *list) {
    for (const char *word; (word = next_word(cx, &list));)
        if (!pass_by_name(word))
            return word;
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *unit_text(const Unit *u, Arena *a, size_t *size) {
    StrBuf sb = sb_new(a);
    const PrintOptions all = {.locations = true};
    if (u->graph)
        graph_print(&sb, u->graph, &all);
    else
        loops_print(&sb, u->loops, &all);
    *size = sb.len;
    return sb_str(&sb);
}

/* Parse `text` in a context of its own and print it again. NULL when it does not parse; `cx` has the reason.
 */
static const char *read_back(const Unit *u, Context *cx, const char *text, size_t size) {
    Unit copy = {.cx = cx};
    if (u->graph)
        copy.graph = graph_parse(cx, "(text)", text, size);
    else
        copy.loops = loops_parse(cx, "(text)", text, size);
    size_t n;
    return copy.graph || copy.loops ? unit_text(&copy, &cx->arena, &n) : NULL;
}

static bool check_text(const Unit *u, const Pass *p) {
    Context cx;
    context_init(&cx, u->cx->arena.oom);
    size_t size;
    const char *text = unit_text(u, &cx.arena, &size);
    bool ok = true;
    if (size <= READ_BACK_LIMIT) {
        const char *again = read_back(u, &cx, text, size);
        ok = again && !strcmp(text, again);
        if (!again)
            diag_error(&u->cx->diag, DIAG_IR_INVALID, NULL, "after %s: the text does not parse: %u: %s",
                       p->name, cx.diag.entries.len ? cx.diag.entries.data[0].loc.line : 0,
                       cx.diag.entries.len ? cx.diag.entries.data[0].message : "no reason given");
        else if (!ok)
            diag_error(&u->cx->diag, DIAG_IR_INVALID, NULL, "after %s: the text reads back as something else",
                       p->name);
    }
    context_free(&cx);
    return ok;
}

static bool check(Unit *u, const PipelineOptions *o, const Pass *p, bool expanded) {
    if (!DEBUG_CHECKS && !o->verify_each)
        return true;
    const bool ok = u->graph ? graph_verify(u->graph) : loops_verify(u->loops, expanded);
    if (ok && (!DEBUG_CHECKS || check_text(u, p)))
        return true;
    if (!ok)
        diag_hint(&u->cx->diag, "this is what pass %s made", p->name);
    u->internal = true;
    return false;
}

static uint64_t text_hash(const Unit *u) {
    Arena a;
    arena_init(&a, u->cx->arena.oom);
    size_t size;
    const char *text = unit_text(u, &a, &size);
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    arena_free(&a);
    return h;
}

/* A graph pass sees one graph of the chain at a time, and its result takes that one's place. A single graph
 * may become a chain. */
static bool run_pass(Unit *u, const Pass *p) {
    if (p->level != PASS_GRAPH || !u->graph->next)
        return p->run(u);
    Graph *first = NULL, **link = &first, *next;
    for (Graph *g = u->graph; g; g = next) {
        next = g->next;
        u->graph = g;
        if (!p->run(u))
            return false;
        *link = u->graph;
        link = &u->graph->next;
    }
    *link = NULL;
    u->graph = first;
    return true;
}

/* One pass with everything around it. */
static bool run_one(Unit *u, const PipelineOptions *o, const Pass *p, bool *expanded, bool *stopped) {
    if (o->hook && !o->hook(o->hook_arg, u, p, true, false, 0)) {
        *stopped = true;
        return true;
    }
    const uint64_t before = o->watch_changes ? text_hash(u) : 0;
    const double start = now();
    if (!run_pass(u, p))
        return false;
    const double seconds = now() - start;
    if (p->level == PASS_LOWER)
        u->graph = NULL;
    *expanded |= !strcmp(p->name, "expand");
    const bool changed = !o->watch_changes || text_hash(u) != before;
    if (o->hook && !o->hook(o->hook_arg, u, p, false, changed, seconds))
        *stopped = true;
    return check(u, o, p, *expanded); /* after the hook: a broken unit can still be seen */
}

bool passes_run(Unit *u, const PipelineOptions *o, bool *stopped) {
    const char *list = o->passes ? o->passes : pipeline_infer;
    bool expanded = false;
    *stopped = false;
    for (const char *word; !*stopped && (word = next_word(u->cx, &list));) {
        const Pass *p = pass_by_name(word);
        if (!p)
            return diag_error(&u->cx->diag, DIAG_PASS_LIST, NULL, "there is no pass \"%s\"", word);
        if (p->level != PASS_LOOPS && !u->graph)
            continue; /* the unit is past that */
        if (p->level == PASS_LOOPS && u->graph)
            return diag_error(&u->cx->diag, DIAG_PASS_LIST, NULL,
                              "pass \"%s\" works on loops: it needs \"lower\" before it", word);
        if (!run_one(u, o, p, &expanded, stopped))
            return false;
    }
    return true;
}
