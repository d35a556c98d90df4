/* RandomErasing (Zhong et al. 2017): a random rectangle of one value, or of normal noise. */
#include "internal.h"
#include <math.h>

static void erase(const cnnrt_transform *t, Canvas *v, Rng *r, uint32_t h, uint32_t w) {
    uint32_t top = cnnrt_rng_below(r, v->h - h + 1), left = cnnrt_rng_below(r, v->w - w + 1);
    for (uint32_t c = 0; c < v->c; c++)
        for (uint32_t y = top; y < top + h; y++) {
            float *row = v->pixels.data + ((size_t)c * v->h + y) * v->w;
            for (uint32_t x = left; x < left + w; x++)
                row[x] = t->value_random ? (float)cnnrt_rng_normal(r) : cnnrt_value(&t->value, c);
        }
}

int cnnrt_erasing_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    (void)error;
    if (cnnrt_rng_uniform(r, 0, 1) >= t->p)
        return CNNRT_OK;
    for (int i = 0; i < 10; i++) {
        double area = (double)v->h * v->w * cnnrt_rng_uniform(r, t->scale[0], t->scale[1]);
        double ratio = exp(cnnrt_rng_uniform(r, log(t->ratio[0]), log(t->ratio[1])));
        double h = nearbyint(sqrt(area * ratio)), w = nearbyint(sqrt(area / ratio));
        if (h < v->h && w < v->w) {
            erase(t, v, r, (uint32_t)h, (uint32_t)w);
            return CNNRT_OK;
        }
    }
    return CNNRT_OK; /* no draw fitted: nothing is erased */
}
