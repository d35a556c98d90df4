/* cnnrt-data: data sets of every kind, their views, and damaged ones. */
#include "pictures.h"
#include "runtime/cnnrt-data/internal.h"
#include <unistd.h>

static cnnrt_dataset *opened(const char *split, const char *kind) {
    cnnrt_dataset *a;
    cnnrt_data_error e;
    cr_assert_eq(cnnrt_dataset_open(&a, root, split, kind, &e), CNNRT_OK, "%s", e.text);
    return a;
}

/* Fails with a text that has `fault` in it. */
static void refused(const char *split, const char *kind, int status, const char *fault) {
    cnnrt_dataset *a;
    cnnrt_data_error e = {0};
    cr_expect_eq(cnnrt_dataset_open(&a, root, split, kind, &e), status, "%s", e.text);
    cr_expect(!a && strstr(e.text, fault), "\"%s\" in: %s", fault, e.text);
    cr_expect_eq(cnnrt_dataset_open(&a, root, split, kind, NULL), status);
}

/* Pixel (c,y,x) of sample i, as wanted with `channels`. */
static float pixel(const cnnrt_dataset *a, int64_t i, uint32_t channels, uint32_t c, uint32_t y, uint32_t x) {
    Canvas v = {0};
    cr_assert_eq(cnnrt_dataset_picture(a, i, channels, &v, NULL), CNNRT_OK);
    cr_assert(c < v.c && y < v.h && x < v.w);
    float value = v.pixels.data[((size_t)c * v.h + y) * v.w + x];
    cnnrt_canvas_free(&v);
    return value;
}

/* Six images of 1 by 2, labels 0 1 2 0 1 3. */
static void put_idx(void) {
    put_gz("train-images-idx3-ubyte.gz", "\0\0\x08\3\0\0\0\6\0\0\0\1\0\0\0\2abcdefghijkl", 28);
    put("train-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\6\0\1\2\0\1\3", 14);
}

Test(sets, idx, .init = make_root, .fini = remove_root) {
    cnnrt_dataset_info info;
    put_idx();
    cnnrt_dataset *a = opened("train", NULL);
    cnnrt_dataset_describe(a, &info);
    cr_expect_str_eq(info.kind, "idx");
    cr_expect(info.count == 6 && info.channels == 1 && info.height == 1 && info.width == 2);
    cr_expect(info.n_classes == 4 && info.target_elements == 0);
    cr_expect_str_eq(info.classes[3], "3");
    cr_expect_eq(cnnrt_dataset_label(a, 5), 3);
    cr_expect_eq(pixel(a, 1, 1, 0, 0, 1), 'd' / 255.0f);
    cr_expect_eq(pixel(a, 1, 3, 2, 0, 1), 'd' / 255.0f);
    cnnrt_dataset_close(a);
    put("train-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\5\0\1\2\0\1", 13);
    refused("train", NULL, CNNRT_E_FORMAT, "do not fit");
    refused("test", NULL, CNNRT_E_FILE, "split \"test\"");
    refused("test", "idx", CNNRT_E_FILE, "t10k-images");
    refused("train", "mnist", CNNRT_E_FILE, "no kind \"mnist\"");
    put("train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\0\0\0\0\1\0\0\0\2", 16);
    put("train-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\0", 8);
    refused("train", NULL, CNNRT_E_FORMAT, "no sample");
    put("train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\1\0\0\0\0\0\0\0\2", 16);
    put("train-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\1\0", 9);
    refused("train", NULL, CNNRT_E_FORMAT, "empty");
}

Test(sets, cifar10, .init = make_root, .fini = remove_root) {
    static unsigned char batch[2 * 3073];
    char name[32];
    cnnrt_dataset_info info;
    for (int file = 1; file <= 5; file++) {
        batch[0] = (unsigned char)file;
        batch[3073] = 9;
        batch[1 + 2 * 1024 + 3 * 32 + 4] = (unsigned char)(file * 10); /* blue at row 3, column 4 */
        snprintf(name, sizeof name, "data_batch_%d.bin", file);
        put(name, batch, sizeof batch);
    }
    cnnrt_dataset *a = opened("train", NULL);
    cnnrt_dataset_describe(a, &info);
    cr_expect_str_eq(info.kind, "cifar10");
    cr_expect(info.count == 10 && info.channels == 3 && info.height == 32 && info.width == 32);
    cr_expect(info.n_classes == 10 && strcmp(info.classes[9], "truck") == 0);
    cr_expect(cnnrt_dataset_label(a, 4) == 3 && cnnrt_dataset_label(a, 9) == 9);
    cr_expect_eq(pixel(a, 4, 3, 2, 3, 4), 30 / 255.0f);
    cr_expect_eq(pixel(a, 4, 1, 0, 3, 4), (30 * 7471 + 0x8000) / 65536 / 255.0f);
    cnnrt_dataset_close(a);
    refused("validation", "cifar10", CNNRT_E_FILE, "no split");
    put("test_batch.bin", batch, sizeof batch - 1);
    refused("test", NULL, CNNRT_E_FORMAT, "test_batch.bin: 6145 bytes");
    batch[3073] = 10;
    put("test_batch.bin", batch, sizeof batch);
    refused("test", NULL, CNNRT_E_FORMAT, "label of record 1 is 10");
    cr_expect_eq(remove(at("data_batch_4.bin")), 0);
    refused("train", NULL, CNNRT_E_FILE, "data_batch_4.bin");
}

static void put_npy(const char *name, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data) {
    cr_assert_eq(cnnrt_npy_write(at(name), dtype, rank, dim, data, NULL), CNNRT_OK);
}

#define DIM(...) ((const int64_t[]){__VA_ARGS__})

Test(sets, npy, .init = make_root, .fini = remove_root) {
    unsigned char u8[2 * 2 * 4 * 3];
    float f32[24];
    const int64_t labels[2] = {4, 1};
    cnnrt_dataset_info info;
    for (int i = 0; i < 48; i++)
        u8[i] = (unsigned char)i;
    for (int i = 0; i < 24; i++)
        f32[i] = (float)i - 7.5f;
    put_npy("train-images.npy", CNNRT_U8, 4, DIM(2, 2, 4, 3), u8); /* NHWC */
    put_npy("train-labels.npy", CNNRT_I64, 1, DIM(2), labels);
    cnnrt_dataset *a = opened("train", NULL);
    cnnrt_dataset_describe(a, &info);
    cr_expect(info.count == 2 && info.channels == 3 && info.height == 2 && info.width == 4);
    cr_expect(info.n_classes == 5 && cnnrt_dataset_label(a, 0) == 4);
    cr_expect_eq(pixel(a, 1, 3, 2, 1, 3), 47 / 255.0f);
    cr_expect_eq(pixel(a, 0, 3, 1, 1, 2), 19 / 255.0f);
    cnnrt_dataset_close(a);
    put_npy("train-images.npy", CNNRT_F32, 4, DIM(2, 3, 2, 2), f32); /* NCHW */
    put_npy("train-targets.npy", CNNRT_F32, 2, DIM(2, 2), f32);
    cr_expect_eq(remove(at("train-labels.npy")), 0);
    a = opened("train", NULL);
    cnnrt_dataset_describe(a, &info);
    cr_expect(info.channels == 3 && info.height == 2 && info.n_classes == 0 && info.target_elements == 2);
    cr_expect_eq(pixel(a, 1, 3, 2, 1, 0), 22 - 7.5f);
    cr_expect(cnnrt_dataset_label(a, 0) == -1 && cnnrt_dataset_numbers(a, 1)[1] == 3 - 7.5f);
    cnnrt_dataset_close(a);
    put_npy("images.npy", CNNRT_F32, 3, DIM(2, 3, 4), f32); /* grey, no split */
    put_npy("labels.npy", CNNRT_I32, 1, DIM(2), (const int32_t[]){0, 1});
    a = opened(NULL, NULL);
    cr_expect_eq(pixel(a, 1, 1, 0, 2, 3), 23 - 7.5f);
    cnnrt_dataset_close(a);
    cr_assert_eq(cnnrt_dataset_open_npy(&a, at("train-images.npy"), at("labels.npy"), CNNRT_NHWC, NULL), 0);
    cnnrt_dataset_describe(a, &info);
    cr_expect(info.height == 3 && info.width == 2 && info.channels == 2);
    cr_expect_eq(pixel(a, 0, 2, 1, 2, 1), 11 - 7.5f);
    cnnrt_dataset_close(a);
}

Test(sets, npy_that_do_not_fit, .init = make_root, .fini = remove_root) {
    const float f32[24] = {0};
    const int64_t labels[3] = {0, -1, 70000};
    put_npy("images.npy", CNNRT_F64, 3, DIM(2, 1, 2), f32);
    put_npy("labels.npy", CNNRT_I64, 1, DIM(2), labels);
    refused(NULL, NULL, CNNRT_E_FORMAT, "images.npy: images are u1 or f4");
    put_npy("images.npy", CNNRT_F32, 1, DIM(2), f32);
    refused(NULL, NULL, CNNRT_E_FORMAT, "2 to 4 dimensions, not 1");
    put_npy("images.npy", CNNRT_F32, 3, DIM(2, 0, 2), f32);
    refused(NULL, NULL, CNNRT_E_FORMAT, "dimension 1 is 0");
    put_npy("images.npy", CNNRT_F32, 3, DIM(3, 2, 2), f32);
    refused(NULL, NULL, CNNRT_E_FORMAT, "2 targets and 3 images");
    put_npy("labels.npy", CNNRT_I64, 1, DIM(3), labels);
    refused(NULL, NULL, CNNRT_E_FORMAT, "labels.npy: the label of sample 1 is -1");
    put_npy("labels.npy", CNNRT_I64, 1, DIM(3), (const int64_t[]){0, 1, 70000});
    refused(NULL, NULL, CNNRT_E_FORMAT, "70000");
    put_npy("labels.npy", CNNRT_I64, 2, DIM(3, 1), labels);
    refused(NULL, NULL, CNNRT_E_FORMAT, "one dimension");
    put_npy("labels.npy", CNNRT_F64, 1, DIM(3), f32);
    refused(NULL, NULL, CNNRT_E_FORMAT, "labels.npy: targets are u1, i4, i8 (classes) or f4, not f8");
    put_npy("labels.npy", CNNRT_F32, 2, DIM(3, 0), f32);
    refused(NULL, NULL, CNNRT_E_FORMAT, "0 numbers");
    cr_expect_eq(remove(at("labels.npy")), 0);
    refused(NULL, NULL, CNNRT_E_FILE, "labels.npy");
}

/* A loader's input of 1 sample as the shape of the model has it; pixels are those of row-major numbers. */
static void expect_layout(const int64_t dim[4], uint32_t c, uint32_t h, uint32_t w, bool nhwc) {
    static float f32[4000], input[4000];
    int64_t label;
    cnnrt_dataset *a;
    cnnrt_loader *l;
    cnnrt_data_error e = {0};
    for (int i = 0; i < 4000; i++)
        f32[i] = (float)i;
    put_npy("images.npy", CNNRT_F32, 4, dim, f32);
    put_npy("labels.npy", CNNRT_I64, 1, dim, (const int64_t[]){0, 1});
    a = opened(NULL, NULL);
    const cnnrt_loader_options o = {.channels = c, .height = h, .width = w};
    cr_assert_eq(cnnrt_loader_open(&l, a, &o, &e), CNNRT_OK, "%s", e.text);
    cnnrt_source s = cnnrt_loader_source(l);
    cr_assert(s.begin(s.arg, 0, 0) == 0 && s.next(s.arg, 1, input, &label) == 1);
    for (uint32_t k = 0; k < c * h * w; k++) {
        uint32_t plane = k / (h * w), pixel = k % (h * w);
        cr_assert_eq(input[k], (float)(nhwc ? pixel * c + plane : k));
    }
    cnnrt_loader_close(l);
    cnnrt_dataset_close(a);
}

Test(sets, layout_of_the_model, .init = make_root, .fini = remove_root) {
    expect_layout(DIM(2, 8, 11, 1), 8, 11, 1, false); /* guessed as NHWC */
    expect_layout(DIM(2, 8, 11, 1), 1, 8, 11, true);
    expect_layout(DIM(2, 5, 4, 2), 2, 5, 4, true); /* guessed as NCHW */
    expect_layout(DIM(2, 3, 3, 4), 4, 3, 3, true);
    expect_layout(DIM(2, 3, 3, 3), 3, 3, 3, false); /* both fit */
    expect_layout(DIM(2, 6, 5, 6), 6, 6, 5, true);  /* the size says it */
}

Test(sets, origin, .init = make_root, .fini = remove_root) {
    cnnrt_dataset *v;
    const char *file;
    put_idx();
    cnnrt_dataset *a = opened("train", NULL);
    cr_assert_eq(cnnrt_dataset_subset(a, (const uint32_t[]){3}, 1, &v, NULL), CNNRT_OK);
    cr_expect_eq(cnnrt_dataset_origin(v, 0, &file), 5);
    cr_expect_str_eq(file, at("train-labels-idx1-ubyte"));
    cnnrt_dataset_close(v);
    cnnrt_dataset_close(a);
}

Test(sets, size_after_transforms, .init = make_root, .fini = remove_root) {
    cnnrt_transform t[2];
    cnnrt_loader *l;
    cnnrt_data_error e = {0};
    put_idx(); /* 1 by 2 */
    cnnrt_dataset *a = opened("train", NULL);
    cnnrt_transform_init(&t[0], CNNRT_RESIZE);
    cnnrt_transform_init(&t[1], CNNRT_RANDOM_HORIZONTAL_FLIP);
    t[0].size[0] = 4; /* the shorter side: 4 by 8 */
    cnnrt_loader_options o = {.height = 5, .width = 8, .transforms = t, .n_transforms = 2};
    cr_expect_eq(cnnrt_loader_open(&l, a, &o, &e), CNNRT_E_SHAPE);
    cr_expect_str_eq(e.text,
                     "the pictures are 8 by 4 pixels after the transforms, where the model takes 8 by 5");
    o.height = 4;
    cr_assert_eq(cnnrt_loader_open(&l, a, &o, &e), CNNRT_OK, "%s", e.text);
    cnnrt_loader_close(l);
    o.n_transforms = 0;
    cr_expect_eq(cnnrt_loader_open(&l, a, &o, &e), CNNRT_E_SHAPE);
    cr_expect_str_eq(e.text, "the pictures are 2 by 1 pixels where the model takes 8 by 4; resize them");
    cnnrt_dataset_close(a);
}

static void put_folder(void) {
    folder("train");
    folder("train/dog");
    folder("train/cat");
    folder("train/.hidden");
    put_png("train/dog/b.PNG", 3, 5, 3, 10);
    put_jpeg("train/dog/a.jpg", 8, 8, 1, 20, false);
    put_png("train/cat/x.png", 2, 2, 1, 30);
    put("train/cat/notes.txt", "no picture", 10);
    put("train/README", "", 0);
}

Test(sets, folder, .init = make_root, .fini = remove_root) {
    cnnrt_dataset_info info;
    put_folder();
    cnnrt_dataset *a = opened("train", NULL);
    cnnrt_dataset_describe(a, &info);
    cr_expect_str_eq(info.kind, "folder");
    cr_expect(info.count == 3 && info.channels == 0 && info.height == 0 && info.n_classes == 2);
    cr_expect(strcmp(info.classes[0], "cat") == 0 && strcmp(info.classes[1], "dog") == 0);
    cr_expect(cnnrt_dataset_label(a, 0) == 0 && cnnrt_dataset_label(a, 2) == 1);
    cr_expect(strstr(cnnrt_dataset_file(a, 2), "train/dog/b.PNG"));
    cr_expect_eq(pixel(a, 2, 3, 2, 2, 4), (7 * 2 + 5 * 4 + 80 + 10) / 255.0f);
    cr_expect_eq(pixel(a, 0, 3, 1, 1, 1), (30 + 12) / 255.0f);
    cnnrt_dataset_close(a);
    folder("train/empty");
    refused("train", NULL, CNNRT_E_FORMAT, "train/empty: no .png");
    refused("test", NULL, CNNRT_E_FILE, "neither");
    refused("test", "folder", CNNRT_E_FILE, "test: cannot be opened");
    refused("train/dog", "folder", CNNRT_E_FORMAT, "no class folder");
}

/* A pipe without a writer in the place of a file: refused, not waited for. */
static void pipe_refused(const char *name, const char *split) {
    char fault[64];
    remove(at(name));
    cr_assert_eq(mkfifo(at(name), 0600), 0);
    snprintf(fault, sizeof fault, "%s: not a regular file", name);
    refused(split, NULL, CNNRT_E_FILE, fault);
    cr_expect_eq(remove(at(name)), 0);
}

Test(sets, pipes, .init = make_root, .fini = remove_root) {
    alarm(20); /* ends a reader that waits; a second test with .timeout would make Criterion leak */
    cnnrt_picture picture;
    cnnrt_data_error e = {0};
    put_idx();
    pipe_refused("train-labels-idx1-ubyte", "train");
    pipe_refused("train-images-idx3-ubyte.gz", "train");
    pipe_refused("train-images-idx3-ubyte", "train");
    pipe_refused("test_batch.bin", "test");
    pipe_refused("images.npy", NULL);
    put_npy("images.npy", CNNRT_U8, 3, DIM(2, 3, 4), "abcdefghijklmnopqrstuvwx");
    pipe_refused("labels.npy", NULL);
    cr_assert_eq(mkfifo(at("x.png"), 0600), 0);
    cr_expect_eq(cnnrt_picture_read(&picture, at("x.png"), 3, &e), CNNRT_E_FILE);
    cr_expect(strstr(e.text, "x.png: not a regular file"), "%s", e.text);
    cr_expect_eq(cnnrt_picture_read(&picture, "/dev/zero", 3, &e), CNNRT_E_FILE);
    cr_assert_eq(symlink("x.png", at("y.png")), 0);
    cr_expect_eq(cnnrt_picture_read(&picture, at("y.png"), 3, &e), CNNRT_E_FILE);
}

Test(sets, no_folder, .init = make_root, .fini = remove_root) {
    cnnrt_dataset *a;
    cnnrt_data_error e = {0};
    put("file", "", 0);
    cr_expect_eq(cnnrt_dataset_open(&a, at("nowhere"), "train", NULL, &e), CNNRT_E_FILE);
    cr_expect(strstr(e.text, "nowhere: cannot be opened: No such file or directory"), "%s", e.text);
    cr_expect_eq(cnnrt_dataset_open(&a, at("file"), NULL, NULL, &e), CNNRT_E_FILE);
    cr_expect(strstr(e.text, "file: cannot be opened: Not a directory"), "%s", e.text);
}

/* ---- Views ---- */

Test(sets, split, .init = make_root, .fini = remove_root) {
    cnnrt_dataset *rest, *part, *again, *third, *fourth;
    put_idx();
    cnnrt_dataset *a = opened("train", NULL);
    cr_assert_eq(cnnrt_dataset_split(a, 0.34, 7, &rest, &part, NULL), CNNRT_OK);
    cr_assert_eq(cnnrt_dataset_split(a, 0.34, 7, &fourth, &again, NULL), CNNRT_OK);
    cnnrt_dataset_close(fourth);
    cnnrt_dataset_close(a); /* views outlive it */
    cr_expect(rest->count == 4 && part->count == 2);
    cr_expect_arr_eq(part->index, again->index, 2 * sizeof *part->index);
    cnnrt_dataset_close(again);
    unsigned seen = 0;
    for (int i = 0; i < 4; i++)
        seen |= 1u << rest->index[i];
    for (int i = 0; i < 2; i++)
        seen |= 1u << part->index[i];
    cr_expect_eq(seen, 63);
    cr_expect(part->index[0] < part->index[1] && rest->index[0] < rest->index[1]);
    cr_assert_eq(cnnrt_dataset_split(rest, 0.5, 8, &third, &fourth, NULL), CNNRT_OK);
    cr_expect(third->count == 2 && fourth->count == 2);
    cr_expect_eq(pixel(third, 0, 1, 0, 0, 0), (float)('a' + 2 * third->index[0]) / 255.0f);
    cnnrt_dataset_close(third);
    cr_expect_eq(cnnrt_dataset_split(rest, 1.5, 8, &third, &again, NULL), CNNRT_E_SHAPE);
    cr_expect(!third && !again);
    cnnrt_dataset_close(rest);
    cnnrt_dataset_close(part);
    cnnrt_dataset_close(fourth);
}

Test(sets, subset, .init = make_root, .fini = remove_root) {
    const uint32_t classes[2] = {3, 1}, one[1] = {1}, twice[2] = {1, 1}, beyond[1] = {4};
    cnnrt_dataset *v, *w;
    cnnrt_dataset_info info;
    put_idx();
    cnnrt_dataset *a = opened("train", NULL);
    cr_assert_eq(cnnrt_dataset_subset(a, classes, 2, &v, NULL), CNNRT_OK);
    cnnrt_dataset_describe(v, &info);
    cr_expect(info.count == 3 && info.n_classes == 2);
    cr_expect(strcmp(info.classes[0], "3") == 0 && strcmp(info.classes[1], "1") == 0);
    cr_expect(cnnrt_dataset_label(v, 0) == 1 && cnnrt_dataset_label(v, 1) == 1 &&
              cnnrt_dataset_label(v, 2) == 0);
    cr_expect_eq(pixel(v, 2, 1, 0, 0, 0), 'k' / 255.0f);
    cr_assert_eq(cnnrt_dataset_subset(v, one, 1, &w, NULL), CNNRT_OK); /* of the subset's own numbers */
    cnnrt_dataset_describe(w, &info);
    cr_expect(info.count == 2 && strcmp(info.classes[0], "1") == 0 && cnnrt_dataset_label(w, 1) == 0);
    cnnrt_dataset_close(w);
    cr_expect_eq(cnnrt_dataset_subset(a, twice, 2, &w, NULL), CNNRT_E_SHAPE);
    cr_expect_eq(cnnrt_dataset_subset(a, beyond, 1, &w, NULL), CNNRT_E_SHAPE);
    cr_expect_null(w);
    cnnrt_dataset_close(v);
    cnnrt_dataset_close(a);
    cnnrt_dataset_close(NULL);
}

/* ---- Damage ---- */

/* The file with bytes changed, or cut: opened, or refused with a text. What opens can be read. */
static void damage(const char *name, const char *split, uint32_t most) {
    size_t size;
    unsigned char *f = get(name, &size);
    unsigned bad = 0;
    for (size_t i = 0; i < 300; i++) {
        cnnrt_dataset *a;
        cnnrt_data_error e = {0};
        Rng r = cnnrt_rng(1, STREAM_SPLIT, 0, i);
        size_t where = cnnrt_rng_below(&r, (uint32_t)size < most ? (uint32_t)size : most);
        unsigned char old = f[where];
        f[where] = (unsigned char)cnnrt_rng_u32(&r);
        put(name, f, i % 3 ? size : where);
        int status = cnnrt_dataset_open(&a, root, split, NULL, &e);
        cr_expect(status == CNNRT_OK || (e.status == status && strstr(e.text, root)), "%s: %s", name, e.text);
        bad += status != CNNRT_OK;
        for (int64_t k = 0; a && k < a->count; k++)
            pixel(a, k, cnnrt_dataset_reading(a)->channels, 0, 0, 0);
        cnnrt_dataset_close(a);
        f[where] = old;
    }
    cr_expect(bad > 90, "%s: %u refused", name, bad);
    put(name, f, size);
    free(f);
}

Test(sets, damaged, .init = make_root, .fini = remove_root, .timeout = 60) {
    static const unsigned char record[3073] = {5};
    put_idx();
    damage("train-images-idx3-ubyte.gz", "train", 60);
    damage("train-labels-idx1-ubyte", "train", 14);
    put("test_batch.bin", record, sizeof record);
    damage("test_batch.bin", "test", 2);
    put_npy("images.npy", CNNRT_U8, 3, DIM(2, 3, 4), "abcdefghijklmnopqrstuvwx");
    put_npy("labels.npy", CNNRT_U8, 1, DIM(2), "\0\1");
    damage("images.npy", NULL, 128);
    damage("labels.npy", NULL, 128);
}
