/* cnnrt-train: the loop, schedules' bookkeeping, checkpoints, against a softmax regression written by hand.
 */
#include "runtime/cnnrt-train/cnnrt_train.h"
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int state_init(void *state, size_t bytes, uint64_t seed) {
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

static float noise(uint64_t seed, uint64_t calls, uint64_t i) {
    uint64_t h = seed * 0x9e3779b97f4a7c15u + calls * 0xbf58476d1ce4e5b9u + i * 0x94d049bb133111ebu;
    h = (h ^ h >> 31) * 0x2545f4914f6cdd1du;
    return 0.05f * ((float)(h >> 40) / (float)(1 << 24) - 0.5f);
}

/* Outputs, loss, and when `s` is not NULL gradients. */
static int run(int64_t n, const float *x, const int64_t *label, float *loss, float *y, const State *from,
               State *s, double scale) {
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

static int backward(int64_t n, const void *const *in, const void *const *target, float *loss,
                    void *const *out, void *state, const double *hyper, const void *weights, void *work,
                    size_t work_bytes, cnnrt_pool *pool) {
    (void)weights, (void)work, (void)work_bytes, (void)pool;
    return run(n, in[0], target[0], loss, out[0], state, state, hyper[CNNRT_HYPER_GRAD_SCALE]);
}

static int eval(int64_t n, const void *const *in, const void *const *target, float *loss, void *const *out,
                const void *state, const void *weights, void *work, size_t work_bytes, cnnrt_pool *pool) {
    (void)weights, (void)work, (void)work_bytes, (void)pool;
    return run(n, in[0], target[0], loss, out[0], state, NULL, 0);
}

static int zero_grad(void *state) {
    ((State *)state)->accumulated = 0;
    return CNNRT_OK;
}

static int apply(void *state, const double *hyper, void *work, size_t work_bytes, cnnrt_pool *pool) {
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

static int train_step(int64_t n, const void *const *in, const void *const *target, float *loss,
                      void *const *out, void *state, const double *hyper, const void *weights, void *work,
                      size_t work_bytes, cnnrt_pool *pool) {
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

static int data_begin(void *arg, uint64_t epoch, int64_t first) {
    Data *d = arg;
    d->epoch = epoch;
    d->at = first;
    return CNNRT_OK;
}

static int64_t data_next(void *arg, int64_t most, float *x, void *label) {
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

static const char *data_error(void *arg) {
    (void)arg;
    return "the data is gone";
}

#define DATA(n) (&(Data){.count = (n), .nan_at = -1, .fail_at = -1})

static cnnrt_source source(Data *d) {
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

static void make_root(void) {
    cr_assert_not_null(mkdtemp(root));
}

static void remove_root(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_expect_eq(system(command), 0);
}

static const char *at(const char *name) {
    static char path[2][256];
    static int which;
    which = !which;
    snprintf(path[which], sizeof path[which], "%s/%s", root, name);
    return path[which];
}

static unsigned char *get(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    unsigned char *p = malloc(1 << 20);
    *size = fread(p, 1, 1 << 20, f);
    fclose(f);
    return p;
}

static void put(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static State *state_new(void) {
    State *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    cr_assert_eq(state_init(s, sizeof *s, 3), CNNRT_OK);
    return s;
}

static cnnrt_fit_options options(int64_t epochs) {
    cnnrt_fit_options o = {.epochs = epochs, .seed = 3};
    cnnrt_schedule_defaults(&o.schedule, CNNRT_CONSTANT_LR);
    return o;
}

static int fit(Data *train, Data *valid, State *s, const cnnrt_fit_options *o, cnnrt_fit_result *r) {
    const cnnrt_source t = source(train), v = source(valid ? valid : train);
    return cnnrt_fit(&model, &t, valid ? &v : NULL, s, NULL, NULL, 0, NULL, o, r);
}

static void expect_same(const State *a, const State *b) {
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        cr_expect(memcmp((const char *)a + tensors[i].offset, (const char *)b + tensors[i].offset,
                         tensors[i].tensor.bytes) == 0,
                  "%s differs", tensors[i].tensor.name);
}

/* ---- The loop ---- */

Test(fit, learns) {
    State *s = state_new();
    cnnrt_fit_options o = options(6);
    cnnrt_fit_result r;
    cr_assert_eq(fit(DATA(101), DATA(61), s, &o, &r), CNNRT_OK, "%s", r.text);
    cr_expect(r.status == CNNRT_OK && r.stopped == 0 && r.epochs == 6 && r.steps == 78);
    cr_expect(r.val_accuracy > 0.95 && r.train_accuracy > 0.95 && r.val_top5 >= r.val_accuracy, "%g %g",
              r.val_accuracy, r.train_accuracy);
    cr_expect(r.val_loss < 0.6 && r.best_epoch > 0 && r.best_metric <= r.val_loss);
    int64_t all = 0, right = 0;
    for (int i = 0; i < OUT * OUT; i++) {
        all += r.confusion[i];
        right += i % (OUT + 1) == 0 ? r.confusion[i] : 0;
    }
    cr_expect(r.classes == OUT && all == 61 && (double)right / 61 == r.val_accuracy);
    cnnrt_fit_result e;
    const cnnrt_source v = source(DATA(61));
    cr_assert_eq(cnnrt_evaluate(&model, &v, s, NULL, NULL, 0, NULL, &e), CNNRT_OK);
    cr_expect(e.val_loss == r.val_loss && e.val_accuracy == r.val_accuracy && e.val_top5 == r.val_top5);
    cr_expect_eq(memcmp(e.confusion, r.confusion, sizeof(int64_t[OUT * OUT])), 0);
    cnnrt_fit_result_free(&e);
    cnnrt_fit_result_free(&r);
    free(s);
}

/* What cnnrt_fit should do, without it. */
static void by_hand(State *s, int64_t count, int epochs, int64_t accumulate) {
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

Test(fit, steps_and_accumulation_as_by_hand) {
    for (int64_t k = 1; k <= 4; k++)
        for (int64_t most = 0; most <= 3; most += 3) {
            State *a = state_new(), *b = state_new();
            cnnrt_fit_options o = options(3);
            cnnrt_fit_result r;
            Data *d = DATA(101);
            d->most = most;
            o.accumulate = k;
            cr_assert_eq(fit(d, NULL, a, &o, &r), CNNRT_OK, "%s", r.text);
            by_hand(b, 101, 3, k);
            expect_same(a, b);
            cr_expect_eq(r.steps, 3 * ((13 + k - 1) / k));
            cr_expect(isnan(r.val_loss) && !r.confusion);
            cnnrt_fit_result_free(&r);
            free(a);
            free(b);
        }
}

Test(fit, early_stopping) {
    State *a = state_new(), *b = state_new();
    Data *wrong = DATA(40);
    cnnrt_fit_options o = options(20);
    cnnrt_fit_result r, q;
    wrong->wrong = 1; /* the more it learns, the worse */
    o.early_stopping = (cnnrt_early_stopping){.patience = 3, .restore_best = 1};
    cr_assert_eq(fit(DATA(101), wrong, a, &o, &r), CNNRT_OK, "%s", r.text);
    cr_expect(r.stopped == 1 && r.best_epoch == 1 && r.epochs == 4, "%d %d", (int)r.best_epoch,
              (int)r.epochs);
    o = options(1);
    cr_assert_eq(fit(DATA(101), wrong, b, &o, &q), CNNRT_OK);
    cr_expect_eq(memcmp(a->w, b->w, sizeof a->w), 0);
    cr_expect_eq(memcmp(a->mean, b->mean, sizeof a->mean), 0);
    cr_expect_eq(q.val_loss, r.best_metric);
    cr_expect(r.kept_epoch == 1 && r.kept_val_loss == q.val_loss && r.kept_val_accuracy == q.val_accuracy &&
              r.kept_val_top5 == q.val_top5 && r.val_loss > q.val_loss);
    cr_expect_eq(q.kept_epoch, 1);
    cr_assert(r.classes == q.classes && r.confusion && q.confusion);
    cr_expect_eq(memcmp(r.confusion, q.confusion, (size_t)(q.classes * q.classes) * sizeof *q.confusion), 0);
    cnnrt_fit_result_free(&r);
    cnnrt_fit_result_free(&q);
    /* Without validation it must not look there. */
    o.early_stopping.patience = 1;
    cr_expect_eq(fit(DATA(101), NULL, b, &o, &q), CNNRT_E_OPTIONS);
    cr_expect(strstr(q.text, "early stopping looks at validation"), "%s", q.text);
    o.early_stopping.monitor = CNNRT_TRAIN_LOSS;
    o.early_stopping.min_delta = 100;
    o.epochs = 9;
    cr_expect_eq(fit(DATA(101), NULL, b, &o, &q), CNNRT_OK);
    cr_expect(q.stopped == 1 && q.epochs == 2);
    free(a);
    free(b);
}

typedef struct Stop {
    int64_t at; /* end the run after this step of all */
    int kind;   /* of the event that ends it */
    int64_t checkpoints;
    volatile int flag;
    int by_flag;
} Stop;

static int stop_at(void *user, const cnnrt_fit_event *e) {
    Stop *s = user;
    s->checkpoints += e->kind == CNNRT_FIT_CHECKPOINT;
    if (e->kind != s->kind || e->total_steps < s->at)
        return 0;
    s->flag = 1;
    return !s->by_flag;
}

static void set_variant(cnnrt_fit_options *o, int variant) {
    if (variant == 1) {
        o->accumulate = 3;
        cnnrt_schedule_defaults(&o->schedule, CNNRT_ONE_CYCLE_LR);
        o->schedule.max_lr = 0.2;
    } else if (variant == 2) {
        cnnrt_schedule_defaults(&o->schedule, CNNRT_REDUCE_LR_ON_PLATEAU);
        o->schedule.patience = 0;
        o->schedule.cooldown = 1;
        o->schedule.threshold = 0.2;
        o->schedule.warmup_steps = 5;
    }
    o->early_stopping =
        (cnnrt_early_stopping){.patience = variant == 2 ? 2 : 0, .restore_best = variant != 1};
}

/* Stop after step `at` (of training or of validation), then go on with a fresh state. */
static void resume_once(int variant, Stop *stop, const State *want, const cnnrt_fit_result *whole) {
    const char *path = at("resume.safetensors");
    State *s = state_new();
    Data *wrong = DATA(20);
    cnnrt_fit_options o = options(4);
    cnnrt_fit_result r;
    wrong->wrong = variant == 2;
    unlink(path);
    set_variant(&o, variant);
    o.checkpoint = path;
    o.resume = 1;
    o.on_event = stop_at;
    o.user = stop;
    o.stop = &stop->flag;
    cr_assert_eq(fit(DATA(45), wrong, s, &o, &r), CNNRT_OK, "%s", r.text);
    cr_assert(r.stopped == 2 && r.steps == stop->at, "%d, %d steps", r.stopped, (int)r.steps);
    cr_expect(r.kept_epoch == 0 ? isnan(r.kept_val_loss) : r.kept_val_loss == r.val_loss);
    cnnrt_fit_result_free(&r);
    memset(s, 0x77, sizeof *s);
    o.on_event = NULL;
    o.stop = NULL;
    cr_assert_eq(fit(DATA(45), wrong, s, &o, &r), CNNRT_OK, "%s", r.text);
    expect_same(s, want);
    cr_expect(r.steps == whole->steps && r.best_epoch == whole->best_epoch && r.epochs == whole->epochs &&
              r.best_metric == whole->best_metric && r.train_loss == whole->train_loss &&
              r.val_loss == whole->val_loss && r.stopped == whole->stopped &&
              r.kept_epoch == whole->kept_epoch && r.kept_val_loss == whole->kept_val_loss);
    cnnrt_fit_result_free(&r);
    /* And once more: nothing is left to do. */
    cr_assert_eq(fit(DATA(45), wrong, s, &o, &r), CNNRT_OK, "%s", r.text);
    expect_same(s, want);
    cr_expect(r.val_loss == whole->val_loss && r.stopped == whole->stopped && !r.confusion);
    free(s);
}

Test(fit, resumes_bit_for_bit_at_every_step, .init = make_root, .fini = remove_root) {
    for (int variant = 0; variant < 3; variant++) {
        State *s = state_new();
        Data *wrong = DATA(20);
        cnnrt_fit_options o = options(4);
        cnnrt_fit_result whole;
        wrong->wrong = variant == 2;
        set_variant(&o, variant);
        cr_assert_eq(fit(DATA(45), wrong, s, &o, &whole), CNNRT_OK, "%s", whole.text);
        cr_expect_eq(whole.stopped, variant == 2);
        for (int64_t step = 1; step < whole.steps; step++)
            resume_once(variant, &(Stop){.at = step, .by_flag = step % 2}, s, &whole);
        const int64_t epoch = whole.steps / whole.epochs;
        for (int64_t e = 1; e < whole.epochs; e++)
            resume_once(variant, &(Stop){.at = e * epoch, .kind = CNNRT_FIT_VALIDATION}, s, &whole);
        cnnrt_fit_result_free(&whole);
        free(s);
    }
}

Test(fit, stops_where_a_loss_is_no_number, .init = make_root, .fini = remove_root) {
    for (int64_t k = 1; k <= 2; k++) {
        State *s = state_new();
        Data *d = DATA(45);
        cnnrt_fit_options o = options(5);
        cnnrt_fit_result r;
        Stop events = {.at = INT64_MAX};
        d->nan_at = 20;
        d->nan_epoch = 2;
        o.accumulate = k;
        o.checkpoint = at("nan.safetensors");
        o.checkpoint_steps = 1;
        o.on_event = stop_at;
        o.user = &events;
        cr_expect_eq(fit(d, NULL, s, &o, &r), CNNRT_E_NOT_FINITE);
        cr_expect(strstr(r.text, k == 1 ? "epoch 3, step 15" : "epoch 3, step 8") &&
                      strstr(r.text, "fc.weight") && strstr(r.text, "nor is the input") &&
                      strstr(r.text, o.checkpoint) && strstr(r.text, k == 1 ? "of step 14" : "of step 7"),
                  "%s", r.text);
        char why[200];
        cr_expect_eq(cnnrt_checkpoint_load(&model, s, o.checkpoint, why, sizeof why), CNNRT_OK, "%s", why);
        cr_expect_eq(s->step, k == 1 ? 14 : 7);
        for (int i = 0; i < N_WEIGHT; i++)
            cr_expect(isfinite(s->w[i]));
        free(s);
    }
}

/* The loss is finite, but what it did to a parameter is not. */
Test(fit, no_bad_checkpoint, .init = make_root, .fini = remove_root) {
    State *s = state_new();
    cnnrt_fit_options o = options(2);
    cnnrt_fit_result r;
    double hyper[5] = {1, 0, 0.1, 0, 0.9};
    o.checkpoint = at("inf.safetensors");
    o.hyper = hyper;
    cr_assert_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_OK);
    size_t n, m;
    unsigned char *before = get(o.checkpoint, &n);
    hyper[2] = 1e300; /* the rate is infinite as a float */
    o.checkpoint_steps = 1;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_NOT_FINITE);
    cr_expect(strstr(r.text, "epoch 1, step 1: a parameter") && strstr(r.text, "fc.weight"), "%s", r.text);
    unsigned char *after = get(o.checkpoint, &m);
    cr_expect(n == m && memcmp(before, after, n) == 0);
    free(before);
    free(after);
    free(s);
}

Test(fit, failures_are_explained) {
    State *s = state_new();
    cnnrt_fit_options o = options(2);
    cnnrt_fit_result r;
    Data *d = DATA(45);
    d->fail_at = 30;
    cr_expect_eq(fit(d, NULL, s, &o, &r), CNNRT_E_FILE);
    cr_expect_str_eq(r.text, "the data is gone");
    d = DATA(45);
    d->bad_label = 1;
    cr_expect_eq(fit(d, NULL, s, &o, &r), CNNRT_E_LABEL);
    cr_expect(strstr(r.text, "epoch 1, step 1: a label"), "%s", r.text);
    o.batch = BATCH + 1;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_BATCH);
    o = options(-1);
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    o = options(1);
    cr_expect_eq(fit(DATA(0), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    o.schedule.kind = 99;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    o = options(1);
    o.log = "/nowhere/log";
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_FILE);
    cnnrt_source short_source = source(DATA(20));
    short_source.count = 45;
    o = options(1);
    cr_expect_eq(cnnrt_fit(&model, &short_source, NULL, s, NULL, NULL, 0, NULL, &o, &r), CNNRT_E_OPTIONS);
    cr_expect(strstr(r.text, "ended before its 45 samples"), "%s", r.text);
    cnnrt_model other = model;
    other.training = NULL;
    cr_expect_eq(cnnrt_fit(&other, &short_source, NULL, s, NULL, NULL, 0, NULL, &o, &r), CNNRT_E_STATE);
    free(s);
}

/* Refused before anything is read, written or trained: such a source writes past its batch, or fills only a
 * part of it. */
Test(fit, samples_of_another_size) {
    static const struct {
        int64_t input, target;
        uint32_t dtype;
        const char *text;
    } cases[] = {
        {IN + 1, 1, CNNRT_I64, "gives 6 numbers of input a sample, and regression takes 5: set .channels"},
        {IN - 1, 1, CNNRT_I64, "gives 4 numbers of input a sample, and regression takes 5: set .channels"},
        {0, 1, CNNRT_I64, "gives 0 numbers of input a sample, and regression takes 5: set .channels"},
        {IN, OUT, CNNRT_F32,
         "gives 6 x f32 as target a sample, and regression takes 1 x i64: set .target_elem"},
        {IN, 1, CNNRT_F32,
         "gives 1 x f32 as target a sample, and regression takes 1 x i64: set .target_elem"},
        {IN, 2, CNNRT_I64,
         "gives 2 x i64 as target a sample, and regression takes 1 x i64: set .target_elem"},
    };
    State *s = state_new(), *was = state_new();
    const cnnrt_fit_options o = options(1);
    cnnrt_fit_result r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Data *d = DATA(45);
        d->at = -1; /* until it begins */
        const cnnrt_source good = source(d);
        cnnrt_source bad = good;
        bad.input_elements = cases[i].input;
        bad.target_elements = cases[i].target;
        bad.target_dtype = cases[i].dtype;
        cr_expect_eq(cnnrt_fit(&model, &bad, NULL, s, NULL, NULL, 0, NULL, &o, &r), CNNRT_E_OPTIONS);
        cr_expect(strstr(r.text, "training source ") && strstr(r.text, cases[i].text), "%s", r.text);
        cnnrt_fit_result_free(&r);
        cr_expect_eq(cnnrt_fit(&model, &good, &bad, s, NULL, NULL, 0, NULL, &o, &r), CNNRT_E_OPTIONS);
        cr_expect(strstr(r.text, "validation source ") && strstr(r.text, cases[i].text), "%s", r.text);
        cnnrt_fit_result_free(&r);
        cr_expect_eq(cnnrt_evaluate(&model, &bad, s, NULL, NULL, 0, NULL, &r), CNNRT_E_OPTIONS);
        cr_expect(strstr(r.text, "evaluation source ") && strstr(r.text, cases[i].text), "%s", r.text);
        cnnrt_fit_result_free(&r);
        cr_expect_eq(d->at, -1);
    }
    cr_expect_eq(memcmp(s, was, sizeof *s), 0);
    free(s);
    free(was);
}

Test(fit, log_is_json_lines, .init = make_root, .fini = remove_root) {
    State *s = state_new();
    cnnrt_fit_options o = options(3);
    cnnrt_fit_result r;
    char line[2048];
    int lines = 0, steps = 0, epochs = 0;
    o.log = at("log.jsonl");
    o.top5 = 1;
    cr_assert_eq(fit(DATA(1000), DATA(61), s, &o, &r), CNNRT_OK);
    FILE *f = fopen(o.log, "r");
    cr_assert(f);
    for (; fgets(line, sizeof line, f); lines++) {
        cJSON *j = cJSON_Parse(line);
        cr_assert(j, "%s", line);
        const char *event = cJSON_GetStringValue(cJSON_GetObjectItem(j, "event"));
        const char *format = cJSON_GetStringValue(cJSON_GetObjectItem(j, "format"));
        cr_expect((lines == 0) == (format && strcmp(format, "cnnc-log/1") == 0));
        steps += strcmp(event, "step") == 0;
        epochs += strcmp(event, "epoch") == 0 && cJSON_IsNumber(cJSON_GetObjectItem(j, "val_top5"));
        cJSON_Delete(j);
    }
    fclose(f);
    cr_expect(epochs == 3 && steps >= 3 * 50 && lines == steps + epochs + 2, "%d %d %d", epochs, steps,
              lines);
    cnnrt_fit_result_free(&r);
    free(s);
}

/* ---- Memory: none is taken after the start; not seen with sanitizers, which have a malloc of their own ----
 */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
static _Thread_local volatile int counting,
    taken; /* compilers know malloc, and that it touches no variable */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n) {
    taken += counting;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    taken += counting;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    taken += counting;
    return __libc_realloc(p, n);
}

static int count_from_step(void *user, const cnnrt_fit_event *e) {
    (void)user;
    counting = e->kind != CNNRT_FIT_STOP;
    return 0;
}

Test(fit, takes_no_memory_after_the_start, .init = make_root, .fini = remove_root) {
    State *s = state_new();
    cnnrt_fit_options o = options(3);
    cnnrt_fit_result r;
    o.early_stopping.restore_best = 1;
    o.checkpoint = at("memory.safetensors");
    o.checkpoint_steps = 2;
    o.log = at("memory.jsonl");
    o.on_event = count_from_step;
    cr_assert_eq(fit(DATA(101), DATA(40), s, &o, &r), CNNRT_OK, "%s", r.text);
    cr_expect_eq(taken, 0);
    counting = 1;
    void *volatile seen = malloc(1);
    free(seen);
    counting = 0;
    cr_expect_eq(taken, 1, "malloc is not watched");
    cnnrt_fit_result_free(&r);
    free(s);
}
#endif

/* ---- Checkpoints ---- */

/* A child trains, from the checkpoint if there is one, and is killed after `us` microseconds. Returns the
 * step of the checkpoint that it leaves. */
static int64_t kill_after(useconds_t us, const cnnrt_fit_options *o, State *s) {
    cnnrt_fit_result r;
    char why[300];
    int status;
    pid_t child = fork();
    if (child == 0) {
        fit(DATA(101), DATA(40), s, o, &r);
        pause();
    }
    usleep(us);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
    if (access(o->checkpoint, F_OK) != 0)
        return 0;
    cr_assert_eq(cnnrt_checkpoint_load(&model, s, o->checkpoint, why, sizeof why), CNNRT_OK, "%s", why);
    return s->step;
}

Test(checkpoint, kill_at_any_moment, .init = make_root, .fini = remove_root) {
    State *a = state_new(), *b = state_new();
    cnnrt_fit_options o = options(30);
    cnnrt_fit_result r;
    int64_t amid = 0;
    o.early_stopping.restore_best = 1;
    o.checkpoint_steps = 1;
    o.checkpoint = at("whole.safetensors");
    cr_assert_eq(fit(DATA(101), DATA(40), a, &o, &r), CNNRT_OK);
    cr_expect_eq(r.steps, 390);
    const int most = (int)(r.seconds * 1e6 / 10); /* so that 20 children do the whole about once */
    cnnrt_fit_result_free(&r);
    o.checkpoint = at("kill.safetensors");
    o.resume = 1;
    srand(1);
    for (int i = 0; i < 20; i++) {
        const int64_t step = kill_after((useconds_t)(rand() % (most + 1)), &o, b);
        amid += step > 0 && step < r.steps;
    }
    cr_expect(amid >= 10, "only %d of 20 were at work", (int)amid);
    state_init(b, sizeof *b, 3);
    cr_assert_eq(fit(DATA(101), DATA(40), b, &o, &r), CNNRT_OK, "%s", r.text);
    expect_same(a, b);
    cr_expect_eq(r.steps, 390);
    cnnrt_fit_result_free(&r);
    free(a);
    free(b);
}

Test(checkpoint, disk_full_keeps_the_old_one, .init = make_root, .fini = remove_root) {
    const char *path = at("full.safetensors"), *beside = at("full.safetensors.partial");
    State *s = state_new();
    char why[300];
    size_t n, m;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(cnnrt_checkpoint_save(&model, s, path, why, sizeof why), CNNRT_OK, "%s", why);
    unsigned char *before = get(path, &n);
    s->w[0] = 7;
    for (size_t limit = 0; limit < n; limit += 97) {
        struct rlimit old, small;
        getrlimit(RLIMIT_FSIZE, &old);
        small = (struct rlimit){limit, old.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        int status = cnnrt_checkpoint_save(&model, s, path, why, sizeof why);
        setrlimit(RLIMIT_FSIZE, &old);
        cr_expect_eq(status, CNNRT_E_FILE);
        cr_expect(strstr(why, "full.safetensors cannot be written: "), "%s", why);
        unsigned char *after = get(path, &m);
        cr_expect(n == m && memcmp(before, after, n) == 0);
        cr_expect_neq(access(beside, F_OK), 0);
        free(after);
    }
    cr_expect_eq(cnnrt_checkpoint_save(&model, s, "/nowhere/c.safetensors", why, sizeof why), CNNRT_E_FILE);
    free(before);
    free(s);
}

Test(checkpoint, every_damaged_byte_is_seen, .init = make_root, .fini = remove_root) {
    const char *path = at("damaged.safetensors"), *good = at("good.safetensors");
    State *s = state_new(), *was = state_new();
    cnnrt_fit_options o = options(2);
    cnnrt_fit_result r;
    char why[300];
    size_t n;
    o.checkpoint = good;
    o.early_stopping.restore_best = 1;
    cr_assert_eq(fit(DATA(45), DATA(20), s, &o, &r), CNNRT_OK);
    cnnrt_fit_result_free(&r);
    unsigned char *file = get(good, &n);
    memcpy(was, s, sizeof *s);
    for (size_t i = 0; i < n; i++) {
        file[i] ^= (unsigned char)(1 << i % 8);
        put(path, file, n);
        why[0] = '\0';
        cr_expect_neq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK, "byte %zu", i);
        cr_expect(strstr(why, path), "byte %zu: %s", i, why);
        file[i] ^= (unsigned char)(1 << i % 8);
    }
    for (size_t i = 0; i < n; i += 13) {
        put(path, file, i);
        cr_expect_neq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK, "length %zu", i);
    }
    cr_expect_eq(memcmp(s, was, sizeof *s), 0);
    put(path, file, n);
    cr_expect_eq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK, "%s", why);
    free(file);
    free(s);
    free(was);
}

Test(checkpoint, of_something_else, .init = make_root, .fini = remove_root) {
    const char *path = at("other.safetensors");
    State *s = state_new();
    char why[300];
    cnnrt_fit_options o = options(1);
    cnnrt_fit_result r;
    o.checkpoint = path;
    cr_assert_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_OK);
    cnnrt_model other = model;
    other.hash++;
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_SHAPE);
    cr_expect(strstr(why, "of another model"), "%s", why);
    /* As a run: the batch, the count and the seed must be the same. */
    o.resume = 1;
    o.batch = 4;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    cr_expect(strstr(r.text, "batch 8; now it is 4"), "%s", r.text);
    o.batch = 0;
    cr_expect_eq(fit(DATA(46), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    o.seed = 4;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    /* A state with other tensors. */
    cnnrt_training t = training;
    cnnrt_state_tensor changed[sizeof tensors / sizeof *tensors];
    memcpy(changed, tensors, sizeof tensors);
    other = model;
    other.training = &t;
    t.state = changed;
    changed[1].tensor.name = "fc.offset";
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_MISSING);
    changed[1] = tensors[1];
    changed[1].tensor.dim[0] = OUT - 1;
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_SHAPE);
    cr_expect(strstr(why, "fc.bias has another shape"), "%s", why);
    changed[1] = tensors[1];
    t.n_state--;
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_SHAPE);
    /* Saved by hand, it is no run to resume. */
    cr_assert_eq(cnnrt_checkpoint_save(&model, s, path, why, sizeof why), CNNRT_OK);
    cr_expect_eq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK);
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_FORMAT);
    cr_expect(strstr(r.text, "does not say where its run was"), "%s", r.text);
    free(s);
}

/* ---- Weights as files ---- */

Test(weights, export_and_import, .init = make_root, .fini = remove_root) {
    const char *path = at("weights.safetensors");
    const float stem[3] = {1, 2, 3};
    const void *const raw[] = {stem};
    State *a = state_new(), *b = state_new();
    char why[300];
    size_t n;
    cnnrt_safetensors st;
    cnnrt_st_tensor t;
    by_hand(a, 45, 1, 1);
    cr_assert_eq(cnnrt_state_export(&model, a, NULL, path, why, sizeof why), CNNRT_OK, "%s", why);
    unsigned char *file = get(path, &n);
    cr_assert_eq(cnnrt_st_open(&st, file, n, why, sizeof why, NULL), CNNRT_OK);
    cr_expect(st.count == 3 && !cnnrt_st_find(&st, "stem.weight", &t));
    free(file);
    cr_assert_eq(cnnrt_state_export(&model, a, raw, path, why, sizeof why), CNNRT_OK, "%s", why);
    file = get(path, &n);
    cr_assert_eq(cnnrt_st_open(&st, file, n, why, sizeof why, NULL), CNNRT_OK);
    cr_expect(st.count == 4 && cnnrt_st_find(&st, "stem.weight", &t) && memcmp(t.data, stem, 12) == 0);
    cr_assert_eq(cnnrt_state_import(&model, b, file, n, why, sizeof why), CNNRT_OK, "%s", why);
    cr_expect_eq(memcmp(a->w, b->w, sizeof a->w), 0);
    cr_expect_eq(memcmp(a->b, b->b, OUT * sizeof *a->b), 0);
    cr_expect_eq(memcmp(a->mean, b->mean, IN * sizeof *a->mean), 0);
    cr_expect_eq(b->step, 0);
    /* All or nothing: the last one is missing. */
    cnnrt_training tr = training;
    cnnrt_state_tensor changed[sizeof tensors / sizeof *tensors];
    cnnrt_model other = model;
    memcpy(changed, tensors, sizeof tensors);
    changed[2].tensor.name = "bn.running_var";
    other.training = &tr;
    tr.state = changed;
    memset(b->w, 0, sizeof b->w);
    cr_expect_eq(cnnrt_state_import(&other, b, file, n, why, sizeof why), CNNRT_E_MISSING);
    cr_expect(strstr(why, "bn.running_var") && b->w[0] == 0, "%s", why);
    cr_expect_eq(cnnrt_state_import(&model, b, file, n - 1, why, sizeof why), CNNRT_E_FORMAT);
    free(file);
    free(a);
    free(b);
}
