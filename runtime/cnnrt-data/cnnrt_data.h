/* cnnrt-data: what programs around a compiled model need of files: NumPy arrays, data sets, PNG and JPEG,
 * augmentation and loading for training, and pictures in characters. C99, C11 and C++. No globals; a failing
 * call says why in a struct of the caller's. Sizes in files are never trusted: memory is taken for what is
 * really there. */
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

/* ---- PNG and JPEG ---- */

#define CNNRT_PICTURE_MAX_SIDE 32768u
#define CNNRT_PICTURE_MAX_PIXELS ((size_t)1 << 26)
#define CNNRT_PICTURE_MAX_FILE ((size_t)1 << 28)

typedef struct cnnrt_picture {
    uint32_t channels; /* 1 grey, 3 RGB */
    uint32_t height, width;
    unsigned char *pixels; /* height * width * channels, channels innermost */
} cnnrt_picture;

/* A PNG or JPEG file in memory. `channels` is what is wanted: 1, 3, or 0 for what the file has. Transparency
 * is dropped, 16 bits become 8; grey from colour as Pillow's convert("L"). */
int cnnrt_picture_parse(cnnrt_picture *out, const void *file, size_t file_bytes, uint32_t channels,
                        cnnrt_data_error *error);
int cnnrt_picture_read(cnnrt_picture *out, const char *path, uint32_t channels, cnnrt_data_error *error);
void cnnrt_picture_free(cnnrt_picture *a);

/* ---- Data sets ---- */

typedef struct cnnrt_dataset cnnrt_dataset;

typedef struct cnnrt_dataset_info {
    const char *kind; /* "idx", "cifar10", "npy" or "folder" */
    int64_t count;
    uint32_t channels;          /* 0: a folder's pictures have what they have, 1 or 3 */
    uint32_t height, width;     /* 0: they differ from picture to picture */
    uint32_t n_classes;         /* 0: the targets are numbers, not classes */
    const char *const *classes; /* n_classes names; lives as long as the data set */
    uint32_t target_elements;   /* of each sample, when n_classes is 0 */
} cnnrt_dataset_info;

/* The split ("train", "test") of a data set in a folder, of a named kind, or recognised (kind NULL):
 *   "idx"      <split>-images-idx3-ubyte and <split>-labels-idx1-ubyte, with or without .gz ("test" is t10k)
 *   "cifar10"  data_batch_1.bin to data_batch_5.bin, or test_batch.bin
 *   "npy"      <split>-images.npy with <split>-labels.npy or <split>-targets.npy, as cnnrt_dataset_open_npy
 *   "folder"   <split>/<class>/<name>.png, .jpg or .jpeg; classes in the order of their names. Split NULL:
 * the folder itself holds the classes. Pictures are decoded when they are needed. *out is NULL on failure. */
int cnnrt_dataset_open(cnnrt_dataset **out, const char *folder, const char *split, const char *kind,
                       cnnrt_data_error *error);

enum cnnrt_layout {
    CNNRT_LAYOUT_AUTO = 0, /* NHWC when the last dimension is 1 or 3 and the second is not, else NCHW; in a
                              loader the other of them, where that alone fits the options */
    CNNRT_NCHW = 1,
    CNNRT_NHWC = 2
};
/* Images u8 (0..255 becomes 0..1) or f32 (as they are), [N,C,H,W], [N,H,W,C], [N,H,W] or [N,C]; labels u8,
 * i32 or i64 [N], or f32 targets [N] or [N,...]. */
int cnnrt_dataset_open_npy(cnnrt_dataset **out, const char *images, const char *targets, int layout,
                           cnnrt_data_error *error);

/* Views of `a`, which may be closed before them. Split: a random `fraction` of the samples, which follows
 * from the seed, goes to *part and the others to *rest. Subset: the samples of `n` classes, which become the
 * classes 0 to n-1 in the order given. */
int cnnrt_dataset_split(const cnnrt_dataset *a, double fraction, uint64_t seed, cnnrt_dataset **rest,
                        cnnrt_dataset **part, cnnrt_data_error *error);
int cnnrt_dataset_subset(const cnnrt_dataset *a, const uint32_t *classes, uint32_t n, cnnrt_dataset **out,
                         cnnrt_data_error *error);
void cnnrt_dataset_close(cnnrt_dataset *a); /* NULL is allowed */

void cnnrt_dataset_describe(const cnnrt_dataset *a, cnnrt_dataset_info *out);
/* The class of sample i, 0 <= i < count; -1 when the targets are numbers. */
int64_t cnnrt_dataset_label(const cnnrt_dataset *a, int64_t i);

/* The number of sample i in the files as they are, without splits and subsets. *file, which lives as long as
 * the data set, is the one with its label or targets; NULL where they are not all in one. */
int64_t cnnrt_dataset_origin(const cnnrt_dataset *a, int64_t i, const char **file);

/* ---- Augmentation: torchvision's transforms of float tensors, by their names and parameters ---- */

#define CNNRT_MAX_CHANNELS 16
#define CNNRT_MAX_TRANSFORMS 32

enum cnnrt_transform_kind {
    CNNRT_RESIZE = 0,             /* size, antialias */
    CNNRT_CENTER_CROP,            /* size */
    CNNRT_RANDOM_CROP,            /* size, padding, fill */
    CNNRT_RANDOM_RESIZED_CROP,    /* size, scale, ratio, antialias; bilinear */
    CNNRT_RANDOM_HORIZONTAL_FLIP, /* p */
    CNNRT_RANDOM_VERTICAL_FLIP,   /* p */
    CNNRT_RANDOM_ROTATION,        /* degrees, bilinear, fill */
    CNNRT_RANDOM_AFFINE,          /* degrees, translate, scale, shear, bilinear, fill */
    CNNRT_COLOR_JITTER,           /* brightness, contrast, saturation, hue; 1 or 3 channels */
    CNNRT_RANDOM_ERASING,         /* p, scale, ratio, value, value_random */
    CNNRT_NORMALIZE,              /* mean, std */
    CNNRT_N_TRANSFORMS
};

/* A number for all channels (n 1) or one a channel. */
typedef struct cnnrt_values {
    uint32_t n;
    float v[CNNRT_MAX_CHANNELS];
} cnnrt_values;

/* One step. Only its kind's fields count; cnnrt_transform_init sets them to torchvision's defaults. Pixels
 * are 0 to 1 until a Normalize, and so are fill and value. Pairs are [lowest, highest]. */
typedef struct cnnrt_transform {
    uint32_t kind;
    uint32_t size[2];    /* height, width; Resize: width 0 makes the shorter side size[0] */
    uint32_t padding[4]; /* left, top, right, bottom */
    cnnrt_values fill, value, mean, std;
    uint32_t value_random; /* 1: value="random", numbers from the normal distribution */
    uint32_t antialias;    /* default 1, as torchvision does with pictures */
    uint32_t bilinear;     /* 0: interpolation=NEAREST, torchvision's default */
    double p;
    double scale[2], ratio[2];
    double degrees[2], translate[2], shear[4]; /* translate: fractions; shear: x range, y range, in degrees */
    double brightness[2], contrast[2], saturation[2], hue[2];
} cnnrt_transform;

/* "RandomCrop" and so on; NULL for no kind. Its inverse returns CNNRT_N_TRANSFORMS for no name. */
const char *cnnrt_transform_name(uint32_t kind);
uint32_t cnnrt_transform_kind(const char *name);
void cnnrt_transform_init(cnnrt_transform *t, uint32_t kind);
/* Whether the parameters make sense for pictures of `channels`. CNNRT_E_SHAPE with a sentence, or 0. */
int cnnrt_transform_check(const cnnrt_transform *t, uint32_t channels, cnnrt_data_error *error);
/* Applies `n` transforms to one picture, dense f32 [channels, *height, *width], as sample `index` of epoch
 * `epoch` under `seed`: the same numbers give the same bits. *out, which free() frees, is of the new *height
 * and *width. */
int cnnrt_transform_apply(const cnnrt_transform *t, size_t n, const float *picture, uint32_t channels,
                          uint32_t *height, uint32_t *width, uint64_t seed, uint64_t epoch, uint64_t index,
                          float **out, cnnrt_data_error *error);

/* A picture as a model's input: resized, cropped, and in its dtype, layout and colour (0 to 1, or bytes), one
 * image long. `pixels` is the model's for that input; NULL: f32 planes with red first, of the size it has.
 * The picture has the input's channels. CNNRT_E_SHAPE where its size is another. */
int cnnrt_picture_to_input(const cnnrt_picture *a, const cnnrt_tensor *input, const cnnrt_pixels *pixels,
                           void *out, cnnrt_data_error *error);

/* ---- The loader: a cnnrt_source over a data set ---- */

typedef struct cnnrt_loader cnnrt_loader;

typedef struct cnnrt_loader_options {
    uint32_t channels, height, width; /* of the model's input; 0: the data set's */
    uint32_t target_elements; /* 0: targets are classes, i64. Else f32: the data set's numbers, or, when it
                                 has classes, as many probabilities as classes (1 for the sample's, else 0) */
    uint64_t seed;            /* of order and augmentation */
    uint32_t shuffle;         /* 1: another order each epoch; 0: the data set's */
    uint32_t resize;    /* 1: pictures that the transforms leave at another size are resized; 0: an error */
    uint32_t drop_last; /* 1: samples that do not fill a last batch are left out */
    uint32_t batch;     /* samples of a batch, the unit of work of the threads; 0: 64 */
    uint32_t prefetch;  /* batches made ahead; 0: 4 */
    uint32_t threads;   /* that make them; 0: none, `next` makes its samples itself */
    const cnnrt_transform *transforms; /* copied */
    size_t n_transforms;
} cnnrt_loader_options;

/* The data set may be closed before the loader. Begin with a zeroed options struct. */
int cnnrt_loader_open(cnnrt_loader **out, const cnnrt_dataset *a, const cnnrt_loader_options *options,
                      cnnrt_data_error *error);
/* What cnnrt_fit and other loops take: valid until the loader is closed; for one thread at a time. `begin`
 * may be called at any moment, also within an epoch; `next` returns negative codes of enum cnnrt_status. */
cnnrt_source cnnrt_loader_source(cnnrt_loader *a);
void cnnrt_loader_close(cnnrt_loader *a); /* NULL is allowed; joins its threads */

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
