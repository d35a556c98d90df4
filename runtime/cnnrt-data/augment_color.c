/* ColorJitter: brightness, contrast, saturation and hue, in a random order, each by a random factor; pixels
 * are 0 to 1 before and after. */
#include "internal.h"
#include <math.h>

static float clamp(float x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static float grey(float r, float g, float b) {
    return 0.2989f * r + 0.587f * g + 0.114f * b;
}

static void brightness(Canvas *v, float factor) {
    for (size_t i = 0; i < (size_t)v->c * v->h * v->w; i++)
        v->pixels.data[i] = clamp(factor * v->pixels.data[i]);
}

/* Away from, or towards, the mean grey. */
static void contrast(Canvas *v, float factor) {
    size_t n = (size_t)v->h * v->w;
    float *p = v->pixels.data;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)(v->c == 3 ? grey(p[i], p[n + i], p[2 * n + i]) : p[i]);
    float rest = (1 - factor) * (float)(sum / (double)n);
    for (size_t i = 0; i < v->c * n; i++)
        p[i] = clamp(factor * p[i] + rest);
}

/* Away from, or towards, each pixel's grey. */
static void saturation(Canvas *v, float factor) {
    size_t n = (size_t)v->h * v->w;
    float *p = v->pixels.data;
    for (size_t i = 0; v->c == 3 && i < n; i++) {
        float rest = (1 - factor) * grey(p[i], p[n + i], p[2 * n + i]);
        for (size_t c = 0; c < 3; c++)
            p[c * n + i] = clamp(factor * p[c * n + i] + rest);
    }
}

/* Hue in turns, saturation and value of a colour, as Foley and van Dam's hexcone. */
static void to_hsv(const float rgb[3], float hsv[3]) {
    float most = fmaxf(rgb[0], fmaxf(rgb[1], rgb[2])), least = fminf(rgb[0], fminf(rgb[1], rgb[2]));
    float range = most - least, sixths = 0;
    if (range > 0)
        sixths = most == rgb[0]   ? (rgb[1] - rgb[2]) / range
                 : most == rgb[1] ? 2 + (rgb[2] - rgb[0]) / range
                                  : 4 + (rgb[0] - rgb[1]) / range;
    hsv[0] = sixths / 6;
    hsv[1] = range > 0 ? range / most : 0;
    hsv[2] = most;
}

static void to_rgb(const float hsv[3], float rgb[3]) {
    float sixths = (hsv[0] - floorf(hsv[0])) * 6, v = hsv[2];
    int i =
        sixths >= 0 && sixths < 6 ? (int)sixths : 0; /* a hue that rounded up to a whole turn; no number */
    float f = sixths - (float)i;
    float p = clamp(v * (1 - hsv[1])), q = clamp(v * (1 - hsv[1] * f)), t = clamp(v * (1 - hsv[1] * (1 - f)));
    const float sextant[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    for (int c = 0; c < 3; c++)
        rgb[c] = sextant[i][c];
}

static void hue(Canvas *v, float turns) {
    size_t n = (size_t)v->h * v->w;
    float *p = v->pixels.data;
    for (size_t i = 0; v->c == 3 && i < n; i++) {
        float rgb[3] = {p[i], p[n + i], p[2 * n + i]}, hsv[3];
        to_hsv(rgb, hsv);
        hsv[0] += turns;
        to_rgb(hsv, rgb);
        for (size_t c = 0; c < 3; c++)
            p[c * n + i] = rgb[c];
    }
}

int cnnrt_color_jitter_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    static void (*const adjust[4])(Canvas *v, float factor) = {brightness, contrast, saturation, hue};
    static const double neutral[4] = {1, 1, 1, 0};
    const double *range[4] = {t->brightness, t->contrast, t->saturation, t->hue};
    uint32_t order[4];
    float factor[4];
    (void)error;
    cnnrt_rng_permutation(r, order, 4);
    for (int i = 0; i < 4; i++)
        factor[i] = (float)cnnrt_rng_uniform(r, range[i][0], range[i][1]);
    for (int i = 0; i < 4; i++) {
        uint32_t k = order[i];
        if (range[k][0] != neutral[k] || range[k][1] != neutral[k])
            adjust[k](v, factor[k]);
    }
    return CNNRT_OK;
}
