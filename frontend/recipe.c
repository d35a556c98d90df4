/* Recipe files: the top level, and what its sections share. */
#include "frontend/recipe_parts.h"
#include "ir/base/file.h"

#include <string.h>

enum { RECIPE_MAX_BYTES = 1 << 20 };

/* ---- Variants ---- */

const VariantRow *variant_of(const JsonDoc *d, const Json *j, const char *what, const VariantRow *rows,
                             uint32_t n, const Loc *loc) {
    const Json *type = j->kind == JSON_OBJECT ? json_get(j, "type") : j;
    Diag *diag = &d->cx->diag;
    if (!type) {
        diag_error(diag, DIAG_MISSING_KEY, loc, "%s needs \"type\"", what);
        return NULL;
    }
    if (type->kind != JSON_STRING) {
        diag_error(diag, DIAG_WRONG_TYPE, loc, "%s is a string or an object with \"type\", not %s", what,
                   json_kind_text(type));
        return NULL;
    }
    const char **names = NEW_ARRAY(&d->cx->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++) {
        names[i] = rows[i].type;
        if (strcmp(type->str, rows[i].type) == 0)
            return &rows[i];
    }
    const Loc at = fields_loc(d, type, loc);
    diag_error(diag, DIAG_UNKNOWN_TYPE, j->kind == JSON_OBJECT ? &at : loc, "%s cannot be a \"%s\"", what,
               type->str);
    const char *near = diag_nearest(type->str, names, n);
    StrBuf sb = sb_new(&d->cx->arena);
    for (uint32_t i = 0; i < n; i++)
        sb_printf(&sb, "%s%s", i ? ", " : "", names[i]);
    if (near)
        diag_hint(diag, "did you mean \"%s\"?", near);
    else
        diag_hint(diag, "this version knows %s", sb_str(&sb));
    return NULL;
}

bool variant_read(const JsonDoc *d, const Json *j, const VariantRow *v, void *out, const Loc *loc) {
    if (j->kind != JSON_OBJECT) { /* the type alone; what it needs besides is missing */
        const Json none = {.kind = JSON_OBJECT};
        return fields_read(d, &none, v->type, v->rows, v->n, out, loc);
    }
    FieldRow *rows = NEW_ARRAY(&d->cx->arena, FieldRow, v->n + 1);
    rows[0] = (FieldRow){.name = "type", .kind = FIELD_SKIP};
    for (uint32_t i = 0; i < v->n; i++)
        rows[i + 1] = v->rows[i];
    return fields_read(d, j, v->type, rows, v->n + 1, out, loc);
}

/* ---- The top level ---- */

#define COUNT_MAX 1e9
#define AT(field) offsetof(Recipe, field)

static const FieldRow rows[] = {
    {"format", FIELD_SKIP},
    {"description", FIELD_SKIP},
    {"loss", FIELD_SKIP},
    {"optimizer", FIELD_SKIP},
    {"groups", FIELD_SKIP},
    {"schedule", FIELD_SKIP},
    {"warmup", FIELD_SKIP},
    {"clip", FIELD_SKIP},
    {"early_stopping", FIELD_SKIP},
    {"augmentation", FIELD_SKIP},
    {"freeze", FIELD_TEXTS, AT(train.freeze), .count = AT(train.n_freeze)},
    {"init", FIELD_TEXTS, AT(init), .count = AT(n_init)},
    {"classes", FIELD_TEXTS, AT(classes), .count = AT(n_classes)},
    {"accumulate", FIELD_INT, AT(fit.accumulate), 1, COUNT_MAX},
    {"batch_size", FIELD_INT, AT(fit.batch), 1, 65536},
    {"epochs", FIELD_INT, AT(fit.epochs), 1, COUNT_MAX},
    {"validation", FIELD_REAL, AT(validation), 0, 0.9},
    {"top5", FIELD_FLAG, AT(fit.top5)},
    {"seed", FIELD_INT, AT(fit.seed), 0, 9007199254740991.0},
    {"memory_budget", FIELD_INT, AT(train.memory_budget), 1, 9007199254740991.0},
};

static bool read_clip(const JsonDoc *d, const Json *j, const Loc *loc, TrainSpec *out) {
    static const FieldRow norm[] = {
        {"max_norm", FIELD_REAL, offsetof(TrainSpec, clip_limit), 1e-30, 1e30, .required = true}};
    static const FieldRow value[] = {
        {"clip_value", FIELD_REAL, offsetof(TrainSpec, clip_limit), 1e-30, 1e30, .required = true}};
    static const VariantRow clips[] = {{"norm", CLIP_NORM, norm, 1}, {"value", CLIP_VALUE, value, 1}};
    const VariantRow *v = variant_of(d, j, "clip", clips, 2, loc);
    if (!v)
        return false;
    out->clip = (ClipKind)v->kind;
    return variant_read(d, j, v, out, loc);
}

static bool is_object(const JsonDoc *d, const Json *j, const Loc *loc) {
    return j->kind == JSON_OBJECT || diag_error(&d->cx->diag, DIAG_WRONG_TYPE, loc,
                                                "%s must be an object, not %s", j->key, json_kind_text(j));
}

static bool read_early_stopping(const JsonDoc *d, const Json *j, const Loc *loc, cnnrt_early_stopping *out) {
    static const char *const monitors[] = {"val_loss", "val_accuracy", "train_loss", "train_accuracy", NULL};
    static const FieldRow keys[] = {
        {"patience", FIELD_INT, offsetof(cnnrt_early_stopping, patience), 1, COUNT_MAX, .required = true},
        {"monitor", FIELD_WORD, offsetof(cnnrt_early_stopping, monitor), .words = monitors},
        {"min_delta", FIELD_REAL, offsetof(cnnrt_early_stopping, min_delta), 0, 1e30},
        {"restore_best", FIELD_FLAG, offsetof(cnnrt_early_stopping, restore_best)},
    };
    out->restore_best = 1;
    return is_object(d, j, loc) && fields_read(d, j, "early_stopping", keys, 4, out, loc);
}

static bool read_warmup(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out) {
    static const FieldRow keys[] = {
        {"steps", FIELD_INT, AT(fit.schedule.warmup_steps), 1, COUNT_MAX},
        {"epochs", FIELD_REAL, AT(warmup_epochs), 1e-6, COUNT_MAX},
        {"start_factor", FIELD_REAL, AT(fit.schedule.warmup_start_factor), 0, 1},
    };
    if (!is_object(d, j, loc) || !fields_read(d, j, "warmup", keys, 3, out, loc))
        return false;
    if (!json_get(j, "steps") == !json_get(j, "epochs"))
        return diag_error(&d->cx->diag, DIAG_BAD_ARGUMENT, loc,
                          "warmup needs either \"steps\" or \"epochs\"");
    return true;
}

static bool read_sections(const JsonDoc *d, const Loc *root, Recipe *r) {
    const Json *j = d->root;
    const Json *loss = json_get(j, "loss"), *schedule = json_get(j, "schedule"), *clip = json_get(j, "clip");
    const Json *stop = json_get(j, "early_stopping"), *warmup = json_get(j, "warmup");
    const Json *augmentation = json_get(j, "augmentation"), *freeze = json_get(j, "freeze");
    const Json *init = json_get(j, "init");
    bool ok = true;
    Loc loc;
#define SECTION(j, read) ok &= !(j) || (loc = fields_loc(d, (j), root), (read))
    SECTION(loss, recipe_loss(d, loss, &loc, &r->train.loss));
    ok &= recipe_optimizer(d, json_get(j, "optimizer"), json_get(j, "groups"), root, &r->train.optimizer);
    SECTION(schedule, recipe_schedule(d, schedule, &loc, &r->fit.schedule));
    SECTION(warmup, read_warmup(d, warmup, &loc, r));
    SECTION(clip, read_clip(d, clip, &loc, &r->train));
    SECTION(stop, read_early_stopping(d, stop, &loc, &r->fit.early_stopping));
    ok &= !augmentation || recipe_augmentation(d, augmentation, root, r);
#undef SECTION
    /* OneCycleLR gives SGD a momentum though the optimizer has none of its own. */
    const cnnrt_schedule *schedule_is = &r->fit.schedule;
    const OptimizerKind kind = r->train.optimizer.kind;
    r->train.optimizer.has_momentum |= schedule_is->kind == CNNRT_ONE_CYCLE_LR &&
                                       schedule_is->cycle_momentum &&
                                       (kind == OPTIM_SGD || kind == OPTIM_RMSPROP);
    if (freeze)
        r->train.freeze_loc = fields_loc(d, freeze, root);
    if (init)
        r->init_loc = fields_loc(d, init, root);
    return ok;
}

static bool check_format(const JsonDoc *d, const Loc *root) {
    const Json *format = json_get(d->root, "format");
    if (!format)
        return diag_error(&d->cx->diag, DIAG_MISSING_KEY, root,
                          "a recipe needs \"format\": \"cnnc-recipe/1\"");
    const Loc loc = fields_loc(d, format, root);
    if (format->kind == JSON_STRING && strcmp(format->str, "cnnc-recipe/1") == 0)
        return true;
    return diag_error(
        &d->cx->diag, DIAG_MODEL_FORMAT, &loc, "the format of a recipe is \"cnnc-recipe/1\", not %s",
        format->kind == JSON_STRING ? intern_f(d->cx, "\"%s\"", format->str) : json_kind_text(format));
}

static Recipe *new_recipe(Context *cx) {
    Recipe *r = NEW(&cx->arena, Recipe);
    recipe_loss_default(&r->train.loss);
    recipe_optimizer_default(cx, &r->train.optimizer);
    cnnrt_schedule_defaults(&r->fit.schedule, CNNRT_CONSTANT_LR);
    r->fit.batch = 64;
    r->fit.epochs = 1;
    r->fit.accumulate = 1;
    return r;
}

const Recipe *recipe_default(Context *cx) {
    return new_recipe(cx);
}

const Recipe *recipe_read(Context *cx, const char *path) {
    FileData file;
    JsonDoc d;
    if (!file_read(cx, path, RECIPE_MAX_BYTES, &file) ||
        !json_parse(cx, intern(cx, path), file.data, file.size, &d))
        return NULL;
    const Loc root = json_loc_at(&d, d.root->offset);
    if (d.root->kind != JSON_OBJECT) {
        diag_error(&cx->diag, DIAG_WRONG_TYPE, &root, "a recipe must be an object, not %s",
                   json_kind_text(d.root));
        return NULL;
    }
    Recipe *r = new_recipe(cx);
    r->file = intern(cx, path);
    if (!check_format(&d, &root)) /* what else stands there may follow other rules */
        return NULL;
    bool ok = fields_read(&d, d.root, "a recipe", rows, sizeof rows / sizeof *rows, r, &root);
    ok &= read_sections(&d, &root, r);
    return ok ? r : NULL;
}
