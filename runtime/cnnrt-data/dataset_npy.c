/* A pair of .npy files as a data set: images and their labels or numbers. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* folder/<split>-<what>.npy, or <what>.npy without a split; NULL when memory is out. */
static char *name_of(const char *folder, const char *split, const char *what) {
    size_t room = (split ? strlen(split) : 0) + strlen(what) + 8;
    char *name = malloc(room);
    if (!name)
        return NULL;
    snprintf(name, room, "%s%s%s.npy", split ? split : "", split ? "-" : "", what);
    char *path = cnnrt_data_path(folder, name, NULL);
    free(name);
    return path;
}

bool cnnrt_npy_found(const char *folder, const char *split) {
    char *path = name_of(folder, split, "images");
    bool found = path && access(path, F_OK) == 0;
    free(path);
    return found;
}

int cnnrt_npy_open_folder(Store *s, const char *folder, const char *split, cnnrt_data_error *error) {
    char *images = name_of(folder, split, "images"), *targets = name_of(folder, split, "labels");
    if (targets && access(targets, F_OK) != 0) {
        char *numbers = name_of(folder, split, "targets");
        if (numbers && access(numbers, F_OK) == 0) {
            free(targets);
            targets = numbers;
        } else {
            free(numbers);
        }
    }
    int status = images && targets ? cnnrt_npy_open(s, images, targets, CNNRT_LAYOUT_AUTO, error)
                                   : cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
    free(images);
    free(targets);
    return status;
}

static bool is_colour(int64_t channels) {
    return channels == 1 || channels == 3;
}

/* `last`: channels are the last of four dimensions. */
static Reading read_as(const cnnrt_npy *a, bool last) {
    size_t c = (size_t)(a->rank == 3 ? 1 : a->rank == 2 || !last ? a->dim[1] : a->dim[3]);
    size_t h = (size_t)(a->rank == 2 ? 1 : a->rank == 3 || last ? a->dim[1] : a->dim[2]);
    size_t w = (size_t)(a->rank == 2 ? 1 : a->rank == 3 || last ? a->dim[2] : a->dim[3]);
    Reading r = {.channels = (uint32_t)c, .height = (uint32_t)h, .width = (uint32_t)w};
    r.pixels = (Pixels){.sample = c * h * w, .stride = {last ? 1 : h * w, last ? w * c : w, last ? c : 1}};
    *(a->dtype == CNNRT_U8 ? &r.pixels.u8 : &r.pixels.f32) = a->data;
    return r;
}

/* Dimensions and strides of the images; the store keeps their memory. */
static int take_images(Store *s, const cnnrt_npy *a, int layout, const char *path, cnnrt_data_error *error) {
    if (a->dtype != CNNRT_U8 && a->dtype != CNNRT_F32)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path,
                               "images are u1 or f4; convert with x.astype('<f4')");
    if (a->rank < 2 || a->rank > 4)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "images have 2 to 4 dimensions, not %u", a->rank);
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] < 1 || a->dim[i] > INT32_MAX)
            return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "dimension %u is %lld", i,
                                   (long long)a->dim[i]);
    bool last = a->rank == 4 && (layout == CNNRT_NHWC || (layout == CNNRT_LAYOUT_AUTO &&
                                                          is_colour(a->dim[3]) && !is_colour(a->dim[1])));
    s->count = a->dim[0];
    s->reading[0] = read_as(a, last);
    if (a->rank == 4 && layout == CNNRT_LAYOUT_AUTO)
        s->reading[1] = read_as(a, !last);
    return CNNRT_OK;
}

static int take_targets(Store *s, const cnnrt_npy *a, const char *path, cnnrt_data_error *error) {
    if (a->rank < 1 || a->dim[0] != s->count)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "there are %lld targets and %lld images",
                               a->rank < 1 ? 1LL : (long long)a->dim[0], (long long)s->count);
    if (a->dtype == CNNRT_U8 || a->dtype == CNNRT_I32 || a->dtype == CNNRT_I64) {
        if (a->rank != 1)
            return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "labels have one dimension, not %u", a->rank);
        return cnnrt_store_labels(s, a->data, a->dtype, a->count, path, error);
    }
    if (a->dtype != CNNRT_F32)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path,
                               "targets are u1, i4, i8 (classes) or f4, not %s; classes are integers: "
                               ".astype('int64')",
                               cnnrt_npy_type(a->dtype));
    if (a->count == 0 || a->count / (size_t)s->count > INT32_MAX)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "%zu numbers for %lld images", a->count,
                               (long long)s->count);
    s->target_elements = (uint32_t)(a->count / (size_t)s->count);
    s->targets = malloc(a->bytes);
    if (!s->targets)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    memcpy(s->targets, a->data, a->bytes);
    return CNNRT_OK;
}

static int read_array(cnnrt_npy *out, const char *path, cnnrt_data_error *error) {
    int status = cnnrt_data_check_file(path, error);
    return status == CNNRT_OK ? cnnrt_npy_read(out, path, error) : status;
}

int cnnrt_npy_open(Store *s, const char *images, const char *targets, int layout, cnnrt_data_error *error) {
    cnnrt_npy x, y;
    int status = read_array(&x, images, error);
    if (status != CNNRT_OK)
        return status;
    s->owned[0] = x.owned;
    status = take_images(s, &x, layout, images, error);
    if (status != CNNRT_OK)
        return status;
    s->target_file = strdup(targets);
    if (!s->target_file)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, targets, "out of memory");
    status = read_array(&y, targets, error);
    if (status != CNNRT_OK)
        return status;
    status = take_targets(s, &y, targets, error);
    cnnrt_npy_free(&y);
    return status;
}
