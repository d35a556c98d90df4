/* RandomHorizontalFlip, RandomVerticalFlip: in place. */
#include "internal.h"

static void swap(float *a, float *b) {
    float t = *a;
    *a = *b;
    *b = t;
}

int cnnrt_horizontal_flip_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    (void)error;
    if (cnnrt_rng_uniform(r, 0, 1) >= t->p)
        return CNNRT_OK;
    for (size_t row = 0; row < (size_t)v->c * v->h; row++)
        for (uint32_t x = 0; x < v->w / 2; x++)
            swap(v->pixels.data + row * v->w + x, v->pixels.data + (row + 1) * v->w - 1 - x);
    return CNNRT_OK;
}

int cnnrt_vertical_flip_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    (void)error;
    if (cnnrt_rng_uniform(r, 0, 1) >= t->p)
        return CNNRT_OK;
    for (uint32_t c = 0; c < v->c; c++) {
        float *plane = v->pixels.data + (size_t)c * v->h * v->w;
        for (uint32_t y = 0; y < v->h / 2; y++)
            for (uint32_t x = 0; x < v->w; x++)
                swap(plane + (size_t)y * v->w + x, plane + (size_t)(v->h - 1 - y) * v->w + x);
    }
    return CNNRT_OK;
}
