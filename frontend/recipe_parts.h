/* The sections of a recipe, one file each; what they share. */
#ifndef FRONTEND_RECIPE_PARTS_H
#define FRONTEND_RECIPE_PARTS_H

#include "frontend/fields.h"
#include "frontend/recipe.h"

/* One of several forms of an object, by its "type". */
typedef struct VariantRow {
    const char *type;
    int kind;
    const FieldRow *rows;
    uint32_t n;
} VariantRow;

/* The variant that `j` names: a string, or an object with "type". NULL after a diagnostic. */
const VariantRow *variant_of(const JsonDoc *d, const Json *j, const char *what, const VariantRow *rows,
                             uint32_t n, const Loc *loc);
/* Its members into `out`. The rows of a variant need not list "type". */
bool variant_read(const JsonDoc *d, const Json *j, const VariantRow *v, void *out, const Loc *loc);

/* The member `j` of the recipe, which stands at `loc`. */
bool recipe_loss(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out);
bool recipe_schedule(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out);
bool recipe_augmentation(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out);
/* Both may be NULL; `root` is the place of the recipe. */
bool recipe_optimizer(const JsonDoc *d, const Json *j, const Json *groups, const Loc *root,
                      OptimizerSpec *out);
/* The defaults of a recipe that names neither. */
void recipe_loss_default(LossSpec *out);
void recipe_optimizer_default(Context *cx, OptimizerSpec *out);

#endif
