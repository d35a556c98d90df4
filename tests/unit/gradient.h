/* What the tests of gradients share: a graph run in the double evaluator, and central differences. */
#ifndef TESTS_UNIT_GRADIENT_H
#define TESTS_UNIT_GRADIENT_H

#include "ir/eval.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static Context cx;

static inline void begin(void) {
    context_init(&cx, NULL);
}
static inline void end(void) {
    context_free(&cx);
}

static inline const char *messages(void) {
    StrBuf sb = sb_new(&cx.arena);
    diag_print_all(&sb, &cx.diag);
    return sb_str(&sb);
}

static uint64_t seed = 1;

static inline double noise(void) { /* in [-1, 1) */
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-52 - 1;
}

static inline Tensor tensor_of(const Type *t, int64_t n) {
    Tensor x = {.rank = t->rank, .data = NEW_ARRAY(&cx.arena, double, (size_t)type_elems(t, n))};
    for (int d = 0; d < t->rank; d++)
        x.dim[d] = dim_at(t->dim[d], n);
    return x;
}

static inline Tensor random_tensor(const Type *t, int64_t n) {
    Tensor x = tensor_of(t, n);
    for (int64_t i = 0; i < type_elems(t, n); i++)
        x.data[i] = noise();
    return x;
}

/* ---- A graph evaluated ---- */

/* What the leaves of a graph hold; nodes may write into copies of it. */
typedef struct Run {
    const Graph *g;
    int64_t n;
    Tensor *leaves;
    Tensor *values; /* after the last run */
    Arena arena;    /* of that run */
} Run;

static inline Run run_begin(const Graph *g, int64_t n) {
    Run r = {.g = g, .n = n, .leaves = NEW_ARRAY(&cx.arena, Tensor, g->values.len)};
    arena_init(&r.arena, NULL);
    return r;
}

static inline void run(Run *r) {
    arena_free(&r->arena);
    arena_init(&r->arena, NULL);
    r->values = NEW_ARRAY(&r->arena, Tensor, r->g->values.len);
    for (ValueId v = 0; v < r->g->values.len; v++) {
        r->values[v] = r->leaves[v];
        if (r->leaves[v].data)
            r->values[v].data =
                arena_copy(&r->arena, r->leaves[v].data,
                           (size_t)type_elems(&r->g->values.data[v].type, r->n) * sizeof(double));
    }
    cr_assert(graph_eval(r->g, r->n, r->values, &r->arena), "%s", messages());
}

/* sum(y * weight), weight NULL: all 1. */
static inline double total(const Run *r, ValueId y, const double *weight) {
    double sum = 0;
    for (int64_t i = 0; i < type_elems(&r->g->values.data[y].type, r->n); i++)
        sum += r->values[y].data[i] * (weight ? weight[i] : 1);
    return sum;
}

enum { PROBES = 40 };

/* The gradient `dx` of leaf x of sum(y * weight) against central differences at up to PROBES elements. */
static inline void check_gradient(Run *r, ValueId x, ValueId y, const double *weight, const double *dx,
                                  const char *what) {
    const double h = 1e-5;
    const int64_t count = type_elems(&r->g->values.data[x].type, r->n), step = count / PROBES + 1;
    double largest = 1e-3;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(dx[i]));
    for (int64_t i = count > 1 ? (int64_t)(seed % (uint64_t)step) : 0; i < count; i += step) {
        double *at = &r->leaves[x].data[i], old = *at;
        *at = old + h;
        run(r);
        const double above = total(r, y, weight);
        *at = old - h;
        run(r);
        const double slope = (above - total(r, y, weight)) / (2 * h);
        *at = old;
        cr_assert_leq(fabs(slope - dx[i]), 1e-6 * largest, "%s, n %lld, %%%s[%lld]: %g, by differences %g",
                      what, (long long)r->n, r->g->values.data[x].name, (long long)i, dx[i], slope);
    }
}

#endif
