/* A run of cnnrt_fit; shared by its files, not installed. */
#ifndef CNNRT_TRAIN_FIT_H
#define CNNRT_TRAIN_FIT_H

#include "internal.h"

typedef struct Fit {
    Call call;
    const cnnrt_source *train, *valid; /* valid may be NULL */
    const cnnrt_fit_options *options;
    cnnrt_fit_result *result;
    Why why; /* result->text */
    Batch batch;
    Log log;
    const double *base;      /* hyper as the recipe has it */
    double *hyper;           /* of the next step */
    unsigned char *best;     /* the weights of the best epoch; NULL: not wanted */
    int64_t *best_confusion; /* of its validation; NULL: not wanted */
    bool has_best_confusion; /* that validation was in this call */
    int64_t batches, steps;  /* of an epoch */
    Place at;
    Score validation;    /* of the one that runs */
    bool stop;           /* by the flag or the callback */
    bool put_back;       /* the weights of the best epoch are in the state again */
    int64_t saved_steps; /* total_steps of the last checkpoint; -1: none */
    /* Of this call, in seconds of a monotonic clock. */
    double began, epoch_began, trained; /* trained: when the epoch's last step ended; 0: not yet */
    int64_t steps_here, epoch_samples_here;
} Fit;

double cnnrt_fit_clock(void);
/* Whether the run is to end; looks at the flag. */
bool cnnrt_fit_stopping(Fit *f);
/* Tell the callback. `text` may be NULL. */
void cnnrt_fit_event_send(Fit *f, int kind, int64_t step, int64_t steps, const char *text);
/* Into the checkpoint, if there is to be one. */
int cnnrt_fit_save(Fit *f);
/* The epoch at f->at to its end; sooner when f->stop becomes true. */
int cnnrt_fit_epoch(Fit *f);
/* Bytes of a confusion matrix. */
size_t cnnrt_fit_confusion_size(const Fit *f);
/* What an enum cnnrt_monitor asks for, of the last epoch. */
double cnnrt_fit_metric(const Fit *f, int monitor);

#endif
