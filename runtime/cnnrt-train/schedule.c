/* Learning-rate schedules: the formulas of torch.optim.lr_scheduler. */
#include "cnnrt_train.h"

#include <math.h>

void cnnrt_schedule_defaults(cnnrt_schedule *s, int kind) {
    *s = (cnnrt_schedule){.kind = kind,
                          .gamma = 0.1,
                          .step_size = 1,
                          .pct_start = 0.3,
                          .div_factor = 25,
                          .final_div_factor = 1e4,
                          .cycle_momentum = 1,
                          .base_momentum = 0.85,
                          .max_momentum = 0.95,
                          .factor = 0.1,
                          .threshold = 1e-4,
                          .eps = 1e-8,
                          .patience = 10,
                          .warmup_start_factor = 1.0 / 3};
}

static const double pi = 3.14159265358979323846;

static double anneal(const cnnrt_schedule *s, double from, double to, double done) {
    return s->linear ? from + (to - from) * done : to + (from - to) / 2 * (1 + cos(pi * done));
}

/* Where in the cycle of `total` steps: the phase (0, 1, 2) and how much of it is done. */
static int cycle_phase(const cnnrt_schedule *s, double step, double total, double *done) {
    const double up = s->pct_start * total - 1;
    const double ends[3] = {up, s->three_phase ? 2 * s->pct_start * total - 2 : total - 1, total - 1};
    const int phases = s->three_phase ? 3 : 2;
    double start = 0;
    int i = 0;
    while (i < phases - 1 && step > ends[i])
        start = ends[i++];
    *done = ends[i] > start ? (step - start) / (ends[i] - start) : 1;
    return i;
}

/* OneCycleLR (Smith and Topin, "Super-convergence", 2017): up to max_lr, down again, and to almost nothing.
 */
static double one_cycle_rate(const cnnrt_schedule *s, double step, double total) {
    const double max = s->max_lr, first = max / s->div_factor, last = first / s->final_div_factor;
    double done;
    switch (cycle_phase(s, step, total, &done)) {
    case 0:
        return anneal(s, first, max, done);
    case 1:
        return anneal(s, max, s->three_phase ? first : last, done);
    default:
        return anneal(s, first, last, done);
    }
}

static double one_cycle_momentum(const cnnrt_schedule *s, double step, double total) {
    double done;
    switch (cycle_phase(s, step, total, &done)) {
    case 0:
        return anneal(s, s->max_momentum, s->base_momentum, done);
    case 1:
        return anneal(s, s->base_momentum, s->max_momentum, done);
    default:
        return s->max_momentum;
    }
}

static int64_t milestones_passed(const cnnrt_schedule *s, int64_t epoch) {
    int64_t n = 0;
    while (n < s->n_milestones && s->milestones[n] <= epoch)
        n++;
    return n;
}

static double reduced(const cnnrt_schedule *s, double rate, int64_t times) {
    for (; times > 0; times--) {
        const double less = fmax(rate * s->factor, s->min_lr);
        if (!(rate - less > s->eps)) /* nor will it ever be */
            break;
        rate = less;
    }
    return rate;
}

static double rate_of(const cnnrt_schedule *s, const cnnrt_schedule_state *at, double base, double total,
                      int64_t epochs) {
    const double epoch = (double)at->epoch;
    switch (s->kind) {
    case CNNRT_STEP_LR:
        return base * pow(s->gamma, (double)(at->epoch / (s->step_size > 0 ? s->step_size : 1)));
    case CNNRT_MULTI_STEP_LR:
        return base * pow(s->gamma, (double)milestones_passed(s, at->epoch));
    case CNNRT_EXPONENTIAL_LR:
        return base * pow(s->gamma, epoch);
    case CNNRT_COSINE_ANNEALING_LR:
        return s->eta_min +
               (base - s->eta_min) * (1 + cos(pi * epoch / (double)(s->t_max > 0 ? s->t_max : epochs))) / 2;
    case CNNRT_ONE_CYCLE_LR:
        return one_cycle_rate(s, (double)at->step, total);
    case CNNRT_REDUCE_LR_ON_PLATEAU:
        return reduced(s, base, at->reductions);
    default:
        return base;
    }
}

void cnnrt_schedule_apply(const cnnrt_schedule *s, const cnnrt_schedule_state *at, const double *base,
                          uint32_t n_groups, int64_t steps_per_epoch, int64_t epochs, double *hyper) {
    const double total = (double)steps_per_epoch * (double)epochs;
    const double *first = base + CNNRT_HYPER_GROUPS;
    double warm = 1;
    if (at->step < s->warmup_steps)
        warm = s->warmup_start_factor +
               (1 - s->warmup_start_factor) * (double)at->step / (double)s->warmup_steps;
    for (uint32_t g = 0; g < n_groups; g++) {
        const double *from = first + (size_t)g * CNNRT_HYPER_PER_GROUP;
        double *to = hyper + CNNRT_HYPER_GROUPS + (size_t)g * CNNRT_HYPER_PER_GROUP;
        to[CNNRT_HYPER_LR] = warm * rate_of(s, at, from[CNNRT_HYPER_LR], total, epochs);
        to[CNNRT_HYPER_WEIGHT_DECAY] = from[CNNRT_HYPER_WEIGHT_DECAY];
        to[CNNRT_HYPER_MOMENTUM] = s->kind == CNNRT_ONE_CYCLE_LR && s->cycle_momentum
                                       ? one_cycle_momentum(s, (double)at->step, total)
                                       : from[CNNRT_HYPER_MOMENTUM];
    }
}

void cnnrt_schedule_step(const cnnrt_schedule *s, cnnrt_schedule_state *at) {
    (void)s;
    at->step++;
}

/* `best` is NaN until a metric has been a number. */
static int is_better(const cnnrt_schedule *s, double metric, double best) {
    if (isnan(best))
        return !isnan(metric);
    const int more = s->monitor == CNNRT_VAL_ACCURACY || s->monitor == CNNRT_TRAIN_ACCURACY;
    if (s->threshold_absolute)
        return more ? metric > best + s->threshold : metric < best - s->threshold;
    return more ? metric > best * (s->threshold + 1) : metric < best * (1 - s->threshold);
}

void cnnrt_schedule_epoch(const cnnrt_schedule *s, cnnrt_schedule_state *at, double metric) {
    at->epoch++;
    if (s->kind != CNNRT_REDUCE_LR_ON_PLATEAU)
        return;
    if (at->epoch == 1)
        at->best = (double)NAN;
    if (is_better(s, metric, at->best)) {
        at->best = metric;
        at->bad_epochs = 0;
    } else {
        at->bad_epochs++;
    }
    if (at->cooldown_left > 0) {
        at->cooldown_left--;
        at->bad_epochs = 0;
    }
    if (at->bad_epochs > s->patience) {
        at->reductions++;
        at->cooldown_left = s->cooldown;
        at->bad_epochs = 0;
    }
}
