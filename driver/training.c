/* What a training object is told beyond its module: names, the recipe's numbers, initial values. */
#include "driver/compile.h"
#include "driver/sizes.h"
#include <string.h>

static const char *const losses[] = {
    [LOSS_CROSS_ENTROPY] = "CrossEntropyLoss",
    [LOSS_NLL] = "NLLLoss",
    [LOSS_BCE_WITH_LOGITS] = "BCEWithLogitsLoss",
    [LOSS_MSE] = "MSELoss",
    [LOSS_L1] = "L1Loss",
    [LOSS_SMOOTH_L1] = "SmoothL1Loss",
};
static const char *const optimizers[] = {
    [OPTIM_SGD] = "SGD",         [OPTIM_ADAM] = "Adam",       [OPTIM_ADAMW] = "AdamW",
    [OPTIM_RMSPROP] = "RMSprop", [OPTIM_ADAGRAD] = "Adagrad",
};

static const double *hyper_defaults(Context *cx, const TrainSpec *t) {
    const uint32_t n = t->optimizer.n_groups;
    double *hyper = NEW_ARRAY(&cx->arena, double, HYPER_GROUPS + (size_t)n * HYPER_PER_GROUP);
    hyper[HYPER_GRAD_SCALE] = 1;
    hyper[HYPER_CLIP] = t->clip_limit;
    for (uint32_t i = 0; i < n; i++) {
        double *group = hyper + HYPER_GROUPS + (size_t)i * HYPER_PER_GROUP;
        group[HYPER_LR] = t->optimizer.groups[i].lr;
        group[HYPER_WEIGHT_DECAY] = t->optimizer.groups[i].weight_decay;
        group[HYPER_MOMENTUM] = t->optimizer.groups[i].momentum;
    }
    return hyper;
}

bool training_unfrozen(const Compile *c, const char *passes, Unit *out) {
    if (!c->recipe || !c->recipe->train.n_freeze || !c->source)
        return false;
    TrainSpec *spec = arena_copy(&c->cx->arena, &c->recipe->train, sizeof *spec);
    spec->freeze = NULL;
    spec->n_freeze = 0;
    *out = (Unit){.cx = c->cx, .target = &c->target, .graph = c->source, .train = spec};
    const PipelineOptions options = {.passes = passes};
    const Diag kept = c->cx->diag;
    bool stopped;
    const bool ok = passes_run(out, &options, &stopped);
    c->cx->diag = kept; /* the faults of what nobody asked for */
    return ok;
}

/* What is frozen, and what that saves in the state. */
static void count_frozen(const Compile *c, TrainingOptions *o) {
    Unit unfrozen;
    if (!c->chain)
        return;
    const TrainingSizes is = training_sizes(c->chain);
    o->n_frozen = is.frozen;
    if (!training_unfrozen(c, "autodiff", &unfrozen))
        return;
    const TrainingSizes was = training_sizes(unfrozen.graph);
    o->saved_gradients = was.state_bytes[ROLE_GRAD] - is.state_bytes[ROLE_GRAD];
    o->saved_slots = was.state_bytes[ROLE_SLOT] - is.state_bytes[ROLE_SLOT];
}

const TrainingOptions *training_options(Compile *c) {
    const LoopModule *m = c->loops;
    const TrainSpec *t = &c->recipe->train;
    Arena *a = &c->cx->arena;
    TrainingOptions *o = NEW(a, TrainingOptions);
    const void **initial = NEW_ARRAY(a, const void *, m->bufs.len + 1);
    float *fill = NEW_ARRAY(a, float, m->bufs.len + 1);
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind == MB_STATE && (b->role == ROLE_PARAM || b->role == ROLE_BUFFER))
            initial[i] = weights_find(c, b->key);
        if (b->kind == MB_STATE && b->role == ROLE_SLOT && t->optimizer.kind == OPTIM_ADAGRAD)
            fill[i] = (float)t->optimizer.initial_accumulator_value;
    }
    *o = (TrainingOptions){.loss = losses[t->loss.kind],
                           .optimizer = optimizers[t->optimizer.kind],
                           .n_groups = t->optimizer.n_groups,
                           .groups = t->optimizer.groups,
                           .hyper = hyper_defaults(c->cx, t),
                           .initial = initial,
                           .fill = fill};
    count_frozen(c, o);
    return o;
}
