/* "loss": PyTorch's losses and their arguments. */
#include "frontend/recipe_parts.h"

static const char *const reductions[] = {"mean", "sum", NULL};

#define AT(field) offsetof(LossSpec, field)
#define OUTPUT {"output", FIELD_TEXT, AT(output)}
#define REDUCTION {"reduction", FIELD_WORD, AT(reduction), .words = reductions}
#define WEIGHT {"weight", FIELD_FLOATS, AT(weight), 0, 1e30, .count = AT(n_weight)}
#define IGNORE {"ignore_index", FIELD_INT, AT(ignore_index), -1e15, 1e15}

static const FieldRow cross_entropy[] = {
    OUTPUT,
    REDUCTION,
    WEIGHT,
    IGNORE,
    {"label_smoothing", FIELD_REAL, AT(label_smoothing), 0, 1},
    {"probabilities", FIELD_BOOL, AT(probabilities)},
};
static const FieldRow nll[] = {OUTPUT, REDUCTION, WEIGHT, IGNORE};
static const FieldRow bce[] = {
    OUTPUT,
    REDUCTION,
    WEIGHT,
    {"pos_weight", FIELD_FLOATS, AT(pos_weight), 0, 1e30, .count = AT(n_pos_weight)},
};
static const FieldRow plain[] = {OUTPUT, REDUCTION};
static const FieldRow smooth[] = {OUTPUT, REDUCTION, {"beta", FIELD_REAL, AT(beta), 0, 1e30}};

#define ROWS(r) r, sizeof(r) / sizeof *(r)
static const VariantRow losses[] = {
    {"CrossEntropyLoss", LOSS_CROSS_ENTROPY, ROWS(cross_entropy)},
    {"NLLLoss", LOSS_NLL, ROWS(nll)},
    {"BCEWithLogitsLoss", LOSS_BCE_WITH_LOGITS, ROWS(bce)},
    {"MSELoss", LOSS_MSE, ROWS(plain)},
    {"L1Loss", LOSS_L1, ROWS(plain)},
    {"SmoothL1Loss", LOSS_SMOOTH_L1, ROWS(smooth)},
};

void recipe_loss_default(LossSpec *out) {
    *out = (LossSpec){.kind = LOSS_CROSS_ENTROPY, .ignore_index = -100, .beta = 1};
}

bool recipe_loss(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *recipe) {
    const VariantRow *v = variant_of(d, j, "a loss", losses, sizeof losses / sizeof *losses, loc);
    LossSpec *out = &recipe->train.loss;
    out->loc = *loc;
    if (!v)
        return false;
    out->kind = (LossKind)v->kind;
    if (!variant_read(d, j, v, out, loc))
        return false;
    if (out->probabilities && json_get(j, "ignore_index"))
        return diag_error(&d->cx->diag, DIAG_BAD_ARGUMENT, loc,
                          "ignore_index is for class indices, not for probabilities");
    return true;
}
