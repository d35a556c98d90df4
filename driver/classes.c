/* The classes of the data: those that the recipe asks for, in the order that the model has names for. */
#include "driver/classes.h"
#include <string.h>

static cnnrt_dataset_info describe(const cnnrt_dataset *a) {
    cnnrt_dataset_info info;
    cnnrt_dataset_describe(a, &info);
    return info;
}

static uint32_t position(const char *name, const char *const *names, uint32_t n) {
    uint32_t i = 0;
    while (i < n && strcmp(names[i], name) != 0)
        i++;
    return i;
}

/* The data set with n of its classes, numbered anew. */
static bool take(const Compile *c, cnnrt_dataset **set, const uint32_t *index, uint32_t n) {
    cnnrt_dataset *part;
    cnnrt_data_error error;
    if (cnnrt_dataset_subset(*set, index, n, &part, &error) != CNNRT_OK)
        return diag_error(&c->cx->diag, DIAG_TRAINING_DATA, &c->recipe->classes_loc, "%s", error.text);
    cnnrt_dataset_close(*set);
    *set = part;
    return true;
}

/* The classes that the recipe asks for, in its order, in place of all. Where the files have only numbers, the
 * model's names for all of them will do too. */
static bool take_recipes(const Compile *c, cnnrt_dataset **set) {
    const Recipe *r = c->recipe;
    const cnnrt_dataset_info info = describe(*set);
    const bool numbered = strcmp(info.kind, "idx") == 0 || strcmp(info.kind, "npy") == 0;
    const char *const *names =
        numbered && c->source->n_classes == info.n_classes ? c->source->classes : info.classes;
    uint32_t *index = NEW_ARRAY(&c->cx->arena, uint32_t, r->n_classes + 1);
    for (uint32_t i = 0; i < r->n_classes; i++) {
        index[i] = position(r->classes[i], info.classes, info.n_classes);
        if (index[i] == info.n_classes)
            index[i] = position(r->classes[i], names, info.n_classes);
        if (index[i] < info.n_classes)
            continue;
        diag_error(&c->cx->diag, DIAG_TRAINING_DATA, &r->classes_loc, "the data have no class \"%s\"",
                   r->classes[i]);
        const char *near = diag_nearest(r->classes[i], names, info.n_classes);
        return near && diag_hint(&c->cx->diag, "did you mean \"%s\"?", near);
    }
    return take(c, set, index, r->n_classes);
}

bool classes_numbered(const Compile *c, const cnnrt_dataset *set) {
    const cnnrt_dataset_info info = describe(set);
    return !c->recipe->classes && info.n_classes &&
           (strcmp(info.kind, "idx") == 0 || strcmp(info.kind, "npy") == 0);
}

bool classes_below(const Compile *c, const cnnrt_dataset *set, int64_t limit, const char *but) {
    const int64_t count = describe(set).count;
    const char *file;
    int64_t i = 0;
    while (i < count && cnnrt_dataset_label(set, i) < limit)
        i++;
    if (i == count)
        return true;
    const int64_t sample = cnnrt_dataset_origin(set, i, &file);
    return diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL, "%s: sample %lld has label %lld, but %s", file,
                      (long long)sample, (long long)cnnrt_dataset_label(set, i), but);
}

/* Both sets number their classes alike; the last may be missing from validation. */
static bool check_agreement(const Compile *c, const Samples *s) {
    const cnnrt_dataset_info a = describe(s->train), b = describe(s->valid);
    if (a.n_classes && b.n_classes > a.n_classes && classes_numbered(c, s->valid))
        return classes_below(c, s->valid, a.n_classes,
                             arena_printf(&c->cx->arena, "the largest in training is %u", a.n_classes - 1));
    for (uint32_t i = 0; i < b.n_classes && a.n_classes; i++)
        if (i >= a.n_classes || strcmp(a.classes[i], b.classes[i]) != 0)
            return diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL,
                              "class %u is \"%s\" in validation and \"%s\" in training", i, b.classes[i],
                              i < a.n_classes ? a.classes[i] : "");
    return true;
}

/* ---- The model's names ---- */

/* "; there is no folder "dog" and 2 more", for the names of `a` that are not among those of `b`. */
static void print_lacking(StrBuf *sb, const char *const *a, uint32_t n_a, const char *const *b, uint32_t n_b,
                          const char *says) {
    uint32_t lacking = 0;
    for (uint32_t i = 0; i < n_a; i++)
        if (position(a[i], b, n_b) == n_b && lacking++ == 0)
            sb_printf(sb, "; %s \"%s\"", says, a[i]);
    if (lacking > 1)
        sb_printf(sb, " and %u more", lacking - 1);
}

static bool names_differ(const Compile *c, const cnnrt_dataset_info *info, const char *what) {
    const Graph *g = c->source;
    StrBuf sb = sb_new(&c->cx->arena);
    print_lacking(&sb, g->classes, g->n_classes, info->classes, info->n_classes, "there is no folder");
    print_lacking(&sb, info->classes, info->n_classes, g->classes, g->n_classes, "the model has no class");
    diag_error(&c->cx->diag, DIAG_TRAINING_DATA, &(Loc){.file = c->o->model},
               "the class folders for %s are not the model's %u classes%s", what, g->n_classes, sb_str(&sb));
    return diag_hint(&c->cx->diag,
                     "correct the folders or the model's \"classes\", or name the folders in the "
                     "model's order as \"classes\" of the recipe");
}

/* What the recipe says outright may not contradict the model. */
static bool check_recipes(const Compile *c) {
    const Graph *g = c->source;
    const Recipe *r = c->recipe;
    for (uint32_t i = 0; i < r->n_classes; i++) {
        const uint32_t at = position(r->classes[i], g->classes, g->n_classes);
        if (at < g->n_classes && at != i)
            return diag_error(&c->cx->diag, DIAG_TRAINING_DATA, &r->classes_loc,
                              "\"%s\" is class %u here and class %u of the model", r->classes[i], i, at);
    }
    return true;
}

/* Folders are sorted by name, and the model has an order of its own: the names tell which is which. `some`:
 * the last classes may be missing. */
static bool take_models(const Compile *c, cnnrt_dataset **set, const char *what, bool some) {
    const Graph *g = c->source;
    const cnnrt_dataset_info info = describe(*set);
    uint32_t same = 0, found = 0;
    if (!g->n_classes || !info.n_classes || strcmp(info.kind, "folder") != 0)
        return true;
    if (c->recipe->classes)
        return check_recipes(c);
    uint32_t *index = NEW_ARRAY(&c->cx->arena, uint32_t, g->n_classes);
    for (uint32_t i = 0; i < g->n_classes; i++) {
        index[i] = position(g->classes[i], info.classes, info.n_classes);
        found += index[i] < info.n_classes;
        same += index[i] == i && i < info.n_classes;
    }
    if (same == info.n_classes && (some || same == g->n_classes))
        return true;
    if (found < g->n_classes || info.n_classes != g->n_classes)
        return names_differ(c, &info, what);
    return take(c, set, index, g->n_classes);
}

bool classes_settle(const Compile *c, Samples *s) {
    const char *valid = c->o->evaluate ? "evaluation" : "validation";
    if (c->recipe->classes &&
        ((s->train && !take_recipes(c, &s->train)) || (s->valid && !take_recipes(c, &s->valid))))
        return false;
    return (!s->train || take_models(c, &s->train, "training", false)) &&
           (!s->valid || take_models(c, &s->valid, valid, true)) &&
           (!s->train || !s->valid || check_agreement(c, s));
}
