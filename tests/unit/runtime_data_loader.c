/* cnnrt-data: the loader. The same bits from any number of threads, in batches of any size, after a resume.
 */
#include "pictures.h"
#include "runtime/cnnrt-data/cnnrt_data.h"

enum { SAMPLES = 203, C = 3, H = 6, W = 5, ELEMENTS = C * H * W };

/* Sample i has label i modulo 7 and pixels that begin with i. */
static cnnrt_dataset *numbered(void) {
    static unsigned char u8[SAMPLES * ELEMENTS], labels[SAMPLES];
    cnnrt_dataset *a;
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = (unsigned char)(i % 7);
        for (int k = 0; k < ELEMENTS; k++)
            u8[i * ELEMENTS + k] = (unsigned char)(k == 0 ? i : i * 31 + k * 7);
    }
    cr_assert_eq(cnnrt_npy_write(at("images.npy"), CNNRT_U8, 4, (int64_t[]){SAMPLES, C, H, W}, u8, NULL), 0);
    cr_assert_eq(cnnrt_npy_write(at("labels.npy"), CNNRT_U8, 1, (int64_t[]){SAMPLES}, labels, NULL), 0);
    cr_assert_eq(cnnrt_dataset_open_npy(&a, at("images.npy"), at("labels.npy"), CNNRT_NCHW, NULL), 0);
    return a;
}

static cnnrt_loader *loader(const cnnrt_dataset *a, const cnnrt_loader_options *o) {
    cnnrt_loader *l;
    cnnrt_data_error e;
    cr_assert_eq(cnnrt_loader_open(&l, a, o, &e), CNNRT_OK, "%s", e.text);
    return l;
}

/* The rest of an epoch, `most` at a time, and less than that only at its end; returns the number of samples.
 */
static int64_t drain(const cnnrt_source *s, int64_t most, float *input, int64_t *label) {
    int64_t n = 0, got, last = most;
    while ((got = s->next(s->arg, most, input + n * ELEMENTS, label + n)) > 0) {
        cr_assert(got <= most && last == most);
        last = got;
        n += got;
    }
    cr_assert_eq(got, 0, "%s", s->error(s->arg));
    return n;
}

static size_t all_transforms(cnnrt_transform t[5]) {
    cnnrt_transform_init(&t[0], CNNRT_RANDOM_CROP);
    t[0].size[0] = H;
    t[0].size[1] = W;
    t[0].padding[0] = t[0].padding[1] = t[0].padding[2] = t[0].padding[3] = 2;
    cnnrt_transform_init(&t[1], CNNRT_RANDOM_HORIZONTAL_FLIP);
    cnnrt_transform_init(&t[2], CNNRT_RANDOM_ROTATION);
    t[2].degrees[0] = -20;
    t[2].degrees[1] = 20;
    cnnrt_transform_init(&t[3], CNNRT_COLOR_JITTER);
    t[3].contrast[1] = 2;
    cnnrt_transform_init(&t[4], CNNRT_NORMALIZE);
    t[4].mean = (cnnrt_values){1, {0.5f}};
    t[4].std = (cnnrt_values){3, {0.5f, 0.25f, 2}};
    return 5;
}

Test(loader, plain, .init = make_root, .fini = remove_root) {
    static float x[SAMPLES * ELEMENTS];
    static int64_t y[SAMPLES];
    cnnrt_dataset *a = numbered();
    cnnrt_loader *l = loader(a, &(cnnrt_loader_options){0});
    cnnrt_dataset_close(a); /* the loader has its own view */
    cnnrt_source s = cnnrt_loader_source(l);
    cr_expect_eq(s.count, SAMPLES);
    cr_expect(s.input_elements == ELEMENTS && s.target_elements == 1 && s.target_dtype == CNNRT_I64);
    cr_expect_eq(s.next(s.arg, 4, x, y), 0, "before the first begin");
    cr_expect_eq(s.begin(s.arg, 0, 0), 0);
    cr_expect_eq(drain(&s, 10, x, y), SAMPLES);
    for (int i = 0; i < SAMPLES; i++)
        cr_expect(x[i * ELEMENTS] == (float)i / 255.0f && y[i] == i % 7, "%d", i);
    cr_expect_eq(s.begin(s.arg, 0, SAMPLES + 1), CNNRT_E_SHAPE);
    cr_expect_eq(s.begin(s.arg, 0, -1), CNNRT_E_SHAPE);
    cr_expect_eq(s.begin(s.arg, 1, SAMPLES), 0);
    cr_expect_eq(s.next(s.arg, 10, x, y), 0);
    cnnrt_loader_close(l);
    cnnrt_loader_close(NULL);
}

Test(loader, each_sample_once_in_an_order_of_the_epoch, .init = make_root, .fini = remove_root) {
    static float x[2][SAMPLES * ELEMENTS];
    static int64_t y[2][SAMPLES];
    unsigned char seen[2][SAMPLES] = {0};
    cnnrt_dataset *a = numbered();
    cnnrt_loader *l = loader(a, &(cnnrt_loader_options){.shuffle = 1, .seed = 3, .threads = 1, .batch = 16});
    cnnrt_source s = cnnrt_loader_source(l);
    for (int epoch = 0; epoch < 2; epoch++) {
        s.begin(s.arg, (uint64_t)epoch, 0);
        cr_expect_eq(drain(&s, 16, x[epoch], y[epoch]), SAMPLES);
        for (int i = 0; i < SAMPLES; i++) {
            int sample = (int)(x[epoch][i * ELEMENTS] * 255 + 0.5f);
            cr_expect_eq(y[epoch][i], sample % 7);
            seen[epoch][sample]++;
        }
        for (int i = 0; i < SAMPLES; i++)
            cr_expect_eq(seen[epoch][i], 1);
    }
    int same = 0;
    for (int i = 0; i < SAMPLES; i++)
        same += x[0][i * ELEMENTS] == x[1][i * ELEMENTS];
    cr_expect(same < 10, "%d samples at the same place in two epochs", same);
    cnnrt_loader_close(l);
    cnnrt_dataset_close(a);
}

Test(loader, same_bits_always, .init = make_root, .fini = remove_root) {
    static const uint32_t threads[] = {0, 1, 3}, batch[] = {64, 1, 17};
    static float want[SAMPLES * ELEMENTS], x[SAMPLES * ELEMENTS];
    static int64_t want_y[SAMPLES], y[SAMPLES];
    cnnrt_transform t[5];
    cnnrt_dataset *a = numbered();
    cnnrt_loader_options o = {.shuffle = 1, .seed = 9, .transforms = t, .n_transforms = all_transforms(t)};
    for (int i = 0; i < 9; i++) {
        o.threads = threads[i % 3];
        o.batch = batch[i / 3];
        o.prefetch = 1 + (uint32_t)i / 2;
        cnnrt_loader *l = loader(a, &o);
        cnnrt_source s = cnnrt_loader_source(l);
        for (int64_t first = 0; first <= SAMPLES; first += 29) { /* the last begin is after a whole epoch */
            s.begin(s.arg, 4, 0);
            cr_assert_eq(s.next(s.arg, 5, x, y), 5); /* left in the middle */
            s.begin(s.arg, 5, first);
            int64_t n = drain(&s, 1 + first, x, y);
            cr_assert_eq(n, SAMPLES - first);
            if (i == 0 && first == 0) {
                memcpy(want, x, sizeof want);
                memcpy(want_y, y, sizeof want_y);
            }
            cr_expect_arr_eq(x, want + first * ELEMENTS, (size_t)n * ELEMENTS * sizeof *x,
                             "%u threads, from %d", o.threads, (int)first);
            cr_expect_arr_eq(y, want_y + first, (size_t)n * sizeof *y);
        }
        cnnrt_loader_close(l);
    }
    cnnrt_dataset_close(a);
}

Test(loader, drop_last, .init = make_root, .fini = remove_root) {
    static float x[SAMPLES * ELEMENTS];
    static int64_t y[SAMPLES];
    cnnrt_dataset *a = numbered();
    for (uint32_t threads = 0; threads < 3; threads++) {
        cnnrt_loader *l = loader(a, &(cnnrt_loader_options){.drop_last = 1, .batch = 50, .threads = threads});
        cnnrt_source s = cnnrt_loader_source(l);
        cr_expect_eq(s.count, 200);
        s.begin(s.arg, 0, 100);
        cr_expect_eq(drain(&s, 50, x, y), 100);
        cnnrt_loader_close(l);
    }
    cnnrt_dataset_close(a);
}

Test(loader, probabilities, .init = make_root, .fini = remove_root) {
    static float x[8 * ELEMENTS], y[8][9];
    cnnrt_dataset *a = numbered();
    cnnrt_loader *l = loader(a, &(cnnrt_loader_options){.target_elements = 9, .threads = 1});
    cnnrt_source s = cnnrt_loader_source(l);
    cr_expect(s.input_elements == ELEMENTS && s.target_elements == 9 && s.target_dtype == CNNRT_F32);
    s.begin(s.arg, 0, 0);
    cr_assert_eq(s.next(s.arg, 8, x, y), 8);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 9; k++)
            cr_expect_eq(y[i][k], k == i % 7 ? 1.0f : 0.0f);
    cnnrt_loader_close(l);
    cnnrt_dataset_close(a);
}

Test(loader, numbers, .init = make_root, .fini = remove_root) {
    const float f[6] = {1, 2, 3, 4, 5, 6};
    float x[3], y[3];
    cnnrt_dataset *a;
    cnnrt_loader *l;
    cnnrt_npy_write(at("x.npy"), CNNRT_F32, 3, (int64_t[]){3, 1, 1}, f, NULL);
    cnnrt_npy_write(at("y.npy"), CNNRT_F32, 1, (int64_t[]){3}, f + 3, NULL);
    cr_assert_eq(cnnrt_dataset_open_npy(&a, at("x.npy"), at("y.npy"), 0, NULL), CNNRT_OK);
    cr_expect_eq(cnnrt_loader_open(&l, a, &(cnnrt_loader_options){0}, NULL), CNNRT_E_SHAPE);
    l = loader(a, &(cnnrt_loader_options){.target_elements = 1});
    cnnrt_source s = cnnrt_loader_source(l);
    s.begin(s.arg, 0, 1);
    cr_expect_eq(s.next(s.arg, 3, x, y), 2);
    cr_expect(x[0] == 2 && x[1] == 3 && y[0] == 5 && y[1] == 6);
    cnnrt_loader_close(l);
    cnnrt_dataset_close(a);
}

/* The second of four pictures is damaged: what comes before it is handed out, then every call fails. */
Test(loader, damaged_picture, .init = make_root, .fini = remove_root) {
    static float x[4 * 3 * 16];
    int64_t y[4];
    cnnrt_dataset *a;
    folder("class");
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "class/%d.png", i);
        put_png(name, 4, 4, 3, 0);
    }
    put("class/1.png", "\x89PNG\r\n\x1a\n", 8);
    cr_assert_eq(cnnrt_dataset_open(&a, root, NULL, NULL, NULL), CNNRT_OK);
    for (uint32_t threads = 0; threads < 3; threads++) {
        cnnrt_loader *l = loader(a, &(cnnrt_loader_options){.height = 4, .width = 4, .threads = threads});
        cnnrt_source s = cnnrt_loader_source(l);
        s.begin(s.arg, 0, 0);
        cr_expect_eq(s.next(s.arg, 4, x, y), 1);
        for (int i = 0; i < 2; i++)
            cr_expect_eq(s.next(s.arg, 4, x, y), -CNNRT_E_FORMAT);
        cr_expect(strstr(s.error(s.arg), "class/1.png: damaged PNG"), "%s", s.error(s.arg));
        s.begin(s.arg, 0, 2);
        cr_expect_eq(s.next(s.arg, 4, x, y), 2);
        cnnrt_loader_close(l);
    }
    cnnrt_dataset_close(a);
}

Test(loader, sizes, .init = make_root, .fini = remove_root) {
    static float x[3 * 36];
    int64_t y[1];
    cnnrt_dataset *a;
    cnnrt_loader *l;
    cnnrt_data_error e;
    folder("class");
    put_png("class/a.png", 4, 8, 3, 0);
    cr_assert_eq(cnnrt_dataset_open(&a, root, NULL, NULL, NULL), CNNRT_OK);
    cr_expect_eq(cnnrt_loader_open(&l, a, &(cnnrt_loader_options){.height = 6}, &e), CNNRT_E_SHAPE);
    cr_expect(strstr(e.text, root) == e.text && strstr(e.text, ": set .channels, .height and .width"), "%s",
              e.text);
    for (uint32_t resize = 0; resize < 2; resize++) {
        l = loader(a, &(cnnrt_loader_options){.height = 6, .width = 6, .resize = resize});
        cnnrt_source s = cnnrt_loader_source(l);
        cr_expect_eq(s.input_elements, 3 * 36);
        s.begin(s.arg, 0, 0);
        cr_expect_eq(s.next(s.arg, 1, x, y), resize ? 1 : -CNNRT_E_SHAPE);
        cr_expect(resize || strstr(s.error(s.arg), "a.png: the picture is 8 by 4"), "%s", s.error(s.arg));
        cnnrt_loader_close(l);
    }
    cnnrt_dataset_close(a);
}

Test(loader, options_that_do_not_fit, .init = make_root, .fini = remove_root) {
    cnnrt_transform t;
    cnnrt_transform_init(&t, CNNRT_RANDOM_CROP);
    const cnnrt_loader_options cases[] = {
        {.channels = 2},      {.target_elements = 3},
        {.batch = 1 << 20},   {.prefetch = 4000},
        {.threads = 1000},    {.n_transforms = 33},
        {.height = 1u << 30}, {.transforms = &t, .n_transforms = 1},
    };
    cnnrt_dataset *a = numbered();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnnrt_loader *l;
        cnnrt_data_error e = {0};
        cr_expect_eq(cnnrt_loader_open(&l, a, &cases[i], &e), CNNRT_E_SHAPE, "case %zu", i);
        cr_expect(!l && e.text[0]);
    }
    cnnrt_dataset_close(a);
}

/* Opened, begun and closed at once, many times: no thread is left, nothing hangs. */
Test(loader, stops_cleanly, .init = make_root, .fini = remove_root, .timeout = 60) {
    static float x[ELEMENTS];
    int64_t y;
    cnnrt_dataset *a = numbered();
    for (uint32_t i = 0; i < 200; i++) {
        cnnrt_loader *l = loader(
            a, &(cnnrt_loader_options){.threads = 1 + i % 4, .batch = 1 + i % 5, .prefetch = 1 + i % 3});
        cnnrt_source s = cnnrt_loader_source(l);
        for (uint32_t k = 0; k < i % 4; k++)
            s.begin(s.arg, k, 0);
        if (i % 3 == 0)
            s.next(s.arg, 1, x, &y);
        cnnrt_loader_close(l);
    }
    cnnrt_dataset_close(a);
}
