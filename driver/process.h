/* A compiled model in this process: the object that -o would write, loaded and called through its descriptor;
 * and the arrays that go in and come out. */
#ifndef DRIVER_PROCESS_H
#define DRIVER_PROCESS_H

#include "driver/compile.h"
#include <cnnrt.h>

typedef struct Process {
    Compile *c;
    Jit *jit;
    const cnnrt_model *model;
    cnnrt_pool *pool; /* NULL: one thread */
    unsigned threads;
    unsigned char *work; /* 64-byte aligned */
    size_t work_bytes;
} Process;

/* The inputs or outputs of an imported model, before it is compiled; the same order as in the descriptor. */
const cnnrt_tensor *model_tensors(const Compile *c, bool outputs, uint32_t *count);
/* The batch to compile for: --batch if given, else `n` images; a loop module keeps its own. */
void set_batch(Compile *c, int64_t n);

/* threads 0: all CPUs this process may use. */
bool process_open(Compile *c, int64_t threads, Process *p);
/* One call for n images; false after a diagnostic. */
bool process_call(Process *p, int64_t n, const void *const *inputs, void *const *outputs);
/* The array of n images as the model takes it: itself, or bytes where the input is u8. */
const void *input_bytes(Context *cx, const cnnrt_tensor *t, const float *array, int64_t n);
/* As many calls as n images take with at most the compiled batch in each. */
bool process_images(Process *p, int64_t n, float *const *inputs, float *const *outputs);
void process_close(Process *p);

/* `size` bytes of the arena, 64-byte aligned. */
void *aligned_bytes(Context *cx, size_t size);
/* Elements of a tensor for n images. */
size_t tensor_elems_for(const cnnrt_tensor *t, int64_t n);

/* Buffers for all inputs or outputs of n images. */
float **arrays_new(Context *cx, const cnnrt_tensor *t, uint32_t count, int64_t n);
/* The same numbers in [-1, 1), or bytes, on every machine. */
void arrays_random(float **arrays, const cnnrt_tensor *t, uint32_t count, int64_t n, uint64_t seed);

/* A .npy file as floats. */
typedef struct Array {
    const char *path;
    uint32_t rank;
    int64_t dim[8];
    size_t count;
    float *data;
} Array;
bool array_read(Context *cx, const char *path, Array *out);

/* The file for input number `input`, t: a .npy array, or a picture that is made to fit as the model and the
 * options say; checked by array_fits. */
bool input_read(const Compile *c, const char *path, uint32_t input, const cnnrt_tensor *t, Array *out,
                int64_t *n);

/* "[NAME=]path" options bound to tensors: paths[i] for tensor i, or NULL. `option` is for messages. */
bool bind_paths(Context *cx, const TextList *list, const char *option, const cnnrt_tensor *t, uint32_t count,
                const char **paths);
/* Is the array n images of tensor t? A single image may leave its batch dimension out. A diagnostic if not,
 * also when *n (0: not known yet) is another number. */
bool array_fits(Context *cx, const Array *a, const cnnrt_tensor *t, int64_t *n);

#endif
