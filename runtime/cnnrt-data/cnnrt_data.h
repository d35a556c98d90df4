/* cnnrt-data: what programs around a compiled model need of files: NumPy arrays, the MNIST family of data
 * sets, and pictures in characters. C99, C11 and C++. No globals; a failing call says why in a struct of the
 * caller's. Sizes in files are never trusted: memory is taken for what is really there. */
#ifndef CNNRT_DATA_H
#define CNNRT_DATA_H

#include "cnnrt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a call's failure is explained; may be NULL in every call. Untouched on success. */
typedef struct cnnrt_data_error {
    int status;     /* enum cnnrt_status, as returned */
    char text[240]; /* one sentence, with the file's name where there is one */
} cnnrt_data_error;

/* ---- NumPy's .npy ---- */

#define CNNRT_NPY_MAX_RANK 8
#define CNNRT_NPY_I16 100u /* cnnrt_npy.dtype beyond enum cnnrt_dtype */

typedef struct cnnrt_npy {
    uint32_t dtype; /* enum cnnrt_dtype, or CNNRT_NPY_I16 */
    uint32_t rank;
    int64_t dim[CNNRT_NPY_MAX_RANK];
    size_t count;     /* elements */
    size_t bytes;     /* of data */
    const void *data; /* C order, little endian; may be unaligned */
    void *owned;      /* what cnnrt_npy_free frees */
} cnnrt_npy;

/* A file in memory (format versions 1 and 2; little endian f2 f4 f8 i1 u1 i2 i4 i8). `data` points into it.
 */
int cnnrt_npy_parse(cnnrt_npy *out, const void *file, size_t file_bytes, cnnrt_data_error *error);
int cnnrt_npy_read(cnnrt_npy *out, const char *path, cnnrt_data_error *error);
void cnnrt_npy_free(cnnrt_npy *a);
/* All elements as f32, into room for a->count. */
void cnnrt_npy_to_f32(const cnnrt_npy *a, float *dst);
/* Write an array (version 1), beside `path` first and then renamed. */
int cnnrt_npy_write(const char *path, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data,
                    cnnrt_data_error *error);

/* ---- IDX, the format of MNIST and its relatives; plain or gzipped ---- */

#define CNNRT_IDX_MAX_RANK 4
#define CNNRT_IDX_MAX_BYTES ((size_t)1 << 31)

typedef struct cnnrt_idx { /* unsigned bytes; the format's other types are refused */
    uint32_t rank;
    int64_t dim[CNNRT_IDX_MAX_RANK];
    size_t bytes;
    unsigned char *data;
} cnnrt_idx;

int cnnrt_idx_read(cnnrt_idx *out, const char *path, cnnrt_data_error *error);
void cnnrt_idx_free(cnnrt_idx *a);

/* ---- Labelled grey images ---- */

typedef struct cnnrt_images {
    size_t count;
    uint32_t height, width;
    unsigned char *pixels; /* count * height * width */
    unsigned char *labels; /* count */
} cnnrt_images;

/* MNIST, Fashion-MNIST and so on from a folder; `split` is "train" or "test" ("t10k" is the same). The files
 * are <split>-images-idx3-ubyte and <split>-labels-idx1-ubyte, with or without .gz. */
int cnnrt_mnist_read(cnnrt_images *out, const char *folder, const char *split, cnnrt_data_error *error);
void cnnrt_images_free(cnnrt_images *a);
/* Images first .. first+count-1 as (pixel / 255 - mean) / std. mean 0, std 1: the range 0 to 1. */
void cnnrt_images_to_f32(const cnnrt_images *a, size_t first, size_t count, float mean, float std,
                         float *dst);

/* ---- Pictures in characters ---- */

/* A grey picture as lines of `columns` characters, the height following from the shape of a terminal's
 * characters (1:2). Writes at most out_size bytes with the final NUL; returns the length of the whole text,
 * as snprintf does. */
size_t cnnrt_draw_u8(char *out, size_t out_size, const unsigned char *pixels, uint32_t height, uint32_t width,
                     uint32_t columns);
/* The same from floats, black at `low` and white at `high`. */
size_t cnnrt_draw_f32(char *out, size_t out_size, const float *pixels, float low, float high, uint32_t height,
                      uint32_t width, uint32_t columns);

#ifdef __cplusplus
}
#endif
#endif
