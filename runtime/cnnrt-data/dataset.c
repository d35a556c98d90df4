/* Data sets: recognising and opening them, their views, and one sample's picture and label. */
#include "internal.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Stores ---- */

static void store_release(Store *s) {
    if (!s || atomic_fetch_sub(&s->users, 1) > 1)
        return;
    for (int64_t i = 0; s->paths && i < s->count; i++)
        free(s->paths[i]);
    for (uint32_t i = 0; s->classes && i < s->n_classes; i++)
        free(s->classes[i]);
    for (size_t i = 0; i < sizeof s->owned / sizeof *s->owned; i++)
        free(s->owned[i]);
    free(s->folder);
    free(s->paths);
    free(s->target_file);
    free(s->classes);
    free(s->labels);
    free(s->targets);
    free(s);
}

int cnnrt_store_classes(Store *s, uint32_t n, const char *path, cnnrt_data_error *error) {
    s->classes = calloc(n ? n : 1, sizeof *s->classes);
    if (!s->classes)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    s->n_classes = n;
    return CNNRT_OK;
}

static int64_t label_at(const void *data, uint32_t dtype, size_t i) {
    int64_t wide;
    int32_t narrow;
    if (dtype == CNNRT_U8)
        return ((const unsigned char *)data)[i];
    if (dtype == CNNRT_I64) {
        memcpy(&wide, (const char *)data + i * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const char *)data + i * sizeof narrow, sizeof narrow);
    return narrow;
}

int cnnrt_store_labels(Store *s, const void *data, uint32_t dtype, size_t count, const char *path,
                       cnnrt_data_error *error) {
    int64_t most = -1;
    s->labels = malloc((count ? count : 1) * sizeof *s->labels);
    if (!s->labels)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    for (size_t i = 0; i < count; i++) {
        int64_t label = label_at(data, dtype, i);
        if (label < 0 || label > UINT16_MAX)
            return cnnrt_data_fail(error, CNNRT_E_FORMAT, path,
                                   "the label of sample %zu is %lld, not a class from 0 to 65535", i,
                                   (long long)label);
        s->labels[i] = (int32_t)label;
        most = label > most ? label : most;
    }
    int status = cnnrt_store_classes(s, (uint32_t)(most + 1), path, error);
    for (uint32_t i = 0; status == CNNRT_OK && i < s->n_classes; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        s->classes[i] = strdup(name);
        if (!s->classes[i])
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    }
    return status;
}

/* ---- Views ---- */

/* A view of all of `s`, of which it becomes a user. NULL when memory is out. */
static cnnrt_dataset *view_all(Store *s) {
    cnnrt_dataset *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->classes = malloc((s->n_classes ? s->n_classes : 1) * sizeof *a->classes);
    if (!a->classes) {
        free(a);
        return NULL;
    }
    for (uint32_t i = 0; i < s->n_classes; i++)
        a->classes[i] = s->classes[i];
    a->store = s;
    a->count = s->count;
    a->n_classes = s->n_classes;
    atomic_fetch_add(&s->users, 1);
    return a;
}

/* A copy of the view with room for `count` indices, which the caller fills in. NULL when memory is out. */
static cnnrt_dataset *view_of(const cnnrt_dataset *a, int64_t count) {
    cnnrt_dataset *v = view_all(a->store);
    uint32_t n = a->store->n_classes;
    if (!v)
        return NULL;
    v->count = count;
    v->reading = a->reading;
    v->n_classes = a->n_classes;
    v->index = malloc((count ? (size_t)count : 1) * sizeof *v->index);
    v->class_map = malloc((n ? n : 1) * sizeof *v->class_map);
    if (!v->index || !v->class_map) {
        cnnrt_dataset_close(v);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++)
        v->class_map[i] = a->class_map ? a->class_map[i] : (int32_t)i;
    for (uint32_t i = 0; i < a->n_classes; i++)
        v->classes[i] = a->classes[i];
    return v;
}

static uint32_t stored(const cnnrt_dataset *a, int64_t i) {
    return a->index ? a->index[i] : (uint32_t)i;
}

int cnnrt_dataset_split(const cnnrt_dataset *a, double fraction, uint64_t seed, cnnrt_dataset **rest,
                        cnnrt_dataset **part, cnnrt_data_error *error) {
    *rest = *part = NULL;
    if (!(fraction >= 0 && fraction <= 1))
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "the fraction %g is not between 0 and 1",
                               fraction);
    uint32_t n = (uint32_t)a->count, most = (uint32_t)floor(fraction * n + 0.5);
    uint32_t *order = malloc((n ? n : 1) * sizeof *order);
    unsigned char *chosen = calloc(n ? n : 1, 1);
    *rest = view_of(a, n - most);
    *part = view_of(a, most);
    bool ok = order && chosen && *rest && *part;
    if (ok) {
        Rng r = cnnrt_rng(seed, STREAM_SPLIT, 0, 0);
        cnnrt_rng_permutation(&r, order, n);
        for (uint32_t i = 0; i < most; i++)
            chosen[order[i]] = 1;
        for (uint32_t i = 0, in_rest = 0, in_part = 0; i < n; i++)
            if (chosen[i])
                (*part)->index[in_part++] = stored(a, i);
            else
                (*rest)->index[in_rest++] = stored(a, i);
    } else {
        cnnrt_dataset_close(*rest);
        cnnrt_dataset_close(*part);
        *rest = *part = NULL;
    }
    free(order);
    free(chosen);
    return ok ? CNNRT_OK : cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory");
}

/* Into *v, whose class map is a's: only the `n` classes are left. */
static int keep_classes(cnnrt_dataset *v, const cnnrt_dataset *a, const uint32_t *classes, uint32_t n,
                        cnnrt_data_error *error) {
    for (uint32_t i = 0; i < n; i++) {
        if (classes[i] >= a->n_classes)
            return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "there is no class %u of %u", classes[i],
                                   a->n_classes);
        for (uint32_t k = 0; k < i; k++)
            if (classes[k] == classes[i])
                return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "class %u is named twice", classes[i]);
        v->classes[i] = a->classes[classes[i]];
    }
    v->n_classes = n;
    for (uint32_t i = 0; i < a->store->n_classes; i++) {
        int32_t old = v->class_map[i];
        v->class_map[i] = -1;
        for (uint32_t k = 0; k < n && old >= 0; k++)
            if (classes[k] == (uint32_t)old)
                v->class_map[i] = (int32_t)k;
    }
    v->count = 0;
    for (int64_t i = 0; i < a->count; i++)
        if (v->class_map[a->store->labels[stored(a, i)]] >= 0)
            v->index[v->count++] = stored(a, i);
    return CNNRT_OK;
}

int cnnrt_dataset_subset(const cnnrt_dataset *a, const uint32_t *classes, uint32_t n, cnnrt_dataset **out,
                         cnnrt_data_error *error) {
    *out = NULL;
    if (!a->store->labels)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                               "the data set has numbers as targets, not classes");
    cnnrt_dataset *v = view_of(a, a->count);
    if (!v)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory");
    int status = keep_classes(v, a, classes, n, error);
    if (status == CNNRT_OK)
        *out = v;
    else
        cnnrt_dataset_close(v);
    return status;
}

cnnrt_dataset *cnnrt_dataset_share(const cnnrt_dataset *a) {
    cnnrt_dataset *v = view_of(a, a->count);
    for (int64_t i = 0; v && i < a->count; i++)
        v->index[i] = stored(a, i);
    return v;
}

void cnnrt_dataset_close(cnnrt_dataset *a) {
    if (!a)
        return;
    store_release(a->store);
    free(a->index);
    free(a->class_map);
    free(a->classes);
    free(a);
}

/* ---- Opening ---- */

/* A store as `status` left it: a data set, or nothing. */
static int finish(Store *s, int status, const char *path, cnnrt_dataset **out, cnnrt_data_error *error) {
    if (status == CNNRT_OK && s->count == 0)
        status = cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "there is no sample in it");
    if (status == CNNRT_OK) {
        *out = view_all(s);
        if (!*out)
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    }
    store_release(s);
    return status;
}

static Store *store_new(void) {
    Store *s = calloc(1, sizeof *s);
    if (s)
        atomic_init(&s->users, 1);
    return s;
}

static int fail_unrecognised(const char *folder, const char *split, cnnrt_data_error *error) {
    struct stat info;
    const bool found = stat(folder, &info) == 0;
    if (!found || !S_ISDIR(info.st_mode))
        return cnnrt_data_fail(error, CNNRT_E_FILE, folder, "cannot be opened: %s",
                               strerror(found ? ENOTDIR : errno));
    return cnnrt_data_fail(
        error, CNNRT_E_FILE, folder,
        "neither IDX, CIFAR-10 or .npy files nor a folder of class folders is there for split \"%.40s\"",
        split ? split : "");
}

int cnnrt_dataset_open(cnnrt_dataset **out, const char *folder, const char *split, const char *kind,
                       cnnrt_data_error *error) {
    static const struct {
        const char *kind;
        bool (*found)(const char *folder, const char *split);
        int (*open)(Store *s, const char *folder, const char *split, cnnrt_data_error *error);
    } kinds[] = {
        {"idx", cnnrt_idx_found, cnnrt_idx_open},
        {"cifar10", cnnrt_cifar_found, cnnrt_cifar_open},
        {"npy", cnnrt_npy_found, cnnrt_npy_open_folder},
        {"folder", cnnrt_folder_found, cnnrt_folder_open},
    };
    cnnrt_data_error own;
    size_t i = 0, n = sizeof kinds / sizeof *kinds;
    *out = NULL;
    while (i < n && !(kind ? strcmp(kind, kinds[i].kind) == 0 : kinds[i].found(folder, split)))
        i++;
    if (i == n && kind)
        return cnnrt_data_fail(error, CNNRT_E_FILE, folder,
                               "no kind \"%.40s\" of data set; there are idx, cifar10, npy and folder", kind);
    if (i == n)
        return fail_unrecognised(folder, split, error);
    Store *s = store_new();
    if (!s)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
    s->kind = kinds[i].kind;
    error = error ? error : &own;
    return finish(s, kinds[i].open(s, folder, split, error), folder, out, error);
}

int cnnrt_dataset_open_npy(cnnrt_dataset **out, const char *images, const char *targets, int layout,
                           cnnrt_data_error *error) {
    cnnrt_data_error own;
    *out = NULL;
    Store *s = store_new();
    if (!s)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, images, "out of memory");
    s->kind = "npy";
    error = error ? error : &own;
    return finish(s, cnnrt_npy_open(s, images, targets, layout, error), images, out, error);
}

/* ---- Samples ---- */

const Reading *cnnrt_dataset_reading(const cnnrt_dataset *a) {
    return &a->store->reading[a->reading];
}

void cnnrt_dataset_describe(const cnnrt_dataset *a, cnnrt_dataset_info *out) {
    const Store *s = a->store;
    const Reading *r = cnnrt_dataset_reading(a);
    *out = (cnnrt_dataset_info){.kind = s->kind,
                                .count = a->count,
                                .channels = r->channels,
                                .height = r->height,
                                .width = r->width,
                                .n_classes = a->n_classes,
                                .classes = a->classes,
                                .target_elements = s->target_elements};
}

int64_t cnnrt_dataset_label(const cnnrt_dataset *a, int64_t i) {
    const Store *s = a->store;
    if (!s->labels)
        return -1;
    int32_t label = s->labels[stored(a, i)];
    return a->class_map ? a->class_map[label] : label;
}

int64_t cnnrt_dataset_origin(const cnnrt_dataset *a, int64_t i, const char **file) {
    *file = a->store->target_file;
    return stored(a, i);
}

const float *cnnrt_dataset_numbers(const cnnrt_dataset *a, int64_t i) {
    return a->store->targets + (size_t)stored(a, i) * a->store->target_elements;
}

const char *cnnrt_dataset_file(const cnnrt_dataset *a, int64_t i) {
    return a->store->paths ? a->store->paths[stored(a, i)] : NULL;
}

/* A row of `w` pixels, `step` apart; colour made grey when the planes are `grey` apart, not 0. */
static void row_u8(float *to, const unsigned char *at, uint32_t w, size_t step, size_t grey) {
    if (grey == 0)
        for (uint32_t x = 0; x < w; x++)
            to[x] = (float)at[x * step] / 255.0f;
    else
        for (uint32_t x = 0; x < w; x++, at += step)
            to[x] = (float)cnnrt_luminance(at[0], at[grey], at[2 * grey]) / 255.0f;
}

/* Sample n of u8 pixels onto the canvas: the same channels, grey repeated, or colour made grey. */
static void from_u8(const Pixels *p, size_t n, uint32_t channels, Canvas *v) {
    float *to = v->pixels.data;
    size_t grey = v->c < channels ? p->stride[0] : 0;
    for (uint32_t c = 0; c < v->c; c++)
        for (uint32_t y = 0; y < v->h; y++, to += v->w) {
            size_t plane = channels == v->c ? c * p->stride[0] : 0;
            row_u8(to, p->u8 + n * p->sample + plane + y * p->stride[1], v->w, p->stride[2], grey);
        }
}

static void from_f32(const Pixels *p, size_t n, Canvas *v) {
    float *to = v->pixels.data;
    for (uint32_t c = 0; c < v->c; c++)
        for (uint32_t y = 0; y < v->h; y++)
            for (uint32_t x = 0; x < v->w; x++, to++) {
                size_t at = n * p->sample + c * p->stride[0] + y * p->stride[1] + x * p->stride[2];
                memcpy(to, p->f32 + at * sizeof *to, sizeof *to);
            }
}

static int shape_canvas(Canvas *v, uint32_t c, uint32_t h, uint32_t w, cnnrt_data_error *error) {
    v->c = c;
    v->h = h;
    v->w = w;
    if (!cnnrt_buffer_reserve(&v->pixels, (size_t)c * h * w))
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory for a picture");
    return CNNRT_OK;
}

int cnnrt_dataset_picture(const cnnrt_dataset *a, int64_t i, uint32_t channels, Canvas *v,
                          cnnrt_data_error *error) {
    const Store *s = a->store;
    uint32_t n = stored(a, i);
    if (s->paths) {
        cnnrt_picture picture;
        int status = cnnrt_picture_read(&picture, s->paths[n], channels, error);
        if (status == CNNRT_OK)
            status = shape_canvas(v, picture.channels, picture.height, picture.width, error);
        Pixels p = {picture.pixels, NULL, 0, {1, (size_t)picture.width * picture.channels, picture.channels}};
        if (status == CNNRT_OK)
            from_u8(&p, 0, picture.channels, v);
        cnnrt_picture_free(&picture);
        return status;
    }
    const Reading *r = cnnrt_dataset_reading(a);
    int status = shape_canvas(v, channels, r->height, r->width, error);
    if (status == CNNRT_OK && r->pixels.u8)
        from_u8(&r->pixels, n, r->channels, v);
    else if (status == CNNRT_OK)
        from_f32(&r->pixels, n, v);
    return status;
}
