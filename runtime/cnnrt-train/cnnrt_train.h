/* cnnrt-train: the training loop around a model compiled with --train: epochs, learning-rate schedules, early
 * stopping, checkpoints. C99, C11 and C++. People who write their own loop need none of it: the bare step is
 * in the generated header. No globals; a failing call says why in the result. */
#ifndef CNNRT_TRAIN_H
#define CNNRT_TRAIN_H

#include "cnnrt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Learning-rate schedules: torch.optim.lr_scheduler's names, arguments, defaults and values ---- */

enum cnnrt_schedule_kind {
    CNNRT_CONSTANT_LR = 0,
    CNNRT_STEP_LR = 1,             /* step_size, gamma */
    CNNRT_MULTI_STEP_LR = 2,       /* milestones, gamma */
    CNNRT_EXPONENTIAL_LR = 3,      /* gamma */
    CNNRT_COSINE_ANNEALING_LR = 4, /* t_max, eta_min */
    CNNRT_ONE_CYCLE_LR = 5,        /* advances every step; all others every epoch */
    CNNRT_REDUCE_LR_ON_PLATEAU = 6
};

/* What ReduceLROnPlateau and early stopping look at after each epoch. */
enum cnnrt_monitor {
    CNNRT_VAL_LOSS = 0,
    CNNRT_VAL_ACCURACY = 1,
    CNNRT_TRAIN_LOSS = 2,
    CNNRT_TRAIN_ACCURACY = 3
};

typedef struct cnnrt_schedule {
    int kind; /* enum cnnrt_schedule_kind */
    double gamma;
    int64_t step_size;         /* epochs */
    const int64_t *milestones; /* epochs, ascending */
    uint32_t n_milestones;
    int64_t t_max; /* epochs; 0: all epochs of the run */
    double eta_min;
    /* CNNRT_ONE_CYCLE_LR */
    double max_lr; /* of every group, whose own rate does not count */
    double pct_start, div_factor, final_div_factor;
    int linear; /* anneal_strategy: 0 cos, 1 linear */
    int three_phase;
    int cycle_momentum;
    double base_momentum, max_momentum;
    /* CNNRT_REDUCE_LR_ON_PLATEAU; improvement is less for losses and more for accuracies */
    int monitor; /* enum cnnrt_monitor */
    double factor, threshold, min_lr, eps;
    int threshold_absolute;     /* threshold_mode: 0 rel, 1 abs */
    int64_t patience, cooldown; /* epochs */
    /* Before and on top of any kind: the rate grows linearly from warmup_start_factor times itself to itself
     * over this many optimizer steps. 0: none. */
    int64_t warmup_steps;
    double warmup_start_factor;
} cnnrt_schedule;

/* PyTorch's defaults for `kind`. */
void cnnrt_schedule_defaults(cnnrt_schedule *s, int kind);

/* Where a schedule stands; all zero at the start. Saved in checkpoints. */
typedef struct cnnrt_schedule_state {
    int64_t epoch, step; /* finished so far */
    /* CNNRT_REDUCE_LR_ON_PLATEAU */
    int64_t reductions; /* of the rates so far */
    int64_t bad_epochs, cooldown_left;
    double best; /* of the metric, once an epoch has been */
} cnnrt_schedule_state;

/* Fill in lr and momentum of every group in `hyper` for the optimizer step that comes next. `base`: the
 * recipe's numbers (cnnrt_training.hyper or your own). steps_per_epoch and epochs are those of the run. */
void cnnrt_schedule_apply(const cnnrt_schedule *s, const cnnrt_schedule_state *at, const double *base,
                          uint32_t n_groups, int64_t steps_per_epoch, int64_t epochs, double *hyper);
void cnnrt_schedule_step(const cnnrt_schedule *s, cnnrt_schedule_state *at);
/* After an epoch; `metric` is what `monitor` asks for. */
void cnnrt_schedule_epoch(const cnnrt_schedule *s, cnnrt_schedule_state *at, double metric);

/* ---- The loop ---- */

typedef struct cnnrt_early_stopping {
    int64_t patience; /* epochs without improvement; 0: never stop early */
    int monitor;      /* enum cnnrt_monitor */
    double min_delta;
    int restore_best; /* at the end (not when stopped by the flag), put back the weights of the best epoch */
} cnnrt_early_stopping;

enum cnnrt_fit_event_kind {
    CNNRT_FIT_STEP = 0,       /* after an optimizer step */
    CNNRT_FIT_VALIDATION = 1, /* after a batch of validation */
    CNNRT_FIT_EPOCH = 2,
    CNNRT_FIT_CHECKPOINT = 3, /* one was written */
    CNNRT_FIT_STOP = 4,       /* the loop ends: early, by the flag, or after the last epoch */
    CNNRT_FIT_START = 5       /* before the first step; `epoch` and `step` are what a resumed run has done */
};

typedef struct cnnrt_fit_event {
    int kind;
    int64_t epoch, epochs; /* from 1 */
    int64_t step, steps;   /* optimizer steps in this epoch, done and in all (batches in validation) */
    int64_t total_steps;   /* optimizer steps since the start */
    double lr;             /* of the first group */
    double loss, accuracy; /* means over this epoch so far; accuracy is NaN without class labels */
    double val_loss, val_accuracy, val_top5; /* CNNRT_FIT_EPOCH; NaN without validation */
    double images_per_second;                /* of training, in this epoch */
    double seconds,
        seconds_left; /* of this call; the rest of the run by the pace so far, NaN before a step */
    const char *text; /* CNNRT_FIT_CHECKPOINT: path; CNNRT_FIT_STOP: why; CNNRT_FIT_START: the checkpoint that
                         is resumed, or NULL */
} cnnrt_fit_event;

typedef struct cnnrt_fit_options {
    int64_t batch; /* samples a call; at most the compiled batch; 0: that */
    int64_t epochs;
    int64_t accumulate;  /* calls of backward an optimizer step; 0 and 1: train_step */
    uint64_t seed;       /* of the run; a checkpoint of another seed is not resumed */
    uint64_t frozen;     /* a hash of yours of the weights that are not trained, below 2^53; a checkpoint of
                            others is not resumed. 0: there are none, or they need no watching */
    const double *hyper; /* in place of the model's defaults; NULL: those */
    cnnrt_schedule schedule;
    cnnrt_early_stopping early_stopping;
    const char *checkpoint;   /* file; NULL: none */
    int64_t checkpoint_steps; /* write one every so many optimizer steps; 0: after each epoch only */
    int resume;      /* continue from `checkpoint` if that file exists; batch, accumulate, the number of
                        training samples, seed and frozen must be the same, epochs may be more */
    const char *log; /* JSON lines are appended to this file; NULL: none */
    int top5;
    volatile int *stop; /* when it becomes not 0, save and stop; may be NULL */
    /* Called on the loop's thread; not 0 ends the run as `stop` does. May be NULL. */
    int (*on_event)(void *user, const cnnrt_fit_event *event);
    void *user;
} cnnrt_fit_options;

typedef struct cnnrt_fit_result {
    int status;  /* CNNRT_OK, also after an early stop or a stop by flag */
    int stopped; /* 0: all epochs; 1: early stopping; 2: by flag or callback */
    int64_t epochs, steps;
    int64_t best_epoch;                                                  /* 0: none */
    double train_loss, train_accuracy, val_loss, val_accuracy, val_top5; /* of the last epoch */
    double best_metric;
    /* Of the epoch whose weights are in the state: with restore_best the best one, else the last. 0 and NaN
     * when the run was stopped amid an epoch. */
    int64_t kept_epoch;
    double kept_val_loss, kept_val_accuracy, kept_val_top5;
    double seconds;
    int64_t *confusion; /* classes x classes, [true][predicted], of the validation of kept_epoch, else of the
                           last; yours to free; NULL: no class labels, more than 4096 classes, or that
                           validation was not in this call */
    int64_t classes;
    char text[400]; /* why it failed: the step, the layer, the last good checkpoint */
} cnnrt_fit_result;

/* Train. `state` (64-byte aligned, model->training->state_bytes) must be initialised by state_init or a
 * checkpoint, unless resume finds one. The model has one f32 input and one target; accuracy is that of its
 * first output of two dimensions, when the target is i64 class labels. A source whose samples have other
 * sizes than the model's is refused before anything is done. `train` begins epochs 0, 1, ...; `valid`, which
 * may be NULL, epoch 0 each time. `work` is 64-byte aligned, of at least workspace_shared + threads *
 * workspace_per_thread bytes. `weights` NULL: embedded. Memory is taken at the start only. Returns
 * result->status. */
int cnnrt_fit(const cnnrt_model *model, const cnnrt_source *train, const cnnrt_source *valid, void *state,
              const void *weights, void *work, size_t work_bytes, cnnrt_pool *pool,
              const cnnrt_fit_options *options, cnnrt_fit_result *result);
void cnnrt_fit_result_free(cnnrt_fit_result *result);

/* Loss, accuracy, top-5 and confusion matrix of a source in evaluation mode, as cnnrt_fit validates. */
int cnnrt_evaluate(const cnnrt_model *model, const cnnrt_source *source, const void *state,
                   const void *weights, void *work, size_t work_bytes, cnnrt_pool *pool,
                   cnnrt_fit_result *result);

/* ---- State and files ---- */

/* A tensor of the state by role and name: cnnrt_state_find of cnnrt.h. */
/* Parameters and statistics alone as safetensors with PyTorch's names; whole or not at all. `frozen`: data of
 * the frozen ones, dense f32 in the order of model->params, which make the file a whole state_dict; NULL
 * leaves them out. */
int cnnrt_state_export(const cnnrt_model *model, const void *state, const void *const *frozen,
                       const char *path, char *why, size_t why_size);
/* Parameters and statistics by name from a safetensors file in memory, into an initialised state. All must be
 * there and fit, or nothing is changed. */
int cnnrt_state_import(const cnnrt_model *model, void *state, const void *file, size_t file_bytes, char *why,
                       size_t why_size);
/* Checkpoints: everything, whole or not at all. cnnrt_fit writes and reads its own, which also say where the
 * run is; these are for loops of your own, and can load the state of either kind. Load initialises the state.
 */
int cnnrt_checkpoint_save(const cnnrt_model *model, const void *state, const char *path, char *why,
                          size_t why_size);
int cnnrt_checkpoint_load(const cnnrt_model *model, void *state, const char *path, char *why,
                          size_t why_size);

#ifdef __cplusplus
}
#endif
#endif
