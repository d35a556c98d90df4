/* What the files of cnnrt-data share. */
#ifndef CNNRT_DATA_INTERNAL_H
#define CNNRT_DATA_INTERNAL_H

#include "cnnrt_data.h"
#include <stdatomic.h>
#include <stdbool.h>

/* Fill in the error (may be NULL) and return its status. `path` may be NULL. */
int cnnrt_data_fail(cnnrt_data_error *error, int status, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- file.c ---- */

/* The whole of a file of at most `most` bytes, malloced, also of a pipe. NULL after filling in the error,
 * which must not be NULL. */
unsigned char *cnnrt_data_read_file(const char *path, size_t most, size_t *size, cnnrt_data_error *error);
/* Whether a data set's file can be read without waiting for a writer: it is there, and a regular file once
 * links are followed. CNNRT_E_FILE, or 0. */
int cnnrt_data_check_file(const char *path, cnnrt_data_error *error);
/* folder/a, or folder/a/b unless b is NULL; malloced, NULL when memory is out. */
char *cnnrt_data_path(const char *folder, const char *a, const char *b);

/* ---- rng.c: Philox4x32-10 ---- */

enum { STREAM_AUGMENT, STREAM_SHUFFLE, STREAM_SPLIT }; /* which never meet */

/* The numbers of one (seed, stream, epoch, index), in order. */
typedef struct Rng {
    uint32_t key[2], counter[4];
    uint32_t word[4];
    uint32_t used; /* of `word`; 4: none is left */
} Rng;
Rng cnnrt_rng(uint64_t seed, uint32_t stream, uint64_t epoch, uint64_t index);
uint32_t cnnrt_rng_u32(Rng *r);
uint32_t cnnrt_rng_below(Rng *r, uint32_t n);                    /* 0 to n-1, unbiased; n > 0 */
double cnnrt_rng_uniform(Rng *r, double low, double high);       /* [low, high) */
double cnnrt_rng_normal(Rng *r);                                 /* mean 0, variance 1 */
void cnnrt_rng_permutation(Rng *r, uint32_t *order, uint32_t n); /* of 0 to n-1 */

/* ---- Pictures ---- */

/* The decoders: out->pixels is malloced with the file's own 1 or 3 channels. `path` only names the file. */
int cnnrt_png_decode(cnnrt_picture *out, const unsigned char *file, size_t bytes, const char *path,
                     cnnrt_data_error *error);
int cnnrt_jpeg_decode(cnnrt_picture *out, const unsigned char *file, size_t bytes, const char *path,
                      cnnrt_data_error *error);
/* The limits of cnnrt_data.h. */
int cnnrt_picture_check(uint64_t height, uint64_t width, const char *path, cnnrt_data_error *error);
/* Luminance of 8 bits: ITU-R 601-2 in 16-bit fixed point, as Pillow's convert("L"). */
unsigned char cnnrt_luminance(unsigned r, unsigned g, unsigned b);

/* ---- Data sets: a store, shared by its views ---- */

/* Pixel (c,y,x) of sample n is at n*sample + c*stride[0] + y*stride[1] + x*stride[2] elements. */
typedef struct Pixels {
    const unsigned char *u8;  /* one of these, or neither: files */
    const unsigned char *f32; /* any alignment */
    size_t sample, stride[3];
} Pixels;

/* What the dimensions of the images mean. */
typedef struct Reading {
    uint32_t channels, height, width; /* 0: see cnnrt_dataset_info */
    Pixels pixels;
} Reading;

typedef struct Store {
    atomic_uint users;
    const char *kind;
    int64_t count;
    Reading reading[2]; /* as guessed, and what it may be instead; of 0 channels: nothing else */
    char *folder;       /* of the classes' folders; or NULL */
    char **paths;       /* count, of files; or NULL */
    char *target_file;  /* that has all labels or targets; or NULL */
    int32_t *labels;    /* count; or NULL */
    float *targets;     /* count * target_elements; or NULL */
    uint32_t target_elements;
    uint32_t n_classes;
    char **classes;
    void *owned[6]; /* memory behind the pixels */
} Store;

struct cnnrt_dataset {
    Store *store;
    int64_t count;
    uint32_t reading;   /* of the store's two */
    uint32_t *index;    /* the store's number of each sample; NULL: the same */
    int32_t *class_map; /* class of each of the store's classes; NULL: the same */
    uint32_t n_classes;
    const char **classes;
};

/* Fill a zeroed store; what they leave behind on failure the caller frees. The error is never NULL. */
int cnnrt_idx_open(Store *s, const char *folder, const char *split, cnnrt_data_error *error);
int cnnrt_cifar_open(Store *s, const char *folder, const char *split, cnnrt_data_error *error);
int cnnrt_npy_open(Store *s, const char *images, const char *targets, int layout, cnnrt_data_error *error);
int cnnrt_npy_open_folder(Store *s, const char *folder, const char *split, cnnrt_data_error *error);
int cnnrt_folder_open(Store *s, const char *folder, const char *split, cnnrt_data_error *error);
/* Whether a folder looks like it. `split` may be NULL. */
bool cnnrt_idx_found(const char *folder, const char *split);
bool cnnrt_cifar_found(const char *folder, const char *split);
bool cnnrt_npy_found(const char *folder, const char *split);
bool cnnrt_folder_found(const char *folder, const char *split);
/* folder/<split>-kind, or the same with .gz when that is what is there; malloced, NULL when memory is out. */
char *cnnrt_idx_path(const char *folder, const char *split, const char *kind);
/* "f4" and so on: what NumPy calls a type that can be read. */
const char *cnnrt_npy_type(uint32_t dtype);
/* Labels from bytes or numbers; n_classes becomes the largest + 1, with names "0", "1" and so on. */
int cnnrt_store_labels(Store *s, const void *data, uint32_t dtype, size_t count, const char *path,
                       cnnrt_data_error *error);
/* Room for `n` class names, zeroed. */
int cnnrt_store_classes(Store *s, uint32_t n, const char *path, cnnrt_data_error *error);

/* ---- Augmentation ---- */

typedef struct Buffer {
    float *data;
    size_t cap; /* elements */
} Buffer;

/* The picture that transforms work on, dense [c,h,w] in `pixels`; `other` takes a result and is swapped in.
 */
typedef struct Canvas {
    uint32_t c, h, w;
    Buffer pixels, other, scratch;
} Canvas;

/* Room for `n` floats, whose old contents may be lost; false when memory is out. */
bool cnnrt_buffer_reserve(Buffer *b, size_t n);
/* Takes `other` as the picture, now [c,h,w]. */
void cnnrt_canvas_swap(Canvas *v, uint32_t h, uint32_t w);
void cnnrt_canvas_free(Canvas *v);

/* Value of channel c. */
static inline float cnnrt_value(const cnnrt_values *a, uint32_t c) {
    return a->v[a->n == 1 ? 0 : c];
}

/* How the view reads its images. */
const Reading *cnnrt_dataset_reading(const cnnrt_dataset *a);
/* Another view of the same samples; NULL when memory is out. */
cnnrt_dataset *cnnrt_dataset_share(const cnnrt_dataset *a);
/* The target_elements numbers of sample i of a data set without classes. */
const float *cnnrt_dataset_numbers(const cnnrt_dataset *a, int64_t i);
/* The file of sample i, or NULL. */
const char *cnnrt_dataset_file(const cnnrt_dataset *a, int64_t i);
/* Sample i of a view onto the canvas, with the wanted channels, pixels 0 to 1. */
int cnnrt_dataset_picture(const cnnrt_dataset *a, int64_t i, uint32_t channels, Canvas *v,
                          cnnrt_data_error *error);
/* The size that pictures of size[0] by size[1] have after the transforms; false where that is more than a
 * picture can have. */
bool cnnrt_transforms_size(const cnnrt_transform *t, size_t n, uint64_t size[2]);
/* The same for one transform with a size, unchecked. */
void cnnrt_transform_size(const cnnrt_transform *t, uint64_t size[2]);
int cnnrt_transforms_run(const cnnrt_transform *t, size_t n, Canvas *v, Rng *r, cnnrt_data_error *error);
/* The picture becomes `h` by `w`, from its part of size[0] by size[1] at top, left. */
int cnnrt_resize_part(Canvas *v, const uint32_t at[2], const uint32_t size[2], uint32_t h, uint32_t w,
                      bool antialias, cnnrt_data_error *error);

/* ---- The loader ---- */

/* Batches made ahead by threads, from sample number `first` of an epoch of `end` samples. */
typedef struct Ring Ring;

/* Sample number `position` of the epoch, into room for one. */
typedef int make_sample(const void *arg, int64_t position, Canvas *v, float *input, void *target,
                        cnnrt_data_error *error);
typedef struct RingOptions {
    make_sample *make; /* called by all threads at once */
    const void *arg;
    uint32_t batch, depth, threads;
    size_t input_elements, target_bytes; /* of a sample */
} RingOptions;
/* NULL when memory or threads are not to be had. */
Ring *cnnrt_ring_create(const RingOptions *o);
/* No thread is at work, or will be, until the next start. */
void cnnrt_ring_stop(Ring *r);
void cnnrt_ring_start(Ring *r, int64_t first, int64_t end);
/* As cnnrt_source's next. */
int64_t cnnrt_ring_next(Ring *r, int64_t most, float *input, void *target, cnnrt_data_error *error);
void cnnrt_ring_free(Ring *r); /* joins the threads; NULL is allowed */

/* One transform: 0 or a status with the error filled in. */
typedef int cnnrt_transform_run(const cnnrt_transform *t, Canvas *v, Rng *r, cnnrt_data_error *error);
cnnrt_transform_run cnnrt_resize_run, cnnrt_center_crop_run, cnnrt_random_crop_run,
    cnnrt_random_resized_crop_run, cnnrt_horizontal_flip_run, cnnrt_vertical_flip_run, cnnrt_rotation_run,
    cnnrt_affine_run, cnnrt_color_jitter_run, cnnrt_erasing_run, cnnrt_normalize_run;

#endif
