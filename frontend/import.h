/* Importing a model file as a graph: the one door of the front end. */
#ifndef FRONTEND_IMPORT_H
#define FRONTEND_IMPORT_H

#include "ir/graph.h"

/* Training: parameters that start from PyTorch's initial distributions, whatever the weights file has. */
typedef struct FreshStart {
    const char *const *patterns; /* see train_matches; a parameter that matches may be missing in the file */
    uint32_t n_patterns;
    Loc loc; /* of the patterns */
    uint64_t seed;
} FreshStart;

typedef struct ImportOptions {
    const char *weights;     /* --weights: overrides the model's own; NULL: as the model says */
    int64_t init_seed;       /* --init-seed, or -1: random weights were not asked for */
    bool whole;              /* the model is to be run or compiled: a dump of the training pipeline is none */
    bool weights_optional;   /* info, --external-weights, --emit=graph: no weights is no error */
    bool trains;             /* pictures come as data sets give them: f32 [N,C,H,W], red first */
    const FreshStart *fresh; /* training: also, without any weights all parameters start afresh; else NULL */
    int64_t batch;           /* --batch; 0: not given: 1, or what a .cnnir file says */
    const char **shapes;     /* --input-shape NAME=3x224x224 */
    uint32_t n_shapes;
} ImportOptions;

/* Parameters as they come from the file: dense f32 in PyTorch's order, one for each of graph->params, or NULL
 * data when there are none (weights_optional). */
typedef struct Weights {
    const float **data; /* data[i] belongs to graph->params.data[i]; NULL array: no weights */
    const char *file;   /* where they came from, for messages; NULL for --init-seed */
} Weights;

/* The error of ImportOptions.whole, for whoever reads such a file. Always false. */
bool import_training_dump(Context *cx, const char *path);
/* NULL after diagnostics. Dispatches on the file's extension: .json; .onnx; .cnnir (graph level). */
Graph *import_model(Context *cx, const char *path, const ImportOptions *o, Weights *weights);
/* Weights for the parameters of any graph, by key: from a safetensors file, or from PyTorch's initial
 * distributions. Every missing, extra and mis-shaped tensor is named in one run. */
bool import_weights(Context *cx, const Graph *g, const char *path, Weights *out);

#endif
