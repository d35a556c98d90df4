/* The door of the front end: which reader a file needs, and where its weights come from. */
#include "frontend/frontend.h"
#include "ir/base/file.h"
#include "ir/train.h"
#include <string.h>
#include <unistd.h>

enum { CNNIR_MAX_BYTES = 64 << 20 };

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

bool check_classes(const Graph *g, const Loc *loc) {
    const uint32_t first = strcmp(g->entry, "infer") != 0; /* in training behind the loss */
    if (!g->n_classes || g->outputs.len <= first)
        return true;
    const GraphOutput *o = &g->outputs.data[first];
    const Type *t = &g->values.data[o->value].type;
    const int at = t->rank > 0 && t->dim[0].by_n; /* behind the batch */
    const int64_t features = t->rank > at ? t->dim[at].size : 1;
    if (features == g->n_classes)
        return true;
    StrBuf sb = sb_new(&g->cx->arena);
    type_print(&sb, t);
    diag_error(
        &g->cx->diag, DIAG_CLASS_COUNT, loc, "there %s %u class%s, but the first output has %lld features",
        g->n_classes == 1 ? "is" : "are", g->n_classes, g->n_classes == 1 ? "" : "es", (long long)features);
    return diag_hint(&g->cx->diag, "it is \"%s\", %s", o->name, sb_str(&sb));
}

bool import_training_dump(Context *cx, const char *path) {
    diag_error(&cx->diag, DIAG_TRAINING_DUMP, &(Loc){.file = intern(cx, path)},
               "this is a dump of the training pipeline, which is for reading");
    return diag_hint(&cx->diag,
                     "start from the model: cnnc MODEL --train --recipe R.json, or cnnc train MODEL");
}

static Graph *import_cnnir(Context *cx, const char *path, const ImportOptions *o) {
    FileData file;
    if (o->n_shapes) {
        diag_error(&cx->diag, DIAG_INPUT_SHAPE, NULL, "--input-shape does not apply to a .cnnir file");
        diag_hint(&cx->diag, "its types are written in it");
        return NULL;
    }
    if (!file_read(cx, path, CNNIR_MAX_BYTES, &file))
        return NULL;
    Graph *g = graph_parse(cx, intern(cx, path), file.data, file.size);
    const Loc loc = {.file = intern(cx, path)};
    for (Graph *each = g; each && !each->n_fixed && o->batch > 0; each = each->next)
        each->batch = o->batch; /* before the check: sizes depend on it */
    if (!g || !graph_verify(g) || !check_classes(g, &loc))
        return NULL;
    const bool trains = g->next || g->states.len || strcmp(g->entry, "infer") != 0;
    return !o->whole || !trains || import_training_dump(cx, path) ? g : NULL;
}

static Graph *refuse(Context *cx, const char *path) {
    Loc loc = {.file = intern(cx, path)};
    if (ends_with(path, ".onnx")) {
        diag_error(&cx->diag, DIAG_ONNX_UNSUPPORTED, &loc, "this version does not read ONNX files");
        diag_hint(&cx->diag, "tools/export_torch.py writes model JSON from PyTorch");
    } else {
        diag_error(&cx->diag, DIAG_FILE_TYPE, &loc, "a model file ends in .json or .cnnir");
    }
    return NULL;
}

/* The file that the model names. Where the file itself is at fault, the hint says who named it. */
static bool own_weights(Context *cx, const Graph *g, const WeightsRef *own, const FreshStart *fresh,
                        Weights *out) {
    if (weights_from_file(cx, g, own->path, true, fresh, out))
        return true;
    const DiagEntry *last = cx->diag.entries.len ? &cx->diag.entries.data[cx->diag.entries.len - 1] : NULL;
    if (last && !last->hint && last->loc.file && !strcmp(last->loc.file, own->path))
        diag_hint(&cx->diag, "it is the \"weights\" of %s:%u:%u", own->loc.file, own->loc.line, own->loc.col);
    return false;
}

/* Patterns that name nothing are slips of the pen. */
static bool check_fresh(Context *cx, const Graph *g, const FreshStart *fresh) {
    bool ok = true;
    for (uint32_t i = 0; i < fresh->n_patterns; i++) {
        bool matches = false;
        for (uint32_t k = 0; k < g->params.len && !matches; k++)
            matches = train_matches(fresh->patterns[i], g->values.data[g->params.data[k]].key);
        if (!matches)
            ok = diag_error(&cx->diag, DIAG_NO_MATCH, &fresh->loc, "no parameter is called \"%s\"",
                            fresh->patterns[i]);
    }
    return ok;
}

/* --weights or --init-seed, else the file that the model names. */
static bool find_weights(Context *cx, const Graph *g, const char *path, const WeightsRef *own,
                         const ImportOptions *o, Weights *out) {
    bool strict = !ends_with(path, ".cnnir"); /* passes drop parameters from a graph, not from the file */
    *out = (Weights){0};
    if (o->fresh && !check_fresh(cx, g, o->fresh))
        return false;
    if (o->weights)
        return weights_from_file(cx, g, o->weights, strict, o->fresh, out);
    if (o->init_seed >= 0)
        return weights_from_seed(cx, g, (uint64_t)o->init_seed, out);
    if (own->path && !(o->weights_optional && access(own->path, F_OK) != 0))
        return own_weights(cx, g, own, o->fresh, out);
    if (o->fresh)
        return weights_from_seed(cx, g, o->fresh->seed, out);
    if (g->params.len == 0)
        return weights_alloc(cx, g, out);
    if (o->weights_optional)
        return true;
    Loc loc = {.file = intern(cx, path)};
    diag_error(&cx->diag, DIAG_NO_WEIGHTS, &loc, "the model has %u parameter tensors, but no weights",
               g->params.len);
    return diag_hint(
        &cx->diag, "name a file with --weights or with \"weights\" in the model, or ask for random ones with "
                   "--init-seed N");
}

Graph *import_model(Context *cx, const char *path, const ImportOptions *o, Weights *weights) {
    WeightsRef own = {0};
    Graph *g = ends_with(path, ".json")    ? import_json(cx, path, o, &own)
               : ends_with(path, ".cnnir") ? import_cnnir(cx, path, o)
                                           : refuse(cx, path);
    return g && find_weights(cx, g, path, &own, o, weights) ? g : NULL;
}
