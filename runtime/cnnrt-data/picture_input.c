/* A picture as an input of a model: resized and cropped, then in the input's dtype, layout and colour. */
#include "internal.h"
#include <stdlib.h>

static void transform_of(cnnrt_transform *t, uint32_t kind, const int64_t size[2]) {
    cnnrt_transform_init(t, kind);
    t->size[0] = (uint32_t)size[0];
    t->size[1] = (uint32_t)size[1];
}

static bool size_fits(const int64_t size[2]) {
    return size[0] >= 0 && size[0] <= CNNRT_PICTURE_MAX_SIDE && size[1] >= 0 &&
           size[1] <= CNNRT_PICTURE_MAX_SIDE;
}

/* The picture in planes of f32, 0 to 1, of the size that the input's files are made to have. *out is free()d
 * by the caller. */
static int resized(const cnnrt_picture *a, const cnnrt_pixels *p, uint32_t *h, uint32_t *w, float **out,
                   cnnrt_data_error *error) {
    const size_t n = (size_t)a->height * a->width;
    cnnrt_transform t[2];
    size_t count = 0;
    if (!size_fits(p->resize) || !size_fits(p->center_crop))
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "a size is not from 1 to 32768");
    float *planes = malloc(n * a->channels * sizeof *planes);
    if (!planes)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory for a picture");
    for (size_t i = 0; i < n * a->channels; i++)
        planes[i] = (float)a->pixels[i % n * a->channels + i / n] / 255.0f;
    if (p->resize[0])
        transform_of(&t[count++], CNNRT_RESIZE, p->resize);
    if (p->center_crop[0])
        transform_of(&t[count++], CNNRT_CENTER_CROP, p->center_crop);
    *h = a->height;
    *w = a->width;
    const int status = cnnrt_transform_apply(t, count, planes, a->channels, h, w, 0, 0, 0, out, error);
    free(planes);
    return status;
}

/* Planes of `n` pixels as the input has them; bytes are rounded to the nearest. */
static void put_pixels(const float *planes, uint32_t channels, size_t n, uint32_t dtype,
                       const cnnrt_pixels *p, void *out) {
    for (size_t i = 0; i < n * channels; i++) {
        const uint32_t plane = (uint32_t)(i / n);
        const uint32_t c = p->color == CNNRT_PIXELS_BGR ? channels - 1 - plane : plane;
        const size_t at = p->layout == CNNRT_PIXELS_NHWC ? i % n * channels + c : c * n + i % n;
        const float v = planes[i] < 0 ? 0 : planes[i] > 1 ? 1 : planes[i];
        if (dtype == CNNRT_U8)
            ((unsigned char *)out)[at] = (unsigned char)(v * 255.0f + 0.5f);
        else
            ((float *)out)[at] = planes[i];
    }
}

int cnnrt_picture_to_input(const cnnrt_picture *a, const cnnrt_tensor *input, const cnnrt_pixels *pixels,
                           void *out, cnnrt_data_error *error) {
    static const cnnrt_pixels plain = {.layout = CNNRT_PIXELS_NCHW};
    const cnnrt_pixels *p = pixels ? pixels : &plain;
    const int last = p->layout == CNNRT_PIXELS_NHWC;
    const int64_t *dim = input->dim;
    float *planes = NULL;
    uint32_t h = 0, w = 0;
    if (input->rank != 4 || (input->dtype != CNNRT_F32 && input->dtype != CNNRT_U8))
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL, "the input takes no pictures");
    if (dim[last ? 3 : 1] != a->channels)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                               "the picture has %u channels where the model takes %lld", a->channels,
                               (long long)dim[last ? 3 : 1]);
    int status = resized(a, p, &h, &w, &planes, error);
    if (status == CNNRT_OK && (h != dim[last ? 1 : 2] || w != dim[last ? 2 : 3]))
        status = cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                                 "the picture is %u by %u pixels where the model takes %lld by %lld", w, h,
                                 (long long)dim[last ? 2 : 3], (long long)dim[last ? 1 : 2]);
    if (status == CNNRT_OK)
        put_pixels(planes, a->channels, (size_t)h * w, input->dtype, p, out);
    free(planes);
    return status;
}
