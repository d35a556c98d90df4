/* cnnc verify: compiled code against the reference evaluator, value by value, and against given outputs.
 *
 * The model is compiled twice. The object as it ships gives the outputs. A second one keeps every value of
 * the call in the workspace, so that each value that still equals one of the imported graph (its origin) can
 * be compared with what the evaluator says in double precision. Both must agree on the outputs to the bit. */
#include "driver/commands.h"
#include "driver/json_out.h"
#include "driver/process.h"
#include "ir/eval.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Row {
    const char *what, *name, *layer;
    const char *layout; /* of a value that is not dense; one value may be there in several */
    double error;       /* largest error over largest value */
} Row;

typedef struct Verify {
    Compile shipped, tapped;
    Options quiet; /* of tapped: nothing is printed twice */
    Process p, tap;
    const cnnrt_tensor *in, *out;
    uint32_t n_in, n_out;
    float **inputs, **outputs, **tap_outputs;
    int64_t n;
    Arena scratch;
    Tensor *reference; /* by value of the source graph */
    VEC(Row) rows;
} Verify;

/* ---- Inputs, reference, calls ---- */

static bool read_inputs(Verify *v) {
    Context *cx = v->shipped.cx;
    const Options *o = v->shipped.o;
    const char **paths = NEW_ARRAY(&cx->arena, const char *, v->n_in + 1);
    Array *arrays = NEW_ARRAY(&cx->arena, Array, v->n_in + 1);
    if (!bind_paths(cx, &o->inputs, "--input", v->in, v->n_in, paths))
        return false;
    for (uint32_t i = 0; i < v->n_in; i++)
        if (paths[i] && !input_read(&v->shipped, paths[i], i, &v->in[i], &arrays[i], &v->n))
            return false;
    if (!v->n)
        v->n = v->shipped.source ? v->shipped.source->batch : v->shipped.loaded->batch;
    v->inputs = arrays_new(cx, v->in, v->n_in, v->n);
    arrays_random(v->inputs, v->in, v->n_in, v->n, 1);
    for (uint32_t i = 0; i < v->n_in; i++)
        if (paths[i])
            v->inputs[i] = arrays[i].data;
    return true;
}

static void put_tensor(Verify *v, ValueId id, const float *data) {
    const Type *type = &v->shipped.source->values.data[id].type;
    Tensor *t = &v->reference[id];
    t->rank = type->rank;
    size_t count = 1;
    for (uint32_t d = 0; d < type->rank; d++) {
        t->dim[d] = dim_at(type->dim[d], v->n);
        count *= (size_t)t->dim[d];
    }
    t->data = NEW_ARRAY(&v->scratch, double, count);
    for (size_t i = 0; i < count; i++)
        t->data[i] = (double)data[i];
}

static bool evaluate(Verify *v) {
    const Graph *g = v->shipped.source;
    v->reference = NEW_ARRAY(&v->scratch, Tensor, g->values.len + 1);
    for (uint32_t i = 0; i < g->inputs.len; i++)
        put_tensor(v, g->inputs.data[i], v->inputs[i]);
    for (uint32_t i = 0; i < g->params.len; i++)
        put_tensor(v, g->params.data[i], v->shipped.weights.data[i]);
    watch_progress(&v->shipped.watch, "reference evaluation");
    const bool ok = graph_eval(g, v->n, v->reference, &v->scratch);
    watch_progress(&v->shipped.watch, NULL);
    return ok;
}

static bool compile_and_call(Verify *v, Compile *c, Process *p, float ***results) {
    if (!compile_passes(c) || !compile_object(c) || !process_open(c, c->o->threads, p))
        return false;
    *results = arrays_new(c->cx, v->out, v->n_out, v->n);
    return process_images(p, v->n, v->inputs, *results);
}

/* ---- Comparison ---- */

typedef struct Worst {
    double error, value; /* the largest of each */
} Worst;

static void worse(Worst *w, double got, double want) {
    if (isnan(got) && isnan(want))
        return;
    if (isfinite(want) && fabs(want) > w->value)
        w->value = fabs(want);
    if (got == want)
        return;
    const double error = isfinite(got) && isfinite(want) ? fabs(got - want) : INFINITY;
    if (error > w->error)
        w->error = error;
}

static double relative(Worst w) {
    return w.error == 0 ? 0 : w.value > 0 ? w.error / w.value : INFINITY;
}

static void add_row(Verify *v, const char *what, const char *name, double error) {
    vec_push(&v->shipped.cx->arena, &v->rows, (Row){.what = what, .name = name, .error = error});
}

static void add_value(Verify *v, const Step *s, const Type *type, double error) {
    Row r = {.what = "value", .name = s->origin, .layer = s->name, .error = error};
    if (!layout_is_dense(&type->layout)) {
        StrBuf sb = sb_new(&v->shipped.cx->arena);
        layout_print(&sb, type);
        r.layout = sb_str(&sb);
    }
    vec_push(&v->shipped.cx->arena, &v->rows, r);
}

/* The elements of `data`, which lie as `type` says, against the dense reference. */
static Worst compare_layout(const Type *type, int64_t n, const float *data, const Tensor *want) {
    Worst w = {0};
    int64_t coord[MAX_RANK] = {0}, count = type_elems(type, n);
    for (int64_t i = 0; i < count; i++) {
        worse(&w, (double)data[type_offset(type, coord)], want->data[i]);
        for (int d = type->rank - 1; d >= 0 && ++coord[d] == dim_at(type->dim[d], n); d--)
            coord[d] = 0;
    }
    return w;
}

static bool same_shape(const Type *type, int64_t n, const Tensor *t) {
    bool same = type->rank == t->rank;
    for (int d = 0; same && d < type->rank; d++)
        same = dim_at(type->dim[d], n) == t->dim[d];
    return same;
}

/* What the last output argument of a step holds, if it lies in the workspace. */
static const float *tapped_data(const Verify *v, const Step *s, const Type **type) {
    const LoopModule *m = v->tapped.loops;
    const Kernel *k = m->kernels.data[s->kernel];
    for (uint32_t i = k->n_params; i-- > 0;) {
        if (k->bufs.data[i].kind != LB_OUT && k->bufs.data[i].kind != LB_INOUT)
            continue;
        const ModBuf *b = &m->bufs.data[s->args[i].buf];
        if (b->kind != MB_WORK || b->type.dtype != DT_F32 || b->offset < 0 || s->args[i].offset)
            return NULL;
        *type = &b->type;
        return (const float *)(const void *)(v->tap.work + b->offset);
    }
    return NULL;
}

static void compare_values(Verify *v) {
    const Graph *g = v->shipped.source;
    const Entry *infer = loops_entry(v->tapped.loops, "infer");
    for (uint32_t i = 0; infer && i < infer->steps.len; i++) {
        const Step *s = &infer->steps.data[i];
        const ValueId id = s->origin ? graph_find(g, s->origin) : NO_VALUE;
        const Type *type = NULL;
        const float *data = id == NO_VALUE ? NULL : tapped_data(v, s, &type);
        if (data && v->reference[id].data && same_shape(type, v->n, &v->reference[id]))
            add_value(v, s, type, relative(compare_layout(type, v->n, data, &v->reference[id])));
    }
}

static void compare_outputs(Verify *v) {
    for (uint32_t i = 0; i < v->n_out; i++) {
        const size_t count = tensor_elems_for(&v->out[i], v->n);
        if (v->tapped.code.data && memcmp(v->outputs[i], v->tap_outputs[i], count * sizeof(float)) != 0)
            add_row(v, "both plans", v->out[i].name, INFINITY);
        if (!v->reference)
            continue;
        const Tensor *want = &v->reference[v->shipped.source->outputs.data[i].value];
        Worst w = {0};
        for (size_t k = 0; k < count; k++)
            worse(&w, (double)v->outputs[i][k], want->data[k]);
        add_row(v, "output", v->out[i].name, relative(w));
    }
}

static bool compare_expected(Verify *v) {
    Context *cx = v->shipped.cx;
    const char **paths = NEW_ARRAY(&cx->arena, const char *, v->n_out + 1);
    if (!bind_paths(cx, &v->shipped.o->expects, "--expect", v->out, v->n_out, paths))
        return false;
    for (uint32_t i = 0; i < v->n_out; i++) {
        Array a;
        if (!paths[i])
            continue;
        if (!array_read(cx, paths[i], &a) || !array_fits(cx, &a, &v->out[i], &v->n))
            return false;
        Worst w = {0};
        for (size_t k = 0; k < a.count; k++)
            worse(&w, (double)v->outputs[i][k], (double)a.data[k]);
        add_row(v, "expected", v->out[i].name, relative(w));
    }
    return true;
}

/* ---- Report ---- */

static bool within(const Verify *v, const Row *r) {
    return r->error <= v->shipped.o->rtol;
}

static void print_rows(const Verify *v) {
    const Row *worst = NULL;
    printf("%-12s %-24s %-16s %10s\n", "", "", "layout", "error");
    for (uint32_t i = 0; i < v->rows.len; i++) {
        const Row *r = &v->rows.data[i];
        printf("%-12s %-24s %-16s %10.2e%s\n", r->what, r->name, r->layout ? r->layout : "", r->error,
               within(v, r) ? "" : "  too large");
        if (!worst || r->error > worst->error)
            worst = r;
    }
    if (worst)
        printf(
            "%u comparisons, batch %lld, %s; largest error over largest value %.2e (%s %s), allowed %.2e\n",
            v->rows.len, (long long)v->n, v->shipped.target.cpu, worst->error, worst->what, worst->name,
            v->shipped.o->rtol);
}

static void print_json(const Verify *v) {
    JsonOut j = json_begin(&v->shipped.cx->arena, "cnnc-verify/1");
    json_text(&j, "model", compile_model_name(&v->shipped));
    json_text(&j, "cpu", v->shipped.target.cpu);
    json_int(&j, "batch", v->n);
    json_real(&j, "rtol", v->shipped.o->rtol);
    json_open(&j, "comparisons", '[');
    for (uint32_t i = 0; i < v->rows.len; i++) {
        const Row *r = &v->rows.data[i];
        json_open(&j, NULL, '{');
        json_text(&j, "what", r->what);
        json_text(&j, "name", r->name);
        json_text(&j, "layer", r->layer);
        json_text(&j, "layout", r->layout);
        json_real(&j, "error", r->error);
        json_bool(&j, "ok", within(v, r));
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_end(&j);
}

static bool judge(Verify *v) {
    Diag *d = &v->shipped.cx->diag;
    bool ok = true;
    for (uint32_t i = 0; i < v->rows.len; i++) {
        const Row *r = &v->rows.data[i];
        if (!within(v, r))
            ok = diag_error(d, DIAG_MISMATCH, r->layer ? &(Loc){.name = r->layer} : NULL,
                            "%s %s: largest error over largest value is %.2e, allowed are %.2e", r->what,
                            r->name, r->error, v->shipped.o->rtol);
    }
    return ok;
}

static bool compare_reference(Verify *v) {
    if (!v->shipped.source) /* loop IR: there is no graph to evaluate */
        return v->shipped.o->expects.len ||
               diag_error(&v->shipped.cx->diag, DIAG_INPUT_DATA, NULL,
                          "loop IR can only be compared with given outputs: --expect y.npy");
    if (v->n > v->shipped.source->batch)
        return diag_error(&v->shipped.cx->diag, DIAG_INPUT_DATA, NULL,
                          "values are compared within one call: %lld images need a --batch of as many",
                          (long long)v->n);
    v->quiet = *v->shipped.o;
    v->quiet.print_after = v->quiet.print_before = (TextList){0};
    v->quiet.print_after_all = v->quiet.print_changed = false;
    v->quiet.dump_dir = NULL;
    v->tapped.o = &v->quiet;
    v->tapped.keep_all = true;
    v->tapped.watch = watch_new(v->shipped.cx, &v->quiet, true);
    if (!compile_and_call(v, &v->tapped, &v->tap, &v->tap_outputs) || !evaluate(v))
        return false;
    compare_values(v);
    return true;
}

static bool verify(Verify *v) {
    if (!compile_import(&v->shipped))
        return false;
    v->in = model_tensors(&v->shipped, false, &v->n_in);
    v->out = model_tensors(&v->shipped, true, &v->n_out);
    if (!read_inputs(v))
        return false;
    set_batch(&v->shipped, v->n);
    v->tapped = v->shipped; /* from here the two part */
    if (!compile_and_call(v, &v->shipped, &v->p, &v->outputs) || !compare_reference(v))
        return false;
    compare_outputs(v);
    if (!compare_expected(v))
        return false;
    if (v->shipped.o->json)
        print_json(v);
    else
        print_rows(v);
    return judge(v);
}

int verify_main(Context *cx, const Options *o) {
    Verify v = {.shipped = {.cx = cx,
                            .o = o,
                            .needs_loops = true,
                            .needs_object = true,
                            .needs_code = true,
                            .needs_weights = true}};
    arena_init(&v.scratch, cx->arena.oom);
    v.scratch.limit = cx->arena.limit;
    const bool ok = verify(&v);
    process_close(&v.p);
    process_close(&v.tap);
    arena_free(&v.scratch);
    if (ok && o->time_passes)
        watch_print_times(&v.shipped.watch);
    return ok                                            ? STATUS_OK
           : v.tapped.internal || v.tapped.unit.internal ? STATUS_INTERNAL
                                                         : compile_fault(&v.shipped);
}
