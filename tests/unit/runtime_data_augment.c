/* cnnrt-data: the random numbers, and what does not need torchvision to be judged (tests/data/transforms.py).
 */
#include "runtime/cnnrt-data/internal.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The known answers that Salmon et al. publish with Random123. */
Test(augment, philox) {
    static const struct {
        uint32_t key[2], counter[4], want[4];
    } cases[] = {
        {{0, 0}, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u}, {~0u, ~0u, ~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0xa4093822, 0x299f31d0},
         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Rng r = {.used = 4};
        memcpy(r.key, cases[i].key, sizeof r.key);
        memcpy(r.counter, cases[i].counter, sizeof r.counter);
        for (int k = 0; k < 4; k++)
            cr_expect_eq(cnnrt_rng_u32(&r), cases[i].want[k], "case %zu, word %d", i, k);
    }
}

Test(augment, streams_differ) {
    Rng first = cnnrt_rng(1, STREAM_AUGMENT, 2, 3);
    uint32_t x = cnnrt_rng_u32(&first);
    const Rng others[] = {cnnrt_rng(2, STREAM_AUGMENT, 2, 3),
                          cnnrt_rng(1, STREAM_SHUFFLE, 2, 3),
                          cnnrt_rng(1, STREAM_AUGMENT, 3, 3),
                          cnnrt_rng(1, STREAM_AUGMENT, 2, 4),
                          cnnrt_rng((uint64_t)1 << 32 | 1, STREAM_AUGMENT, 2, 3),
                          cnnrt_rng(1, STREAM_AUGMENT, (uint64_t)1 << 32 | 2, 3)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        Rng r = others[i];
        cr_expect_neq(cnnrt_rng_u32(&r), x, "%zu", i);
    }
}

Test(augment, distributions) {
    Rng r = cnnrt_rng(5, STREAM_SPLIT, 0, 0);
    uint32_t hits[7] = {0}, order[50], seen = 0;
    double sum = 0, squares = 0;
    for (int i = 0; i < 70000; i++)
        hits[cnnrt_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_expect(abs((int)hits[i] - 10000) < 400, "%d: %u", i, hits[i]);
    for (int i = 0; i < 20000; i++) {
        double x = cnnrt_rng_normal(&r), u = cnnrt_rng_uniform(&r, -2, 3);
        cr_assert(isfinite(x) && u >= -2 && u < 3);
        sum += x;
        squares += x * x;
    }
    cr_expect(fabs(sum / 20000) < 0.03 && fabs(squares / 20000 - 1) < 0.05);
    cnnrt_rng_permutation(&r, order, 50);
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 50; k++)
            seen += order[k] == (uint32_t)i;
    cr_expect_eq(seen, 50);
}

Test(augment, names) {
    for (uint32_t kind = 0; kind < CNNRT_N_TRANSFORMS; kind++) {
        cnnrt_transform t;
        cr_expect_eq(cnnrt_transform_kind(cnnrt_transform_name(kind)), kind);
        cnnrt_transform_init(&t, kind);
        t.size[0] = t.size[1] = 4;
        cr_expect_eq(cnnrt_transform_check(&t, 3, NULL), CNNRT_OK, "%s", cnnrt_transform_name(kind));
    }
    cr_expect_null(cnnrt_transform_name(CNNRT_N_TRANSFORMS));
    cr_expect_eq(cnnrt_transform_kind("RandomPerspective"), CNNRT_N_TRANSFORMS);
}

static cnnrt_transform with(uint32_t kind) {
    cnnrt_transform t;
    cnnrt_transform_init(&t, kind);
    t.size[0] = t.size[1] = 4;
    return t;
}

Test(augment, parameters_are_checked) {
    cnnrt_transform t[16] = {[0].kind = CNNRT_N_TRANSFORMS};
    const char *fault[16] = {"no transform"};
    cnnrt_data_error e;
    int n = 1;
#define BAD(of, field, number, text) (t[n] = with(of), t[n].field = (number), fault[n++] = (text))
    BAD(CNNRT_RESIZE, size[0], 0, "Resize: size");
    BAD(CNNRT_RANDOM_CROP, size[1], 0, "RandomCrop: size");
    BAD(CNNRT_CENTER_CROP, size[0], 1u << 20, "CenterCrop: size");
    BAD(CNNRT_RANDOM_CROP, padding[2], 1u << 20, "padding");
    BAD(CNNRT_RANDOM_CROP, fill.n, 2, "fill");
    BAD(CNNRT_RANDOM_HORIZONTAL_FLIP, p, NAN, "RandomHorizontalFlip: p");
    BAD(CNNRT_RANDOM_RESIZED_CROP, scale[0], 2, "scale");
    BAD(CNNRT_RANDOM_ERASING, ratio[0], 0, "RandomErasing: ratio");
    BAD(CNNRT_RANDOM_ROTATION, degrees[0], 10, "degrees");
    BAD(CNNRT_RANDOM_AFFINE, translate[0], 1.5, "translate");
    BAD(CNNRT_RANDOM_AFFINE, shear[3], 90, "shear");
    BAD(CNNRT_RANDOM_AFFINE, scale[0], 0, "scale");
    BAD(CNNRT_COLOR_JITTER, hue[1], 0.6, "hue");
    BAD(CNNRT_NORMALIZE, std.v[0], 0, "std is 0");
    BAD(CNNRT_NORMALIZE, mean.v[0], INFINITY, "mean");
    for (int i = 0; i < n; i++) {
        cr_expect_eq(cnnrt_transform_check(&t[i], 3, &e), CNNRT_E_SHAPE, "case %d", i);
        cr_expect(strstr(e.text, fault[i]), "case %d: %s", i, e.text);
    }
    t[0] = with(CNNRT_COLOR_JITTER);
    cr_expect_eq(cnnrt_transform_check(&t[0], 2, &e), CNNRT_E_SHAPE);
}

static const float *picture(void) {
    static float p[3 * 9 * 7];
    for (int i = 0; i < 3 * 9 * 7; i++)
        p[i] = (float)(i * 37 % 101) / 100.0f;
    return p;
}

/* The same numbers give the same picture; another sample, epoch or seed another one. */
Test(augment, a_function_of_seed_epoch_and_sample) {
    static const uint32_t kinds[] = {CNNRT_RANDOM_CROP, CNNRT_RANDOM_AFFINE, CNNRT_COLOR_JITTER,
                                     CNNRT_RANDOM_ERASING};
    cnnrt_transform t[4];
    uint64_t place[5][3] = {{1, 2, 3}, {1, 2, 3}, {2, 2, 3}, {1, 3, 3}, {1, 2, 4}};
    float *out[5];
    for (int i = 0; i < 4; i++)
        t[i] = with(kinds[i]);
    t[0].size[0] = t[0].size[1] = 8;
    t[0].padding[0] = t[0].padding[1] = t[0].padding[3] = 2;
    t[1].degrees[0] = -(t[1].degrees[1] = 40);
    t[2].brightness[0] = 0.5;
    t[3].value_random = 1;
    t[3].p = 1;
    for (int i = 0; i < 5; i++) {
        uint32_t h = 9, w = 7;
        cr_assert_eq(cnnrt_transform_apply(t, 4, picture(), 3, &h, &w, place[i][0], place[i][1], place[i][2],
                                           &out[i], NULL),
                     CNNRT_OK);
        cr_assert(h == 8 && w == 8);
    }
    for (int i = 1; i < 5; i++)
        cr_expect((memcmp(out[0], out[i], 3 * 64 * sizeof **out) == 0) == (i == 1), "%d", i);
    for (int i = 0; i < 5; i++)
        free(out[i]);
}

Test(augment, too_small_a_picture) {
    cnnrt_transform t = with(CNNRT_RANDOM_CROP);
    uint32_t h = 9, w = 7;
    cnnrt_data_error e;
    float *out;
    t.size[1] = 8;
    cr_expect_eq(cnnrt_transform_apply(&t, 1, picture(), 3, &h, &w, 0, 0, 0, &out, &e), CNNRT_E_SHAPE);
    cr_expect(!out && strstr(e.text, "RandomCrop: the crop of 4 by 8"), "%s", e.text);
}

/* Values that are no numbers pass through every transform without harm. */
Test(augment, no_numbers) {
    float p[3 * 25];
    for (int i = 0; i < 75; i++)
        p[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -1e30f;
    for (uint32_t kind = 0; kind < CNNRT_N_TRANSFORMS; kind++) {
        cnnrt_transform t = with(kind);
        uint32_t h = 5, w = 5;
        float *out;
        t.hue[0] = -0.5;
        t.contrast[1] = 3;
        t.bilinear = 1;
        t.degrees[1] = 90;
        cr_expect_eq(cnnrt_transform_apply(&t, 1, p, 3, &h, &w, 0, 0, 0, &out, NULL), CNNRT_OK);
        free(out);
    }
}
