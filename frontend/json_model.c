/* The top level of a model file: format, inputs, outputs, classes. The layers are in json_layers.c. */
#include "frontend/frontend.h"
#include "ir/base/file.h"
#include "ir/op.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define MODEL_FORMAT "cnnc-model/1"

enum { MAX_NAME = 255, MAX_CANDIDATES = 2000 };

/* ---- Names ---- */

static uint32_t *slot_of(const ModelImport *m, const char *name) {
    uint64_t h =
        (uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15); /* names are interned: the pointer is the name */
    uint32_t i = (uint32_t)(h >> 32) & (m->n_slots - 1);
    while (m->slots[i] && m->entries.data[m->slots[i] - 1].name != name)
        i = (i + 1) & (m->n_slots - 1);
    return &m->slots[i];
}

Entry *model_find(const ModelImport *m, const char *name) {
    uint32_t at = *slot_of(m, name);
    return at ? &m->entries.data[at - 1] : NULL;
}

/* The number after the last dot of a name; NO_PART: there is none. */
static uint32_t part_of(const char *dot) {
    const size_t digits = strspn(dot + 1, "0123456789");
    if (digits == 0 || digits > 6 || dot[1 + digits] || (dot[1] == '0' && digits > 1))
        return NO_PART;
    return (uint32_t)strtoul(dot + 1, NULL, 10);
}

Entry *model_refer(const ModelImport *m, const char *name, uint32_t *part) {
    Entry *e = model_find(m, name);
    const char *dot = strrchr(name, '.');
    *part = NO_PART;
    if (e || !dot || part_of(dot) == NO_PART)
        return e;
    e = model_find(m, intern_n(m->cx, name, (size_t)(dot - name)));
    *part = part_of(dot);
    return e && e->many ? e : NULL;
}

bool model_take(const ModelImport *m, Entry *e, uint32_t part, const Loc *loc, ValueId *out) {
    e->used = true;
    if (e->value == NO_VALUE)
        return false; /* reported already */
    *out = e->many && part < e->n_parts ? e->parts[part] : e->value;
    if (!e->many || part < e->n_parts)
        return true;
    diag_error(&m->cx->diag, DIAG_UNKNOWN_NAME, loc, "\"%s\" has %u results; %s", e->name, e->n_parts,
               part == NO_PART ? "say which one is meant" : "there are not so many");
    return diag_hint(&m->cx->diag, "they are \"%s.0\" to \"%s.%u\"", e->name, e->name, e->n_parts - 1);
}

bool model_name_entry(ModelImport *m, uint32_t entry, const char *name) {
    m->entries.data[entry].name = name;
    uint32_t *slot = slot_of(m, name);
    if (*slot)
        return false;
    *slot = entry + 1;
    return true;
}

/* Twice as many slots as there can be names. */
static void names_init(ModelImport *m, uint32_t inputs, uint32_t layers) {
    m->n_slots = 16;
    while (m->n_slots < 2 * (inputs + layers))
        m->n_slots *= 2;
    m->slots = NEW_ARRAY(&m->cx->arena, uint32_t, m->n_slots);
}

Loc model_loc(const ModelImport *m, const Loc *loc, uint32_t offset) {
    Loc l = json_loc_at(&m->doc, offset);
    l.pointer = loc->pointer;
    l.name = loc->name;
    return l;
}

bool model_unknown_name(const ModelImport *m, const Json *at, const Loc *loc, const char *name) {
    Loc l = model_loc(m, loc, at->offset);
    Diag *d = &m->cx->diag;
    diag_error(d, DIAG_UNKNOWN_NAME, &l, "no layer or input is called \"%s\"", name);
    uint32_t n = m->entries.len < MAX_CANDIDATES ? m->entries.len : MAX_CANDIDATES;
    const char **names = NEW_ARRAY(&m->cx->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++)
        names[i] = m->entries.data[i].name;
    const char *near = diag_nearest(name, names, n);
    if (near)
        diag_hint(d, "did you mean \"%s\"?", near);
    return false;
}

bool model_name_ok(const ModelImport *m, const Json *j, const Loc *loc) {
    size_t n = strlen(j->str);
    Loc l = model_loc(m, loc, j->offset);
    if (n == 0)
        return diag_error(&m->cx->diag, DIAG_BAD_NAME, &l, "a name must not be empty");
    if (n > MAX_NAME)
        return diag_error(&m->cx->diag, DIAG_BAD_NAME, &l, "a name may have at most %d bytes, not %zu",
                          MAX_NAME, n);
    return true;
}

const Json *model_member(const ModelImport *m, const Json *object, const char *key, JsonKind kind,
                         const Loc *loc, bool *ok) {
    static const char *const want[] = {"null",     "true or false", "a number",
                                       "a string", "a list",        "an object"};
    const Json *j = json_get(object, key);
    if (!j || j->kind == kind)
        return j;
    Loc l = model_loc(m, loc, j->offset);
    *ok = diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &l, "%s must be %s, not %s", key, want[kind],
                     json_kind_text(j));
    return NULL;
}

/* ---- Inputs ---- */

static const char *const input_names[] = {"name",   "shape",       "dtype", "layout", "color",
                                          "resize", "center_crop", "mean",  "std"};
static const KeySet input_keys = {"an input", input_names, COUNT(input_names)};

/* Dimensions from --input-shape NAME=3x224x224 in place of the file's; n is their number. */
static bool parse_shape_option(const char *option, int64_t *dims, uint32_t *n) {
    const char *p = strchr(option, '=');
    *n = 0;
    while (p && *n < MAX_RANK - 1) {
        char *end;
        dims[*n] = p[1] >= '0' && p[1] <= '9' ? strtoll(p + 1, &end, 10) : 0;
        if (dims[*n] < 1 || dims[*n] > INT32_MAX)
            break;
        ++*n;
        if (*end == '\0')
            return true;
        p = *end == 'x' ? end : NULL;
    }
    return false;
}

static const char *shape_option(const ModelImport *m, const char *name) {
    size_t n = strlen(name);
    for (uint32_t i = m->o->n_shapes; i-- > 0;) /* the last one counts */
        if (strncmp(m->o->shapes[i], name, n) == 0 && m->o->shapes[i][n] == '=')
            return m->o->shapes[i];
    return NULL;
}

/* Every --input-shape must be well-formed and name an input. */
static void check_shape_options(ModelImport *m) {
    for (uint32_t i = 0; i < m->o->n_shapes; i++) {
        const char *option = m->o->shapes[i];
        const char *name = intern_n(m->cx, option, strcspn(option, "="));
        Entry *e = model_find(m, name);
        int64_t dims[MAX_RANK];
        uint32_t n;
        if (!parse_shape_option(option, dims, &n)) {
            diag_error(&m->cx->diag, DIAG_INPUT_SHAPE, NULL,
                       "--input-shape %s: expected NAME=DIMxDIM..., one to %d positive numbers", option,
                       MAX_RANK - 1);
            continue;
        }
        if (e && !e->is_layer)
            continue;
        diag_error(&m->cx->diag, DIAG_INPUT_SHAPE, NULL, "--input-shape %s: the model has no input \"%s\"",
                   option, name);
        if (m->n_inputs)
            diag_hint(&m->cx->diag, "its first input is \"%s\"", m->entries.data[0].name);
    }
}

static bool read_shape(const ModelImport *m, const Json *list, const Loc *loc, int64_t *dims, uint32_t *n) {
    Loc l = model_loc(m, loc, list->offset);
    if (list->n < 1 || list->n > MAX_RANK - 1)
        return diag_error(&m->cx->diag, DIAG_OUT_OF_RANGE, &l,
                          "a shape has one to %d dimensions without the batch, not %u", MAX_RANK - 1,
                          list->n);
    *n = 0;
    for (const Json *j = list->first; j; j = j->next) {
        l = model_loc(m, loc, j->offset);
        if (j->kind != JSON_NUMBER || !j->is_int)
            return diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &l, "a dimension must be a whole number");
        if (j->num < 1 || j->num > INT32_MAX)
            return diag_error(&m->cx->diag, DIAG_OUT_OF_RANGE, &l,
                              "a dimension must be from 1 to 2147483647, not %.17g", j->num);
        dims[(*n)++] = (int64_t)j->num;
    }
    return true;
}

static bool input_type(const ModelImport *m, const Json *input, const char *name, DType dtype, const Loc *loc,
                       Type *out) {
    bool ok = true;
    int64_t dims[MAX_RANK];
    uint32_t n = 0;
    const Json *shape = model_member(m, input, "shape", JSON_ARRAY, loc, &ok);
    const char *option = shape_option(m, name);
    if (!shape)
        return ok && key_missing(&m->doc, input, &input_keys, "shape", loc);
    if (!read_shape(m, shape, loc, dims, &n) || (option && !parse_shape_option(option, dims, &n)))
        return false; /* a malformed option is reported by check_shape_options */
    Dim d[MAX_RANK] = {{1, true}};
    for (uint32_t i = 0; i < n; i++)
        d[i + 1] = (Dim){dims[i], false};
    *out = type_make(dtype, (uint8_t)(n + 1), d);
    if (type_physical_bytes(out, m->g->batch) < 0)
        return diag_error(&m->cx->diag, DIAG_SIZE_OVERFLOW, loc, "the input is too large to count its bytes");
    return true;
}

/* "mean" or "std": one number for each channel; NULL after a diagnostic. The range keeps quotients within
 * f32. */
static double *read_channels(const ModelImport *m, const Json *list, const Loc *loc, const Type *t) {
    const int64_t channels = t->dim[1].size;
    Loc l = model_loc(m, loc, list->offset);
    Diag *d = &m->cx->diag;
    bool is_std = strcmp(list->key, "std") == 0;
    if (list->n != channels) {
        diag_error(d, DIAG_BAD_ARGUMENT, &l, "%s has length %u, but the input has %" PRId64 " channels",
                   list->key, list->n, channels);
        if (t->rank > 2 && t->dim[2].size == list->n)
            diag_hint(d, "a shape is without the batch and begins with the channels");
        return NULL;
    }
    double *values = NEW_ARRAY(&m->cx->arena, double, list->n), *v = values;
    for (const Json *j = list->first; j; j = j->next) {
        l = model_loc(m, loc, j->offset);
        if (j->kind != JSON_NUMBER)
            diag_error(d, DIAG_WRONG_TYPE, &l, "%s must hold numbers, not %s", list->key, json_kind_text(j));
        else if (is_std && !(j->num >= 1e-18 && j->num <= 1e18))
            diag_error(d, DIAG_OUT_OF_RANGE, &l, "std is %.17g; it must be from 1e-18 to 1e18", j->num);
        else if (!(fabs(j->num) <= 1e18))
            diag_error(d, DIAG_OUT_OF_RANGE, &l, "mean is %.17g; it must be from -1e18 to 1e18", j->num);
        else
            *v++ = j->num;
    }
    return v == values + list->n ? values : NULL;
}

static ValueId channel_const(ModelImport *m, const char *name, const Type *input, const double *values,
                             Loc loc) {
    Dim d[MAX_RANK];
    for (int i = 0; i + 1 < input->rank; i++)
        d[i] = (Dim){i == 0 ? input->dim[1].size : 1, false};
    Type t = type_make(DT_F32, (uint8_t)(input->rank - 1), d);
    float *data = NEW_ARRAY(&m->cx->arena, float, (size_t)d[0].size);
    for (int64_t i = 0; i < d[0].size; i++)
        data[i] = (float)values[i];
    return graph_const(m->g, name, t, data, loc);
}

/* (x - mean) / std as x * scale + shift with constants; the nodes make a layer "image.normalize". */
static ValueId normalize(ModelImport *m, ValueId x, const char *name, const Json *mean, const Json *std,
                         const Loc *loc) {
    Type t = graph_value(m->g, x)->type;
    int64_t channels = t.dim[1].size;
    double *shift = mean ? read_channels(m, mean, loc, &t) : NULL;
    double *scale = std ? read_channels(m, std, loc, &t) : NULL;
    if ((mean && !shift) || (std && !scale))
        return NO_VALUE;
    Loc at = *loc;
    at.name = intern_f(m->cx, "%s.normalize", name);
    for (int64_t i = 0; i < channels && std; i++)
        scale[i] = 1 / scale[i];
    for (int64_t i = 0; i < channels && mean; i++)
        shift[i] *= std ? -scale[i] : -1;
    if (std) {
        ValueId c = channel_const(m, intern_f(m->cx, "%s.scale", name), &t, scale, *loc);
        const char *scaled = intern_f(m->cx, mean ? "%s.scaled" : "%s.normalized", name);
        x = graph_node(m->g, OP_mul, (ValueId[]){x, c}, 2, NULL, scaled, at);
    }
    if (mean && x != NO_VALUE) {
        ValueId c = channel_const(m, intern_f(m->cx, "%s.shift", name), &t, shift, *loc);
        x = graph_node(m->g, OP_add, (ValueId[]){x, c}, 2, NULL, intern_f(m->cx, "%s.normalized", name), at);
    }
    return x;
}

static void import_input(ModelImport *m, const Json *input, uint32_t index) {
    Loc loc = json_loc_at(&m->doc, input->offset);
    loc.pointer = intern_f(m->cx, "/inputs/%u", index);
    if (input->kind != JSON_OBJECT) {
        diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &loc, "an input must be an object, not %s",
                   json_kind_text(input));
        return;
    }
    bool ok = check_keys(&m->doc, input, &input_keys, &loc);
    DType dtype = DT_F32;
    const Picture *picture = NULL;
    ok &= picture_read(m, input, &loc, &dtype, &picture);
    const Json *mean = model_member(m, input, "mean", JSON_ARRAY, &loc, &ok);
    const Json *std = model_member(m, input, "std", JSON_ARRAY, &loc, &ok);
    const Json *name = model_member(m, input, "name", JSON_STRING, &loc, &ok);
    if (!name) {
        if (!json_get(input, "name"))
            key_missing(&m->doc, input, &input_keys, "name", &loc);
        return;
    }
    Entry e = {.value = NO_VALUE, .index = index, .loc = loc};
    Type type;
    if (!model_name_ok(m, name, &loc))
        return;
    if (input_type(m, input, name->str, dtype, &loc, &type) && ok && picture_check(m, picture, &type, &loc)) {
        picture = picture_for_training(m, picture, &type);
        const ValueId x = graph_input(m->g, name->str, type, loc);
        graph_value(m->g, x)->picture = picture;
        e.value = picture_to_tensor(m, x, picture, &loc);
        e.value = e.value == NO_VALUE ? NO_VALUE : normalize(m, e.value, name->str, mean, std, &loc);
    }
    vec_push(&m->cx->arena, &m->entries, e);
    if (!model_name_entry(m, m->entries.len - 1, name->str)) {
        Loc l = model_loc(m, &loc, name->offset);
        diag_error(&m->cx->diag, DIAG_DUPLICATE_NAME, &l, "two inputs are called \"%s\"", name->str);
    }
}

static void import_inputs(ModelImport *m, const Json *inputs) {
    uint32_t index = 0;
    if (inputs->n == 0) {
        Loc loc = json_loc_at(&m->doc, inputs->offset);
        diag_error(&m->cx->diag, DIAG_INPUT_COUNT, &loc, "a model needs at least one input");
    }
    for (const Json *j = inputs->first; j && !diag_full(&m->cx->diag); j = j->next)
        import_input(m, j, index++);
    m->n_inputs = m->entries.len;
    check_shape_options(m);
}

/* ---- Outputs and classes ---- */

static bool output_name_free(const ModelImport *m, const char *name) {
    for (uint32_t i = 0; i < m->g->outputs.len; i++)
        if (strcmp(m->g->outputs.data[i].name, name) == 0)
            return false;
    return true;
}

/* An output as "fc" or as {"name": "logits", "from": "fc"}. */
static void import_output(ModelImport *m, const Json *output, uint32_t index) {
    static const char *const names[] = {"name", "from"};
    static const KeySet keys = {"an output", names, COUNT(names)};
    Loc loc = json_loc_at(&m->doc, output->offset);
    loc.pointer = intern_f(m->cx, "/outputs/%u", index);
    const Json *name = output, *from = output;
    if (output->kind == JSON_OBJECT) {
        bool ok = check_keys(&m->doc, output, &keys, &loc);
        name = model_member(m, output, "name", JSON_STRING, &loc, &ok);
        from = model_member(m, output, "from", JSON_STRING, &loc, &ok);
        if (ok && (!name || !from))
            ok = key_missing(&m->doc, output, &keys, name ? "from" : "name", &loc);
        if (!ok)
            return;
    } else if (output->kind != JSON_STRING) {
        diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &loc, "an output must be a string or an object, not %s",
                   json_kind_text(output));
        return;
    }
    if (!model_name_ok(m, name, &loc))
        return;
    uint32_t part;
    ValueId v = NO_VALUE;
    Entry *e = model_refer(m, from->str, &part);
    if (!e) {
        model_unknown_name(m, from, &loc, from->str);
        return;
    }
    loc = model_loc(m, &loc, from->offset);
    const bool there = model_take(m, e, part, &loc, &v);
    if (!output_name_free(m, name->str)) {
        Loc l = model_loc(m, &loc, name->offset);
        diag_error(&m->cx->diag, DIAG_DUPLICATE_NAME, &l, "two outputs are called \"%s\"", name->str);
    } else if (there) {
        graph_output(m->g, name->str, v);
    }
}

static void import_outputs(ModelImport *m, const Json *outputs) {
    uint32_t index = 0;
    if (outputs && outputs->n > MAX_OUTPUTS) {
        Loc loc = json_loc_at(&m->doc, outputs->offset);
        loc.pointer = intern(m->cx, "/outputs");
        diag_error(&m->cx->diag, DIAG_MODEL_SIZE, &loc, "a model may have at most %d outputs, not %u",
                   MAX_OUTPUTS, outputs->n);
        return;
    }
    if (!outputs) {
        Entry *last = m->entries.len > m->n_inputs ? &m->entries.data[m->entries.len - 1] : NULL;
        ValueId v;
        if (last && model_take(m, last, NO_PART, &last->loc, &v))
            graph_output(m->g, intern(m->cx, "output"), v);
        return;
    }
    if (outputs->n == 0) {
        Loc loc = json_loc_at(&m->doc, outputs->offset);
        diag_error(&m->cx->diag, DIAG_INPUT_COUNT, &loc, "a model needs at least one output");
        diag_hint(&m->cx->diag, "leave \"outputs\" out, and the last layer is the output");
    }
    for (const Json *j = outputs->first; j && !diag_full(&m->cx->diag); j = j->next)
        import_output(m, j, index++);
}

static void import_classes(ModelImport *m, const Json *classes) {
    m->g->classes = NEW_ARRAY(&m->cx->arena, const char *, classes->n + 1);
    for (const Json *j = classes->first; j; j = j->next) {
        if (j->kind == JSON_STRING) {
            m->g->classes[m->g->n_classes++] = j->str;
            continue;
        }
        Loc loc = json_loc_at(&m->doc, j->offset);
        loc.pointer = intern(m->cx, "/classes");
        diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &loc, "a class must be a string, not %s",
                   json_kind_text(j));
        return;
    }
}

/* A layer whose result nobody takes is most likely a mistake in some "inputs". */
static void warn_unused(const ModelImport *m) {
    for (uint32_t i = m->n_inputs; i < m->entries.len; i++) {
        const Entry *e = &m->entries.data[i];
        if (!e->used)
            diag_warning(&m->cx->diag, DIAG_UNUSED_LAYER, &e->loc, "no layer and no output takes its result");
    }
}

/* ---- The whole file ---- */

static bool check_format(const ModelImport *m, const Json *root, const Loc *loc) {
    bool ok = true;
    const Json *format = model_member(m, root, "format", JSON_STRING, loc, &ok);
    if (!ok || (format && strcmp(format->str, MODEL_FORMAT) == 0))
        return ok;
    if (!format) {
        diag_error(&m->cx->diag, DIAG_MISSING_KEY, loc, "a model file needs \"format\"");
        return diag_hint(&m->cx->diag, "begin with {\"format\": \"" MODEL_FORMAT "\", ...");
    }
    Loc l = model_loc(m, loc, format->offset);
    return diag_error(&m->cx->diag, DIAG_MODEL_FORMAT, &l,
                      "the format is \"%s\"; this version reads \"" MODEL_FORMAT "\"", format->str);
}

static void import_root(ModelImport *m, const Json *root, WeightsRef *ref) {
    static const char *const names[] = {"format", "name",   "description", "weights",
                                        "inputs", "layers", "outputs",     "classes"};
    static const KeySet keys = {"a model file", names, COUNT(names)};
    static const char *const needed[] = {"name", "inputs", "layers"};
    Loc loc = json_loc_at(&m->doc, root->offset);
    bool ok = true;
    if (root->kind != JSON_OBJECT) {
        diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &loc, "a model file must be an object, not %s",
                   json_kind_text(root));
        return;
    }
    if (!check_format(m, root, &loc))
        return;
    check_keys(&m->doc, root, &keys, &loc);
    model_member(m, root, "description", JSON_STRING, &loc, &ok);
    const Json *name = model_member(m, root, "name", JSON_STRING, &loc, &ok);
    const Json *weights = model_member(m, root, "weights", JSON_STRING, &loc, &ok);
    const Json *inputs = model_member(m, root, "inputs", JSON_ARRAY, &loc, &ok);
    const Json *layers = model_member(m, root, "layers", JSON_ARRAY, &loc, &ok);
    const Json *outputs = model_member(m, root, "outputs", JSON_ARRAY, &loc, &ok);
    const Json *classes = model_member(m, root, "classes", JSON_ARRAY, &loc, &ok);
    for (size_t i = 0; i < COUNT(needed); i++)
        if (!json_get(root, needed[i]))
            key_missing(&m->doc, root, &keys, needed[i], &loc);
    if (name && model_name_ok(m, name, &loc))
        m->g->name = name->str;
    if (weights)
        *ref =
            (WeightsRef){path_beside(m->cx, m->doc.file, weights->str), model_loc(m, &loc, weights->offset)};
    if (classes)
        import_classes(m, classes);
    if (!inputs || !layers)
        return;
    names_init(m, inputs->n, layers->n);
    import_inputs(m, inputs);
    import_layers(m, layers);
    import_outputs(m, outputs);
    if (m->cx->diag.errors > 0)
        return; /* outputs may be missing */
    if (classes) {
        Loc l = model_loc(m, &(Loc){.pointer = intern(m->cx, "/classes")}, classes->offset);
        check_classes(m->g, &l);
    }
    warn_unused(m);
}

Graph *import_json(Context *cx, const char *path, const ImportOptions *o, WeightsRef *weights) {
    FileData file;
    ModelImport m = {.cx = cx, .o = o};
    const char *name = intern(cx, path);
    uint32_t errors = cx->diag.errors;
    if (!file_read(cx, path, JSON_MAX_BYTES, &file) || !json_parse(cx, name, file.data, file.size, &m.doc))
        return NULL;
    m.g = graph_new(cx, "model");
    m.g->batch = o->batch > 0 ? o->batch : 1;
    import_root(&m, m.doc.root, weights);
    return cx->diag.errors == errors ? m.g : NULL;
}
