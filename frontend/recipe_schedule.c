/* "schedule": torch.optim.lr_scheduler's classes and their arguments. */
#include "frontend/recipe_parts.h"

static const char *const monitors[] = {"val_loss", "val_accuracy", "train_loss", "train_accuracy", NULL};
static const char *const anneals[] = {"cos", "linear", NULL};
static const char *const thresholds[] = {"rel", "abs", NULL};

#define AT(field) offsetof(cnnrt_schedule, field)
#define COUNT_MAX 1e9
#define GAMMA {"gamma", FIELD_REAL, AT(gamma), 0, 1e3}

static const FieldRow step[] = {{"step_size", FIELD_INT, AT(step_size), 1, COUNT_MAX, .required = true},
                                GAMMA};
static const FieldRow multi_step[] = {
    {"milestones", FIELD_INTS, AT(milestones), 0, COUNT_MAX, .count = AT(n_milestones), .required = true},
    GAMMA,
};
static const FieldRow exponential[] = {{"gamma", FIELD_REAL, AT(gamma), 0, 1e3, .required = true}};
static const FieldRow cosine[] = {
    {"T_max", FIELD_INT, AT(t_max), 1, COUNT_MAX},
    {"eta_min", FIELD_REAL, AT(eta_min), 0, 1e6},
};
static const FieldRow one_cycle[] = {
    {"max_lr", FIELD_REAL, AT(max_lr), 0, 1e6, .required = true},
    {"pct_start", FIELD_REAL, AT(pct_start), 0, 1},
    {"anneal_strategy", FIELD_WORD, AT(linear), .words = anneals},
    {"cycle_momentum", FIELD_FLAG, AT(cycle_momentum)},
    {"base_momentum", FIELD_REAL, AT(base_momentum), 0, 1},
    {"max_momentum", FIELD_REAL, AT(max_momentum), 0, 1},
    {"div_factor", FIELD_REAL, AT(div_factor), 1e-6, 1e12},
    {"final_div_factor", FIELD_REAL, AT(final_div_factor), 1e-6, 1e12},
    {"three_phase", FIELD_FLAG, AT(three_phase)},
};
static const FieldRow plateau[] = {
    {"monitor", FIELD_WORD, AT(monitor), .words = monitors},
    {"factor", FIELD_REAL, AT(factor), 0, 1},
    {"patience", FIELD_INT, AT(patience), 0, COUNT_MAX},
    {"threshold", FIELD_REAL, AT(threshold), 0, 1e6},
    {"threshold_mode", FIELD_WORD, AT(threshold_absolute), .words = thresholds},
    {"cooldown", FIELD_INT, AT(cooldown), 0, COUNT_MAX},
    {"min_lr", FIELD_REAL, AT(min_lr), 0, 1e6},
    {"eps", FIELD_REAL, AT(eps), 0, 1},
};

#define ROWS(r) r, sizeof(r) / sizeof *(r)
static const VariantRow schedules[] = {
    {"ConstantLR", CNNRT_CONSTANT_LR, NULL, 0},
    {"StepLR", CNNRT_STEP_LR, ROWS(step)},
    {"MultiStepLR", CNNRT_MULTI_STEP_LR, ROWS(multi_step)},
    {"ExponentialLR", CNNRT_EXPONENTIAL_LR, ROWS(exponential)},
    {"CosineAnnealingLR", CNNRT_COSINE_ANNEALING_LR, ROWS(cosine)},
    {"OneCycleLR", CNNRT_ONE_CYCLE_LR, ROWS(one_cycle)},
    {"ReduceLROnPlateau", CNNRT_REDUCE_LR_ON_PLATEAU, ROWS(plateau)},
};

bool recipe_schedule(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out) {
    const VariantRow *v =
        variant_of(d, j, "a schedule", schedules, sizeof schedules / sizeof *schedules, loc);
    if (!v)
        return false;
    cnnrt_schedule_defaults(&out->fit.schedule, v->kind);
    return variant_read(d, j, v, &out->fit.schedule, loc);
}
