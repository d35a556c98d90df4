/* cnnrt-data: .npy, IDX, the folder of a data set, pictures in characters. */
#include "data_files.h"
#include "runtime/cnnrt-data/cnnrt_data.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- .npy ---- */

/* A version 1 file, malloced to its exact size. */
static unsigned char *npy(const char *header, size_t data_bytes, size_t *size) {
    size_t n = strlen(header);
    *size = 10 + n + data_bytes;
    unsigned char *f = calloc(1, *size);
    memcpy(f, "\x93NUMPY\1", 7);
    f[8] = (unsigned char)n;
    f[9] = (unsigned char)(n >> 8);
    memcpy(f + 10, header, n);
    return f;
}

static int npy_check(const char *header, size_t data_bytes, cnnrt_npy *a, cnnrt_data_error *e) {
    size_t size;
    unsigned char *f = npy(header, data_bytes, &size);
    int status = cnnrt_npy_parse(a, f, size, e);
    free(f);
    return status;
}

#define H(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }   \n"

Test(data, npy_headers) {
    static const struct {
        const char *header;
        size_t bytes;
        const char *fault; /* NULL: good */
    } cases[] = {
        {H("'<f4'", "False", "(2, 3)"), 24, NULL},
        {H("'<f4'", "False", "()"), 4, NULL},
        {H("'|u1'", "False", "(5,)"), 5, NULL},
        {H("'<i2'", "False", "(0, 9223372036854775799)"), 0, NULL},
        {"{\"shape\":(2,),\"descr\":\"<i8\",\"fortran_order\":False}", 16, NULL},
        {H("'<f4'", "True", "(2, 3)"), 24, "Fortran"},
        {H("'>f4'", "False", "(2, 3)"), 24, "big-endian"},
        {H("'<c8'", "False", "(3,)"), 24, "element type"},
        {H("[('a', '<f4')]", "False", "(3,)"), 12, "structured"},
        {H("'<f4'", "False", "(2, 3)"), 23, "shorter"},
        {H("'<f4'", "False", "(2, 3)"), 25, "1 bytes follow"},
        {H("'<f4'", "False", "(4294967296, 4294967296)"), 0, "shorter"},
        {H("'<f4'", "False", "(99999999999999999999,)"), 0, "too large"},
        {H("'<f4'", "False", "(6)"), 24, "tuple"},
        {H("'<f4'", "False", "(2 3)"), 24, "comma"},
        {H("'<f4'", "False", "(-2, 3)"), 24, "whole number"},
        {H("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4, "8 dimensions"},
        {H("'<f4'", "false", "(1,)"), 4, "neither"},
        {"{'descr': '<f4', 'shape': (1,)}", 4, "lacks"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 4, "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, "unknown name"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, "follows"},
        {"{'descr': '<f4", 4, "does not end"},
        {"", 4, "dictionary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnnrt_npy a;
        cnnrt_data_error e = {0};
        int status = npy_check(cases[i].header, cases[i].bytes, &a, &e);
        cr_expect_eq(status, cases[i].fault ? CNNRT_E_FORMAT : CNNRT_OK, "%s: %s", cases[i].header, e.text);
        if (cases[i].fault)
            cr_expect(strstr(e.text, cases[i].fault), "%s: %s", cases[i].header, e.text);
        else
            cr_expect_eq(a.bytes, cases[i].bytes);
    }
}

Test(data, npy_damaged) {
    static const char letters[] = "{}(),:'0123456789<>fiuTrueFalse \n\xff";
    const char *good = H("'<f4'", "False", "(2, 3)");
    uint32_t random = 1, accepted = 0;
    for (int round = 0; round < 2000; round++) {
        size_t size;
        unsigned char *f = npy(good, 24, &size);
        for (int k = 0; k < 1 + round % 2; k++) {
            random = random * 1664525u + 1013904223u;
            f[(random >> 8) % (size - 24)] = (unsigned char)letters[(random >> 4) % (sizeof letters - 1)];
        }
        random = random * 1664525u + 1013904223u;
        size_t cut = round % 3 == 0 ? (random >> 8) % (size + 1) : size;
        f = realloc(f, cut ? cut : 1);
        cnnrt_npy a;
        if (cnnrt_npy_parse(&a, f, cut, NULL) == CNNRT_OK) {
            float *x = malloc(a.count * sizeof *x + 1);
            cnnrt_npy_to_f32(&a, x);
            free(x);
            accepted++;
        }
        free(f);
    }
    cr_expect(accepted > 5 && accepted < 1900, "%u", accepted);
}

Test(data, npy_files, .init = make_root, .fini = remove_root) {
    static const uint32_t dtypes[] = {CNNRT_F32, CNNRT_F64, CNNRT_F16,     CNNRT_I8,
                                      CNNRT_U8,  CNNRT_I32, CNNRT_NPY_I16, CNNRT_I64};
    const unsigned char data[64] = {0, 1, 0, 0, 0, 0, 0, 0, 2};
    const int64_t dim[3] = {2, 1, 4};
    cnnrt_data_error e;
    cnnrt_npy a;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (uint32_t rank = 0; rank <= 3; rank++) {
            cr_assert_eq(cnnrt_npy_write(at("x.npy"), dtypes[i], rank, dim, data, &e), CNNRT_OK, "%s",
                         e.text);
            cr_assert_eq(cnnrt_npy_read(&a, at("x.npy"), &e), CNNRT_OK, "%s", e.text);
            cr_expect(a.dtype == dtypes[i] && a.rank == rank &&
                      a.count == (rank == 0   ? 1
                                  : rank == 3 ? 8
                                              : 2));
            cr_expect(memcmp(a.data, data, a.bytes) == 0 && memcmp(a.dim, dim, rank * sizeof *dim) == 0);
            cr_expect_eq((uintptr_t)((const char *)a.data - (const char *)a.owned) % 64, 0);
            float x[8];
            cnnrt_npy_to_f32(&a, x);
            cnnrt_npy_free(&a);
        }
    cr_expect_eq(cnnrt_npy_write(at("no/x.npy"), CNNRT_F32, 1, dim, data, &e), CNNRT_E_FILE);
    cr_expect(strstr(e.text, "no/x.npy"));
    cr_expect_eq(cnnrt_npy_write(at("x.npy"), CNNRT_BF16, 1, dim, data, &e), CNNRT_E_SHAPE);
    cr_expect_eq(cnnrt_npy_write(at("x.npy"), CNNRT_F32, 9, dim, data, &e), CNNRT_E_SHAPE);
    cr_expect_eq(cnnrt_npy_write(at("x.npy"), CNNRT_F32, 1, (int64_t[]){-1}, data, &e), CNNRT_E_SHAPE);
    cr_expect_eq(cnnrt_npy_read(&a, at("absent.npy"), &e), CNNRT_E_FILE);
    cr_expect_eq(cnnrt_npy_read(&a, root, NULL), CNNRT_E_FILE);
    put("version3.npy", "\x93NUMPY\3\0\2\0\0\0{}", 14);
    cr_expect_eq(cnnrt_npy_read(&a, at("version3.npy"), &e), CNNRT_E_FORMAT);
    put("version2.npy", "\x93NUMPY\2\0\x38\0\0\0{'descr':'|u1','fortran_order':False,'shape':(1,)}      A",
        69);
    cr_expect_eq(cnnrt_npy_read(&a, at("version2.npy"), &e), CNNRT_OK, "%s", e.text);
    cr_expect(a.count == 1 && *(const char *)a.data == 'A');
    cnnrt_npy_free(&a);
}

/* ---- IDX ---- */

Test(data, idx, .init = make_root, .fini = remove_root) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *fault;
    } cases[] = {
        {"\0\0\x08\1\0\0\0\3abc", 11, NULL},
        {"\0\0\x08\3\0\0\0\1\0\0\0\2\0\0\0\2abcd", 20, NULL},
        {"\0\0\x08\1\0\0\0\0", 8, NULL},
        {"\0\0\x08\1\0\0\0\4abc", 11, "shorter"},
        {"\0\0\x08\1\0\0\0\2abc", 11, "follows"},
        {"\0\0\x08\1\0\0", 6, "within its header"},
        {"\0\0\x0d\1\0\0\0\1abcd", 12, "0x0d"},
        {"\0\0\x08\5\0\0\0\1", 8, "5 dimensions"},
        {"\0\0\x08\0", 4, "0 dimensions"},
        {"\1\0\x08\1\0\0\0\1a", 9, "not an IDX"},
        {"", 0, "not an IDX"},
        {"\0\0\x08\2\xff\xff\xff\xff\xff\xff\xff\xff", 12, "2 GB"},
        {"\0\0\x08\1\x7f\xff\xff\xff", 8, "shorter"}, /* must not take 2 GB to find out */
    };
    cnnrt_idx a;
    cnnrt_data_error e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int gz = 0; gz < 2; gz++) {
            (gz ? put_gz : put)("f", cases[i].bytes, cases[i].size);
            int status = cnnrt_idx_read(&a, at("f"), &e);
            cr_expect_eq(status, cases[i].fault ? CNNRT_E_FORMAT : CNNRT_OK, "case %zu: %s", i, e.text);
            if (cases[i].fault)
                cr_expect(strstr(e.text, cases[i].fault), "case %zu: %s", i, e.text);
            else
                cr_expect(a.bytes == 0 ||
                          memcmp(a.data, cases[i].bytes + cases[i].size - a.bytes, a.bytes) == 0);
            cnnrt_idx_free(&a);
        }
    put_gz("f", cases[1].bytes, cases[1].size);
    unsigned char z[64];
    FILE *f = fopen(at("f"), "rb");
    size_t n = fread(z, 1, sizeof z, f);
    fclose(f);
    for (size_t k = 0; k < n; k++) { /* the compressed file cut short, or with a wrong checksum */
        put("f", z, k);
        cr_expect_eq(cnnrt_idx_read(&a, at("f"), NULL), CNNRT_E_FORMAT, "cut at %zu", k);
    }
    z[n - 6] ^= 1;
    put("f", z, n);
    cr_expect_eq(cnnrt_idx_read(&a, at("f"), &e), CNNRT_E_FORMAT);
    cr_expect_eq(cnnrt_idx_read(&a, at("absent"), &e), CNNRT_E_FILE);
}

Test(data, mnist_folder, .init = make_root, .fini = remove_root) {
    cnnrt_images a;
    cnnrt_data_error e;
    put_gz("t10k-images-idx3-ubyte.gz", "\0\0\x08\3\0\0\0\2\0\0\0\1\0\0\0\2\0\xff\x33\0", 20);
    put("t10k-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\2\7\3", 10);
    cr_assert_eq(cnnrt_mnist_read(&a, root, "test", &e), CNNRT_OK, "%s", e.text);
    cr_expect(a.count == 2 && a.height == 1 && a.width == 2 && a.labels[0] == 7 && a.labels[1] == 3);
    float x[2];
    cnnrt_images_to_f32(&a, 0, 1, 0.5f, 0.5f, x);
    cr_expect(x[0] == -1.0f && x[1] == 1.0f);
    cnnrt_images_to_f32(&a, 1, 1, 0, 1, x);
    cr_expect(x[0] == 0.2f && x[1] == 0.0f);
    cnnrt_images_free(&a);
    put("t10k-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\1\7", 9);
    cr_expect_eq(cnnrt_mnist_read(&a, root, "t10k", &e), CNNRT_E_FORMAT);
    cr_expect_eq(cnnrt_mnist_read(&a, root, "train", &e), CNNRT_E_FILE);
    cr_expect_eq(cnnrt_mnist_read(&a, root, "validation", &e), CNNRT_E_FILE);
    cr_expect_eq(cnnrt_mnist_read(&a, "/nowhere", "test", NULL), CNNRT_E_FILE);
}

Test(data, draw) {
    const unsigned char pixels[8] = {0, 0, 255, 255, 0, 0, 255, 255};
    const float x[4] = {-1, 1, 5, 0.0f / 1.0f};
    char out[64];
    cr_expect_eq(cnnrt_draw_u8(out, sizeof out, pixels, 2, 4, 4), 5);
    cr_expect_str_eq(out, "  @@\n");
    cr_expect_eq(cnnrt_draw_u8(out, 4, pixels, 2, 4, 4), 5);
    cr_expect_str_eq(out, "  @");
    cr_expect_eq(cnnrt_draw_f32(out, sizeof out, x, -1, 1, 2, 2, 4), 10);
    cr_expect_str_eq(out, "  @@\n@@++\n");
    cr_expect_eq(cnnrt_draw_u8(out, sizeof out, pixels, 0, 4, 4), 0);
    cr_expect_str_eq(out, "");
    cr_expect_eq(cnnrt_draw_u8(NULL, 0, pixels, 2, 4, 4), 5);
}
