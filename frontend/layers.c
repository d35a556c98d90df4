/* The table of layers, and what their builders share. Arguments have PyTorch's names, order and defaults
 * (torch.nn, version 1.13). */
#include "frontend/layers.h"
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

const LayerRow *const layer_table[] = {
#define LAYER(type) &layer_##type,
#include "frontend/layers.def"
#undef LAYER
};
const uint32_t layer_count = COUNT(layer_table);

const LayerRow *layer_by_type(const char *type) {
    for (uint32_t i = 0; i < layer_count; i++)
        if (strcmp(layer_table[i]->type, type) == 0)
            return layer_table[i];
    return NULL;
}

/* ---- For builders ---- */

int64_t layer_int(const LayerCall *c, const char *name) {
    return layer_arg(c, name)->v[0];
}

IntList layer_sizes(const LayerCall *c, const char *name) {
    const Arg *a = layer_arg(c, name);
    IntList list = {.n = a->n};
    for (uint32_t i = 0; i < a->n; i++)
        list.v[i] = a->v[i];
    return list;
}

IntList layer_border(const LayerCall *c, const char *name) {
    const Arg *a = layer_arg(c, name);
    IntList list = {.n = 2 * a->n};
    for (uint32_t i = 0; i < a->n; i++)
        list.v[i] = list.v[a->n + i] = a->v[i];
    return list;
}

bool layer_dim(LayerCall *c, const char *name, int rank, bool inner, int64_t *dim) {
    Loc loc = layer_arg_loc(c, name);
    const int64_t given = layer_int(c, name);
    *dim = given < 0 ? given + rank : given;
    if (*dim < 0 || *dim >= rank)
        return diag_error(&c->cx->diag, DIAG_OUT_OF_RANGE, &loc,
                          "%s is %lld; it must be from %d to %d, counted with the batch", name,
                          (long long)given, -rank, rank - 1);
    if (*dim || !inner)
        return true;
    return diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc, "%s is %lld, the batch, which %s keeps as it is",
                      name, (long long)given, c->row->type);
}

ValueId layer_unary(LayerCall *c, OpId op, const void *attrs) {
    return graph_node(c->g, op, c->inputs, 1, attrs, c->name, c->loc);
}

ValueId layer_with_params(LayerCall *c, OpId op, const void *attrs) {
    ValueId operands[1 + MAX_PARAMS] = {c->inputs[0]};
    uint32_t n = 1;
    for (uint32_t i = 0; i < c->row->n_params; i++)
        if (c->params[i] != NO_VALUE)
            operands[n++] = c->params[i];
    return graph_node(c->g, op, operands, n, attrs, c->name, c->loc);
}

/* ---- What PyTorch has and this compiler has not ---- */

/* Layers of torch.nn that networks for images use and that are not in the table: their names are no
 * misspellings, however near to one of it. */
static const char *const torch_types[] = {
    "AlphaDropout", "Bilinear",      "CosineSimilarity", "Embedding",          "GLU", "GRU",   "Hardshrink",
    "LSTM",         "LPPool2d",      "MaxUnpool2d",      "MultiheadAttention", "RNN", "RReLU", "Softmin",
    "Softshrink",   "SyncBatchNorm", "Tanhshrink",       "Threshold",
};

bool layer_is_torchs(const char *type) {
    for (size_t i = 0; i < COUNT(torch_types); i++)
        if (strcmp(torch_types[i], type) == 0)
            return true;
    return layer_by_type(type);
}
