/* cnnrt-data for scripts:
 *
 *     apply picture FILE CHANNELS OUT.npy                      u8 [h,w,c]
 *     apply transform IN.npy OUT.npy SEED INDEX NAME [FIELD=NUMBER,NUMBER...]...
 *                                                              f32 [c,h,w] both
 *
 * A failure is one line on standard error, and status 1. */
#include "cnnrt_data.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
    char type; /* u: uint32_t, d: double, v: cnnrt_values */
} fields[] = {
    {"size", offsetof(cnnrt_transform, size), 'u'},
    {"padding", offsetof(cnnrt_transform, padding), 'u'},
    {"fill", offsetof(cnnrt_transform, fill), 'v'},
    {"value", offsetof(cnnrt_transform, value), 'v'},
    {"mean", offsetof(cnnrt_transform, mean), 'v'},
    {"std", offsetof(cnnrt_transform, std), 'v'},
    {"value_random", offsetof(cnnrt_transform, value_random), 'u'},
    {"antialias", offsetof(cnnrt_transform, antialias), 'u'},
    {"bilinear", offsetof(cnnrt_transform, bilinear), 'u'},
    {"p", offsetof(cnnrt_transform, p), 'd'},
    {"scale", offsetof(cnnrt_transform, scale), 'd'},
    {"ratio", offsetof(cnnrt_transform, ratio), 'd'},
    {"degrees", offsetof(cnnrt_transform, degrees), 'd'},
    {"translate", offsetof(cnnrt_transform, translate), 'd'},
    {"shear", offsetof(cnnrt_transform, shear), 'd'},
    {"brightness", offsetof(cnnrt_transform, brightness), 'd'},
    {"contrast", offsetof(cnnrt_transform, contrast), 'd'},
    {"saturation", offsetof(cnnrt_transform, saturation), 'd'},
    {"hue", offsetof(cnnrt_transform, hue), 'd'},
};

static int fail(const char *text) {
    fprintf(stderr, "apply: %s\n", text);
    return 1;
}

/* FIELD=NUMBER,NUMBER... into the transform; false when there is no such field. */
static int set(cnnrt_transform *t, const char *text) {
    size_t i = 0, n = strcspn(text, "="), count = sizeof fields / sizeof *fields;
    while (i < count && (strlen(fields[i].name) != n || memcmp(fields[i].name, text, n) != 0))
        i++;
    if (i == count)
        return 0;
    char *at = (char *)t + fields[i].offset;
    uint32_t k = 0;
    for (const char *s = text + n; *s && k < CNNRT_MAX_CHANNELS; k++) {
        char *end;
        double x = strtod(s + 1, &end);
        s = end;
        if (fields[i].type == 'u')
            ((uint32_t *)at)[k] = (uint32_t)x;
        else if (fields[i].type == 'd')
            ((double *)at)[k] = x;
        else
            ((cnnrt_values *)at)->v[k] = (float)x;
    }
    if (fields[i].type == 'v')
        ((cnnrt_values *)at)->n = k;
    return 1;
}

static int picture(char **argv) {
    cnnrt_picture p;
    cnnrt_data_error e;
    if (cnnrt_picture_read(&p, argv[0], (uint32_t)atoi(argv[1]), &e) != CNNRT_OK)
        return fail(e.text);
    const int64_t dim[3] = {p.height, p.width, p.channels};
    int status = cnnrt_npy_write(argv[2], CNNRT_U8, 3, dim, p.pixels, &e);
    cnnrt_picture_free(&p);
    return status ? fail(e.text) : 0;
}

static int transform(char **argv) {
    cnnrt_transform t;
    cnnrt_npy a;
    cnnrt_data_error e;
    float *out;
    if (cnnrt_npy_read(&a, argv[0], &e) != CNNRT_OK)
        return fail(e.text);
    if (a.rank != 3 || a.dtype != CNNRT_F32)
        return fail("not f32 [c,h,w]");
    cnnrt_transform_init(&t, cnnrt_transform_kind(argv[4]));
    for (char **word = argv + 5; *word; word++)
        if (!set(&t, *word))
            return fail(*word);
    uint32_t h = (uint32_t)a.dim[1], w = (uint32_t)a.dim[2];
    int status = cnnrt_transform_apply(&t, 1, a.data, (uint32_t)a.dim[0], &h, &w, strtoull(argv[2], NULL, 10),
                                       0, strtoull(argv[3], NULL, 10), &out, &e);
    if (status == CNNRT_OK) {
        const int64_t dim[3] = {a.dim[0], h, w};
        status = cnnrt_npy_write(argv[1], CNNRT_F32, 3, dim, out, &e);
        free(out);
    }
    cnnrt_npy_free(&a);
    return status ? fail(e.text) : 0;
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "picture") == 0)
        return picture(argv + 2);
    if (argc >= 7 && strcmp(argv[1], "transform") == 0)
        return transform(argv + 2);
    return fail("picture FILE CHANNELS OUT | transform IN OUT SEED INDEX NAME [FIELD=NUMBERS]...");
}
