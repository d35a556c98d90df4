/* The tensors of a training state by name. */
#include "cnnrt.h"
#include <string.h>

const cnnrt_state_tensor *cnnrt_state_find(const cnnrt_model *model, uint32_t role, const char *name) {
    const int old = model->struct_size < offsetof(cnnrt_model, training) + sizeof(cnnrt_training *);
    const cnnrt_training *t = old ? NULL : model->training;
    for (uint32_t i = 0; t && i < t->n_state; i++)
        if (t->state[i].role == role && strcmp(t->state[i].tensor.name, name) == 0)
            return &t->state[i];
    return NULL;
}
