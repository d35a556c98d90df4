/* What the pass `autodiff` is told of a training run: everything of a recipe that is compiled in. Filled in
 * by the front end from recipe JSON (docs/training.md). PyTorch's names and formulas. */
#ifndef IR_TRAIN_H
#define IR_TRAIN_H

#include "ir/base/diag.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum LossKind {
    LOSS_CROSS_ENTROPY,   /* CrossEntropyLoss */
    LOSS_NLL,             /* NLLLoss */
    LOSS_BCE_WITH_LOGITS, /* BCEWithLogitsLoss */
    LOSS_MSE,             /* MSELoss */
    LOSS_L1,              /* L1Loss */
    LOSS_SMOOTH_L1,       /* SmoothL1Loss */
} LossKind;

typedef enum Reduction { REDUCTION_MEAN, REDUCTION_SUM } Reduction;

typedef struct LossSpec {
    LossKind kind;
    Reduction reduction;
    const char *output; /* which output of the model; NULL: the first */
    bool probabilities; /* LOSS_CROSS_ENTROPY: targets are f32 probabilities of each class, not i64 indices */
    double label_smoothing; /* LOSS_CROSS_ENTROPY */
    int64_t ignore_index;   /* LOSS_CROSS_ENTROPY, LOSS_NLL; PyTorch's default is -100 */
    double beta;            /* LOSS_SMOOTH_L1 */
    const float *weight;    /* one a class (LOSS_CROSS_ENTROPY, LOSS_NLL), or an element of a sample's output
                               (LOSS_BCE_WITH_LOGITS); NULL: all 1 */
    uint32_t n_weight;
    const float *pos_weight; /* LOSS_BCE_WITH_LOGITS: an element of a sample's output; NULL: all 1 */
    uint32_t n_pos_weight;
    Loc loc; /* in the recipe */
} LossSpec;

typedef enum OptimizerKind { OPTIM_SGD, OPTIM_ADAM, OPTIM_ADAMW, OPTIM_RMSPROP, OPTIM_ADAGRAD } OptimizerKind;

/* A parameter group: the numbers that are run-time values, with their defaults. */
typedef struct GroupSpec {
    const char *const *patterns; /* see train_matches */
    uint32_t n_patterns;
    double lr, weight_decay;
    double momentum; /* SGD, RMSprop: momentum; Adam, AdamW: beta1; Adagrad: unused */
    Loc loc;
} GroupSpec;

typedef struct OptimizerSpec {
    OptimizerKind kind;
    double dampening;                 /* SGD */
    bool nesterov;                    /* SGD */
    double beta2;                     /* Adam, AdamW */
    double eps;                       /* all but SGD */
    bool amsgrad;                     /* Adam, AdamW */
    double alpha;                     /* RMSprop */
    bool centered;                    /* RMSprop */
    double lr_decay;                  /* Adagrad */
    double initial_accumulator_value; /* Adagrad */
    bool has_momentum;                /* SGD, RMSprop: a momentum buffer is kept (some group's is not 0) */
    GroupSpec *groups; /* the first has no patterns: all parameters that no other group names */
    uint32_t n_groups;
} OptimizerSpec;

typedef enum ClipKind { CLIP_NONE, CLIP_VALUE, CLIP_NORM } ClipKind;

typedef struct TrainSpec {
    LossSpec loss;
    OptimizerSpec optimizer;
    ClipKind clip; /* clip_grad_value_ or clip_grad_norm_ (2-norm); its limit is a run-time value */
    double clip_limit;
    const char *const *freeze; /* parameters that are not trained */
    uint32_t n_freeze;
    Loc freeze_loc;
    int64_t memory_budget; /* bytes of the workspace, 0: none; passes recompute what is cheap */
} TrainSpec;

/* The numbers of a step, f64, as VK_HYPER holds them: these two, then lr, weight_decay and momentum of each
 * group. */
enum { HYPER_GRAD_SCALE, HYPER_CLIP, HYPER_GROUPS, HYPER_PER_GROUP = 3 };
enum { HYPER_LR, HYPER_WEIGHT_DECAY, HYPER_MOMENTUM };

/* Does the pattern name the parameter? Shell wildcards over the whole key ("layer?.*.weight"); and a pattern
 * that is the name of a layer names all below it ("fc" for "fc.weight"). */
bool train_matches(const char *pattern, const char *key);
/* Does one of the n patterns? */
bool train_matches_any(const char *const *patterns, uint32_t n, const char *key);
/* The parameter's group: the first whose patterns name it, else group 0. */
uint32_t train_group(const OptimizerSpec *o, const char *key);

#endif
