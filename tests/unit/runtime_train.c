/* cnnrt-train: the loop and schedules' bookkeeping, against a softmax regression written by hand. */
#include "tests/unit/regression.h"
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
