/* The files for inputs: arrays, and pictures for what is shaped like one. */
#include "driver/process.h"
#include <cnnrt_data.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_picture(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static const Picture *said_of(const Compile *c, uint32_t input) {
    const Graph *g = c->source;
    if (g)
        return g->values.data[g->inputs.data[input]].picture;
    for (uint32_t i = 0; i < c->loaded->bufs.len; i++)
        if (c->loaded->bufs.data[i].kind == MB_IN && input-- == 0)
            return c->loaded->bufs.data[i].picture;
    return NULL;
}

/* "256" or "256x320", height first; nothing given leaves *size. */
static bool parse_size(Context *cx, const char *option, const char *text, bool square, int64_t size[2]) {
    char *end;
    if (!text)
        return true;
    size[0] = size[1] = 0;
    for (const char *p = text; *p >= '0' && *p <= '9'; p = end + 1) {
        int64_t *at = size[0] ? &size[1] : &size[0];
        *at = strtoll(p, &end, 10);
        if (*at < 1 || *at > PICTURE_MAX_SIDE || (*end && (*end != 'x' || at == &size[1])))
            break;
        if (!*end) {
            size[1] = size[1] || !square ? size[1] : size[0];
            return true;
        }
    }
    return diag_error(&cx->diag, DIAG_INPUT_DATA, NULL,
                      "%s %s: expected a size such as 224 or 224x320 (height x width), up to %d", option,
                      text, PICTURE_MAX_SIDE);
}

static bool pixels_of(const Compile *c, uint32_t input, cnnrt_pixels *out) {
    const Picture *p = said_of(c, input);
    if (p)
        *out = (cnnrt_pixels){.layout = (uint32_t)p->layout,
                              .color = (uint32_t)p->color,
                              .resize = {p->resize.v[0], p->resize.v[1]},
                              .center_crop = {p->center_crop.v[0], p->center_crop.v[1]}};
    return parse_size(c->cx, "--resize", c->o->resize, false, out->resize) &&
           parse_size(c->cx, "--center-crop", c->o->center_crop, true, out->center_crop);
}

static bool wrong_size(const Compile *c, const char *path, const cnnrt_tensor *t, const cnnrt_pixels *p,
                       const char *text) {
    const bool last = p->layout == CNNRT_PIXELS_NHWC;
    diag_error(&c->cx->diag, DIAG_INPUT_DATA, &(Loc){.file = path}, "\"%s\": %s", t->name, text);
    return diag_hint(&c->cx->diag,
                     "--resize %lldx%lld, or --resize N and --center-crop %lldx%lld, or \"resize\" and "
                     "\"center_crop\" of the model's input make it fit",
                     (long long)t->dim[last ? 1 : 2], (long long)t->dim[last ? 2 : 3],
                     (long long)t->dim[last ? 1 : 2], (long long)t->dim[last ? 2 : 3]);
}

/* One picture as an array without the batch. */
static bool picture_array(const Compile *c, const char *path, const cnnrt_tensor *t, const cnnrt_pixels *p,
                          Array *out) {
    Context *cx = c->cx;
    const int64_t channels = t->rank == 4 ? t->dim[p->layout == CNNRT_PIXELS_NHWC ? 3 : 1] : 0;
    const size_t count = tensor_elems_for(t, 1);
    cnnrt_picture picture;
    cnnrt_data_error error;
    if ((channels != 1 && channels != 3) || t->dim[0] > 1)
        return diag_error(&cx->diag, DIAG_INPUT_DATA, &(Loc){.file = path},
                          "\"%s\" takes no pictures: it is no batch of 1 or 3 channels, height and width",
                          t->name);
    if (cnnrt_picture_read(&picture, path, (uint32_t)channels, &error) != CNNRT_OK)
        return diag_error(&cx->diag, DIAG_INPUT_DATA, NULL, "%s", error.text);
    void *pixels = NEW_ARRAY(&cx->arena, float, count + 1);
    const int status = cnnrt_picture_to_input(&picture, t, p, pixels, &error);
    cnnrt_picture_free(&picture);
    if (status != CNNRT_OK)
        return wrong_size(c, path, t, p, error.text);
    *out = (Array){.path = path, .rank = 3, .dim = {t->dim[1], t->dim[2], t->dim[3]}, .count = count};
    out->data = t->dtype == CNNRT_U8 ? NEW_ARRAY(&cx->arena, float, count + 1) : pixels;
    for (size_t i = 0; i < count && t->dtype == CNNRT_U8; i++)
        out->data[i] = ((unsigned char *)pixels)[i];
    if (t->dim[0] == 1) { /* a batch that is a number */
        out->rank = 4;
        memmove(out->dim + 1, out->dim, 3 * sizeof *out->dim);
        out->dim[0] = 1;
    }
    return true;
}

bool input_read(const Compile *c, const char *path, uint32_t input, const cnnrt_tensor *t, Array *out,
                int64_t *n) {
    cnnrt_pixels pixels = {0};
    if (!pixels_of(c, input, &pixels))
        return false;
    const bool ok = is_picture(path) ? picture_array(c, path, t, &pixels, out) : array_read(c->cx, path, out);
    return ok && array_fits(c->cx, out, t, n);
}
