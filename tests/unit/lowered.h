/* What the tests of lowered algorithms share: a graph brought to loops at a vector width, run there and in
 * the evaluator. */
#ifndef TESTS_UNIT_LOWERED_H
#define TESTS_UNIT_LOWERED_H

#include "ir/eval.h"
#include "ir/loops/loops.h"
#include "passes/passes.h"
#include "target_of.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static Context cx;
static uint32_t seed;

static inline const char *messages(void) {
    StrBuf sb = sb_new(&cx.arena);
    diag_print_all(&sb, &cx.diag);
    return sb_str(&sb);
}

static inline float noise(void) { /* with a mean, as activations have */
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 0x1p24f - 0.25f;
}

/* `text` of a graph, after some passes. */
static inline Graph *graph_after(const Target *t, const char *text, const char *passes) {
    Graph *g = graph_parse(&cx, "case.cnnir", text, strlen(text));
    cr_assert_not_null(g, "%s", messages());
    Unit u = {.cx = &cx, .target = t, .graph = g};
    bool stopped = false;
    PipelineOptions o = {.passes = passes, .verify_each = true};
    cr_assert(passes_run(&u, &o, &stopped), "%s: %s", text, messages());
    return u.graph;
}

/* The loops of a graph whose algorithms are chosen; they keep to their buffers, whatever the batch. */
static inline LoopModule *loops_of(const Target *t, Graph *g) {
    Unit u = {.cx = &cx, .target = t, .graph = g};
    bool stopped = false;
    PipelineOptions o = {.passes = "layout,cse,dce,lower,merge,expand,tidy,grain,plan", .verify_each = true};
    cr_assert(passes_run(&u, &o, &stopped), "%s: %s", g->name, messages());
    cr_assert(loops_verify_file(u.loops), "%s: %s", g->name, messages());
    return u.loops;
}

/* Inputs with random elements, for the evaluator and for the loops. */
static inline void fill(const Graph *g, int64_t n, Tensor *values, void **memory) {
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        int64_t count = type_elems(&v->type, n);
        seed = i; /* the first images of a batch are those of a smaller one */
        float *x = memory[i] = NEW_ARRAY(&cx.arena, float, (size_t)count);
        double *d = NEW_ARRAY(&cx.arena, double, (size_t)count);
        for (int64_t k = 0; k < count; k++)
            d[k] = (double)(x[k] = noise());
        Tensor *t = &values[g->inputs.data[i]];
        *t = (Tensor){.rank = v->type.rank, .data = d};
        for (int k = 0; k < v->type.rank; k++)
            t->dim[k] = dim_at(v->type.dim[k], n);
    }
}

/* The elements of the one output of loops `m` of graph `g`, and the largest error against the evaluator as a
 * share of the largest element. */
static inline float *run_both(const Graph *g, const LoopModule *m, int64_t n, bool contract, double *error) {
    Tensor *values = NEW_ARRAY(&cx.arena, Tensor, g->values.len);
    void **memory = NEW_ARRAY(&cx.arena, void *, m->bufs.len);
    fill(g, n, values, memory);
    cr_assert(graph_eval(g, n, values, &cx.arena), "%s", messages());
    ValueId out = g->outputs.data[0].value;
    int64_t count = type_elems(&g->values.data[out].type, n);
    float *y = memory[g->inputs.len] = NEW_ARRAY(&cx.arena, float, (size_t)count);
    InterpOptions o = {.contract = contract, .check_overlap = true};
    cr_assert(loops_run(m, "infer", n, memory, &o), "%s: %s", g->name, messages());
    double largest = 1e-30, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(values[out].data[i]));
        worst = fmax(worst, fabs((double)y[i] - values[out].data[i]));
    }
    *error = worst / largest;
    return y;
}

#endif
