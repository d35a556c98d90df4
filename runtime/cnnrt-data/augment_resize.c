/* Resize, RandomResizedCrop: bilinear, each side by itself. With antialias a shrinking side takes the mean
 * under a triangle as wide as the shrinkage, as Pillow's resize and torch's interpolate(antialias=True). */
#include "internal.h"
#include <math.h>

/* Output i is the sum of weight[i*taps + k] * input[first + k] over k < count. */
typedef struct Filter {
    uint32_t first, count;
} Filter;

typedef struct Side {
    uint32_t in, out, taps; /* taps: room for the weights of one output */
    double scale, width;    /* inputs an output; half the triangle's base */
} Side;

static Side side(uint32_t in, uint32_t out, bool antialias) {
    double scale = (double)in / out, width = antialias && scale > 1 ? scale : 1;
    return (Side){in, out, (uint32_t)ceil(width) * 2 + 1, scale, width};
}

/* The weights of output i, whose sum is 1. */
static Filter filter(const Side *s, uint32_t i, float *weight) {
    double centre = s->scale * (i + 0.5), sum = 0;
    double low = centre - s->width + 0.5, high = centre + s->width + 0.5;
    uint32_t first = low > 0 ? (uint32_t)low : 0, end = high < s->in ? (uint32_t)high : s->in;
    for (uint32_t k = first; k < end; k++) {
        double x = fabs((k + 0.5 - centre) / s->width), w = x < 1 ? 1 - x : 0;
        weight[k - first] = (float)w;
        sum += w;
    }
    for (uint32_t k = 0; k < end - first; k++)
        weight[k] = (float)(weight[k] / sum);
    return (Filter){first, end - first};
}

/* Columns: rows of x->in, `pitch` apart, to rows of x->out. */
static void shrink_columns(const Side *x, const float *from, size_t pitch, float *to, uint32_t rows,
                           float *weight) {
    for (uint32_t i = 0; i < x->out; i++) {
        Filter f = filter(x, i, weight);
        for (uint32_t y = 0; y < rows; y++) {
            const float *at = from + y * pitch + f.first;
            float sum = 0;
            for (uint32_t k = 0; k < f.count; k++)
                sum += weight[k] * at[k];
            to[(size_t)y * x->out + i] = sum;
        }
    }
}

/* Rows: y->in of `w` columns to y->out of them. */
static void shrink_rows(const Side *y, const float *from, uint32_t w, float *to, float *weight) {
    for (uint32_t i = 0; i < y->out; i++, to += w) {
        Filter f = filter(y, i, weight);
        for (uint32_t x = 0; x < w; x++)
            to[x] = 0;
        for (uint32_t k = 0; k < f.count; k++)
            for (uint32_t x = 0; x < w; x++)
                to[x] += weight[k] * from[(size_t)(f.first + k) * w + x];
    }
}

int cnnrt_resize_part(Canvas *v, const uint32_t at[2], const uint32_t size[2], uint32_t h, uint32_t w,
                      bool antialias, cnnrt_data_error *error) {
    Side y = side(size[0], h, antialias), x = side(size[1], w, antialias);
    uint32_t taps = x.taps > y.taps ? x.taps : y.taps;
    size_t between = (size_t)size[0] * w;
    if (h == v->h && w == v->w && size[0] == h && size[1] == w)
        return CNNRT_OK;
    if (between > CNNRT_PICTURE_MAX_PIXELS)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, NULL,
                               "a picture of %u rows is too large to become %u wide", size[0], w);
    if (!cnnrt_buffer_reserve(&v->other, (size_t)v->c * h * w) ||
        !cnnrt_buffer_reserve(&v->scratch, between + taps))
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory for a picture");
    float *weight = v->scratch.data + between;
    for (uint32_t c = 0; c < v->c; c++) {
        const float *from = v->pixels.data + ((size_t)c * v->h + at[0]) * v->w + at[1];
        shrink_columns(&x, from, v->w, v->scratch.data, size[0], weight);
        shrink_rows(&y, v->scratch.data, w, v->other.data + (size_t)c * h * w, weight);
    }
    cnnrt_canvas_swap(v, h, w);
    return CNNRT_OK;
}

void cnnrt_transform_size(const cnnrt_transform *t, uint64_t size[2]) {
    const uint64_t h = size[0], w = size[1];
    size[0] = t->size[0];
    size[1] = t->size[1];
    if (size[1] == 0 && w <= h) {
        size[1] = size[0];
        size[0] = size[0] * h / w;
    } else if (size[1] == 0) {
        size[1] = size[0] * w / h;
    }
}

int cnnrt_resize_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    const uint32_t at[2] = {0, 0}, all[2] = {v->h, v->w};
    uint64_t to[2] = {v->h, v->w};
    (void)r;
    cnnrt_transform_size(t, to);
    int status = cnnrt_picture_check(to[0], to[1], "Resize", error);
    return status == CNNRT_OK
               ? cnnrt_resize_part(v, at, all, (uint32_t)to[0], (uint32_t)to[1], t->antialias, error)
               : status;
}

/* What is taken when ten draws did not fit: the largest centred part whose ratio is allowed. */
static void fall_back(const cnnrt_transform *t, const Canvas *v, uint32_t at[2], uint32_t size[2]) {
    double ratio = (double)v->w / v->h;
    size[0] = v->h;
    size[1] = v->w;
    if (ratio < t->ratio[0])
        size[0] = (uint32_t)nearbyint(v->w / t->ratio[0]);
    else if (ratio > t->ratio[1])
        size[1] = (uint32_t)nearbyint(v->h * t->ratio[1]);
    for (int i = 0; i < 2; i++)
        size[i] = size[i] < 1 ? 1 : size[i];
    at[0] = (v->h - size[0]) / 2;
    at[1] = (v->w - size[1]) / 2;
}

int cnnrt_random_resized_crop_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    uint32_t at[2], size[2];
    double low = log(t->ratio[0]), high = log(t->ratio[1]);
    bool fits = false;
    for (int i = 0; i < 10 && !fits; i++) {
        double area = (double)v->h * v->w * cnnrt_rng_uniform(r, t->scale[0], t->scale[1]);
        double ratio = exp(cnnrt_rng_uniform(r, low, high));
        double w = nearbyint(sqrt(area * ratio)), h = nearbyint(sqrt(area / ratio));
        fits = w > 0 && w <= v->w && h > 0 && h <= v->h;
        if (!fits)
            continue;
        size[0] = (uint32_t)h;
        size[1] = (uint32_t)w;
        at[0] = cnnrt_rng_below(r, v->h - size[0] + 1);
        at[1] = cnnrt_rng_below(r, v->w - size[1] + 1);
    }
    if (!fits)
        fall_back(t, v, at, size);
    return cnnrt_resize_part(v, at, size, t->size[0], t->size[1], t->antialias, error);
}
