/* CenterCrop, RandomCrop: a part of the picture, with a border of `fill` where it reaches beyond. */
#include "internal.h"
#include <math.h>
#include <string.h>

/* One row of the result, which begins at column `left` of the source row (NULL: outside). */
static void crop_row(float *to, const float *from, int64_t left, uint32_t w, uint32_t source_w, float fill) {
    int64_t first = left < 0 ? -left : 0, end = (int64_t)source_w - left;
    first = first > w ? w : first;
    end = !from || end < first ? first : end > w ? w : end;
    for (int64_t x = 0; x < first; x++)
        to[x] = fill;
    if (end > first)
        memcpy(to + first, from + left + first, (size_t)(end - first) * sizeof *to);
    for (int64_t x = end; x < w; x++)
        to[x] = fill;
}

/* The part of h by w at (top, left), which may be negative. */
static int crop(Canvas *v, int64_t top, int64_t left, uint32_t h, uint32_t w, const cnnrt_values *fill,
                cnnrt_data_error *error) {
    if (top == 0 && left == 0 && h == v->h && w == v->w)
        return CNNRT_OK;
    if (!cnnrt_buffer_reserve(&v->other, (size_t)v->c * h * w))
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory for a picture");
    for (uint32_t c = 0; c < v->c; c++)
        for (uint32_t y = 0; y < h; y++) {
            int64_t row = top + y;
            const float *from =
                row < 0 || row >= v->h ? NULL : v->pixels.data + ((size_t)c * v->h + (size_t)row) * v->w;
            crop_row(v->other.data + ((size_t)c * h + y) * w, from, left, w, v->w, cnnrt_value(fill, c));
        }
    cnnrt_canvas_swap(v, h, w);
    return CNNRT_OK;
}

/* Where a side of `want` begins in `have`: round((have - want) / 2), halves to even, as torchvision; a
 * shorter side is padded first, the smaller half before it. */
static int64_t centre(uint32_t have, uint32_t want) {
    return want > have ? -(int64_t)((want - have) / 2) : (int64_t)nearbyint((have - want) / 2.0);
}

int cnnrt_center_crop_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    const cnnrt_values black = {1, {0}};
    (void)r;
    return crop(v, centre(v->h, t->size[0]), centre(v->w, t->size[1]), t->size[0], t->size[1], &black, error);
}

int cnnrt_random_crop_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    uint32_t h = v->h + t->padding[1] + t->padding[3], w = v->w + t->padding[0] + t->padding[2];
    if (h < t->size[0] || w < t->size[1])
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, "RandomCrop",
                               "the crop of %u by %u is larger than the picture of %u by %u with its padding",
                               t->size[0], t->size[1], h, w);
    int64_t top = cnnrt_rng_below(r, h - t->size[0] + 1), left = cnnrt_rng_below(r, w - t->size[1] + 1);
    return crop(v, top - t->padding[1], left - t->padding[0], t->size[0], t->size[1], &t->fill, error);
}
