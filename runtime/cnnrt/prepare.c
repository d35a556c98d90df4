/* From a safetensors file in memory to a model's packed weights. The workspace holds, in this order: the
 * workspace of the model's own prepare, the array of pointers to parameters, and room for every parameter
 * that is not f32 at an aligned address already. */
#include "cnnrt.h"
#include <stdbool.h>
#include <string.h>

enum { ALIGN = 64 };

/* Both results are SIZE_MAX when they would overflow. */
static size_t add(size_t a, size_t b) {
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}
static size_t round_up(size_t a) {
    return a > SIZE_MAX - (ALIGN - 1) ? SIZE_MAX : (a + ALIGN - 1) / ALIGN * ALIGN;
}

/* "name: what" into which[size]. */
static void explain(char *which, size_t size, const char *name, const char *what) {
    const char *const part[] = {name, name[0] ? ": " : "", what};
    size_t n = 0;
    if (!which || size == 0)
        return;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        size_t length = strlen(part[i]), room = size - 1 - n;
        length = length < room ? length : room;
        memcpy(which + n, part[i], length);
        n += length;
    }
    which[n] = '\0';
}

static bool is_float(uint32_t dtype) {
    return dtype == CNNRT_F32 || dtype == CNNRT_F16 || dtype == CNNRT_BF16 || dtype == CNNRT_F64;
}

static bool usable_in_place(const cnnrt_st_tensor *t) {
    return t->dtype == CNNRT_F32 && (uintptr_t)t->data % sizeof(float) == 0;
}

static size_t elements(const cnnrt_st_tensor *t) { /* its bytes fit the file, so this cannot overflow */
    return t->bytes / (t->dtype == CNNRT_F64 ? 8 : t->dtype == CNNRT_F32 ? 4 : 2);
}

/* The file's tensor for parameter i, or what is wrong. */
static int find_param(const cnnrt_model *m, uint32_t i, const cnnrt_safetensors *st, cnnrt_st_tensor *t,
                      char *which, size_t which_size) {
    const cnnrt_tensor *want = &m->params[i];
    if (!cnnrt_st_find(st, want->name, t)) {
        explain(which, which_size, want->name, "not in the file");
        return CNNRT_E_MISSING;
    }
    bool same = t->rank == want->rank;
    for (uint32_t d = 0; same && d < t->rank; d++)
        same = t->dim[d] == want->dim[d];
    if (!same || !is_float(t->dtype)) {
        explain(which, which_size, want->name,
                same ? "its type is not F32, F16, BF16 or F64" : "it has another shape than the model's");
        return CNNRT_E_SHAPE;
    }
    return CNNRT_OK;
}

size_t cnnrt_prepare_bytes(const cnnrt_model *model, const void *file, size_t file_bytes) {
    size_t bytes = round_up((size_t)model->prepare_bytes);
    cnnrt_safetensors st;
    cnnrt_st_tensor t;
    bytes = round_up(add(bytes, model->n_params * sizeof(void *)));
    if (cnnrt_st_open(&st, file, file_bytes, NULL, 0, NULL) != CNNRT_OK)
        return bytes; /* cnnrt_prepare will say what is wrong */
    for (uint32_t i = 0; i < model->n_params; i++)
        if (find_param(model, i, &st, &t, NULL, 0) == CNNRT_OK && !usable_in_place(&t))
            bytes = round_up(add(bytes, elements(&t) * sizeof(float)));
    return bytes;
}

static int check_blocks(const cnnrt_model *m, const void *weights, size_t weights_bytes, const void *work) {
    const size_t known = offsetof(cnnrt_model, prepare) + sizeof m->prepare; /* what this reads */
    if (m->abi_version != CNNRT_ABI_VERSION || m->struct_size < known)
        return CNNRT_E_ABI;
    if ((!weights && m->weights_bytes > 0) || !work)
        return CNNRT_E_NULL;
    if ((uintptr_t)weights % ALIGN != 0 || (uintptr_t)work % ALIGN != 0)
        return CNNRT_E_WORKSPACE_ALIGN;
    return weights_bytes < m->weights_bytes ? CNNRT_E_WORKSPACE_SIZE : CNNRT_OK;
}

int cnnrt_prepare(const cnnrt_model *model, const void *file, size_t file_bytes, void *weights,
                  size_t weights_bytes, void *work, size_t work_bytes, char *which, size_t which_size) {
    cnnrt_safetensors st;
    char why[128];
    size_t at, used = round_up((size_t)model->prepare_bytes);
    explain(which, which_size, "", "");
    int status = check_blocks(model, weights, weights_bytes, work);
    if (status == CNNRT_OK && !model->prepare)
        status = CNNRT_E_NO_WEIGHTS;
    if (status == CNNRT_OK &&
        (status = cnnrt_st_open(&st, file, file_bytes, why, sizeof why, &at)) != CNNRT_OK)
        explain(which, which_size, "", why);
    if (status != CNNRT_OK)
        return status;
    unsigned char *block = work;
    if (add(used, model->n_params * sizeof(void *)) > work_bytes)
        return CNNRT_E_WORKSPACE_SIZE;
    const void **params = (const void **)(block + used);
    used = round_up(used + model->n_params * sizeof(void *));
    for (uint32_t i = 0; i < model->n_params; i++) {
        cnnrt_st_tensor t;
        status = find_param(model, i, &st, &t, which, which_size);
        if (status != CNNRT_OK)
            return status;
        params[i] = t.data;
        if (usable_in_place(&t))
            continue;
        size_t bytes = elements(&t) * sizeof(float);
        if (add(used, bytes) > work_bytes)
            return CNNRT_E_WORKSPACE_SIZE;
        cnnrt_to_f32((float *)(block + used), t.data, t.dtype, elements(&t));
        params[i] = block + used;
        used = round_up(used + bytes);
    }
    return model->prepare(params, weights, weights_bytes, work, (size_t)model->prepare_bytes);
}
