/* The loader: the order of an epoch, and one sample as the model wants it. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, DEPTH = 4, MOST_BATCH = 1 << 16, MOST_DEPTH = 1024, MOST_THREADS = 256 };

struct cnnrt_loader {
    cnnrt_dataset *data;
    cnnrt_dataset_info info;
    cnnrt_loader_options o; /* without zeros that mean a default */
    int64_t count;          /* of an epoch */
    size_t input_elements, target_bytes;
    cnnrt_transform *transforms;
    uint32_t *order; /* NULL: the data set's */
    uint64_t epoch;
    int64_t position; /* of the next sample, without threads */
    Canvas canvas;    /* likewise */
    Ring *ring;       /* or NULL */
    cnnrt_data_error error;
};

/* ---- One sample ---- */

/* The wanted size: reached by the transforms, or by a resize where that is allowed. */
static int fit_size(const cnnrt_loader *a, Canvas *v, cnnrt_data_error *error) {
    const uint32_t at[2] = {0, 0}, all[2] = {v->h, v->w};
    if (v->h == a->o.height && v->w == a->o.width)
        return CNNRT_OK;
    if (a->o.resize)
        return cnnrt_resize_part(v, at, all, a->o.height, a->o.width, true, error);
    return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                           "the picture is %u by %u pixels where the model takes %u by %u; resize it", v->w,
                           v->h, a->o.width, a->o.height);
}

static void put_target(const cnnrt_loader *a, uint32_t sample, void *target) {
    int64_t label = cnnrt_dataset_label(a->data, sample);
    if (a->o.target_elements == 0) {
        memcpy(target, &label, sizeof label);
    } else if (a->info.n_classes == 0) {
        memcpy(target, cnnrt_dataset_numbers(a->data, sample), a->target_bytes);
    } else {
        float one = 1;
        memset(target, 0, a->target_bytes);
        memcpy((char *)target + (size_t)label * sizeof one, &one, sizeof one);
    }
}

static int make(const void *arg, int64_t position, Canvas *v, float *input, void *target,
                cnnrt_data_error *error) {
    const cnnrt_loader *a = arg;
    uint32_t sample = a->order ? a->order[position] : (uint32_t)position;
    Rng r = cnnrt_rng(a->o.seed, STREAM_AUGMENT, a->epoch, sample);
    cnnrt_data_error why;
    int status = cnnrt_dataset_picture(a->data, sample, a->o.channels, v, error);
    if (status != CNNRT_OK)
        return status;
    status = cnnrt_transforms_run(a->transforms, a->o.n_transforms, v, &r, &why);
    if (status == CNNRT_OK)
        status = fit_size(a, v, &why);
    if (status != CNNRT_OK) {
        char name[32];
        const char *file = cnnrt_dataset_file(a->data, sample);
        snprintf(name, sizeof name, "sample %u", sample);
        return cnnrt_data_fail(error, status, file ? file : name, "%s", why.text);
    }
    memcpy(input, v->pixels.data, a->input_elements * sizeof *input);
    put_target(a, sample, target);
    return CNNRT_OK;
}

/* ---- The source ---- */

static uint32_t or_else(uint32_t x, uint32_t otherwise) {
    return x ? x : otherwise;
}

static int begin(void *arg, uint64_t epoch, int64_t first) {
    cnnrt_loader *a = arg;
    if (first < 0 || first > a->count)
        return cnnrt_data_fail(&a->error, CNNRT_E_SHAPE, NULL, "sample %lld of an epoch of %lld",
                               (long long)first, (long long)a->count);
    if (a->ring)
        cnnrt_ring_stop(a->ring);
    if (a->order) {
        Rng r = cnnrt_rng(a->o.seed, STREAM_SHUFFLE, epoch, 0);
        cnnrt_rng_permutation(&r, a->order, (uint32_t)a->info.count);
    }
    a->epoch = epoch;
    a->position = first;
    if (a->ring)
        cnnrt_ring_start(a->ring, first, a->count);
    return CNNRT_OK;
}

/* Without threads. What was made before a failure is handed out first; the next call fails again. */
static int64_t next_here(cnnrt_loader *a, int64_t most, float *input, void *target) {
    int64_t n = 0;
    for (; n < most && a->position < a->count; n++, a->position++) {
        int status = make(a, a->position, &a->canvas, input + (size_t)n * a->input_elements,
                          (char *)target + (size_t)n * a->target_bytes, &a->error);
        if (status != CNNRT_OK)
            return n > 0 ? n : -status;
    }
    return n;
}

static int64_t next(void *arg, int64_t most, float *input, void *target) {
    cnnrt_loader *a = arg;
    return a->ring ? cnnrt_ring_next(a->ring, most, input, target, &a->error)
                   : next_here(a, most, input, target);
}

static const char *error_text(void *arg) {
    return ((cnnrt_loader *)arg)->error.text;
}

cnnrt_source cnnrt_loader_source(cnnrt_loader *a) {
    return (cnnrt_source){.arg = a,
                          .count = a->count,
                          .input_elements = (int64_t)a->input_elements,
                          .target_elements = or_else(a->o.target_elements, 1),
                          .target_dtype = a->o.target_elements ? CNNRT_F32 : CNNRT_I64,
                          .begin = begin,
                          .next = next,
                          .error = error_text};
}

/* ---- Opening ---- */

/* Whether these images can be had with `want` channels. */
static bool gives_channels(const Reading *r, uint32_t want) {
    uint32_t have = r->channels;
    bool bytes = have == 0 || r->pixels.u8;
    bool both_colour = (have == 0 || have == 1 || have == 3) && (want == 1 || want == 3);
    return have == want || (bytes && both_colour);
}

/* 0: not at all; 2: without any change. */
static int fit_of(const Reading *r, const cnnrt_loader_options *o) {
    bool same = r->channels == o->channels && (o->height == 0 || r->height == o->height) &&
                (o->width == 0 || r->width == o->width);
    return same ? 2 : gives_channels(r, o->channels);
}

/* The model's shape says more than the guess. */
static void choose_reading(cnnrt_dataset *a, const cnnrt_loader_options *o) {
    const Reading *r = a->store->reading;
    if (o->channels && r[1].channels)
        a->reading = fit_of(&r[1], o) > fit_of(&r[0], o);
}

/* Where all pictures have one size, it is the model's after the transforms. */
static int check_size(const cnnrt_loader *a, cnnrt_data_error *error) {
    uint64_t size[2] = {a->info.height, a->info.width};
    if (a->o.resize || size[0] == 0 || size[1] == 0 ||
        !cnnrt_transforms_size(a->transforms, a->o.n_transforms, size) ||
        (size[0] == a->o.height && size[1] == a->o.width))
        return CNNRT_OK;
    bool made = size[0] != a->info.height || size[1] != a->info.width;
    return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                           "the pictures are %u by %u pixels%s where the model takes %u by %u%s",
                           (uint32_t)size[1], (uint32_t)size[0], made ? " after the transforms," : "",
                           a->o.width, a->o.height, made ? "" : "; resize them");
}

static int check_input(const cnnrt_loader *a, cnnrt_data_error *error) {
    uint32_t have = a->info.channels, want = a->o.channels;
    if (!gives_channels(cnnrt_dataset_reading(a->data), want))
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                               "the data set has %u channels where the model takes %u", have, want);
    if (a->o.height == 0 || a->o.width == 0)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, a->data->store->folder,
                               "set .channels, .height and .width in the options (of the model); a folder's "
                               "pictures have no size of their own");
    if ((uint64_t)a->o.height * a->o.width > CNNRT_PICTURE_MAX_PIXELS || want > UINT16_MAX)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "an input of %u channels of %u by %u is too large",
                               want, a->o.height, a->o.width);
    for (size_t i = 0; i < a->o.n_transforms; i++) {
        int status = cnnrt_transform_check(&a->transforms[i], want, error);
        if (status != CNNRT_OK)
            return status;
    }
    return check_size(a, error);
}

static int check_target(const cnnrt_loader *a, cnnrt_data_error *error) {
    uint32_t want = a->o.target_elements;
    if (a->info.n_classes > 0)
        return want == 0 || want >= a->info.n_classes
                   ? CNNRT_OK
                   : cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                                     "the data set has %u classes where the model has %u", a->info.n_classes,
                                     want);
    if (want == 0 && a->info.target_elements == 1)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, a->data->store->target_file,
                               "f4, but the model takes classes, and classes are integers: .astype('int64')");
    return want == a->info.target_elements
               ? CNNRT_OK
               : cnnrt_data_fail(error, CNNRT_E_SHAPE, a->data->store->target_file,
                                 "the data set has %u numbers a sample as targets where the model takes %s%u",
                                 a->info.target_elements, want ? "" : "classes, i64 x ", want ? want : 1);
}

/* The options with their defaults, and what is derived from them. */
static int settle(cnnrt_loader *a, const cnnrt_loader_options *o, cnnrt_data_error *error) {
    choose_reading(a->data, o);
    cnnrt_dataset_describe(a->data, &a->info);
    a->o = *o;
    a->o.channels = or_else(o->channels, or_else(a->info.channels, 3));
    a->o.height = or_else(o->height, a->info.height);
    a->o.width = or_else(o->width, a->info.width);
    a->o.batch = or_else(o->batch, BATCH);
    a->o.prefetch = or_else(o->prefetch, DEPTH);
    if (a->o.batch > MOST_BATCH || a->o.prefetch > MOST_DEPTH || o->threads > MOST_THREADS ||
        o->n_transforms > CNNRT_MAX_TRANSFORMS)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                               "at most %d samples a batch, %d batches, %d threads and %d transforms",
                               MOST_BATCH, MOST_DEPTH, MOST_THREADS, CNNRT_MAX_TRANSFORMS);
    a->count = a->info.count;
    if (o->drop_last)
        a->count -= a->count % a->o.batch;
    a->position = a->count; /* nothing, until an epoch begins */
    a->transforms = malloc((o->n_transforms + 1) * sizeof *a->transforms);
    a->order = o->shuffle ? malloc(((size_t)a->info.count + 1) * sizeof *a->order) : NULL;
    if (!a->transforms || (o->shuffle && !a->order))
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory");
    if (o->n_transforms > 0)
        memcpy(a->transforms, o->transforms, o->n_transforms * sizeof *a->transforms);
    int status = check_input(a, error);
    if (status == CNNRT_OK)
        status = check_target(a, error);
    a->input_elements = (size_t)a->o.channels * a->o.height * a->o.width;
    a->target_bytes = o->target_elements ? o->target_elements * sizeof(float) : sizeof(int64_t);
    return status;
}

int cnnrt_loader_open(cnnrt_loader **out, const cnnrt_dataset *data, const cnnrt_loader_options *options,
                      cnnrt_data_error *error) {
    *out = NULL;
    cnnrt_loader *a = calloc(1, sizeof *a);
    if (a)
        a->data = cnnrt_dataset_share(data);
    if (!a || !a->data) {
        free(a);
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory");
    }
    int status = settle(a, options, error);
    if (status == CNNRT_OK && options->threads > 0) {
        const RingOptions r = {make,           a, a->o.batch, a->o.prefetch, a->o.threads, a->input_elements,
                               a->target_bytes};
        a->ring = cnnrt_ring_create(&r);
        if (!a->ring)
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "no memory or threads to load with");
    }
    if (status == CNNRT_OK)
        *out = a;
    else
        cnnrt_loader_close(a);
    return status;
}

void cnnrt_loader_close(cnnrt_loader *a) {
    if (!a)
        return;
    cnnrt_ring_free(a->ring);
    cnnrt_canvas_free(&a->canvas);
    cnnrt_dataset_close(a->data);
    free(a->transforms);
    free(a->order);
    free(a);
}
