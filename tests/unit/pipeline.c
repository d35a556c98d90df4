/* Whole examples through the pipeline for targets of every vector width: each pass leaves IR whose text reads
 * back to the identical thing, and the loops, before and after `expand`, compute what the evaluator does. The
 * targets are made up, so that the nests for wide vectors are checked on every machine. */
#include "backend/backend.h"
#include "frontend/import.h"
#include "ir/eval.h"
#include "passes/passes.h"
#include "target_of.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static Context cx;
static const char *model;

static const char *messages(void) {
    StrBuf sb = sb_new(&cx.arena);
    diag_print_all(&sb, &cx.diag);
    return sb_str(&sb);
}

typedef struct Example {
    const char *file, *shape;
    int interpret; /* 2: at each width, sanitized too; 1: for the widest vectors; 0: text only */
} Example;

static const Example examples[] = {
    {"examples/lenet5/lenet5.json", NULL, 2},
    {"examples/simplecnn/simplecnn.json", NULL, 1},
    {"examples/resnet18/resnet18.json", "image=3x33x24", 1},
    {"examples/resnet50/resnet50.json", "image=3x32x32", 0},
};

static Graph *import(const Example *e, Weights *w) {
    context_init(&cx, NULL);
    model = e->file;
    const char *path = intern_f(&cx, "%s/%s", SOURCE_DIR, e->file), **shapes = NEW(&cx.arena, const char *);
    shapes[0] = e->shape;
    ImportOptions o = {.init_seed = 3, .batch = 2, .shapes = shapes, .n_shapes = e->shape ? 1 : 0};
    Graph *g = import_model(&cx, path, &o, w);
    cr_assert_not_null(g, "%s", messages());
    return g;
}

/* ---- Text ---- */

static void text_of(StrBuf *sb, const Unit *u) {
    if (u->loops)
        loops_print(sb, u->loops, NULL);
    else
        graph_print(sb, u->graph, NULL);
}

static bool round_trip(void *arg, const Unit *u, const Pass *p, bool before, bool changed, double seconds) {
    (void)arg, (void)changed, (void)seconds;
    if (before)
        return true;
    StrBuf first = sb_new(&cx.arena), second = sb_new(&cx.arena);
    text_of(&first, u);
    Unit again = {.cx = &cx};
    if (u->loops)
        again.loops = loops_parse(&cx, "dump", sb_str(&first), first.len);
    else
        again.graph = graph_parse(&cx, "dump", sb_str(&first), first.len);
    cr_assert(again.loops || again.graph, "%s after %s: %s", model, p->name, messages());
    cr_assert(!again.loops || loops_verify_file(again.loops), "%s after %s: %s", model, p->name, messages());
    text_of(&second, &again);
    cr_assert(!strcmp(sb_str(&first), sb_str(&second)), "%s: the text after %s changes when read back", model,
              p->name);
    return true;
}

static LoopModule *compile(Graph *g, const Target *t, const char *passes, PassHook *hook) {
    Unit u = {.cx = &cx, .target = t, .graph = g};
    PipelineOptions o = {.passes = passes, .verify_each = true, .hook = hook};
    bool stopped = false;
    cr_assert(passes_run(&u, &o, &stopped), "%s: %s", model, messages());
    return u.loops;
}

Test(pipeline, text_after_each_pass) {
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        for (uint32_t bytes = 16; bytes <= 64; bytes *= 2) {
            Weights w;
            Graph *g = import(&examples[i], &w);
            Target t = target_of(bytes);
            compile(g, &t, NULL, round_trip);
            context_free(&cx);
        }
}

/* ---- Values ---- */

static float pixel(int64_t i) {
    return (float)((i * 2654435761u >> 7) % 1000) / 1000.0f;
}

static Tensor dense_tensor(const Type *t, int64_t n, const float *data) {
    Tensor x = {.rank = t->rank, .data = NEW_ARRAY(&cx.arena, double, (size_t)type_elems(t, n))};
    for (int d = 0; d < t->rank; d++)
        x.dim[d] = dim_at(t->dim[d], n);
    for (int64_t i = 0; i < type_elems(t, n); i++)
        x.data[i] = data ? (double)data[i] : (double)pixel(i);
    return x;
}

/* The values of the imported graph; the first output is what the loops are compared with. */
static const Tensor *evaluate(Graph *g, const Weights *w, int64_t n) {
    Tensor *values = NEW_ARRAY(&cx.arena, Tensor, g->values.len);
    for (uint32_t i = 0; i < g->inputs.len; i++)
        values[g->inputs.data[i]] = dense_tensor(&g->values.data[g->inputs.data[i]].type, n, NULL);
    for (uint32_t i = 0; i < g->params.len; i++)
        values[g->params.data[i]] = dense_tensor(&g->values.data[g->params.data[i]].type, n, w->data[i]);
    cr_assert(graph_eval(g, n, values, &cx.arena), "%s", messages());
    return &values[g->outputs.data[0].value];
}

static const float *weight_named(const Graph *g, const Weights *w, const char *key) {
    for (uint32_t i = 0; i < g->params.len; i++)
        if (!strcmp(g->values.data[g->params.data[i]].key, key))
            return w->data[i];
    cr_assert(false, "no parameter %s", key);
    return NULL;
}

static float *run(const LoopModule *m, const Graph *g, const Weights *w, int64_t n, bool contract) {
    void **memory = NEW_ARRAY(&cx.arena, void *, m->bufs.len);
    float *out = NULL;
    for (uint32_t b = 0; b < m->bufs.len; b++) {
        const ModBuf *buf = &m->bufs.data[b];
        size_t count = (size_t)modbuf_elems(buf, n), bytes = count * dtype_bytes(buf->type.dtype);
        if (buf->kind == MB_PARAM) {
            memory[b] = arena_copy(&cx.arena, weight_named(g, w, buf->key), bytes);
        } else if (buf->kind != MB_WORK) {
            float *data = memory[b] = arena_alloc(&cx.arena, bytes);
            if (buf->kind == MB_CONST && buf->data)
                memcpy(data, buf->data, bytes);
            for (size_t i = 0; buf->kind == MB_IN && i < count; i++)
                data[i] = pixel((int64_t)i);
            out = buf->kind == MB_OUT && !out ? data : out;
        }
    }
    InterpOptions o = {.contract = contract, .check_overlap = true};
    cr_assert(loops_run(m, "prepare", n, memory, &o), "%s: %s", model, messages());
    cr_assert(loops_run(m, "infer", n, memory, &o), "%s: %s", model, messages());
    return out;
}

static void check_values(const Example *e, uint32_t vector_bytes, bool expanded) {
    enum { BATCH = 2 };
    Weights w;
    Graph *g = import(e, &w);
    Target t = target_of(vector_bytes);
    const Tensor *want = evaluate(g, &w, BATCH);
    int64_t count = type_elems(&g->values.data[g->outputs.data[0].value].type, BATCH);
    const char *passes = expanded ? NULL : "canonicalize,fold-bn,fuse,choose,layout,lower";
    const float *got = run(compile(g, &t, passes, NULL), g, &w, BATCH, t.has_fma);
    double largest = 0, error = 0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(want->data[i]));
        error = fmax(error, fabs(want->data[i] - (double)got[i]));
    }
    cr_assert(error <= 1e-5 * largest, "%s, %u-byte vectors: error %g of %g", model, vector_bytes, error,
              largest);
    context_free(&cx);
}

Test(pipeline, loops_compute_the_graph) {
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        for (uint32_t bytes = 16; bytes <= 64; bytes *= 2) {
            bool wanted = examples[i].interpret == 2;
#ifndef CNNC_DEBUG
            wanted |= examples[i].interpret == 1 && bytes == 64;
#endif
            if (wanted)
                check_values(&examples[i], bytes, true);
            if (examples[i].interpret == 2)
                check_values(&examples[i], bytes, false);
        }
}
