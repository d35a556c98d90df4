/* An epoch: optimizer steps, validation, and what follows from how they went. */
#include "fit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What to look at when something is not finite. train_step may spoil all parameters, so gradients tell more;
 * backward changes none. */
static const uint32_t after_step[] = {CNNRT_GRAD, CNNRT_PARAM, CNNRT_BUFFER};
static const uint32_t after_backward[] = {CNNRT_PARAM, CNNRT_GRAD, CNNRT_BUFFER};
static const uint32_t weights[] = {CNNRT_PARAM, CNNRT_BUFFER, CNNRT_BUFFER};

/* The first tensor that is to blame, in the order of the model, and where to go on from. */
static int not_finite(Fit *f, const char *what, const uint32_t roles[3]) {
    const cnnrt_state_tensor *t = cnnrt_not_finite(f->call.model->training, f->call.state, roles);
    char where[200], saved[300] = "no checkpoint was written";
    if (!t)
        snprintf(where, sizeof where, "all parameters and gradients are finite");
    else if (t->role == CNNRT_GRAD && strchr(t->tensor.name, '/'))
        snprintf(where, sizeof where, "the first gradient that is not finite is that of %s",
                 strchr(t->tensor.name, '/') + 1);
    else
        snprintf(where, sizeof where, "the first tensor that is not finite is %s", t->tensor.name);
    if (f->saved_steps >= 0)
        snprintf(saved, sizeof saved, "the last good checkpoint is that of step %lld, %s",
                 (long long)f->saved_steps, f->options->checkpoint);
    const int64_t step =
        f->at.total_steps + (roles != weights); /* from 1; `weights` is asked after the step */
    return cnnrt_why(f->why, CNNRT_E_NOT_FINITE, "epoch %lld, step %lld: %s; %s; %s",
                     (long long)((step - 1) / f->steps + 1), (long long)step, what, where, saved);
}

int cnnrt_fit_save(Fit *f) {
    const char *path = f->options->checkpoint;
    if (!path)
        return CNNRT_OK;
    if (cnnrt_not_finite(f->call.model->training, f->call.state, weights))
        return not_finite(f, "a parameter is not finite", weights);
    int status = cnnrt_place_save(f->call.model, f->call.state, &f->at, f->at.best_epoch > 0 ? f->best : NULL,
                                  path, f->why);
    if (status != CNNRT_OK)
        return status;
    f->saved_steps = f->at.total_steps;
    cnnrt_fit_event_send(f, CNNRT_FIT_CHECKPOINT, f->at.steps, f->steps, path);
    return CNNRT_OK;
}

/* ---- Steps ---- */

static int failed(Fit *f, int status) {
    return cnnrt_why(f->why, status, "epoch %lld, step %lld: %s", (long long)f->at.epoch + 1,
                     (long long)f->at.total_steps + 1, cnnrt_strerror(status));
}

static int loss_not_finite(Fit *f, int64_t n, bool whole) {
    const int64_t elements = n * (int64_t)(f->batch.input_bytes / sizeof(float));
    const uint32_t *roles = whole ? after_step : after_backward;
    for (int64_t i = 0; i < elements; i++)
        if (!isfinite(f->batch.input[i]))
            return not_finite(f, "the loss is not finite, nor is the input", roles);
    return not_finite(f, "the loss is not finite", roles);
}

/* The next batch through train_step, or through backward alone. */
static int run_batch(Fit *f, bool whole) {
    const cnnrt_training *t = f->call.model->training;
    const Call *c = &f->call;
    const int64_t left = f->train->count - f->at.batches * f->batch.size;
    const int64_t n = left < f->batch.size ? left : f->batch.size;
    const void *inputs[] = {f->batch.input}, *targets[] = {f->batch.target};
    float loss = 0;
    int status = cnnrt_batch_read(&f->batch, f->train, n, f->why);
    if (status != CNNRT_OK)
        return status;
    status = (whole ? t->train_step : t->backward)(n, inputs, targets, &loss, f->batch.outputs, c->state,
                                                   f->hyper, c->weights, c->work, c->work_bytes, c->pool);
    if (status != CNNRT_OK)
        return failed(f, status);
    if (!isfinite(loss))
        return loss_not_finite(f, n, whole);
    cnnrt_batch_score(&f->batch, n, loss, &f->at.score, NULL);
    f->epoch_samples_here += n;
    f->at.batches++;
    return CNNRT_OK;
}

/* Gradients of up to `accumulate` batches, averaged. */
static int accumulated_step(Fit *f, int64_t group) {
    const cnnrt_training *t = f->call.model->training;
    int status = t->zero_grad(f->call.state);
    if (status != CNNRT_OK)
        return failed(f, status);
    for (int64_t i = 0; i < group; i++)
        if ((status = run_batch(f, false)) != CNNRT_OK)
            return status;
    status = t->apply(f->call.state, f->hyper, f->call.work, f->call.work_bytes, f->call.pool);
    return status == CNNRT_OK ? CNNRT_OK : failed(f, status);
}

static int step(Fit *f) {
    const cnnrt_training *t = f->call.model->training;
    const cnnrt_schedule *s = &f->options->schedule;
    const int64_t left = f->batches - f->at.batches;
    const int64_t group = f->at.accumulate < left ? f->at.accumulate : left;
    memcpy(f->hyper, f->base, t->n_hyper * sizeof *f->hyper);
    cnnrt_schedule_apply(s, &f->at.schedule, f->base, t->n_groups, f->steps, f->options->epochs, f->hyper);
    f->hyper[CNNRT_HYPER_GRAD_SCALE] /= (double)group;
    int status = f->at.accumulate == 1 ? run_batch(f, true) : accumulated_step(f, group);
    if (status != CNNRT_OK)
        return status;
    f->at.steps++;
    f->at.total_steps++;
    f->steps_here++;
    cnnrt_schedule_step(s, &f->at.schedule);
    return CNNRT_OK;
}

static int log_step(Fit *f) {
    enum { LINES = 50 }; /* an epoch */
    const int64_t every = f->steps > LINES ? f->steps / LINES : 1;
    if (f->at.steps % every != 0 && f->at.steps != f->steps)
        return CNNRT_OK;
    cnnrt_log_begin(&f->log, "step");
    cnnrt_log_int(&f->log, "epoch", f->at.epoch + 1);
    cnnrt_log_int(&f->log, "step", f->at.total_steps);
    cnnrt_log_real(&f->log, "lr", f->hyper[CNNRT_HYPER_GROUPS + CNNRT_HYPER_LR]);
    cnnrt_log_real(&f->log, "loss", cnnrt_score_loss(&f->at.score));
    cnnrt_log_real(&f->log, "accuracy", cnnrt_score_top1(&f->at.score));
    cnnrt_log_real(&f->log, "seconds", cnnrt_fit_clock() - f->began);
    return cnnrt_log_end(&f->log, f->why);
}

static int train(Fit *f) {
    const cnnrt_fit_options *o = f->options;
    if (f->at.batches == f->batches)
        return CNNRT_OK;
    int status = f->train->begin(f->train->arg, (uint64_t)f->at.epoch, f->at.batches * f->batch.size);
    if (status != CNNRT_OK)
        return cnnrt_why(f->why, status, "%s",
                         f->train->error ? f->train->error(f->train->arg) : cnnrt_strerror(status));
    while (f->at.batches < f->batches && !cnnrt_fit_stopping(f)) {
        if ((status = step(f)) != CNNRT_OK || (status = log_step(f)) != CNNRT_OK)
            return status;
        cnnrt_fit_event_send(f, CNNRT_FIT_STEP, f->at.steps, f->steps, NULL);
        if (o->checkpoint_steps > 0 && f->at.total_steps % o->checkpoint_steps == 0 &&
            (status = cnnrt_fit_save(f)) != CNNRT_OK)
            return status;
    }
    return CNNRT_OK;
}

/* ---- The end of an epoch ---- */

static bool validated_batch(void *arg, int64_t done, int64_t all, const Score *s) {
    Fit *f = arg;
    (void)s;
    cnnrt_fit_event_send(f, CNNRT_FIT_VALIDATION, done, all, NULL);
    return cnnrt_fit_stopping(f);
}

size_t cnnrt_fit_confusion_size(const Fit *f) {
    return (size_t)(f->batch.classes * f->batch.classes) * sizeof(int64_t);
}

static int validate(Fit *f) {
    bool stopped;
    int64_t *confusion = f->result->confusion;
    if (!f->valid)
        return CNNRT_OK;
    if (confusion)
        memset(confusion, 0, cnnrt_fit_confusion_size(f));
    int status = cnnrt_score_source(&f->call, &f->batch, f->valid, &f->validation, confusion, validated_batch,
                                    f, &stopped, f->why);
    if (status != CNNRT_OK || stopped) {
        cnnrt_fit_result_free(f->result); /* it is not whole */
        return status;
    }
    f->at.val_loss = cnnrt_score_loss(&f->validation);
    f->at.val_accuracy = cnnrt_score_top1(&f->validation);
    f->at.val_top5 = cnnrt_score_top5(&f->validation);
    return CNNRT_OK;
}

double cnnrt_fit_metric(const Fit *f, int monitor) {
    switch (monitor) {
    case CNNRT_VAL_ACCURACY:
        return f->valid ? f->at.val_accuracy : f->at.train_accuracy;
    case CNNRT_TRAIN_LOSS:
        return f->at.train_loss;
    case CNNRT_TRAIN_ACCURACY:
        return f->at.train_accuracy;
    default:
        return f->valid ? f->at.val_loss : f->at.train_loss;
    }
}

static void keep_if_best(Fit *f) {
    const cnnrt_early_stopping *e = &f->options->early_stopping;
    const cnnrt_training *t = f->call.model->training;
    const bool more = e->monitor == CNNRT_VAL_ACCURACY || e->monitor == CNNRT_TRAIN_ACCURACY;
    const double metric = cnnrt_fit_metric(f, e->monitor), best = f->at.best_metric;
    const bool better = more ? metric > best + e->min_delta : metric < best - e->min_delta;
    if (isnan(metric) || (f->at.best_epoch > 0 && !better)) {
        f->at.bad_epochs++;
        return;
    }
    f->at.best_metric = metric;
    f->at.best_val_loss = f->at.val_loss;
    f->at.best_val_accuracy = f->at.val_accuracy;
    f->at.best_val_top5 = f->at.val_top5;
    f->at.best_epoch = f->at.epoch;
    f->at.bad_epochs = 0;
    f->has_best_confusion = f->best_confusion && f->result->confusion;
    if (f->has_best_confusion)
        memcpy(f->best_confusion, f->result->confusion, cnnrt_fit_confusion_size(f));
    unsigned char *to = f->best;
    for (uint32_t i = 0; i < t->n_state && to; i++) {
        if (!cnnrt_is_weight(&t->state[i]))
            continue;
        memcpy(to, cnnrt_state_at(f->call.state, &t->state[i]), t->state[i].tensor.bytes);
        to += t->state[i].tensor.bytes;
    }
}

static int log_epoch(Fit *f) {
    cnnrt_log_begin(&f->log, "epoch");
    cnnrt_log_int(&f->log, "epoch", f->at.epoch);
    cnnrt_log_int(&f->log, "step", f->at.total_steps);
    cnnrt_log_real(&f->log, "loss", f->at.train_loss);
    cnnrt_log_real(&f->log, "accuracy", f->at.train_accuracy);
    if (f->valid) {
        cnnrt_log_real(&f->log, "val_loss", f->at.val_loss);
        cnnrt_log_real(&f->log, "val_accuracy", f->at.val_accuracy);
        if (f->options->top5)
            cnnrt_log_real(&f->log, "val_top5", f->at.val_top5);
    }
    cnnrt_log_int(&f->log, "best_epoch", f->at.best_epoch);
    cnnrt_log_real(&f->log, "seconds", cnnrt_fit_clock() - f->began);
    return cnnrt_log_end(&f->log, f->why);
}

int cnnrt_fit_epoch(Fit *f) {
    f->epoch_began = cnnrt_fit_clock();
    f->epoch_samples_here = 0;
    f->trained = 0;
    int status = train(f);
    f->trained = cnnrt_fit_clock();
    if (status != CNNRT_OK || cnnrt_fit_stopping(f))
        return status;
    if (cnnrt_not_finite(f->call.model->training, f->call.state, weights))
        return not_finite(f, "a parameter is not finite", weights);
    if ((status = validate(f)) != CNNRT_OK || f->stop)
        return status;
    f->at.train_loss = cnnrt_score_loss(&f->at.score);
    f->at.train_accuracy = cnnrt_score_top1(&f->at.score);
    f->at.epoch++;
    cnnrt_schedule_epoch(&f->options->schedule, &f->at.schedule,
                         cnnrt_fit_metric(f, f->options->schedule.monitor));
    keep_if_best(f);
    if ((status = log_epoch(f)) != CNNRT_OK)
        return status;
    cnnrt_fit_event_send(f, CNNRT_FIT_EPOCH, f->at.steps, f->steps, NULL);
    f->at.batches = f->at.steps = 0;
    f->at.score = (Score){0};
    return cnnrt_fit_save(f);
}
