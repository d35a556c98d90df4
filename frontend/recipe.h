/* Recipes: how a model is trained, as JSON (docs/training.md). One reader for what is compiled in and for
 * what the loop, the data and the augmentation are told at run time. */
#ifndef FRONTEND_RECIPE_H
#define FRONTEND_RECIPE_H

#include "ir/base/context.h"
#include "ir/train.h"
#include "runtime/cnnrt-data/cnnrt_data.h"
#include "runtime/cnnrt-train/cnnrt_train.h"

typedef struct Recipe {
    const char *file;
    TrainSpec train;
    cnnrt_fit_options fit;   /* batch, epochs, accumulate, seed, schedule, early_stopping, top5 */
    double warmup_epochs;    /* in place of fit.schedule.warmup_steps, which are not known yet; 0: none */
    const char *const *init; /* patterns: parameters that start afresh though a weights file is given */
    uint32_t n_init;
    Loc init_loc;
    cnnrt_transform *augmentation; /* in the order of their work */
    Loc *augmentation_locs;
    uint32_t n_augmentation;
    double validation; /* share of the training data that is held back; 0: none */
    Loc validation_loc;
    const char *const *classes; /* only samples of these classes; NULL: all */
    uint32_t n_classes;
    Loc classes_loc;
    const char *description; /* for those who read the file */
} Recipe;

/* NULL after diagnostics. */
const Recipe *recipe_read(Context *cx, const char *path);
/* What a recipe says that says nothing: CrossEntropyLoss, Adam, one epoch. */
const Recipe *recipe_default(Context *cx);

#endif
