/* The state block as a whole, and its parameters and statistics as files. */
#include "internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int cnnrt_check_model(const cnnrt_model *m, Why why) {
    if (m->abi_version != CNNRT_ABI_VERSION || m->struct_size < sizeof(cnnrt_model))
        return cnnrt_why(why, CNNRT_E_ABI, "%s", cnnrt_strerror(CNNRT_E_ABI));
    const cnnrt_training *t = m->training;
    if (!t)
        return cnnrt_why(why, CNNRT_E_STATE, "the model was compiled without --train");
    if (t->struct_size < sizeof *t || t->n_hyper != CNNRT_HYPER_GROUPS + t->n_groups * CNNRT_HYPER_PER_GROUP)
        return cnnrt_why(why, CNNRT_E_ABI, "%s", cnnrt_strerror(CNNRT_E_ABI));
    return CNNRT_OK;
}

uint64_t cnnrt_weights_size(const cnnrt_training *t) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < t->n_state; i++)
        bytes += cnnrt_is_weight(&t->state[i]) ? t->state[i].tensor.bytes : 0;
    return bytes;
}

static bool all_finite(const void *state, const cnnrt_state_tensor *t) {
    const float *v = (const void *)((const unsigned char *)state + t->offset);
    const uint64_t n = t->tensor.bytes / sizeof *v;
    if (t->tensor.dtype != CNNRT_F32)
        return true;
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

const cnnrt_state_tensor *cnnrt_not_finite(const cnnrt_training *t, const void *state,
                                           const uint32_t roles[3]) {
    for (int r = 0; r < 3; r++)
        for (uint32_t i = 0; i < t->n_state; i++)
            if (t->state[i].role == roles[r] && !all_finite(state, &t->state[i]))
                return &t->state[i];
    return NULL;
}

/* ---- Export ---- */

typedef struct Export {
    const cnnrt_model *model;
    const void *state;
    const void *const *frozen;
    uint32_t n_weights; /* of the state: they stand first in it */
} Export;

static StEntry export_tensor(const void *arg, uint32_t i) {
    const Export *x = arg;
    if (i >= x->n_weights)
        return (StEntry){"", &x->model->params[i - x->n_weights], x->frozen[i - x->n_weights]};
    const cnnrt_state_tensor *t = &x->model->training->state[i];
    return (StEntry){"", &t->tensor, (const unsigned char *)x->state + t->offset};
}

static StText export_text(const void *arg, uint32_t i) {
    (void)arg;
    (void)i;
    return (StText){"format", "pt"};
}

int cnnrt_state_export(const cnnrt_model *model, const void *state, const void *const *frozen,
                       const char *path, char *why, size_t why_size) {
    const Why y = {why, why_size};
    int status = cnnrt_check_model(model, y);
    if (status != CNNRT_OK)
        return status;
    Export x = {.model = model, .state = state, .frozen = frozen};
    const cnnrt_training *t = model->training;
    while (x.n_weights < t->n_state && cnnrt_is_weight(&t->state[x.n_weights]))
        x.n_weights++;
    const StFile f = {&x, x.n_weights + (frozen ? model->n_params : 0), 1, export_tensor, export_text, false};
    return cnnrt_st_save(&f, path, y);
}

/* ---- Import ---- */

static int find_weight(const cnnrt_safetensors *st, const cnnrt_tensor *want, cnnrt_st_tensor *t, Why why) {
    if (!cnnrt_st_find(st, want->name, t))
        return cnnrt_why(why, CNNRT_E_MISSING, "%s: not in the file", want->name);
    bool same = t->rank == want->rank;
    for (uint32_t d = 0; same && d < t->rank; d++)
        same = t->dim[d] == want->dim[d];
    if (!same)
        return cnnrt_why(why, CNNRT_E_SHAPE, "%s: it has another shape than the model's", want->name);
    if (t->dtype != CNNRT_F32 && t->dtype != CNNRT_F16 && t->dtype != CNNRT_BF16 && t->dtype != CNNRT_F64)
        return cnnrt_why(why, CNNRT_E_SHAPE, "%s: its type is not F32, F16, BF16 or F64", want->name);
    return CNNRT_OK;
}

int cnnrt_state_import(const cnnrt_model *model, void *state, const void *file, size_t file_bytes, char *why,
                       size_t why_size) {
    const Why y = {why, why_size};
    cnnrt_safetensors st;
    cnnrt_st_tensor found;
    char fault[128];
    size_t at;
    int status = cnnrt_check_model(model, y);
    if (status == CNNRT_OK && cnnrt_st_open(&st, file, file_bytes, fault, sizeof fault, &at) != CNNRT_OK)
        status = cnnrt_why(y, CNNRT_E_FORMAT, "byte %zu: %s", at, fault);
    const cnnrt_training *t = model->training;
    for (int copy = 0; copy < 2; copy++) /* everything is looked at before anything is changed */
        for (uint32_t i = 0; status == CNNRT_OK && i < t->n_state; i++) {
            if (!cnnrt_is_weight(&t->state[i]))
                continue;
            status = find_weight(&st, &t->state[i].tensor, &found, y);
            if (copy && status == CNNRT_OK)
                cnnrt_to_f32(cnnrt_state_at(state, &t->state[i]), found.data, found.dtype,
                             t->state[i].tensor.bytes / sizeof(float));
        }
    return status;
}
