/* What the files of the front end share. */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

#include "frontend/import.h"
#include "frontend/json.h"

/* Something a layer may take as input: an input of the model or an earlier layer. */
typedef struct Entry {
    const char *name; /* interned; NULL while it has none */
    ValueId value;    /* NO_VALUE: not built, because of a fault reported already */
    bool is_layer, used;
    uint32_t index; /* among the inputs or the layers */
    Loc loc;
    bool many;            /* a layer with several results: name.0, name.1... */
    const ValueId *parts; /* those; NULL while it is not built */
    uint32_t n_parts;
} Entry;

#define NO_PART UINT32_MAX

typedef struct ModelImport {
    Context *cx;
    const ImportOptions *o;
    JsonDoc doc;
    Graph *g;
    VEC(Entry) entries; /* inputs first, then layers */
    uint32_t *slots;    /* hash table of entries by name: index + 1, or 0 */
    uint32_t n_slots;   /* a power of two */
    uint32_t n_inputs;
    bool types_listed; /* a hint has named all types of layers */
} ModelImport;

/* The weights file that a model names, and where it does so. */
typedef struct WeightsRef {
    const char *path; /* NULL: none */
    Loc loc;
} WeightsRef;

/* json_model.c */
Graph *import_json(Context *cx, const char *path, const ImportOptions *o, WeightsRef *weights);
/* The entry of this name, or NULL. */
Entry *model_find(const ModelImport *m, const char *name);
/* The entry that a reference means, and which of its results: "split.1" is the second of the layer "split";
 * NO_PART where it says none. NULL: nothing is called so. */
Entry *model_refer(const ModelImport *m, const char *name, uint32_t *part);
/* The value of that; false, after a diagnostic at `loc` if none was made before, when there is none. */
bool model_take(const ModelImport *m, Entry *e, uint32_t part, const Loc *loc, ValueId *out);
/* Name an entry; false (without a diagnostic) when an earlier one has the name. */
bool model_name_entry(ModelImport *m, uint32_t entry, const char *name);
/* A reference to something that is not there: the error and the nearest name. */
bool model_unknown_name(const ModelImport *m, const Json *at, const Loc *loc, const char *name);
/* `key`'s value if it is there and of this kind, else NULL, with an error when it is of another kind. */
const Json *model_member(const ModelImport *m, const Json *object, const char *key, JsonKind kind,
                         const Loc *loc, bool *ok);
/* A usable name: a string that is neither empty nor very long. */
bool model_name_ok(const ModelImport *m, const Json *j, const Loc *loc);
/* `loc` moved to another place of the file. */
Loc model_loc(const ModelImport *m, const Loc *loc, uint32_t offset);

/* json_picture.c: what an input's keys say of its pixels. *out stays NULL where they say nothing. */
bool picture_read(const ModelImport *m, const Json *input, const Loc *loc, DType *dtype, const Picture **out);
/* Does that fit the input's type? */
bool picture_check(const ModelImport *m, const Picture *p, const Type *t, const Loc *loc);
/* What a training object takes in its place: f32 [N,C,H,W] from 0 to 1, red first, which is what transforms
 * work on and data sets give. */
const Picture *picture_for_training(const ModelImport *m, const Picture *p, Type *t);
/* The input as f32[N,C,H,W] with red first: itself, or through a node. */
ValueId picture_to_tensor(ModelImport *m, ValueId x, const Picture *p, const Loc *loc);

/* keys.c: the keys that some kind of object may have; pointer and name of faults are taken from `loc`. */
typedef struct KeySet {
    const char *what; /* whose keys these are: "an input" */
    const char *const *names;
    uint32_t n;
} KeySet;

/* False and diagnostics, with the nearest known key, for members that are not in the set. */
bool check_keys(const JsonDoc *d, const Json *object, const KeySet *k, const Loc *loc);
/* For `key`, which `object` needs and lacks; silent when check_keys has reported a misspelling of it. Always
 * false. */
bool key_missing(const JsonDoc *d, const Json *object, const KeySet *k, const char *key, const Loc *loc);

/* json_layers.c: the list "layers". */
void import_layers(ModelImport *m, const Json *layers);

/* import.c: are there as many classes as features of the first output? `loc`: of the list. */
bool check_classes(const Graph *g, const Loc *loc);

/* weights.c: `strict`: tensors that the graph does not know are errors, or a warning when `fresh` has
 * patterns; it may be NULL. */
bool weights_from_file(Context *cx, const Graph *g, const char *path, bool strict, const FreshStart *fresh,
                       Weights *out);

/* init.c: PyTorch's initial distributions. */
bool weights_from_seed(Context *cx, const Graph *g, uint64_t seed, Weights *out);
/* Only those that have no data yet. */
bool weights_fill(Context *cx, const Graph *g, uint64_t seed, Weights *out);

/* Room for every parameter, checked against what this machine can sensibly hold. */
enum { WEIGHTS_MAX_GIB = 8 };
bool weights_alloc(Context *cx, const Graph *g, Weights *out);

#endif
