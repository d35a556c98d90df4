/* Weights by name from a safetensors file, as dense f32. Every missing, extra and mis-shaped tensor is named.
 */
#include "frontend/frontend.h"
#include "ir/base/file.h"
#include "ir/train.h"
#include "runtime/cnnrt/cnnrt.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 2000 };

/* A tensor of the file, or (while looking one up) just its name. */
typedef struct Named {
    const char *name;
    bool used;
    cnnrt_st_tensor t;
} Named;

typedef struct Loading {
    Context *cx;
    const Graph *g;
    Loc loc;
    const FreshStart *fresh;
    const char *hinted; /* the layer that the last hint about `fresh` was for */
    Named *tensors;     /* sorted by name */
    size_t n;
} Loading;

bool weights_alloc(Context *cx, const Graph *g, Weights *out) {
    uint64_t total = 0, limit = (uint64_t)WEIGHTS_MAX_GIB << 30;
    out->data = NEW_ARRAY(&cx->arena, const float *, g->params.len + 1);
    for (uint32_t i = 0; i < g->params.len; i++) {
        const Value *v = &g->values.data[g->params.data[i]];
        int64_t n = type_elems(&v->type, 1);
        if (v->type.dtype != DT_F32 || type_has_n(&v->type))
            return diag_error(&cx->diag, DIAG_WEIGHTS_DTYPE, &v->loc,
                              "parameter \"%s\" is not a fixed tensor of f32", v->key);
        if (n < 0 || (uint64_t)n > limit / sizeof(float) || (total += (uint64_t)n * sizeof(float)) > limit)
            return diag_error(&cx->diag, DIAG_MODEL_SIZE, &v->loc, "the parameters take more than %d GiB",
                              WEIGHTS_MAX_GIB);
    }
    return true;
}

static int by_name(const void *a, const void *b) {
    const Named *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static const char *shape_text(Context *cx, const int64_t *dim, uint32_t rank) {
    StrBuf sb = sb_new(&cx->arena);
    sb_putc(&sb, '[');
    for (uint32_t i = 0; i < rank; i++)
        sb_printf(&sb, i ? ",%" PRId64 : "%" PRId64, dim[i]);
    sb_putc(&sb, ']');
    return sb_str(&sb);
}

static const char *type_text(Context *cx, const Type *t) {
    StrBuf sb = sb_new(&cx->arena);
    type_print(&sb, t);
    return sb_str(&sb);
}

/* As the model has it: what wrote the file may have escaped any of its characters. */
static const char *tensor_name(Context *cx, const cnnrt_st_tensor *t) {
    char *name = arena_alloc(&cx->arena, t->name_bytes + 1);
    return intern_n(cx, name, cnnrt_st_name(t, name));
}

static bool open_file(Loading *l, const FileData *file) {
    cnnrt_safetensors st;
    char why[256] = "the header is damaged";
    size_t at = 0;
    if (file->size >= 4 && memcmp(file->data, "PK\3\4", 4) == 0) {
        diag_error(&l->cx->diag, DIAG_WEIGHTS_FORMAT, &l->loc,
                   "not a safetensors file, but a zip archive, as torch.save writes them");
        return diag_hint(&l->cx->diag, "export_torch.py --state-dict reads those and writes safetensors");
    }
    if (cnnrt_st_open(&st, file->data, file->size, why, sizeof why, &at) != CNNRT_OK)
        return diag_error(&l->cx->diag, DIAG_WEIGHTS_FORMAT, &l->loc,
                          "not a sound safetensors file: %s (at byte %zu)", why, at);
    l->tensors = NEW_ARRAY(&l->cx->arena, Named, st.count + 1);
    size_t cursor = 0;
    for (cnnrt_st_tensor t; l->n < st.count && cnnrt_st_next(&st, &cursor, &t);)
        l->tensors[l->n++] = (Named){.name = tensor_name(l->cx, &t), .t = t};
    qsort(l->tensors, l->n, sizeof *l->tensors, by_name);
    return true;
}

/* The layer of a parameter, if it is known: the place in the model says more than the name of the file. */
static const Loc *place(const Loading *l, const Value *v) {
    return v->loc.file ? &v->loc : &l->loc;
}

/* How many bytes stand before `key` in "module.key"; 0: `name` is not of that form. */
static size_t prefix_length(const char *name, const char *key) {
    size_t n = strlen(name), k = strlen(key);
    return n > k && name[n - k - 1] == '.' && strcmp(name + n - k, key) == 0 ? n - k : 0;
}

/* Training need not take a layer from the file: what does not fit may start afresh. Once a layer. */
static void hint_fresh(Loading *l, const Value *v) {
    const char *dot = strrchr(v->key, '.');
    const char *pattern = dot ? intern_f(l->cx, "%.*s.*", (int)(dot - v->key), v->key) : v->key;
    if (!l->fresh || pattern == l->hinted)
        return;
    l->hinted = pattern;
    diag_hint(&l->cx->diag, "\"init\": [\"%s\"] in the recipe lets it start afresh", pattern);
}

static void missing(Loading *l, const Value *v) {
    diag_error(&l->cx->diag, DIAG_WEIGHTS_MISSING, place(l, v), "tensor \"%s\", %s, is not in %s", v->key,
               type_text(l->cx, &v->type), l->loc.file);
    if (diag_full(&l->cx->diag))
        return;
    const char **names = NEW_ARRAY(&l->cx->arena, const char *, MAX_CANDIDATES), *near = NULL;
    size_t n = 0;
    for (size_t i = 0; i < l->n && n < MAX_CANDIDATES && !near; i++) {
        if (l->tensors[i].used)
            continue;
        names[n++] = l->tensors[i].name;
        near = prefix_length(l->tensors[i].name, v->key) ? l->tensors[i].name : NULL;
    }
    near = near ? near : diag_nearest(v->key, names, n);
    if (near)
        diag_hint(&l->cx->diag, "the file has \"%s\"", near);
    else
        hint_fresh(l, v);
}

static bool same_shape(const cnnrt_st_tensor *t, const Type *type) {
    if (t->rank != type->rank)
        return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] != type->dim[i].size)
            return false;
    return true;
}

static Named *find(const Loading *l, const char *name) {
    Named key = {.name = name};
    return l->n ? bsearch(&key, l->tensors, l->n, sizeof *l->tensors, by_name) : NULL;
}

/* Do all parameters stand in the file under one prefix ("module.")? That is one fault, not two for each. */
static bool check_prefix(const Loading *l) {
    const Graph *g = l->g;
    const char *first = g->params.len ? g->values.data[g->params.data[0]].key : NULL;
    const char *prefix = NULL; /* the shortest: "conv1.weight" also ends "layer1.0.conv1.weight" */
    for (size_t i = 0; first && i < l->n; i++) {
        size_t n = prefix_length(l->tensors[i].name, first);
        if (n && (!prefix || n < strlen(prefix)))
            prefix = intern_n(l->cx, l->tensors[i].name, n);
    }
    for (uint32_t i = 0; prefix && i < g->params.len; i++) {
        const char *key = g->values.data[g->params.data[i]].key;
        if (find(l, key) || !find(l, intern_f(l->cx, "%s%s", prefix, key)))
            return true;
    }
    if (!prefix)
        return true;
    diag_error(&l->cx->diag, DIAG_WEIGHTS_MISSING, &l->loc,
               "every tensor of the model has \"%s\" before its name here", prefix);
    if (strcmp(prefix, "module.") == 0)
        return diag_hint(&l->cx->diag, "so DataParallel saves them; save model.module.state_dict() instead");
    return diag_hint(&l->cx->diag, "save the state_dict() of the module inside instead");
}

/* The parameter's elements, or NULL after a diagnostic. */
static const float *load(Loading *l, const Value *v) {
    Diag *d = &l->cx->diag;
    Named *found = find(l, v->key);
    if (!found) {
        missing(l, v);
        return NULL;
    }
    const cnnrt_st_tensor *t = &found->t;
    found->used = true;
    if (!same_shape(t, &v->type)) {
        int64_t want[MAX_RANK];
        for (int i = 0; i < v->type.rank; i++)
            want[i] = v->type.dim[i].size;
        diag_error(d, DIAG_WEIGHTS_SHAPE, place(l, v),
                   "tensor \"%s\" of %s has shape %s, but the model needs %s", v->key, l->loc.file,
                   shape_text(l->cx, t->dim, t->rank), shape_text(l->cx, want, v->type.rank));
        hint_fresh(l, v);
        return NULL;
    }
    if (t->dtype != CNNRT_F32 && t->dtype != CNNRT_F16 && t->dtype != CNNRT_BF16 && t->dtype != CNNRT_F64) {
        diag_error(d, DIAG_WEIGHTS_DTYPE, place(l, v),
                   "tensor \"%s\" of %s has a dtype that this version does not read", v->key, l->loc.file);
        diag_hint(d, "F32, F16, BF16 and F64 are read");
        return NULL;
    }
    if (t->dtype == CNNRT_F32 && (uintptr_t)t->data % sizeof(float) == 0)
        return t->data;
    size_t n = (size_t)type_elems(&v->type, 1);
    float *data = arena_array(&l->cx->arena, n, sizeof *data);
    cnnrt_to_f32(data, t->data, t->dtype, n);
    return data;
}

/* PyTorch counts batches in an integer beside the statistics, and a checkpoint of training has the
 * optimizer's memory ("exp_avg/fc.weight") beside the weights; who wants weights has no use for either. */
static bool is_beside(const char *name) {
    static const char suffix[] = "num_batches_tracked";
    size_t n = strlen(name), k = sizeof suffix - 1;
    if (strchr(name, '/'))
        return true;
    return n >= k && strcmp(name + n - k, suffix) == 0 && (n == k || name[n - k - 1] == '.');
}

/* Does the parameter start afresh? What the file has for it then is of no use. */
static bool starts_afresh(const Loading *l, const char *key) {
    for (uint32_t i = 0; l->fresh && i < l->fresh->n_patterns; i++) {
        if (!train_matches(l->fresh->patterns[i], key))
            continue;
        Named *found = find(l, key);
        if (found)
            found->used = true;
        return true;
    }
    return false;
}

/* What only the file has. Where layers start afresh it may well be of a net with others in their place. */
static void check_extra(Loading *l) {
    enum { NAMED = 3 };
    const bool fresh = l->fresh && l->fresh->n_patterns;
    StrBuf names = sb_new(&l->cx->arena);
    uint32_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->tensors[i].used || is_beside(l->tensors[i].name))
            continue;
        if (n < NAMED)
            sb_printf(&names, n ? ", \"%s\"" : "\"%s\"", l->tensors[i].name);
        n++;
        if (!fresh)
            diag_error(&l->cx->diag, DIAG_WEIGHTS_EXTRA, &l->loc, "tensor \"%s\" is not in the model",
                       l->tensors[i].name);
    }
    if (n && fresh)
        diag_warning(&l->cx->diag, DIAG_WEIGHTS_EXTRA, &l->loc,
                     "%" PRIu32 " %s not in the model and not used: %s%s", n,
                     n == 1 ? "tensor is" : "tensors are", sb_str(&names), n > NAMED ? " and so on" : "");
    if (n && !fresh && l->fresh)
        diag_hint(&l->cx->diag, "with \"init\" in the recipe, for what starts afresh, this is a warning");
}

bool weights_from_file(Context *cx, const Graph *g, const char *path, bool strict, const FreshStart *fresh,
                       Weights *out) {
    Loading l = {.cx = cx, .g = g, .fresh = fresh, .loc = {.file = intern(cx, path)}};
    FileData file;
    uint32_t errors = cx->diag.errors;
    *out = (Weights){.file = l.loc.file};
    if (!weights_alloc(cx, g, out) || !file_read(cx, path, (size_t)WEIGHTS_MAX_GIB << 30, &file) ||
        !open_file(&l, &file) || !check_prefix(&l))
        return false;
    for (uint32_t i = 0; i < g->params.len; i++) {
        const Value *v = &g->values.data[g->params.data[i]];
        out->data[i] = starts_afresh(&l, v->key) ? NULL : load(&l, v);
    }
    if (strict)
        check_extra(&l);
    return cx->diag.errors == errors && (!fresh || weights_fill(cx, g, fresh->seed, out));
}

bool import_weights(Context *cx, const Graph *g, const char *path, Weights *out) {
    return weights_from_file(cx, g, path, true, NULL, out);
}
