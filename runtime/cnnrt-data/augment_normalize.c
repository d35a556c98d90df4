/* Normalize: (pixel - mean) / std, a channel. */
#include "internal.h"

int cnnrt_normalize_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    size_t n = (size_t)v->h * v->w;
    (void)r;
    (void)error;
    for (uint32_t c = 0; c < v->c; c++) {
        float mean = cnnrt_value(&t->mean, c), std = cnnrt_value(&t->std, c);
        for (size_t i = 0; i < n; i++)
            v->pixels.data[c * n + i] = (v->pixels.data[c * n + i] - mean) / std;
    }
    return CNNRT_OK;
}
