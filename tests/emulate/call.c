/* Calls MODEL (a cnnrt_model) without a pool and with pools of 1, 2 and 5 threads, which must give the same
 * bytes:
 *
 *     call N IN OUT [W.safetensors]
 *
 * IN holds the inputs, for training then the targets, OUT gets the outputs; for training of each of STEPS
 * steps on them the loss and the state, whose tensors are listed on standard output as "role name offset
 * bytes". The first line there is the CPU whose code runs. Weights are packed from the file where one is
 * named. The exit status is cnnrt's; 100: other bytes, 101: the files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnrt.h"

enum { STEPS = 2, POINTERS = 16 };

extern const cnnrt_model MODEL;
#ifdef PICKED
const char *PICKED(void);
#endif

static int64_t n;
static const void *in[POINTERS], *target[POINTERS];
static void *weights;

static size_t bytes_of(const cnnrt_tensor *t) {
    return (size_t)t->bytes / (size_t)MODEL.batch * (size_t)n;
}

static void *block(size_t size) {
    void *p = aligned_alloc(64, (size + 64) / 64 * 64);
    if (!p)
        exit(101);
    return memset(p, 0xff, (size + 64) / 64 * 64); /* f32: NaN */
}

static char *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        exit(101);
    *size = (size_t)ftell(f);
    char *data = block(*size);
    rewind(f);
    if (fread(data, 1, *size, f) != *size || fclose(f))
        exit(101);
    return data;
}

/* Pointers into `data` for each tensor; what is left of it. */
static char *bind(const cnnrt_tensor *tensors, uint32_t count, const void **to, char *data) {
    for (uint32_t i = 0; i < count; i++) {
        to[i] = data;
        data += bytes_of(&tensors[i]);
    }
    return data;
}

static void ok(int status) {
    if (status)
        exit(status);
}

static size_t output_bytes(void) {
    size_t size = 0;
    for (uint32_t i = 0; i < MODEL.n_outputs; i++)
        size += bytes_of(&MODEL.outputs[i]);
    return size;
}

static size_t result_bytes(void) {
    const cnnrt_training *t = MODEL.training;
    return t ? STEPS * (sizeof(float) + (size_t)t->state_bytes) : output_bytes();
}

static void call(cnnrt_pool *pool, char *result) {
    const cnnrt_training *t = MODEL.training;
    void *out[POINTERS];
    char *scores = t ? block(output_bytes()) : result;
    size_t size = MODEL.workspace_shared + (pool ? pool->threads : 1) * MODEL.workspace_per_thread;
    void *work = block(size), *state = t ? block(t->state_bytes) : NULL;
    bind(MODEL.outputs, MODEL.n_outputs, (const void **)out, scores);
    if (!t)
        ok(MODEL.infer(n, in, out, weights, work, size, pool));
    else
        ok(t->state_init(state, t->state_bytes, 1));
    for (int i = 0; t && i < STEPS; i++) {
        float loss;
        ok(t->train_step(n, in, target, &loss, out, state, t->hyper, weights, work, size, pool));
        memcpy(result, &loss, sizeof loss);
        memcpy(result + sizeof loss, state, t->state_bytes);
        result += sizeof loss + t->state_bytes;
    }
}

static void describe(void) {
    const cnnrt_training *t = MODEL.training;
#ifdef PICKED
    const char *cpu = PICKED();
    printf("%s\n", cpu ? cpu : "none");
#else
    printf("%s\n", MODEL.cpu);
#endif
    for (uint32_t i = 0; t && i < t->n_state; i++)
        printf("%u %s %llu %llu\n", t->state[i].role, t->state[i].tensor.name,
               (unsigned long long)t->state[i].offset, (unsigned long long)t->state[i].tensor.bytes);
    fflush(stdout);
}

static void pack(const char *path) {
    size_t size;
    char *file = read_file(path, &size);
    size_t work = cnnrt_prepare_bytes(&MODEL, file, size);
    weights = block(MODEL.weights_bytes);
    ok(cnnrt_prepare(&MODEL, file, size, weights, MODEL.weights_bytes, block(work), work, NULL, 0));
}

int main(int argc, char **argv) {
    static const unsigned threads[3] = {1, 2, 5};
    if (argc < 4)
        return 101;
    describe();
    n = atoll(argv[1]);
    size_t size;
    char *rest = bind(MODEL.inputs, MODEL.n_inputs, in, read_file(argv[2], &size));
    if (MODEL.training)
        bind(MODEL.training->targets, MODEL.training->n_targets, target, rest);
    if (argc > 4)
        pack(argv[4]);
    char *want = block(result_bytes()), *got = block(result_bytes());
    call(NULL, want);
    for (int i = 0; i < 3; i++) {
        cnnrt_pool *pool = cnnrt_pool_create(threads[i]);
        call(pool, got);
        cnnrt_pool_destroy(pool);
        if (memcmp(want, got, result_bytes()))
            return 100;
    }
    FILE *f = fopen(argv[3], "wb");
    return f && fwrite(want, 1, result_bytes(), f) == result_bytes() && !fclose(f) ? 0 : 101;
}
