/* Grey pictures in characters: each character is the mean of the pixels it covers. */
#include "cnnrt_data.h"

typedef struct Picture {
    const unsigned char *u8; /* or NULL */
    const float *f32;
    float low, scale;
    uint32_t height, width;
} Picture;

static double brightness(const Picture *p, size_t at) {
    double v = p->u8 ? p->u8[at] / 255.0 : ((double)p->f32[at] - (double)p->low) * (double)p->scale;
    return v > 0 ? v < 1 ? v : 1 : 0; /* a NaN is black */
}

/* Pixels [from, to) that character `i` of `n` covers along a side of `size`; never empty. */
static void cover(uint32_t i, uint32_t n, uint32_t size, uint32_t *from, uint32_t *to) {
    *from = (uint32_t)((uint64_t)i * size / n);
    *to = (uint32_t)(((uint64_t)i + 1) * size / n);
    if (*to == *from)
        *to = *from + 1;
}

static char character(const Picture *p, uint32_t row, uint32_t rows, uint32_t column, uint32_t columns) {
    static const char ramp[] = " .:-=+*#%@";
    uint32_t y0, y1, x0, x1;
    double sum = 0;
    cover(row, rows, p->height, &y0, &y1);
    cover(column, columns, p->width, &x0, &x1);
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++)
            sum += brightness(p, (size_t)y * p->width + x);
    double mean = sum / ((double)(y1 - y0) * (double)(x1 - x0));
    return ramp[(int)(mean * 9 + 0.5)];
}

static size_t draw(char *out, size_t out_size, const Picture *p, uint32_t columns) {
    size_t n = 0;
    if (p->height > 0 && p->width > 0 && columns > 0) {
        uint64_t half = ((uint64_t)columns * p->height + p->width) / ((uint64_t)2 * p->width);
        uint32_t rows = half < 1 ? 1 : half > 65535 ? 65535 : (uint32_t)half;
        for (uint32_t row = 0; row < rows; row++)
            for (uint32_t column = 0; column <= columns; column++, n++)
                if (n + 1 < out_size)
                    out[n] = column == columns ? '\n' : character(p, row, rows, column, columns);
    }
    if (out_size > 0)
        out[n < out_size ? n : out_size - 1] = '\0';
    return n;
}

size_t cnnrt_draw_u8(char *out, size_t out_size, const unsigned char *pixels, uint32_t height, uint32_t width,
                     uint32_t columns) {
    Picture p = {.u8 = pixels, .height = height, .width = width};
    return draw(out, out_size, &p, columns);
}

size_t cnnrt_draw_f32(char *out, size_t out_size, const float *pixels, float low, float high, uint32_t height,
                      uint32_t width, uint32_t columns) {
    Picture p = {.f32 = pixels,
                 .low = low,
                 .scale = high > low ? 1.0f / (high - low) : 0.0f,
                 .height = height,
                 .width = width};
    return draw(out, out_size, &p, columns);
}
