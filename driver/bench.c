/* cnnc bench: compile a model and measure calls in this process, on random inputs. */
#include "driver/bench.h"
#include "driver/commands.h"
#include "driver/json_out.h"
#include "driver/process.h"
#include <stdio.h>
#include <stdlib.h>

double graph_flops(const Graph *g, int64_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < g->nodes.len; i++)
        sum += node_flops(g, &g->nodes.data[i], n);
    return sum;
}

double node_flops(const Graph *g, const Node *n, int64_t batch) {
    Type types[MAX_OPERANDS];
    const uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    for (uint32_t i = 0; i < own; i++)
        types[i] = g->values.data[n->operands[i]].type;
    const Type *out = &g->values.data[n->result].type;
    const OpCall call = {
        .cx = g->cx, .op = n->op, .attrs = n->attrs, .operands = types, .n = own, .loc = n->loc};
    return (op_desc(n->op)->flops ? op_desc(n->op)->flops(&call, out, batch)
                                  : (double)type_elems(out, batch)) +
           (n->prologue ? graph_flops(n->prologue, batch) : 0) +
           (n->epilogue ? graph_flops(n->epilogue, batch) : 0);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef VEC(double) Times;

/* Calls for `seconds`, and at least three; the first, which warms caches and threads, does not count. */
static bool measure(Process *p, Times *times) {
    Context *cx = p->c->cx;
    const cnnrt_model *m = p->model;
    float **in = arrays_new(cx, m->inputs, m->n_inputs, m->batch);
    float **out = arrays_new(cx, m->outputs, m->n_outputs, m->batch);
    const void **args = NEW_ARRAY(&cx->arena, const void *, m->n_inputs + 1);
    void **results = NEW_ARRAY(&cx->arena, void *, m->n_outputs + 1);
    arrays_random(in, m->inputs, m->n_inputs, m->batch, 1);
    for (uint32_t i = 0; i < m->n_inputs; i++)
        args[i] = input_bytes(cx, &m->inputs[i], in[i], m->batch);
    for (uint32_t i = 0; i < m->n_outputs; i++)
        results[i] = out[i];
    if (!process_call(p, m->batch, args, results))
        return false;
    watch_progress(&p->c->watch, "measuring");
    for (const double end = watch_now() + p->c->o->seconds; times->len < 3 || watch_now() < end;) {
        const double start = watch_now();
        if (!process_call(p, m->batch, args, results))
            return false;
        vec_push(&cx->arena, times, watch_now() - start);
    }
    watch_progress(&p->c->watch, NULL);
    qsort(times->data, times->len, sizeof *times->data, by_value);
    return true;
}

static void report(const Process *p, const Times *times) {
    const Compile *c = p->c;
    const double least = times->data[0], median = times->data[times->len / 2];
    const int64_t n = p->model->batch;
    const double flops = c->source ? graph_flops(c->source, n) : 0;
    if (!c->o->json) {
        printf("%s on %s, batch %lld, %u thread%s: min %.4g ms, median %.4g ms in %u calls; %.4g images/s",
               compile_model_name(c), c->target.cpu, (long long)n, p->threads, p->threads == 1 ? "" : "s",
               least * 1e3, median * 1e3, times->len, (double)n / median);
        if (flops > 0)
            printf(", %.4g GFLOP/s (%.4g GFLOP a call)", flops / median * 1e-9, flops * 1e-9);
        printf("\n");
        return;
    }
    JsonOut j = json_begin(&c->cx->arena, "cnnc-bench/1");
    json_text(&j, "model", compile_model_name(c));
    json_text(&j, "cpu", c->target.cpu);
    json_int(&j, "batch", n);
    json_int(&j, "threads", p->threads);
    json_int(&j, "calls", times->len);
    json_real(&j, "min_ms", least * 1e3);
    json_real(&j, "median_ms", median * 1e3);
    json_real(&j, "images_per_second", (double)n / median);
    json_real(&j, "flops", flops);
    json_real(&j, "gflops_per_second", flops / median * 1e-9);
    json_end(&j);
}

int bench_main(Context *cx, const Options *o) {
    Compile c = {.cx = cx,
                 .o = o,
                 .needs_loops = true,
                 .needs_object = true,
                 .needs_code = true,
                 .needs_weights = true};
    Process p = {0};
    Times times = {0};
    const bool ok = compile_all(&c) && process_open(&c, o->threads, &p) && measure(&p, &times);
    if (ok)
        report(&p, &times);
    process_close(&p);
    if (ok && o->time_passes)
        watch_print_times(&c.watch);
    return ok ? STATUS_OK : compile_fault(&c);
}
