/* A softmax regression written by hand as a training object, with data of its own: what the tests of
 * cnnrt-train train. */
#ifndef TESTS_UNIT_REGRESSION_H
#define TESTS_UNIT_REGRESSION_H

#include "runtime/cnnrt-train/cnnrt_train.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The model: y = W x' + b, x' = x with noise from seed and calls (as dropout would); SGD with momentum,
 * a running mean of x ---- */

enum { IN = 5, OUT = 6, BATCH = 8, N_WEIGHT = OUT * IN };

typedef struct State {
    uint64_t head[8];
    float w[N_WEIGHT], b[OUT + 2];
    float mean[IN + 3];
    float slot_w[N_WEIGHT], slot_b[OUT];
    float grad_w[N_WEIGHT], grad_b[OUT];
    int64_t step, calls, accumulated, seed;
} State;

#define TENSOR(role, name, member, dtype, rank, a, c, bytes)                                                 \
    {{name, dtype, rank, {a, c}, bytes}, role, 0, offsetof(State, member)}
static const cnnrt_state_tensor tensors[] = {
    TENSOR(CNNRT_PARAM, "fc.weight", w, CNNRT_F32, 2, OUT, IN, sizeof(float[N_WEIGHT])),
    TENSOR(CNNRT_PARAM, "fc.bias", b, CNNRT_F32, 1, OUT, 0, sizeof(float[OUT])),
    TENSOR(CNNRT_BUFFER, "bn.running_mean", mean, CNNRT_F32, 1, IN, 0, sizeof(float[IN])),
    TENSOR(CNNRT_SLOT, "momentum_buffer/fc.weight", slot_w, CNNRT_F32, 2, OUT, IN, sizeof(float[N_WEIGHT])),
    TENSOR(CNNRT_SLOT, "momentum_buffer/fc.bias", slot_b, CNNRT_F32, 1, OUT, 0, sizeof(float[OUT])),
    TENSOR(CNNRT_GRAD, "grad/fc.weight", grad_w, CNNRT_F32, 2, OUT, IN, sizeof(float[N_WEIGHT])),
    TENSOR(CNNRT_GRAD, "grad/fc.bias", grad_b, CNNRT_F32, 1, OUT, 0, sizeof(float[OUT])),
    TENSOR(CNNRT_COUNTER, "step", step, CNNRT_I64, 1, 1, 0, 8),
    TENSOR(CNNRT_COUNTER, "calls", calls, CNNRT_I64, 1, 1, 0, 8),
    TENSOR(CNNRT_COUNTER, "accumulated", accumulated, CNNRT_I64, 1, 1, 0, 8),
    TENSOR(CNNRT_COUNTER, "seed", seed, CNNRT_I64, 1, 1, 0, 8),
};

static inline int state_init(void *state, size_t bytes, uint64_t seed) {
    State *s = state;
    if (!s || (uintptr_t)s % 64 != 0 || bytes < sizeof *s)
        return CNNRT_E_STATE;
    memset(s, 0, sizeof *s);
    s->head[0] = 0x5e1f;
    s->seed = (int64_t)seed;
    for (int i = 0; i < N_WEIGHT; i++)
        s->w[i] = 0.01f * (float)(i % 7 - 3);
    return CNNRT_OK;
}

static inline float noise(uint64_t seed, uint64_t calls, uint64_t i) {
    uint64_t h = seed * 0x9e3779b97f4a7c15u + calls * 0xbf58476d1ce4e5b9u + i * 0x94d049bb133111ebu;
    h = (h ^ h >> 31) * 0x2545f4914f6cdd1du;
    return 0.05f * ((float)(h >> 40) / (float)(1 << 24) - 0.5f);
}

/* Outputs, loss, and when `s` is not NULL gradients. */
static inline int run(int64_t n, const float *x, const int64_t *label, float *loss, float *y,
                      const State *from, State *s, double scale) {
    double sum = 0;
    if (from->head[0] != 0x5e1f)
        return CNNRT_E_STATE;
    for (int64_t k = 0; k < n; k++)
        if (label[k] < 0 || label[k] >= OUT)
            return CNNRT_E_LABEL;
    if (s && s->accumulated == 0)
        memset(s->grad_w, 0, sizeof s->grad_w + sizeof s->grad_b);
    for (int64_t k = 0; k < n; k++) {
        float in[IN], *o = y + k * OUT, total = 0;
        for (int i = 0; i < IN; i++)
            in[i] = x[k * IN + i] +
                    (s ? noise((uint64_t)s->seed, (uint64_t)s->calls, (uint64_t)(k * IN + i)) : 0);
        for (int c = 0; c < OUT; c++) {
            o[c] = from->b[c];
            for (int i = 0; i < IN; i++)
                o[c] += from->w[c * IN + i] * in[i];
        }
        for (int c = 0; c < OUT; c++)
            total += expf(o[c]);
        sum += (double)(logf(total) - o[label[k]]);
        for (int c = 0; s && c < OUT; c++) {
            float d = (expf(o[c]) / total - (float)(label[k] == c)) * (float)(scale / (double)n);
            s->grad_b[c] += d;
            for (int i = 0; i < IN; i++)
                s->grad_w[c * IN + i] += d * in[i];
        }
        for (int i = 0; s && i < IN; i++)
            s->mean[i] += 0.01f * (x[k * IN + i] - s->mean[i]);
    }
    if (s) {
        s->calls++;
        s->accumulated++;
    }
    *loss = (float)(sum / (double)n);
    return CNNRT_OK;
}

static inline int backward(int64_t n, const void *const *in, const void *const *target, float *loss,
                           void *const *out, void *state, const double *hyper, const void *weights,
                           void *work, size_t work_bytes, cnnrt_pool *pool) {
    (void)weights, (void)work, (void)work_bytes, (void)pool;
    return run(n, in[0], target[0], loss, out[0], state, state, hyper[CNNRT_HYPER_GRAD_SCALE]);
}

static inline int eval(int64_t n, const void *const *in, const void *const *target, float *loss,
                       void *const *out, const void *state, const void *weights, void *work,
                       size_t work_bytes, cnnrt_pool *pool) {
    (void)weights, (void)work, (void)work_bytes, (void)pool;
    return run(n, in[0], target[0], loss, out[0], state, NULL, 0);
}

static inline int zero_grad(void *state) {
    ((State *)state)->accumulated = 0;
    return CNNRT_OK;
}

static inline int apply(void *state, const double *hyper, void *work, size_t work_bytes, cnnrt_pool *pool) {
    State *s = state;
    const double *g = hyper + CNNRT_HYPER_GROUPS;
    (void)work, (void)work_bytes, (void)pool;
    for (int i = 0; i < N_WEIGHT; i++) {
        s->slot_w[i] = (float)g[CNNRT_HYPER_MOMENTUM] * s->slot_w[i] + s->grad_w[i];
        s->w[i] -= (float)g[CNNRT_HYPER_LR] * s->slot_w[i];
    }
    for (int i = 0; i < OUT; i++) {
        s->slot_b[i] = (float)g[CNNRT_HYPER_MOMENTUM] * s->slot_b[i] + s->grad_b[i];
        s->b[i] -= (float)g[CNNRT_HYPER_LR] * s->slot_b[i];
    }
    s->step++;
    return CNNRT_OK;
}

static inline int train_step(int64_t n, const void *const *in, const void *const *target, float *loss,
                             void *const *out, void *state, const double *hyper, const void *weights,
                             void *work, size_t work_bytes, cnnrt_pool *pool) {
    int status = zero_grad(state);
    status =
        status ? status : backward(n, in, target, loss, out, state, hyper, weights, work, work_bytes, pool);
    return status ? status : apply(state, hyper, work, work_bytes, pool);
}

static const cnnrt_tensor input = {"x", CNNRT_F32, 2, {-1, IN}, sizeof(float[IN * BATCH])};
static const cnnrt_tensor target = {"label", CNNRT_I64, 1, {-1}, sizeof(int64_t[BATCH])};
static const cnnrt_tensor output = {"y", CNNRT_F32, 2, {-1, OUT}, sizeof(float[OUT * BATCH])};
static const cnnrt_tensor frozen = {"stem.weight", CNNRT_F32, 1, {3}, 12};
static const double hyper_default[] = {1, 0, 0.1, 0, 0.9};

static const cnnrt_training training = {
    .struct_size = sizeof training,
    .n_state = sizeof tensors / sizeof *tensors,
    .n_targets = 1,
    .n_groups = 1,
    .n_hyper = 5,
    .state = tensors,
    .targets = &target,
    .hyper = hyper_default,
    .loss = "CrossEntropyLoss",
    .optimizer = "SGD",
    .n_trained = N_WEIGHT + OUT,
    .n_frozen = 3,
    .state_bytes = sizeof(State),
    .state_init = state_init,
    .train_step = train_step,
    .zero_grad = zero_grad,
    .backward = backward,
    .apply = apply,
    .eval = eval,
};

static const cnnrt_model model = {
    .abi_version = CNNRT_ABI_VERSION,
    .struct_size = sizeof model,
    .name = "regression",
    .cpu = "any",
    .hash = 0x0123456789abcdef,
    .batch = BATCH,
    .n_inputs = 1,
    .n_outputs = 1,
    .n_params = 1,
    .inputs = &input,
    .outputs = &output,
    .params = &frozen,
    .training = &training,
};

/* ---- The data: `count` samples of OUT classes, in another order each epoch ---- */

typedef struct Data {
    int64_t count, at;
    uint64_t epoch;
    int64_t nan_at; /* this sample of each epoch from nan_epoch on is no number; -1: none */
    uint64_t nan_epoch;
    int64_t fail_at; /* next fails there; -1: never */
    int wrong;       /* labels are those of another class */
    int64_t most;    /* samples that next gives at once; 0: all that are asked for */
    int bad_label;
} Data;

static inline int data_begin(void *arg, uint64_t epoch, int64_t first) {
    Data *d = arg;
    d->epoch = epoch;
    d->at = first;
    return CNNRT_OK;
}

static inline int64_t data_next(void *arg, int64_t most, float *x, void *label) {
    Data *d = arg;
    int64_t n = d->count - d->at < most ? d->count - d->at : most;
    if (d->most > 0 && n > d->most)
        n = d->most;
    for (int64_t k = 0; k < n; k++, d->at++) {
        const uint64_t i = ((uint64_t)d->at * 7 + d->epoch * 13) % (uint64_t)d->count;
        const int64_t class = (int64_t)(i % OUT);
        if (d->at == d->fail_at)
            return -CNNRT_E_FILE;
        for (int j = 0; j < IN; j++)
            x[k * IN + j] =
                (j == class % IN ? 1.0f : 0.0f) - (class == IN ? 0.5f : 0.0f) + 8 * noise(5, i, (uint64_t)j);
        if (d->at == d->nan_at && d->epoch >= d->nan_epoch)
            x[k * IN] = NAN;
        ((int64_t *)label)[k] = d->bad_label ? OUT : d->wrong ? (class + 1) % OUT : class;
    }
    return n;
}

static inline const char *data_error(void *arg) {
    (void)arg;
    return "the data is gone";
}

#define DATA(n) (&(Data){.count = (n), .nan_at = -1, .fail_at = -1})

static inline cnnrt_source source(Data *d) {
    return (cnnrt_source){.arg = d,
                          .count = d->count,
                          .input_elements = IN,
                          .target_elements = 1,
                          .target_dtype = CNNRT_I64,
                          .begin = data_begin,
                          .next = data_next,
                          .error = data_error};
}

/* ---- Help ---- */

static char root[] = "/tmp/cnnrt-train-XXXXXX";

static inline void make_root(void) {
    cr_assert_not_null(mkdtemp(root));
}

static inline void remove_root(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_expect_eq(system(command), 0);
}

static inline const char *at(const char *name) {
    static char path[2][256];
    static int which;
    which = !which;
    snprintf(path[which], sizeof path[which], "%s/%s", root, name);
    return path[which];
}

static inline unsigned char *get(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    unsigned char *p = malloc(1 << 20);
    *size = fread(p, 1, 1 << 20, f);
    fclose(f);
    return p;
}

static inline void put(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static inline State *state_new(void) {
    State *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    cr_assert_eq(state_init(s, sizeof *s, 3), CNNRT_OK);
    return s;
}

static inline cnnrt_fit_options options(int64_t epochs) {
    cnnrt_fit_options o = {.epochs = epochs, .seed = 3};
    cnnrt_schedule_defaults(&o.schedule, CNNRT_CONSTANT_LR);
    return o;
}

static inline int fit(Data *train, Data *valid, State *s, const cnnrt_fit_options *o, cnnrt_fit_result *r) {
    const cnnrt_source t = source(train), v = source(valid ? valid : train);
    return cnnrt_fit(&model, &t, valid ? &v : NULL, s, NULL, NULL, 0, NULL, o, r);
}

static inline void expect_same(const State *a, const State *b) {
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        cr_expect(memcmp((const char *)a + tensors[i].offset, (const char *)b + tensors[i].offset,
                         tensors[i].tensor.bytes) == 0,
                  "%s differs", tensors[i].tensor.name);
}

/* What cnnrt_fit should do, without it. */
static inline void by_hand(State *s, int64_t count, int epochs, int64_t accumulate) {
    Data *d = DATA(count);
    float x[BATCH * IN], y[BATCH * OUT], loss;
    int64_t label[BATCH];
    const void *in[] = {x}, *targets[] = {label};
    void *out[] = {y};
    const int64_t batches = (count + BATCH - 1) / BATCH;
    for (int e = 0; e < epochs; e++) {
        data_begin(d, (uint64_t)e, 0);
        for (int64_t i = 0; i < batches;) {
            const int64_t group = batches - i < accumulate ? batches - i : accumulate;
            double hyper[5] = {1.0 / (double)group, 0, 0.1, 0, 0.9};
            zero_grad(s);
            for (int64_t k = 0; k < group; k++, i++) {
                int64_t n = data_next(d, BATCH, x, label);
                cr_assert_eq(backward(n, in, targets, &loss, out, s, hyper, NULL, NULL, 0, NULL), CNNRT_OK);
            }
            apply(s, hyper, NULL, 0, NULL);
        }
    }
}

#endif
