/* cnnrt_fit: the run from its options to its result. */
#include "fit.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double cnnrt_fit_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool cnnrt_fit_stopping(Fit *f) {
    if (f->options->stop && *f->options->stop)
        f->stop = true;
    return f->stop;
}

void cnnrt_fit_event_send(Fit *f, int kind, int64_t step, int64_t steps, const char *text) {
    const double now = cnnrt_fit_clock(), spent = (f->trained > 0 ? f->trained : now) - f->epoch_began;
    const Place *at = &f->at;
    const bool running = kind == CNNRT_FIT_VALIDATION;
    const bool ended = kind == CNNRT_FIT_EPOCH; /* at->epoch counts it already */
    const double left =
        (double)(f->options->epochs - at->epoch) * (double)f->steps - (double)(ended ? 0 : at->steps);
    const double each = f->steps_here > 0 ? (now - f->began) / (double)f->steps_here : (double)NAN;
    if (!f->options->on_event)
        return;
    const cnnrt_fit_event e = {
        .kind = kind,
        .epoch = at->epoch + (running || kind == CNNRT_FIT_STEP),
        .epochs = f->options->epochs,
        .step = step,
        .steps = steps,
        .total_steps = at->total_steps,
        .lr = f->hyper[CNNRT_HYPER_GROUPS + CNNRT_HYPER_LR],
        .loss = at->score.samples > 0 ? cnnrt_score_loss(&at->score) : at->train_loss,
        .accuracy = at->score.samples > 0 ? cnnrt_score_top1(&at->score) : at->train_accuracy,
        .val_loss = running ? cnnrt_score_loss(&f->validation) : at->val_loss,
        .val_accuracy = running ? cnnrt_score_top1(&f->validation) : at->val_accuracy,
        .val_top5 = running ? cnnrt_score_top5(&f->validation) : at->val_top5,
        .images_per_second = spent > 0 ? (double)f->epoch_samples_here / spent : 0,
        .seconds = now - f->began,
        .seconds_left = left > 0 ? each * left : 0,
        .text = text,
    };
    if (f->options->on_event(f->options->user, &e) != 0)
        f->stop = true;
}

/* ---- The start ---- */

static int check_monitor(const Fit *f, int monitor, const char *who) {
    const bool of_valid = monitor == CNNRT_VAL_LOSS || monitor == CNNRT_VAL_ACCURACY;
    const bool accuracy = monitor == CNNRT_VAL_ACCURACY || monitor == CNNRT_TRAIN_ACCURACY;
    if (of_valid && !f->valid)
        return cnnrt_why(f->why, CNNRT_E_OPTIONS, "%s looks at validation, and there is none", who);
    if (accuracy && !f->batch.score)
        return cnnrt_why(f->why, CNNRT_E_OPTIONS, "%s looks at accuracy, and there are no class labels", who);
    return CNNRT_OK;
}

static int check_options(const Fit *f) {
    const cnnrt_fit_options *o = f->options;
    const cnnrt_model *m = f->call.model;
    if (o->batch < 0 || o->batch > m->batch || (m->n_fixed && o->batch != 0 && o->batch != m->batch))
        return cnnrt_why(f->why, CNNRT_E_BATCH, "a batch of %lld samples; the model is compiled for %s%lld",
                         (long long)o->batch, m->n_fixed ? "exactly " : "at most ", (long long)m->batch);
    if (o->epochs < 0 || o->accumulate < 0 || o->checkpoint_steps < 0)
        return cnnrt_why(f->why, CNNRT_E_OPTIONS, "epochs, accumulate or checkpoint_steps is below 0");
    if (o->schedule.kind < CNNRT_CONSTANT_LR || o->schedule.kind > CNNRT_REDUCE_LR_ON_PLATEAU)
        return cnnrt_why(f->why, CNNRT_E_OPTIONS, "an unknown kind of schedule");
    return CNNRT_OK;
}

static int check_monitors(const Fit *f) {
    const cnnrt_fit_options *o = f->options;
    int status = CNNRT_OK;
    if (o->early_stopping.patience > 0 || o->early_stopping.restore_best)
        status = check_monitor(f, o->early_stopping.monitor, "early stopping");
    if (status == CNNRT_OK && o->schedule.kind == CNNRT_REDUCE_LR_ON_PLATEAU)
        status = check_monitor(f, o->schedule.monitor, "ReduceLROnPlateau");
    return status;
}

/* Everything that the run needs of memory. */
static int open_memory(Fit *f) {
    const cnnrt_model *m = f->call.model;
    const cnnrt_training *t = m->training;
    const int64_t size = f->options->batch > 0 ? f->options->batch : m->batch;
    int status = cnnrt_batch_open(&f->batch, m, size, f->why);
    if (status != CNNRT_OK)
        return status;
    f->hyper = malloc(t->n_hyper * sizeof *f->hyper);
    if (f->options->early_stopping.restore_best)
        f->best = malloc(cnnrt_weights_size(t) + 1);
    f->result->classes = f->batch.classes;
    f->result->confusion = f->valid ? cnnrt_confusion_new(f->batch.classes) : NULL;
    f->best_confusion = f->best && f->result->confusion ? cnnrt_confusion_new(f->batch.classes) : NULL;
    if (!f->hyper || (f->options->early_stopping.restore_best && !f->best))
        return cnnrt_why(f->why, CNNRT_E_SYSTEM, "out of memory");
    memcpy(f->hyper, f->base, t->n_hyper * sizeof *f->hyper);
    return CNNRT_OK;
}

static int resume(Fit *f) {
    Place want = f->at;
    const char *path = f->options->checkpoint;
    Place found;
    if (!f->options->resume || !path || (access(path, F_OK) != 0 && errno == ENOENT))
        return CNNRT_OK;
    want.batches = f->batches;
    want.steps = f->steps;
    int status = cnnrt_place_load(f->call.model, f->call.state, &want, &found, f->best, path, f->why);
    if (status != CNNRT_OK)
        return status;
    f->at = found;
    f->saved_steps = f->at.total_steps;
    return CNNRT_OK;
}

static int log_start(Fit *f) {
    const cnnrt_model *m = f->call.model;
    int status = cnnrt_log_open(&f->log, f->options->log, f->why);
    if (status != CNNRT_OK)
        return status;
    cnnrt_log_begin(&f->log, f->saved_steps >= 0 ? "resume" : "start");
    cnnrt_log_text(&f->log, "format", "cnnc-log/1");
    cnnrt_log_text(&f->log, "model", m->name);
    cnnrt_log_text(&f->log, "loss", m->training->loss);
    cnnrt_log_text(&f->log, "optimizer", m->training->optimizer);
    cnnrt_log_int(&f->log, "parameters", m->training->n_trained);
    cnnrt_log_int(&f->log, "samples", f->train->count);
    cnnrt_log_int(&f->log, "batch", f->batch.size);
    cnnrt_log_int(&f->log, "accumulate", f->at.accumulate);
    cnnrt_log_int(&f->log, "epochs", f->options->epochs);
    cnnrt_log_int(&f->log, "epoch", f->at.epoch);
    cnnrt_log_int(&f->log, "step", f->at.total_steps);
    return cnnrt_log_end(&f->log, f->why);
}

static int check_sources(const Fit *f) {
    int status = cnnrt_batch_check(f->call.model, f->train, "training", f->why);
    if (status == CNNRT_OK && f->valid)
        status = cnnrt_batch_check(f->call.model, f->valid, "validation", f->why);
    return status;
}

static int start(Fit *f) {
    const cnnrt_fit_options *o = f->options;
    int status = cnnrt_check_model(f->call.model, f->why);
    if (status != CNNRT_OK || (status = check_options(f)) != CNNRT_OK)
        return status;
    f->base = o->hyper ? o->hyper : f->call.model->training->hyper;
    if ((status = open_memory(f)) != CNNRT_OK || (status = check_sources(f)) != CNNRT_OK ||
        (status = check_monitors(f)) != CNNRT_OK)
        return status;
    f->at = (Place){.batch = f->batch.size,
                    .accumulate = o->accumulate > 1 ? o->accumulate : 1,
                    .samples = f->train->count,
                    .seed = o->seed,
                    .frozen = o->frozen,
                    .train_loss = (double)NAN,
                    .train_accuracy = (double)NAN,
                    .val_loss = (double)NAN,
                    .val_accuracy = (double)NAN,
                    .val_top5 = (double)NAN,
                    .best_val_loss = (double)NAN,
                    .best_val_accuracy = (double)NAN,
                    .best_val_top5 = (double)NAN};
    f->batches = cnnrt_batches(f->call.model, f->batch.size, f->train->count);
    f->steps = (f->batches + f->at.accumulate - 1) / f->at.accumulate;
    if (f->batches < 1)
        return cnnrt_why(f->why, CNNRT_E_OPTIONS, "%lld samples are not enough for a batch",
                         (long long)f->train->count);
    status = resume(f);
    return status == CNNRT_OK ? log_start(f) : status;
}

/* ---- The end ---- */

static bool patience_is_over(const Fit *f) {
    const int64_t patience = f->options->early_stopping.patience;
    return patience > 0 && f->at.bad_epochs >= patience;
}

static void put_best_back(Fit *f) {
    const cnnrt_training *t = f->call.model->training;
    const unsigned char *from = f->best;
    int64_t *confusion = f->result->confusion;
    if (f->has_best_confusion && confusion)
        memcpy(confusion, f->best_confusion, cnnrt_fit_confusion_size(f));
    else if (f->at.best_epoch != f->at.epoch)
        cnnrt_fit_result_free(f->result);
    for (uint32_t i = 0; i < t->n_state; i++) {
        if (!cnnrt_is_weight(&t->state[i]))
            continue;
        memcpy(cnnrt_state_at(f->call.state, &t->state[i]), from, t->state[i].tensor.bytes);
        from += t->state[i].tensor.bytes;
    }
}

static int run(Fit *f) {
    static const char *const words[] = {"all epochs are done", "early stopping", "stopped"};
    const int64_t before = f->at.epoch;
    int status = CNNRT_OK;
    cnnrt_fit_event_send(f, CNNRT_FIT_START, f->at.steps, f->steps,
                         f->saved_steps >= 0 ? f->options->checkpoint : NULL);
    while (status == CNNRT_OK && f->at.epoch < f->options->epochs && !patience_is_over(f) &&
           !cnnrt_fit_stopping(f))
        status = cnnrt_fit_epoch(f);
    const bool whole = f->at.epoch >= f->options->epochs, early = !whole && patience_is_over(f);
    f->result->stopped = whole ? 0 : early ? 1 : 2;
    if (f->at.epoch == before) /* no validation of this call has gone through */
        cnnrt_fit_result_free(f->result);
    if (status == CNNRT_OK && f->result->stopped == 2)
        status = cnnrt_fit_save(f);
    f->put_back = status == CNNRT_OK && f->result->stopped != 2 && f->best && f->at.best_epoch > 0;
    if (f->put_back)
        put_best_back(f);
    cnnrt_log_begin(&f->log, "stop");
    cnnrt_log_int(&f->log, "status", status);
    cnnrt_log_text(&f->log, "text", status == CNNRT_OK ? words[f->result->stopped] : f->result->text);
    cnnrt_log_int(&f->log, "epoch", f->at.epoch);
    cnnrt_log_int(&f->log, "step", f->at.total_steps);
    if (status == CNNRT_OK)
        status = cnnrt_log_end(&f->log, f->why);
    else
        cnnrt_log_end(&f->log, (Why){0}); /* the first failure is the one to tell */
    if (status == CNNRT_OK)
        cnnrt_fit_event_send(f, CNNRT_FIT_STOP, f->at.steps, f->steps, words[f->result->stopped]);
    return status;
}

static void fill_result(Fit *f) {
    cnnrt_fit_result *r = f->result;
    const Place *at = &f->at;
    const bool best = f->put_back, amid = !best && (at->batches > 0 || at->epoch == 0);
    r->kept_epoch = best ? at->best_epoch : amid ? 0 : at->epoch;
    r->kept_val_loss = best ? at->best_val_loss : amid ? (double)NAN : at->val_loss;
    r->kept_val_accuracy = best ? at->best_val_accuracy : amid ? (double)NAN : at->val_accuracy;
    r->kept_val_top5 = best ? at->best_val_top5 : amid ? (double)NAN : at->val_top5;
    r->epochs = f->at.epoch;
    r->steps = f->at.total_steps;
    r->best_epoch = f->at.best_epoch;
    r->best_metric = f->at.best_metric;
    r->train_loss = f->at.train_loss;
    r->train_accuracy = f->at.train_accuracy;
    r->val_loss = f->at.val_loss;
    r->val_accuracy = f->at.val_accuracy;
    r->val_top5 = f->at.val_top5;
    r->seconds = cnnrt_fit_clock() - f->began;
}

int cnnrt_fit(const cnnrt_model *model, const cnnrt_source *train, const cnnrt_source *valid, void *state,
              const void *weights, void *work, size_t work_bytes, cnnrt_pool *pool,
              const cnnrt_fit_options *options, cnnrt_fit_result *result) {
    *result = (cnnrt_fit_result){0};
    Fit f = {.call = {model, state, weights, work, work_bytes, pool},
             .train = train,
             .valid = valid,
             .options = options,
             .result = result,
             .why = {result->text, sizeof result->text},
             .log = {.fd = -1},
             .saved_steps = -1,
             .began = cnnrt_fit_clock()};
    f.epoch_began = f.began;
    int status = start(&f);
    if (status == CNNRT_OK)
        status = run(&f);
    fill_result(&f);
    cnnrt_log_close(&f.log);
    cnnrt_batch_close(&f.batch);
    free(f.hyper);
    free(f.best);
    free(f.best_confusion);
    return result->status = status;
}
