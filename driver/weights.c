/* The packed weights block: the module's own `prepare`, compiled for this machine and run here. Whatever the
 * target is, it packs the same bits, since it uses no contraction. */
#include "driver/compile.h"
#include <cnnrt.h>
#include <string.h>

/* `size` bytes at a cache line's alignment; the arena gives that from 4096 bytes up. */
static void *aligned_block(Context *cx, int64_t size) {
    return arena_alloc(&cx->arena, size < 4096 ? 4096 : (size_t)size);
}

/* The module with nothing but `prepare` and the kernels it calls. */
static LoopModule *prepare_alone(const Compile *c, const LoopModule *m, const Entry *prepare) {
    LoopModule *alone = NEW(&c->cx->arena, LoopModule);
    *alone = *m;
    memset(&alone->kernels, 0, sizeof alone->kernels);
    memset(&alone->entries, 0, sizeof alone->entries);
    uint32_t *number = NEW_ARRAY(&c->cx->arena, uint32_t, m->kernels.len); /* new number + 1, 0: not there */
    Entry *entry = loops_add_entry(alone, "prepare");
    for (uint32_t i = 0; i < prepare->steps.len; i++) {
        Step s = prepare->steps.data[i];
        if (!number[s.kernel]) {
            vec_push(&c->cx->arena, &alone->kernels, m->kernels.data[s.kernel]);
            number[s.kernel] = alone->kernels.len;
        }
        s.kernel = number[s.kernel] - 1;
        vec_push(&c->cx->arena, &entry->steps, s);
    }
    return alone;
}

const float *weights_find(const Compile *c, const char *key) {
    const Graph *g = c->source ? c->source : c->parameters;
    for (uint32_t i = 0; i < g->params.len && c->weights.data; i++)
        if (!strcmp(g->values.data[g->params.data[i]].key, key))
            return c->weights.data[i];
    return NULL;
}

/* The arguments of prepare: raw parameters in the module's order. NULL after a diagnostic. */
static const void **raw_parameters(Compile *c, const LoopModule *m) {
    const void **raw = NEW_ARRAY(&c->cx->arena, const void *, m->bufs.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind != MB_PARAM)
            continue;
        const char *key = b->key ? b->key : b->name;
        if (!(raw[n++] = weights_find(c, key))) {
            diag_error(&c->cx->diag, DIAG_INPUT_DATA, NULL, "there are no weights for \"%s\"", key);
            return NULL;
        }
    }
    return raw;
}

/* `prepare` runs here before anything is written, so a slip in a file's loop would hang the compiler. */
static bool check_work(const Compile *c, const LoopModule *m, const Entry *prepare) {
    const double limit = 0x1p40; /* far above what packing gigabytes of weights needs */
    return loops_most_work(m, prepare) <= limit ||
           diag_error(
               &c->cx->diag, DIAG_LOOP_SIZE, &(Loc){.file = c->o->model},
               "packing the weights may take more than 2^40 statements: see the loops that @prepare calls");
}

/* Run prepare on raw weights; `block` gets the packed ones. */
static bool run_prepare(Compile *c, LoopModule *alone, void *block) {
    const void **raw = raw_parameters(c, alone);
    Target host;
    Bytes code;
    const ObjectOptions options = {.name = c->name, .with_prepare = true};
    if (!raw || !backend_target(c->cx, NULL, "native", NULL, &host) ||
        !backend_emit(c->cx, alone, &host, EMIT_OBJECT, &options, &code))
        return false;
    Jit *jit = jit_open(c->cx, code);
    if (!jit)
        return false;
    const cnnrt_model *model = jit_symbol(jit, intern_f(c->cx, "%s_model", c->name));
    int status = CNNRT_OK;
    if (model) {
        void *work = aligned_block(c->cx, (int64_t)model->prepare_bytes);
        status = model->prepare(raw, block, model->weights_bytes, work, model->prepare_bytes);
    }
    jit_close(jit);
    if (status != CNNRT_OK)
        c->internal =
            !diag_error(&c->cx->diag, DIAG_JIT, NULL, "packing the weights: %s", cnnrt_strerror(status));
    return model && status == CNNRT_OK;
}

/* Pack them to where they stand in the object. */
static bool embed_packed(Compile *c, LoopModule *m, unsigned char *block) {
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind == MB_CONST && b->data && b->offset >= 0)
            memcpy(block + b->offset, b->data, (size_t)type_physical_bytes(&b->type, m->batch));
    }
    const Entry *prepare = loops_entry(m, "prepare");
    return !prepare || !prepare->steps.len ||
           (check_work(c, m, prepare) && run_prepare(c, prepare_alone(c, m, prepare), block));
}

/* A block for each CPU. */
static bool embed_all_packed(Compile *c, unsigned char *block) {
    bool ok = embed_packed(c, c->loops, block);
    LoopModule *before = c->loops;
    for (uint32_t i = 0; i + 1 < c->targets.len && ok; i++) {
        block += (before->const_bytes + 63) & ~INT64_C(63);
        before = c->others[i].m;
        ok = embed_packed(c, before, block);
    }
    return ok;
}

static bool embed_raw(Compile *c, unsigned char *block) {
    const LoopModule *m = c->loops;
    const void **raw = raw_parameters(c, m);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->bufs.len && raw; i++)
        if (m->bufs.data[i].kind == MB_PARAM)
            memcpy(block + backend_raw_offset(m, i), raw[n++],
                   (size_t)type_physical_bytes(&m->bufs.data[i].type, 1));
    return raw != NULL;
}

bool weights_embed(Compile *c) {
    unsigned char *block = backend_object_weights(c->code);
    return !block || (c->object.weights == WEIGHTS_RAW ? embed_raw(c, block) : embed_all_packed(c, block));
}
