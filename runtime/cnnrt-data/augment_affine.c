/* RandomRotation, RandomAffine: each pixel of the result from its place in the picture, about the centre,
 * nearest or bilinear; what lies outside is `fill`. */
#include "internal.h"
#include <math.h>

/* From a place in the result to its place in the picture, both from the centre. */
typedef struct Matrix {
    double xx, xy, x, yx, yy, y;
} Matrix;

static double radians(double degrees) {
    return degrees * (3.14159265358979323846 / 180);
}

/* The inverse of translation * rotation * scale * shear (x then y): torchvision's _get_inverse_affine_matrix
 * with its centre at 0. */
static Matrix inverse(double degrees, double tx, double ty, double scale, double shear_x, double shear_y) {
    double rot = radians(degrees), sx = radians(shear_x), sy = radians(shear_y);
    double a = cos(rot - sy) / cos(sy), b = -a * tan(sx) - sin(rot);
    double c = sin(rot - sy) / cos(sy), d = -c * tan(sx) + cos(rot);
    Matrix m = {.xx = d / scale, .xy = -b / scale, .yx = -c / scale, .yy = a / scale};
    m.x = -m.xx * tx - m.xy * ty;
    m.y = -m.yx * tx - m.yy * ty;
    return m;
}

/* The pixel at row y, column x of a plane, or `outside`. */
static float pixel(const Canvas *v, const float *plane, double y, double x, float outside) {
    return y >= 0 && y < v->h && x >= 0 && x < v->w ? plane[(size_t)y * v->w + (size_t)x] : outside;
}

/* Between four pixels, zeros outside, then blended with `fill` by how much lies inside: torchvision does just
 * so, although it makes the outermost pixels darker than a single blend would. */
static float between(const Canvas *v, const float *plane, double y, double x, float fill) {
    if (!(y > -1 && y < v->h && x > -1 && x < v->w))
        return fill;
    int64_t y0 = (int64_t)(y + 1) - 1, x0 = (int64_t)(x + 1) - 1; /* rounded down: both are above -1 */
    float fy = (float)(y - (double)y0), fx = (float)(x - (double)x0), sum = 0, inside = 0;
    const float part[4] = {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx};
    for (int i = 0; i < 4; i++) {
        int64_t row = y0 + i / 2, column = x0 + i % 2;
        if (row >= 0 && row < v->h && column >= 0 && column < v->w) {
            sum += part[i] * plane[(size_t)row * v->w + (size_t)column];
            inside += part[i];
        }
    }
    return sum * inside + (1 - inside) * fill;
}

static int transform(const cnnrt_transform *t, Canvas *v, const Matrix *m, cnnrt_data_error *error) {
    if (!cnnrt_buffer_reserve(&v->other, (size_t)v->c * v->h * v->w))
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, NULL, "out of memory for a picture");
    float *to = v->other.data;
    double cy = (v->h - 1) * 0.5, cx = (v->w - 1) * 0.5;
    for (uint32_t c = 0; c < v->c; c++) {
        const float *plane = v->pixels.data + (size_t)c * v->h * v->w;
        float fill = cnnrt_value(&t->fill, c);
        for (uint32_t row = 0; row < v->h; row++)
            for (uint32_t column = 0; column < v->w; column++) {
                double y = m->yx * (column - cx) + m->yy * (row - cy) + m->y + cy;
                double x = m->xx * (column - cx) + m->xy * (row - cy) + m->x + cx;
                *to++ = t->bilinear ? between(v, plane, y, x, fill)
                                    : pixel(v, plane, nearbyint(y), nearbyint(x), fill);
            }
    }
    cnnrt_canvas_swap(v, v->h, v->w);
    return CNNRT_OK;
}

int cnnrt_rotation_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    /* Counter-clockwise, while an affine transform's angle is clockwise. */
    Matrix m = inverse(-cnnrt_rng_uniform(r, t->degrees[0], t->degrees[1]), 0, 0, 1, 0, 0);
    return transform(t, v, &m, error);
}

int cnnrt_affine_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error) {
    double degrees = cnnrt_rng_uniform(r, t->degrees[0], t->degrees[1]);
    double most_x = t->translate[0] * v->w, most_y = t->translate[1] * v->h;
    double tx = nearbyint(cnnrt_rng_uniform(r, -most_x, most_x));
    double ty = nearbyint(cnnrt_rng_uniform(r, -most_y, most_y));
    double scale = cnnrt_rng_uniform(r, t->scale[0], t->scale[1]);
    double shear_x = cnnrt_rng_uniform(r, t->shear[0], t->shear[1]);
    double shear_y = cnnrt_rng_uniform(r, t->shear[2], t->shear[3]);
    Matrix m = inverse(degrees, tx, ty, scale, shear_x, shear_y);
    return transform(t, v, &m, error);
}
