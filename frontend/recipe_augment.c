/* "augmentation": torchvision's transforms and their arguments, in the order of their work. */
#include "frontend/recipe_parts.h"

#include <string.h>

/* The arguments as the file has them: most may be a number or a list. */
typedef struct Arguments {
    Numbers size, padding, fill, value, mean, std, scale, ratio, degrees, translate, shear;
    Numbers brightness, contrast, saturation, hue;
    double p;
    int interpolation; /* position in `interpolations` */
    bool random_value;
} Arguments;

static const char *const interpolations[] = {"nearest", "bilinear", NULL};

#define LIST(field, lo, hi) {#field, FIELD_NUMBERS, offsetof(Arguments, field), lo, hi}
#define NEED(field, lo, hi) {#field, FIELD_NUMBERS, offsetof(Arguments, field), lo, hi, .required = true}
#define CHANCE {"p", FIELD_REAL, offsetof(Arguments, p), 0, 1}
#define FILL LIST(fill, -1e6, 1e6)
#define MODE {"interpolation", FIELD_WORD, offsetof(Arguments, interpolation), .words = interpolations}

static const FieldRow sized[] = {NEED(size, 1, 32768)};
static const FieldRow crop[] = {NEED(size, 1, 32768), LIST(padding, 0, 32768), FILL};
static const FieldRow resized[] = {NEED(size, 1, 32768), LIST(scale, 1e-6, 1), LIST(ratio, 1e-3, 1e3)};
static const FieldRow flip[] = {CHANCE};
static const FieldRow rotation[] = {NEED(degrees, -360, 360), MODE, FILL};
static const FieldRow affine[] = {NEED(degrees, -360, 360),
                                  LIST(translate, 0, 1),
                                  LIST(scale, 1e-3, 1e3),
                                  LIST(shear, -89, 89),
                                  MODE,
                                  FILL};
static const FieldRow jitter[] = {LIST(brightness, 0, 100), LIST(contrast, 0, 100), LIST(saturation, 0, 100),
                                  LIST(hue, -0.5, 0.5)};
static const FieldRow erasing[] = {CHANCE,
                                   LIST(scale, 1e-6, 1),
                                   LIST(ratio, 1e-3, 1e3),
                                   LIST(value, -1e6, 1e6),
                                   {"random", FIELD_BOOL, offsetof(Arguments, random_value)}};
static const FieldRow normalize[] = {NEED(mean, -1e18, 1e18), NEED(std, 1e-18, 1e18)};

#define ROWS(r) r, sizeof(r) / sizeof *(r)
static const VariantRow transforms[] = {
    {"Resize", CNNRT_RESIZE, ROWS(sized)},
    {"CenterCrop", CNNRT_CENTER_CROP, ROWS(sized)},
    {"RandomCrop", CNNRT_RANDOM_CROP, ROWS(crop)},
    {"RandomResizedCrop", CNNRT_RANDOM_RESIZED_CROP, ROWS(resized)},
    {"RandomHorizontalFlip", CNNRT_RANDOM_HORIZONTAL_FLIP, ROWS(flip)},
    {"RandomVerticalFlip", CNNRT_RANDOM_VERTICAL_FLIP, ROWS(flip)},
    {"RandomRotation", CNNRT_RANDOM_ROTATION, ROWS(rotation)},
    {"RandomAffine", CNNRT_RANDOM_AFFINE, ROWS(affine)},
    {"ColorJitter", CNNRT_COLOR_JITTER, ROWS(jitter)},
    {"RandomErasing", CNNRT_RANDOM_ERASING, ROWS(erasing)},
    {"Normalize", CNNRT_NORMALIZE, ROWS(normalize)},
};

static void set_values(cnnrt_values *out, const Numbers *in) {
    if (!in->n)
        return;
    out->n = in->n;
    for (uint32_t i = 0; i < in->n; i++)
        out->v[i] = (float)in->v[i];
}

/* [low, high]; a number alone stands for [-number, number], or for as much around 1 and not below 0. */
static void set_range(double out[2], const Numbers *in, bool around_one) {
    if (in->n == 1) {
        out[0] = around_one ? (in->v[0] > 1 ? 0 : 1 - in->v[0]) : -in->v[0];
        out[1] = around_one ? 1 + in->v[0] : in->v[0];
    } else if (in->n) {
        out[0] = in->v[0];
        out[1] = in->v[1];
    }
}

static void set_pair(double out[2], const Numbers *in) {
    if (in->n)
        out[0] = in->v[0], out[1] = in->v[in->n - 1];
}

/* torchvision's rules: Resize and CenterCrop differ in what one number means. */
static void set_size(cnnrt_transform *t, const Numbers *in) {
    t->size[0] = (uint32_t)in->v[0];
    t->size[1] = in->n > 1 ? (uint32_t)in->v[1] : t->kind == CNNRT_RESIZE ? 0 : t->size[0];
}

/* All sides; left and right, top and bottom; or left, top, right, bottom. */
static void set_padding(cnnrt_transform *t, const Numbers *in) {
    for (uint32_t i = 0; i < 4 && in->n; i++)
        t->padding[i] = (uint32_t)in->v[in->n == 1 ? 0 : in->n == 2 ? i % 2 : i];
}

static void set_shear(cnnrt_transform *t, const Numbers *in) {
    set_range(t->shear, in, false);
    if (in->n == 4)
        t->shear[2] = in->v[2], t->shear[3] = in->v[3];
}

static void convert(const Arguments *a, cnnrt_transform *t) {
    if (a->size.n)
        set_size(t, &a->size);
    set_padding(t, &a->padding);
    set_values(&t->fill, &a->fill);
    set_values(&t->value, &a->value);
    set_values(&t->mean, &a->mean);
    set_values(&t->std, &a->std);
    set_pair(t->scale, &a->scale);
    set_pair(t->ratio, &a->ratio);
    set_pair(t->translate, &a->translate);
    set_range(t->degrees, &a->degrees, false);
    set_shear(t, &a->shear);
    set_range(t->brightness, &a->brightness, true);
    set_range(t->contrast, &a->contrast, true);
    set_range(t->saturation, &a->saturation, true);
    set_range(t->hue, &a->hue, false);
    t->p = a->p;
    t->bilinear = (uint32_t)a->interpolation;
    t->value_random = a->random_value;
}

/* Lists of the wrong length. */
static bool check_lengths(const JsonDoc *d, const Json *j, const Arguments *a, const Loc *loc) {
    const struct {
        const char *name;
        const Numbers *n;
        unsigned allowed; /* bit k: k elements */
    } rules[] = {
        {"size", &a->size, 6},
        {"padding", &a->padding, 22},
        {"scale", &a->scale, 4},
        {"ratio", &a->ratio, 4},
        {"translate", &a->translate, 4},
        {"degrees", &a->degrees, 6},
        {"shear", &a->shear, 22},
        {"brightness", &a->brightness, 6},
        {"contrast", &a->contrast, 6},
        {"saturation", &a->saturation, 6},
        {"hue", &a->hue, 6},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rules[i].n->n || rules[i].allowed >> rules[i].n->n & 1)
            continue;
        const Loc at = fields_loc(d, json_get(j, rules[i].name), loc);
        ok = diag_error(&d->cx->diag, DIAG_WRONG_TYPE, &at, "%s cannot have %u elements", rules[i].name,
                        rules[i].n->n);
    }
    return ok;
}

static bool read_transform(const JsonDoc *d, const Json *j, const Loc *loc, cnnrt_transform *out) {
    const VariantRow *v =
        variant_of(d, j, "a transform", transforms, sizeof transforms / sizeof *transforms, loc);
    if (!v)
        return false;
    cnnrt_transform_init(out, (uint32_t)v->kind);
    Arguments a = {.p = out->p, .interpolation = (int)out->bilinear};
    if (!variant_read(d, j, v, &a, loc) || !check_lengths(d, j, &a, loc))
        return false;
    convert(&a, out);
    return true;
}

bool recipe_augmentation(const JsonDoc *d, const Json *j, const Loc *loc, Recipe *out) {
    Diag *diag = &d->cx->diag;
    if (j->kind != JSON_ARRAY)
        return diag_error(diag, DIAG_WRONG_TYPE, loc, "augmentation must be a list, not %s",
                          json_kind_text(j));
    if (j->n > CNNRT_MAX_TRANSFORMS)
        return diag_error(diag, DIAG_OUT_OF_RANGE, loc,
                          "augmentation has %u transforms; at most %d are possible", j->n,
                          CNNRT_MAX_TRANSFORMS);
    bool ok = true;
    uint32_t i = 0;
    out->augmentation = NEW_ARRAY(&d->cx->arena, cnnrt_transform, j->n + 1);
    out->augmentation_locs = NEW_ARRAY(&d->cx->arena, Loc, j->n + 1);
    out->n_augmentation = j->n;
    for (const Json *e = j->first; e; e = e->next, i++) {
        Loc *at = &out->augmentation_locs[i];
        *at = json_loc_at(d, e->offset);
        at->pointer = intern_f(d->cx, "/augmentation/%u", i);
        ok &= read_transform(d, e, at, &out->augmentation[i]);
    }
    return ok;
}
