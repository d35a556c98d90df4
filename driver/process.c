/* A compiled model in this process: loading, calling, and the memory around it. */
#include "driver/process.h"
#include <string.h>

void *aligned_bytes(Context *cx, size_t size) { /* the arena aligns to 64 from 4096 bytes up */
    return arena_alloc(&cx->arena, size < 4096 ? 4096 : size);
}

static cnnrt_tensor describe(const char *name, const Type *t, int64_t batch) {
    cnnrt_tensor d = {.name = name, .dtype = t->dtype == DT_U8 ? CNNRT_U8 : CNNRT_F32, .rank = t->rank};
    for (uint32_t i = 0; i < t->rank; i++)
        d.dim[i] = t->dim[i].by_n && t->dim[i].size == 1 ? -1 : dim_at(t->dim[i], batch);
    d.bytes = (uint64_t)type_physical_bytes(t, batch);
    return d;
}

const cnnrt_tensor *model_tensors(const Compile *c, bool outputs, uint32_t *count) {
    const Graph *g = c->source;
    const uint32_t most = g ? g->inputs.len + g->outputs.len : c->loaded->bufs.len;
    cnnrt_tensor *t = NEW_ARRAY(&c->cx->arena, cnnrt_tensor, most + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; !g && i < most; i++) {
        const ModBuf *b = &c->loaded->bufs.data[i];
        if (b->kind == (outputs ? MB_OUT : MB_IN))
            t[n++] = describe(b->key ? b->key : b->name, &b->type, c->loaded->batch);
    }
    for (uint32_t i = 0; g && outputs && i < g->outputs.len; i++)
        t[n++] = describe(g->outputs.data[i].name, &g->values.data[g->outputs.data[i].value].type, g->batch);
    for (uint32_t i = 0; g && !outputs && i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        t[n++] = describe(v->name, &v->type, g->batch);
    }
    *count = n;
    return t;
}

void set_batch(Compile *c, int64_t n) {
    if (c->source && !c->source->n_fixed && !c->o->batch && n > 0)
        c->source->batch = n < MAX_BATCH ? n : MAX_BATCH; /* process_images splits what is more */
}

/* The linker of this process, unlike others, puts a large section among the rest. */
static bool check_reach(const Compile *c) {
    const uint64_t reach = (UINT64_C(2) << 30) - (UINT64_C(64) << 20);
    const uint64_t weights = backend_object_sizes(c->code).weights;
    return weights <= reach ||
           diag_error(&c->cx->diag, DIAG_JIT, NULL,
                      "%.1f GB of packed weights are more than runs in this process: link an object instead",
                      (double)weights / 1e9);
}

bool process_open(Compile *c, int64_t threads, Process *p) {
    *p = (Process){.c = c, .threads = threads ? (unsigned)threads : cnnrt_default_threads()};
    p->jit = check_reach(c) ? jit_open(c->cx, c->code) : NULL;
    if (!p->jit)
        return false;
    p->model = jit_symbol(p->jit, intern_f(c->cx, "%s_model", c->name));
    if (p->model && p->threads > 1 && !(p->pool = cnnrt_pool_create(p->threads)))
        diag_error(&c->cx->diag, DIAG_JIT, NULL, "%u threads cannot be made", p->threads);
    if (!p->model || (p->threads > 1 && !p->pool)) {
        process_close(p);
        return false;
    }
    p->work_bytes = p->model->workspace_shared + p->threads * p->model->workspace_per_thread;
    p->work = aligned_bytes(c->cx, p->work_bytes);
    return true;
}

bool process_call(Process *p, int64_t n, const void *const *inputs, void *const *outputs) {
    const int status = p->model->infer(n, inputs, outputs, NULL, p->work, p->work_bytes, p->pool);
    if (status == CNNRT_OK)
        return true;
    p->c->internal = status != CNNRT_E_CPU && status != CNNRT_E_BATCH;
    return diag_error(&p->c->cx->diag, DIAG_JIT, NULL, "calling the compiled code: %s",
                      cnnrt_strerror(status));
}

/* Where image `at` begins. */
static float *image_of(float *array, const cnnrt_tensor *t, int64_t at) {
    return array + (t->rank && t->dim[0] < 0 ? tensor_elems_for(t, at) : 0);
}

const void *input_bytes(Context *cx, const cnnrt_tensor *t, const float *array, int64_t n) {
    if (t->dtype != CNNRT_U8)
        return array;
    const size_t count = tensor_elems_for(t, n);
    unsigned char *bytes = NEW_ARRAY(&cx->arena, unsigned char, count + 1);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)array[i];
    return bytes;
}

bool process_images(Process *p, int64_t n, float *const *inputs, float *const *outputs) {
    const cnnrt_model *m = p->model;
    const void **in = NEW_ARRAY(&p->c->cx->arena, const void *, m->n_inputs + 1);
    void **out = NEW_ARRAY(&p->c->cx->arena, void *, m->n_outputs + 1);
    for (int64_t at = 0, step; at < n; at += step) {
        step = n - at < m->batch ? n - at : m->batch;
        for (uint32_t i = 0; i < m->n_inputs; i++)
            in[i] = input_bytes(p->c->cx, &m->inputs[i], image_of(inputs[i], &m->inputs[i], at), step);
        for (uint32_t i = 0; i < m->n_outputs; i++)
            out[i] = image_of(outputs[i], &m->outputs[i], at);
        if (!process_call(p, step, in, out))
            return false;
    }
    return true;
}

void process_close(Process *p) {
    if (p->pool)
        cnnrt_pool_destroy(p->pool);
    if (p->jit)
        jit_close(p->jit);
    *p = (Process){0};
}

size_t tensor_elems_for(const cnnrt_tensor *t, int64_t n) {
    size_t elems = 1; /* the compiler made sure that the bytes of a full batch can be counted */
    for (uint32_t i = 0; i < t->rank; i++)
        elems *= (size_t)(t->dim[i] < 0 ? n : t->dim[i]);
    return elems;
}

float **arrays_new(Context *cx, const cnnrt_tensor *t, uint32_t count, int64_t n) {
    float **arrays = NEW_ARRAY(&cx->arena, float *, count + 1);
    for (uint32_t i = 0; i < count; i++)
        arrays[i] = NEW_ARRAY(&cx->arena, float, tensor_elems_for(&t[i], n));
    return arrays;
}

void arrays_random(float **arrays, const cnnrt_tensor *t, uint32_t count, int64_t n, uint64_t seed) {
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (uint32_t i = 0; i < count; i++)
        for (size_t k = 0, elems = tensor_elems_for(&t[i], n); k < elems; k++) {
            x = x * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
            arrays[i][k] = t[i].dtype == CNNRT_U8 ? (float)(x >> 56) : (float)(int32_t)(x >> 32) * 0x1p-31f;
        }
}
