/* cnnrt: what generated code meets at run time. Generated headers include this file; C99, C11 and C++.
 * A generated inference object needs nothing of the library itself: linking it is only for those who want the
 * thread pool, safetensors or cnnrt_strerror. */
#ifndef CNNRT_H
#define CNNRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CNNRT_ABI_VERSION 1u

#if defined(__GNUC__)
#define CNNRT_ALIGNED(n) __attribute__((aligned(n)))
#else
#define CNNRT_ALIGNED(n)
#endif

/* What entry points return. */
enum cnnrt_status {
    CNNRT_OK = 0,
    CNNRT_E_BATCH = 1,           /* n is below 1, above the compiled batch, or not the fixed batch */
    CNNRT_E_NULL = 2,            /* an input, output or workspace pointer is NULL */
    CNNRT_E_WORKSPACE_SIZE = 3,  /* work_bytes is below WORKSPACE_BYTES(threads), or a block too small */
    CNNRT_E_WORKSPACE_ALIGN = 4, /* the workspace or weights block is not 64-byte aligned */
    CNNRT_E_CPU = 5,             /* this CPU lacks an instruction set the object was compiled for */
    CNNRT_E_NO_WEIGHTS = 6,      /* weights is NULL and the object embeds none */
    CNNRT_E_FILE = 7,            /* cnnrt: a file cannot be opened or read */
    CNNRT_E_FORMAT = 8,          /* cnnrt: a file is damaged */
    CNNRT_E_MISSING = 9,         /* cnnrt: a tensor of the model is not in the file */
    CNNRT_E_SHAPE = 10,          /* cnnrt: a tensor has another shape or type than the model's */
    CNNRT_E_SYSTEM = 11,         /* cnnrt: out of memory, or a thread cannot be made */
    CNNRT_E_ABI = 12,            /* object and library disagree about CNNRT_ABI_VERSION */
    CNNRT_E_LABEL = 13,          /* training: a class index is none of the model's classes nor ignore_index */
    CNNRT_E_BATCH_NORM = 14,     /* training: a batch norm has one value per channel; n must be larger */
    CNNRT_E_STATE = 15,          /* training: the state block is NULL, unaligned, or not this object's */
    CNNRT_E_NOT_FINITE = 16,     /* cnnrt-train: a loss or a parameter is not finite */
    CNNRT_E_OPTIONS = 17, /* cnnrt-train: options that make no sense, alone or with the model or source */
    CNNRT_E_FROZEN = 18   /* cnnrt-train: the checkpoint's run had other weights in its frozen layers */
};
const char *cnnrt_strerror(int status); /* never NULL */

/* A thread pool as generated code sees it: your own, or cnnrt's. parallel_for runs task(arg, begin, end,
 * thread) until [0, count) is covered, each index once, with 0 <= thread < threads and no two running calls
 * under the same thread number; it returns when all is done. It must be safe to call from several threads at
 * once: one call uses the pool, a second runs task(arg, 0, count, 0) on its own thread. */
typedef void cnnrt_task(void *arg, size_t begin, size_t end, unsigned thread);
typedef struct cnnrt_pool {
    unsigned abi_version; /* CNNRT_ABI_VERSION */
    unsigned threads;     /* at least 1 */
    void (*parallel_for)(struct cnnrt_pool *pool, size_t count, cnnrt_task *task, void *arg);
} cnnrt_pool;

/* threads 0: cnnrt_default_threads(). NULL when threads cannot be made. */
cnnrt_pool *cnnrt_pool_create(unsigned threads);
void cnnrt_pool_destroy(cnnrt_pool *pool);
/* The CPUs this process may use: affinity mask and container (cgroup v1, v2) quota, rounded up; at least 1.
 */
unsigned cnnrt_default_threads(void);

/* Tensors and models, described. */
enum cnnrt_dtype {
    CNNRT_F32 = 0,
    CNNRT_F16 = 1,
    CNNRT_BF16 = 2,
    CNNRT_U8 = 3,
    CNNRT_I8 = 4,
    CNNRT_I32 = 5,
    CNNRT_I64 = 6,
    CNNRT_F64 = 7
};
#define CNNRT_MAX_RANK 6
typedef struct cnnrt_tensor {
    const char *name;
    uint32_t dtype; /* enum cnnrt_dtype */
    uint32_t rank;
    int64_t dim[CNNRT_MAX_RANK]; /* dim[0] is -1 where it is the batch n */
    uint64_t bytes;              /* for the full batch */
} cnnrt_tensor;

/* ---- Training ---- */

enum cnnrt_role {
    CNNRT_PARAM = 0,  /* a parameter that is trained */
    CNNRT_BUFFER = 1, /* statistics of a batch norm that is trained */
    CNNRT_SLOT = 2,   /* of the optimizer: "exp_avg/conv1.weight" */
    CNNRT_GRAD = 3,   /* "grad/conv1.weight"; undefined until backward has run after zero_grad */
    CNNRT_COUNTER = 4 /* i64[1]: "step", "calls", "accumulated", "seed" */
};

/* One tensor of the state block: dense, in PyTorch's order, at `offset` bytes. */
typedef struct cnnrt_state_tensor {
    cnnrt_tensor tensor;
    uint32_t role;  /* enum cnnrt_role */
    uint32_t group; /* CNNRT_PARAM: its parameter group */
    uint64_t offset;
} cnnrt_state_tensor;

/* The numbers of a step: doubles, in this order: grad_scale (multiplies the loss's gradient: 1, or 1/k when k
 * calls are accumulated), clip (the limit, when clipping is compiled in), then of each parameter group lr,
 * weight_decay and momentum (Adam: beta1). The generated header has the same as a struct. */
enum { CNNRT_HYPER_GRAD_SCALE, CNNRT_HYPER_CLIP, CNNRT_HYPER_GROUPS, CNNRT_HYPER_PER_GROUP = 3 };
enum { CNNRT_HYPER_LR, CNNRT_HYPER_WEIGHT_DECAY, CNNRT_HYPER_MOMENTUM };

typedef struct cnnrt_training {
    uint32_t struct_size;
    uint32_t n_state, n_targets, n_groups, n_hyper;
    const cnnrt_state_tensor *state; /* in the order of roles and of their offsets */
    const cnnrt_tensor *targets;     /* what the loss compares with: labels (i64 [n]) or f32 */
    const double *hyper;             /* n_hyper defaults, as the recipe has them */
    const char *loss;                /* "CrossEntropyLoss" */
    const char *optimizer;           /* "SGD" */
    int64_t n_trained, n_frozen;     /* elements of parameters */
    uint64_t state_bytes;
    /* Fills a state block (64-byte aligned): parameters and statistics as embedded in the object, all else
     * zero; `seed` is that of dropout. */
    int (*state_init)(void *state, size_t state_bytes, uint64_t seed);
    /* Forward, backward and optimizer on n samples. `loss` gets one float; outputs are the model's. On any
     * error the state is as it was. */
    int (*train_step)(int64_t n, const void *const *inputs, const void *const *targets, float *loss,
                      void *const *outputs, void *state, const double *hyper, const void *weights, void *work,
                      size_t work_bytes, cnnrt_pool *pool);
    /* Its halves: gradients add up over calls of backward until zero_grad; apply makes one optimizer step. */
    int (*zero_grad)(void *state);
    int (*backward)(int64_t n, const void *const *inputs, const void *const *targets, float *loss,
                    void *const *outputs, void *state, const double *hyper, const void *weights, void *work,
                    size_t work_bytes, cnnrt_pool *pool);
    int (*apply)(void *state, const double *hyper, void *work, size_t work_bytes, cnnrt_pool *pool);
    /* Evaluation mode: running statistics, no dropout. The state is read only. */
    int (*eval)(int64_t n, const void *const *inputs, const void *const *targets, float *loss,
                void *const *outputs, const void *state, const void *weights, void *work, size_t work_bytes,
                cnnrt_pool *pool);
} cnnrt_training;

/* Where a training loop takes samples from; cnnrt-data makes them, or you do. */
typedef struct cnnrt_source {
    void *arg;
    int64_t count; /* samples of an epoch */
    /* Of one sample, as `next` writes it; a loop refuses what its model does not take. Not 0. */
    int64_t input_elements, target_elements;
    uint32_t target_dtype; /* enum cnnrt_dtype: CNNRT_I64 for labels */
    /* Begin epoch `epoch`, whose order and augmentation follow from it and the source's seed alone, at its
     * sample number `first`. 0 or an error code. */
    int (*begin)(void *arg, uint64_t epoch, int64_t first);
    /* Up to `most` samples, one after the other: the input dense f32, the target dense. Returns their number,
     * 0 at the end of the epoch, or a negative error code. */
    int64_t (*next)(void *arg, int64_t most, float *input, void *target);
    const char *(*error)(void *arg); /* a sentence about the last failure; may be NULL */
} cnnrt_source;

enum {
    CNNRT_WEIGHTS_PACKED = 1, /* in the object, or none are needed: weights may be NULL in calls */
    CNNRT_WEIGHTS_RAW = 2     /* raw parameters are in the object: params may be NULL in `prepare` */
};

/* What the pixels of an input are, and how picture files are made to fit. */
enum { CNNRT_PIXELS_NCHW = 0, CNNRT_PIXELS_NHWC = 1 };
enum { CNNRT_PIXELS_RGB = 0, CNNRT_PIXELS_BGR = 1 };
typedef struct cnnrt_pixels {
    uint32_t layout, color; /* CNNRT_PIXELS_... */
    int64_t resize[2];      /* height and width; width 0: height is the shorter side's; both 0: none */
    int64_t center_crop[2]; /* after that: height and width; 0: none */
    const char *mean, *std; /* what the model normalizes with, "0.485, 0.456, 0.406"; or NULL */
} cnnrt_pixels;

typedef struct cnnrt_model {
    uint32_t abi_version; /* CNNRT_ABI_VERSION of the compiler that made the object */
    uint32_t struct_size; /* sizeof(cnnrt_model) then; later versions only append */
    const char *name;     /* as in the C identifiers */
    const char *cpu;      /* what it was compiled for: "x86-64-v3" */
    uint64_t hash;        /* of the model's structure; weights do not count */
    int64_t batch;        /* largest n */
    uint32_t n_fixed;     /* 1: only n == batch */
    uint32_t n_inputs, n_outputs, n_params, n_classes;
    uint32_t has_weights; /* CNNRT_WEIGHTS_PACKED, CNNRT_WEIGHTS_RAW or 0 */
    const cnnrt_tensor *inputs, *outputs, *params;
    const char *const *classes;
    uint64_t workspace_shared, workspace_per_thread; /* infer needs shared + threads * per_thread bytes */
    uint64_t weights_bytes;                          /* the packed block */
    uint64_t prepare_bytes;                          /* workspace of prepare, one thread */
    int (*infer)(int64_t n, const void *const *inputs, void *const *outputs, const void *weights, void *work,
                 size_t work_bytes, cnnrt_pool *pool);
    /* Packs raw parameters (in the order of `params`, dense f32; NULL: those in the object) into the block
     * `weights`. */
    int (*prepare)(const void *const *params, void *weights, size_t weights_bytes, void *work,
                   size_t work_bytes);
    const cnnrt_training *training; /* NULL in an object for inference; workspace sizes are then training's,
                                       and infer is NULL */
    const cnnrt_pixels *pixels;     /* by input; objects with a smaller struct_size have none */
} cnnrt_model;

/* Training: the tensor of that enum cnnrt_role and name, (CNNRT_PARAM, "conv1.weight"), (CNNRT_SLOT,
 * "exp_avg/conv1.weight") or (CNNRT_COUNTER, "step"). NULL when there is none, or no training. */
const cnnrt_state_tensor *cnnrt_state_find(const cnnrt_model *model, uint32_t role, const char *name);

/* safetensors, read in place from a file in memory. Nothing is allocated; every offset is checked. */
typedef struct cnnrt_safetensors {
    const unsigned char *file;
    size_t file_bytes;
    size_t header_bytes; /* of the JSON header */
    size_t count;        /* tensors */
} cnnrt_safetensors;
typedef struct cnnrt_st_tensor {
    const char *name; /* NOT terminated, escapes not resolved; points into the file */
    size_t name_bytes;
    uint32_t dtype; /* enum cnnrt_dtype; or UINT32_MAX for one this library does not read */
    uint32_t rank;
    int64_t dim[8];
    const void *data; /* may be unaligned */
    size_t bytes;
} cnnrt_st_tensor;
/* On CNNRT_E_FORMAT `why` (may be NULL) gets a sentence and `at` (may be NULL) the byte offset in the file.
 */
int cnnrt_st_open(cnnrt_safetensors *st, const void *file, size_t file_bytes, char *why, size_t why_size,
                  size_t *at);
/* Walk the tensors: set *cursor to 0 first; false after the last. */
int cnnrt_st_next(const cnnrt_safetensors *st, size_t *cursor, cnnrt_st_tensor *out);
int cnnrt_st_find(const cnnrt_safetensors *st, const char *name, cnnrt_st_tensor *out); /* 1 found, 0 not */
/* The tensor's name with its escapes resolved, not terminated, into `out` of name_bytes bytes. Returns its
 * length, which is never more. */
size_t cnnrt_st_name(const cnnrt_st_tensor *t, char *out);
/* `count` elements of an F32, F16, BF16 or F64 tensor as f32. */
void cnnrt_to_f32(float *dst, const void *src, uint32_t dtype, size_t count);

/* Pack the weights of a safetensors file in memory into `weights` (model->weights_bytes, 64-byte aligned),
 * with `work` of at least cnnrt_prepare_bytes bytes. On error `which` (may be NULL) gets the tensor's name
 * and what is wrong with it. */
size_t cnnrt_prepare_bytes(const cnnrt_model *model, const void *file, size_t file_bytes);
int cnnrt_prepare(const cnnrt_model *model, const void *file, size_t file_bytes, void *weights,
                  size_t weights_bytes, void *work, size_t work_bytes, char *which, size_t which_size);

#ifdef __cplusplus
}
#endif
#endif
