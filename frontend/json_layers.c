/* The list "layers" of a model file: names first, so that a reference to a later layer can be told from one
 * to nothing; then each layer's arguments, inputs, parameters and node. A layer with a fault is poisoned:
 * what follows from it is not reported again. */
#include "frontend/frontend.h"
#include "frontend/layers.h"
#include <ctype.h>
#include <string.h>

enum { MAX_LAYERS = 100000 };

/* One layer on its way through this file. */
typedef struct LayerDraft {
    const Json *object;
    const LayerRow *row; /* NULL: unknown type, reported */
    const char *name;    /* NULL: unusable, reported */
    bool named;          /* by the file */
    bool ok;
    Loc loc;
} LayerDraft;

/* What other frameworks, and PyTorch's functions, call layers: near to no type of that meaning. */
static const char *const other_names[][2] = {
    {"Cat", "Concat"},
    {"Chunk", "Split"},
    {"Concatenate", "Concat"},
    {"Deconvolution", "ConvTranspose2d"},
    {"Dense", "Linear"},
    {"Gemm", "Linear"},
    {"GlobalAveragePool", "AdaptiveAvgPool2d"},
    {"Interpolate", "Upsample"},
    {"Resize", "Upsample"},
    {"Swish", "SiLU"},
    {"Transpose", "Permute"},
};

static const char *meant_type(const char *type, const char *const *names, uint32_t n) {
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
        if (!strcmp(type, other_names[i][0]))
            return other_names[i][1];
    return diag_nearest(type, names, n);
}

/* The error, with the type that is meant; where none is near, the list of them, once. */
static void unknown_type(ModelImport *m, const char *type, const Loc *loc) {
    Diag *d = &m->cx->diag;
    const char **names = NEW_ARRAY(&m->cx->arena, const char *, layer_count), *near = NULL;
    uint32_t n = 0;
    for (; n < layer_count; n++)
        names[n] = layer_table[n]->type;
    if (layer_is_torchs(type)) {
        diag_error(d, DIAG_UNKNOWN_LAYER, loc, "PyTorch's %s is not supported by this version", type);
    } else {
        diag_error(d, DIAG_UNKNOWN_LAYER, loc, "there is no layer type \"%s\"", type);
        near = meant_type(type, names, n);
    }
    if (near) {
        diag_hint(d, "did you mean \"%s\"?", near);
    } else if (!m->types_listed) {
        StrBuf sb = sb_new(&m->cx->arena);
        for (uint32_t i = 0; i < n; i++)
            sb_printf(&sb, "%s%s", i ? ", " : "", names[i]);
        diag_hint(d, "the types are %s", sb_str(&sb));
        m->types_listed = true;
    }
}

static const LayerRow *read_type(ModelImport *m, const LayerDraft *l) {
    bool ok = true;
    const Json *type = model_member(m, l->object, "type", JSON_STRING, &l->loc, &ok);
    Diag *d = &m->cx->diag;
    if (!type) {
        if (ok)
            diag_error(d, DIAG_MISSING_KEY, &l->loc, "a layer needs \"type\"");
        return NULL;
    }
    const LayerRow *row = layer_by_type(type->str);
    if (row)
        return row;
    Loc loc = model_loc(m, &l->loc, type->offset);
    unknown_type(m, type->str, &loc);
    return NULL;
}

static void read_head(ModelImport *m, const Json *object, uint32_t index, LayerDraft *l) {
    *l = (LayerDraft){.object = object, .ok = true};
    l->loc = json_loc_at(&m->doc, object->offset);
    l->loc.pointer = intern_f(m->cx, "/layers/%u", index);
    if (object->kind != JSON_OBJECT) {
        l->ok = diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &l->loc, "a layer must be an object, not %s",
                           json_kind_text(object));
        return;
    }
    const Json *name = model_member(m, object, "name", JSON_STRING, &l->loc, &l->ok);
    if (name && model_name_ok(m, name, &l->loc)) {
        l->name = l->loc.name = name->str;
        l->named = true;
    } else if (name) {
        l->ok = false;
    }
    l->row = read_type(m, l);
    l->ok = l->ok && l->row;
}

/* Its place in m->entries. */
static uint32_t entry_of(const ModelImport *m, uint32_t layer) {
    return m->n_inputs + layer;
}

static void name_from_file(ModelImport *m, LayerDraft *l, uint32_t index) {
    if (model_name_entry(m, entry_of(m, index), l->name))
        return;
    const Entry *other = model_find(m, l->name);
    Loc loc = model_loc(m, &l->loc, json_get(l->object, "name")->offset);
    loc.name = NULL;
    l->ok = diag_error(&m->cx->diag, DIAG_DUPLICATE_NAME, &loc, "the name \"%s\" is taken by %s %u", l->name,
                       other->is_layer ? "layer" : "input", other->index);
}

/* "relu3" for the layer 3; underscores follow while the file itself uses the name. */
static void name_from_type(ModelImport *m, LayerDraft *l, uint32_t index) {
    char type[32] = {0};
    for (size_t i = 0; l->row && l->row->type[i] && i < sizeof type - 1; i++)
        type[i] = (char)tolower((unsigned char)l->row->type[i]);
    const char *name = intern_f(m->cx, "%s%u", l->row ? type : "layer", index);
    while (model_find(m, name))
        name = intern_f(m->cx, "%s_", name);
    l->name = l->loc.name = m->entries.data[entry_of(m, index)].loc.name = name;
    model_name_entry(m, entry_of(m, index), name);
}

/* ---- Inputs ---- */

/* The layer that `l` follows, or the only input. */
static bool default_input(ModelImport *m, const LayerDraft *drafts, uint32_t index, ValueId *out) {
    const LayerDraft *l = &drafts[index];
    if (m->n_inputs == 0)
        return false; /* reported already */
    if (index == 0 && m->n_inputs > 1)
        return diag_error(&m->cx->diag, DIAG_INPUT_COUNT, &l->loc,
                          "the model has %u inputs; say which one this layer takes in \"inputs\"",
                          m->n_inputs);
    return model_take(m, &m->entries.data[index ? entry_of(m, index - 1) : 0], NO_PART, &l->loc, out);
}

/* One name in "inputs". */
static bool resolve(ModelImport *m, const LayerDraft *l, uint32_t index, const Json *ref, ValueId *out) {
    Loc loc = model_loc(m, &l->loc, ref->offset);
    if (ref->kind != JSON_STRING)
        return diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &loc,
                          "inputs must hold names of layers or inputs, not %s", json_kind_text(ref));
    uint32_t part;
    Entry *e = model_refer(m, ref->str, &part);
    if (!e)
        return model_unknown_name(m, ref, &l->loc, ref->str);
    if (e->is_layer && e->index >= index) {
        if (e->index == index)
            return diag_error(&m->cx->diag, DIAG_FORWARD_REFERENCE, &loc, "the layer takes itself as input");
        diag_error(&m->cx->diag, DIAG_FORWARD_REFERENCE, &loc, "it takes \"%s\", which is a later layer (%u)",
                   ref->str, e->index);
        return diag_hint(&m->cx->diag, "a layer takes inputs and layers above it; a graph has no cycles");
    }
    return model_take(m, e, part, &loc, out);
}

/* The layer's inputs in *ids. False when one is missing or poisoned. */
static bool read_inputs(ModelImport *m, const LayerDraft *drafts, uint32_t index, ValueId **ids,
                        uint32_t *n) {
    const LayerDraft *l = &drafts[index];
    bool ok = true, many = l->row && l->row->many_inputs;
    const Json *list = model_member(m, l->object, "inputs", JSON_ARRAY, &l->loc, &ok);
    if (!ok)
        return false;
    *n = list ? list->n : 1;
    *ids = NEW_ARRAY(&m->cx->arena, ValueId, *n + 1);
    if (list) {
        ValueId *id = *ids;
        for (const Json *ref = list->first; ref; ref = ref->next)
            ok &= resolve(m, l, index, ref, id++);
    } else if (!many) {
        ok = default_input(m, drafts, index, *ids);
    }
    if (!l->row || (many ? *n >= 2 : *n == 1))
        return ok;
    if (!list)
        return diag_error(&m->cx->diag, DIAG_INPUT_COUNT, &l->loc, "%s needs \"inputs\", two or more",
                          l->row->type);
    Loc loc = model_loc(m, &l->loc, list->offset);
    return diag_error(&m->cx->diag, DIAG_INPUT_COUNT, &loc, "%s takes %s, not %u", l->row->type,
                      many ? "two or more inputs" : "one input", list->n);
}

/* ---- Building ---- */

static bool declare_params(ModelImport *m, LayerCall *c) {
    Type types[MAX_PARAMS];
    for (uint32_t i = 0; i < c->row->n_params; i++)
        if (!layer_param_type(c, &c->row->params[i], &types[i]))
            return false;
    for (uint32_t i = 0; i < c->row->n_params; i++) {
        const ParamRow *p = &c->row->params[i];
        c->params[i] = NO_VALUE;
        if (p->when && !layer_arg(c, p->when)->v[0])
            continue;
        const char *key = intern_f(m->cx, "%s.%s", c->name, p->name);
        c->params[i] = graph_param(m->g, p->kind, key, key, types[i], c->loc);
    }
    return true;
}

/* The results of a layer with several, for those who take them. Their names must not be other layers'. */
static void enter_results(ModelImport *m, const LayerCall *c, Entry *e) {
    e->parts = c->results;
    e->n_parts = c->n_results;
    for (uint32_t i = 0; i < c->n_results; i++) {
        const char *name = intern_f(m->cx, "%s.%u", c->name, i);
        if (model_find(m, name))
            diag_error(&m->cx->diag, DIAG_DUPLICATE_NAME, &c->loc,
                       "its result %u is called \"%s\", and so is another layer or input", i, name);
    }
}

static void build_layer(ModelImport *m, LayerDraft *drafts, uint32_t index) {
    LayerDraft *l = &drafts[index];
    ValueId *ids = NULL;
    uint32_t n = 0;
    LayerCall c = {.cx = m->cx, .g = m->g, .doc = &m->doc, .row = l->row, .object = l->object, .loc = l->loc};
    c.name = l->name;
    bool ok = l->ok;
    if (l->row)
        ok &= layer_read_args(&c);
    if (l->object->kind == JSON_OBJECT)
        ok &= read_inputs(m, drafts, index, &ids, &n);
    if (!ok)
        return;
    c.inputs = ids;
    c.n_inputs = n;
    ValueId v = layer_check_input(&c) && declare_params(m, &c) ? l->row->build(&c) : NO_VALUE;
    if (v != NO_VALUE && type_physical_elems(&graph_value(m->g, v)->type, m->g->batch) < 0)
        diag_error(&m->cx->diag, DIAG_SIZE_OVERFLOW, &l->loc,
                   "its result has 2^40 elements or more at batch %lld", (long long)m->g->batch);
    else
        m->entries.data[entry_of(m, index)].value = v;
    if (v != NO_VALUE && l->row->many_results)
        enter_results(m, &c, &m->entries.data[entry_of(m, index)]);
}

void import_layers(ModelImport *m, const Json *layers) {
    Loc loc = json_loc_at(&m->doc, layers->offset);
    Diag *d = &m->cx->diag;
    if (layers->n == 0)
        diag_error(d, DIAG_INPUT_COUNT, &loc, "a model needs at least one layer");
    if (layers->n > MAX_LAYERS) {
        diag_error(d, DIAG_MODEL_SIZE, &loc, "a model may have at most %d layers, not %u", MAX_LAYERS,
                   layers->n);
        return;
    }
    LayerDraft *drafts = NEW_ARRAY(&m->cx->arena, LayerDraft, layers->n + 1);
    uint32_t i = 0;
    for (const Json *j = layers->first; j; j = j->next, i++) {
        read_head(m, j, i, &drafts[i]);
        Entry e = {.value = NO_VALUE, .is_layer = true, .index = i, .loc = drafts[i].loc};
        e.many = drafts[i].row && drafts[i].row->many_results;
        vec_push(&m->cx->arena, &m->entries, e);
    }
    for (i = 0; i < layers->n; i++)
        if (drafts[i].named)
            name_from_file(m, &drafts[i], i);
    for (i = 0; i < layers->n; i++)
        if (!drafts[i].named)
            name_from_type(m, &drafts[i], i);
    for (i = 0; i < layers->n && !diag_full(d); i++)
        build_layer(m, drafts, i);
}
