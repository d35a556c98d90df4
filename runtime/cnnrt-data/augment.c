/* The transforms: names, torchvision's defaults, checks, and one after the other on a canvas. */
#include "internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIZE = CNNRT_PICTURE_MAX_SIDE };

/* Which fields count. */
enum {
    SIZE = 1 << 0, /* and padding */
    P = 1 << 1,
    SCALE = 1 << 2,
    RATIO = 1 << 3,
    DEGREES = 1 << 4,
    AFFINE = 1 << 5, /* translate, scale, shear */
    JITTER = 1 << 6,
    FILL = 1 << 7,
    VALUE = 1 << 8,
    MEAN_STD = 1 << 9
};

static const struct {
    const char *name;
    cnnrt_transform_run *run;
    uint32_t fields;
} kinds[CNNRT_N_TRANSFORMS] = {
    [CNNRT_RESIZE] = {"Resize", cnnrt_resize_run, SIZE},
    [CNNRT_CENTER_CROP] = {"CenterCrop", cnnrt_center_crop_run, SIZE},
    [CNNRT_RANDOM_CROP] = {"RandomCrop", cnnrt_random_crop_run, SIZE | FILL},
    [CNNRT_RANDOM_RESIZED_CROP] = {"RandomResizedCrop", cnnrt_random_resized_crop_run, SIZE | SCALE | RATIO},
    [CNNRT_RANDOM_HORIZONTAL_FLIP] = {"RandomHorizontalFlip", cnnrt_horizontal_flip_run, P},
    [CNNRT_RANDOM_VERTICAL_FLIP] = {"RandomVerticalFlip", cnnrt_vertical_flip_run, P},
    [CNNRT_RANDOM_ROTATION] = {"RandomRotation", cnnrt_rotation_run, DEGREES | FILL},
    [CNNRT_RANDOM_AFFINE] = {"RandomAffine", cnnrt_affine_run, DEGREES | AFFINE | FILL},
    [CNNRT_COLOR_JITTER] = {"ColorJitter", cnnrt_color_jitter_run, JITTER},
    [CNNRT_RANDOM_ERASING] = {"RandomErasing", cnnrt_erasing_run, P | SCALE | RATIO | VALUE},
    [CNNRT_NORMALIZE] = {"Normalize", cnnrt_normalize_run, MEAN_STD},
};

const char *cnnrt_transform_name(uint32_t kind) {
    return kind < CNNRT_N_TRANSFORMS ? kinds[kind].name : NULL;
}

uint32_t cnnrt_transform_kind(const char *name) {
    uint32_t kind = 0;
    while (kind < CNNRT_N_TRANSFORMS && strcmp(kinds[kind].name, name) != 0)
        kind++;
    return kind;
}

static void pair(double to[2], double low, double high) {
    to[0] = low;
    to[1] = high;
}

void cnnrt_transform_init(cnnrt_transform *t, uint32_t kind) {
    memset(t, 0, sizeof *t);
    t->kind = kind;
    t->fill.n = t->value.n = t->mean.n = t->std.n = 1;
    t->std.v[0] = 1;
    t->antialias = 1;
    t->p = 0.5;
    pair(t->scale, 1, 1);
    pair(t->brightness, 1, 1);
    pair(t->contrast, 1, 1);
    pair(t->saturation, 1, 1);
    if (kind == CNNRT_RANDOM_RESIZED_CROP) {
        pair(t->scale, 0.08, 1);
        pair(t->ratio, 3.0 / 4.0, 4.0 / 3.0);
    } else if (kind == CNNRT_RANDOM_ERASING) {
        pair(t->scale, 0.02, 0.33);
        pair(t->ratio, 0.3, 3.3);
    }
}

/* ---- Checks ---- */

/* low <= p[0] <= p[1] <= high, and no NaN. */
static bool within(const double p[2], double low, double high) {
    return p[0] >= low && p[0] <= p[1] && p[1] <= high;
}

static bool values_fit(const cnnrt_values *a, uint32_t channels) {
    if (a->n != 1 && (a->n != channels || a->n > CNNRT_MAX_CHANNELS))
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!isfinite(a->v[i]))
            return false;
    return true;
}

static bool no_zero(const cnnrt_values *a) {
    for (uint32_t i = 0; i < a->n; i++)
        if (a->v[i] == 0)
            return false;
    return true;
}

static const char *fault_of_size(const cnnrt_transform *t) {
    bool one = t->kind == CNNRT_RESIZE && t->size[1] == 0;
    if (t->size[0] < 1 || t->size[0] > MOST_SIZE || (t->size[1] < 1 && !one) || t->size[1] > MOST_SIZE)
        return "size is not from 1 to 32768";
    if ((uint64_t)t->size[0] * t->size[1] > CNNRT_PICTURE_MAX_PIXELS)
        return "size is above 2^26 pixels";
    for (int i = 0; i < 4; i++)
        if (t->padding[i] > MOST_SIZE)
            return "padding is above 32768";
    return NULL;
}

static const char *fault_of_jitter(const cnnrt_transform *t, uint32_t channels) {
    const double inf = INFINITY;
    return channels != 1 && channels != 3   ? "it takes pictures of 1 or 3 channels"
           : !within(t->brightness, 0, inf) ? "brightness is not [lowest, highest] from 0 on"
           : !within(t->contrast, 0, inf)   ? "contrast is not [lowest, highest] from 0 on"
           : !within(t->saturation, 0, inf) ? "saturation is not [lowest, highest] from 0 on"
           : !within(t->hue, -0.5, 0.5)     ? "hue is not [lowest, highest] within -0.5 and 0.5"
                                            : NULL;
}

static const char *fault_of_affine(const cnnrt_transform *t) {
    bool fractions =
        t->translate[0] >= 0 && t->translate[0] <= 1 && t->translate[1] >= 0 && t->translate[1] <= 1;
    return !within(t->scale, 1e-6, 1e6) ? "scale is not [lowest, highest] from 1e-6 to 1e6"
           : !fractions                 ? "translate is not between 0 and 1"
           : !within(t->shear, -89, 89) || !within(t->shear + 2, -89, 89)
               ? "shear is not [lowest, highest] within -89 and 89"
               : NULL;
}

static const char *fault_of(const cnnrt_transform *t, uint32_t channels) {
    const struct {
        uint32_t field;
        const char *fault; /* or NULL */
    } faults[] = {
        {SIZE, fault_of_size(t)},
        {P, t->p >= 0 && t->p <= 1 ? NULL : "p is not between 0 and 1"},
        {SCALE, within(t->scale, 0, 1) ? NULL : "scale is not [lowest, highest] within 0 and 1"},
        {RATIO, within(t->ratio, 1e-6, 1e6) ? NULL : "ratio is not [lowest, highest] from 1e-6 to 1e6"},
        {DEGREES, within(t->degrees, -1e6, 1e6) ? NULL : "degrees is not [lowest, highest]"},
        {AFFINE, fault_of_affine(t)},
        {JITTER, fault_of_jitter(t, channels)},
        {FILL, values_fit(&t->fill, channels) ? NULL : "fill is neither one number nor one a channel"},
        {VALUE, values_fit(&t->value, channels) ? NULL : "value is neither one number nor one a channel"},
        {MEAN_STD, values_fit(&t->mean, channels) ? NULL : "mean is neither one number nor one a channel"},
        {MEAN_STD, values_fit(&t->std, channels) ? NULL : "std is neither one number nor one a channel"},
        {MEAN_STD, values_fit(&t->std, channels) && no_zero(&t->std) ? NULL : "std is 0"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if ((kinds[t->kind].fields & faults[i].field) && faults[i].fault)
            return faults[i].fault;
    return NULL;
}

int cnnrt_transform_check(const cnnrt_transform *t, uint32_t channels, cnnrt_data_error *error) {
    if (t->kind >= CNNRT_N_TRANSFORMS)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "there is no transform %u", t->kind);
    const char *fault = fault_of(t, channels);
    return fault ? cnnrt_data_fail(error, CNNRT_E_SHAPE, kinds[t->kind].name, "%s", fault) : CNNRT_OK;
}

/* ---- The canvas ---- */

bool cnnrt_buffer_reserve(Buffer *b, size_t n) {
    if (n <= b->cap)
        return true;
    free(b->data);
    b->data = malloc(n * sizeof *b->data);
    b->cap = b->data ? n : 0;
    return b->data;
}

void cnnrt_canvas_swap(Canvas *v, uint32_t h, uint32_t w) {
    Buffer b = v->pixels;
    v->pixels = v->other;
    v->other = b;
    v->h = h;
    v->w = w;
}

void cnnrt_canvas_free(Canvas *v) {
    free(v->pixels.data);
    free(v->other.data);
    free(v->scratch.data);
    memset(v, 0, sizeof *v);
}

bool cnnrt_transforms_size(const cnnrt_transform *t, size_t n, uint64_t size[2]) {
    for (size_t i = 0; i < n; i++) {
        if (kinds[t[i].kind].fields & SIZE)
            cnnrt_transform_size(&t[i], size);
        if (size[0] > CNNRT_PICTURE_MAX_SIDE || size[1] > CNNRT_PICTURE_MAX_SIDE)
            return false;
    }
    return true;
}

int cnnrt_transforms_run(const cnnrt_transform *t, size_t n, Canvas *v, Rng *r, cnnrt_data_error *error) {
    int status = CNNRT_OK;
    for (size_t i = 0; status == CNNRT_OK && i < n; i++)
        status = kinds[t[i].kind].run(&t[i], v, r, error);
    return status;
}

int cnnrt_transform_apply(const cnnrt_transform *t, size_t n, const float *picture, uint32_t channels,
                          uint32_t *height, uint32_t *width, uint64_t seed, uint64_t epoch, uint64_t index,
                          float **out, cnnrt_data_error *error) {
    Canvas v = {.c = channels, .h = *height, .w = *width};
    Rng r = cnnrt_rng(seed, STREAM_AUGMENT, epoch, index);
    int status = cnnrt_picture_check(*height, *width, NULL, error);
    *out = NULL;
    if (status == CNNRT_OK && (channels < 1 || channels > UINT16_MAX))
        status = cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "pictures do not have %u channels", channels);
    for (size_t i = 0; status == CNNRT_OK && i < n; i++)
        status = cnnrt_transform_check(&t[i], channels, error);
    size_t count = (size_t)channels * *height * *width;
    if (status == CNNRT_OK && !cnnrt_buffer_reserve(&v.pixels, count))
        status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory for a picture");
    if (status == CNNRT_OK) {
        memcpy(v.pixels.data, picture, count * sizeof *picture);
        status = cnnrt_transforms_run(t, n, &v, &r, error);
    }
    if (status == CNNRT_OK) {
        *out = v.pixels.data;
        *height = v.h;
        *width = v.w;
        v.pixels.data = NULL;
    }
    cnnrt_canvas_free(&v);
    return status;
}
