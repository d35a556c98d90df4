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
        const Loc at = type == j ? *loc : fields_loc(d, type, loc);
        diag_error(diag, DIAG_WRONG_TYPE, &at,
                   type == j ? "%s is a string or an object with \"type\", not %s"
                             : "the type of %s is a string, not %s",
                   what, json_kind_text(type));
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
    {"description", FIELD_TEXT, AT(description)},
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

static bool read_clip(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out) {
    static const FieldRow norm[] = {
        {"max_norm", FIELD_REAL, AT(train.clip_limit), 1e-30, 1e30, .required = true}};
    static const FieldRow value[] = {
        {"clip_value", FIELD_REAL, AT(train.clip_limit), 1e-30, 1e30, .required = true}};
    static const VariantRow clips[] = {{"norm", CLIP_NORM, norm, 1}, {"value", CLIP_VALUE, value, 1}};
    const VariantRow *v = variant_of(d, j, "clip", clips, 2, loc);
    if (!v)
        return false;
    out->train.clip = (ClipKind)v->kind;
    return variant_read(d, j, v, out, loc);
}

static bool is_object(const JsonDoc *d, const Json *j, const Loc *loc) {
    return j->kind == JSON_OBJECT || diag_error(&d->cx->diag, DIAG_WRONG_TYPE, loc,
                                                "%s must be an object, not %s", j->key, json_kind_text(j));
}

static bool read_early_stopping(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out) {
    static const char *const monitors[] = {"val_loss", "val_accuracy", "train_loss", "train_accuracy", NULL};
    static const FieldRow keys[] = {
        {"patience", FIELD_INT, AT(fit.early_stopping.patience), 1, COUNT_MAX, .required = true},
        {"monitor", FIELD_WORD, AT(fit.early_stopping.monitor), .words = monitors},
        {"min_delta", FIELD_REAL, AT(fit.early_stopping.min_delta), 0, 1e30},
        {"restore_best", FIELD_FLAG, AT(fit.early_stopping.restore_best)},
    };
    out->fit.early_stopping.restore_best = 1;
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

/* OneCycleLR gives an optimizer a momentum though it has none of its own, as PyTorch's does. */
static bool cycle_momentum(const JsonDoc *d, const Loc *root, Recipe *r) {
    const cnnrt_schedule *s = &r->fit.schedule;
    OptimizerSpec *o = &r->train.optimizer;
    if (s->kind != CNNRT_ONE_CYCLE_LR || !s->cycle_momentum)
        return true;
    o->has_momentum |= o->kind == OPTIM_SGD || o->kind == OPTIM_RMSPROP;
    if (o->kind != OPTIM_ADAGRAD)
        return true;
    const Loc loc = fields_loc(d, json_get(d->root, "schedule"), root);
    diag_error(&d->cx->diag, DIAG_BAD_ARGUMENT, &loc, "OneCycleLR cycles the momentum, and Adagrad has none");
    return diag_hint(&d->cx->diag, "\"cycle_momentum\": false");
}

static bool read_sections(const JsonDoc *d, const Loc *root, Recipe *r) {
    static const struct {
        const char *key;
        bool (*read)(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out);
    } sections[] = {
        {"loss", recipe_loss}, {"schedule", recipe_schedule},           {"warmup", read_warmup},
        {"clip", read_clip},   {"early_stopping", read_early_stopping}, {"augmentation", recipe_augmentation},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        const Json *j = json_get(d->root, sections[i].key);
        const Loc loc = j ? fields_loc(d, j, root) : *root;
        ok &= !j || sections[i].read(d, j, &loc, r);
    }
    ok &= recipe_optimizer(d, json_get(d->root, "optimizer"), json_get(d->root, "groups"), root,
                           &r->train.optimizer);
    return ok && cycle_momentum(d, root, r);
}

/* Where the model or the data may not fit what these say. */
static bool keep_places(const JsonDoc *d, const Loc *root, Recipe *r) {
    const struct {
        const char *key;
        Loc *loc;
    } places[] = {{"freeze", &r->train.freeze_loc},
                  {"init", &r->init_loc},
                  {"validation", &r->validation_loc},
                  {"classes", &r->classes_loc}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const Json *j = json_get(d->root, places[i].key);
        *places[i].loc = j ? fields_loc(d, j, root) : *root;
    }
    return !r->classes || r->n_classes ||
           diag_error(&d->cx->diag, DIAG_OUT_OF_RANGE, &r->classes_loc, "classes names none");
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
    r->train.loss.loc = root;
    if (!check_format(&d, &root)) /* what else stands there may follow other rules */
        return NULL;
    bool ok = fields_read(&d, d.root, "a recipe", rows, sizeof rows / sizeof *rows, r, &root);
    ok &= keep_places(&d, &root, r);
    ok &= read_sections(&d, &root, r);
    return ok ? r : NULL;
}
