/* What the linked test programs share: images from a formula, CHECK, and comparing bits. */
#ifndef LINK_COMMON_H
#define LINK_COMMON_H

#include <stdio.h>
#include <string.h>

#include "cnnrt.h"

#define PIXELS 784
#define CLASSES 10
#define BATCH 5

static int failures = 0;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            failures++;                                                                                      \
        }                                                                                                    \
    } while (0)

/* Pixels in [0,1], different in every image. */
static inline void fill_images(float *images, unsigned count) {
    unsigned i, state = 12345;
    for (i = 0; i < count * PIXELS; i++) {
        state = state * 1664525U + 1013904223U;
        images[i] = (float)(state >> 8) / 16777216.0F;
    }
}

/* Elements in [-1,1), and labels of all classes. */
static inline void fill_samples(float *images, size_t elems, int64_t *labels, int64_t count,
                                int64_t classes) {
    uint32_t state = 99;
    size_t i;
    int64_t k;
    for (i = 0; i < elems; i++) {
        state = state * 1664525U + 1013904223U;
        images[i] = (float)(state >> 8) / 8388608.0F - 1;
    }
    for (k = 0; k < count; k++)
        labels[k] = k * 7 % classes;
}

static inline int same_bits(const float *a, const float *b, unsigned rows) {
    return memcmp(a, b, sizeof(float) * rows * CLASSES) == 0;
}

#endif
