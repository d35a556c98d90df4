/* Reading a layer's arguments by the rows of its table. Every fault is reported at the place of the argument.
 */
#include "frontend/frontend.h"
#include "frontend/layers.h"
#include <inttypes.h>
#include <string.h>

static const char *const layer_keys[] = {"type", "name", "inputs"};

/* Spatial dimensions of the row's input; 1 of a row of any rank. */
static uint32_t spatial(const LayerCall *c) {
    return c->row->rank > 2 ? c->row->rank - 2 : 1;
}

static uint32_t arg_index(const LayerRow *row, const char *name) {
    for (uint32_t i = 0; i < row->n_args; i++)
        if (strcmp(row->args[i].name, name) == 0)
            return i;
    return row->n_args;
}

const Arg *layer_arg(const LayerCall *c, const char *name) {
    return &c->args[arg_index(c->row, name)];
}

/* A fault of the argument: the layer's pointer and name, the argument's line and column. */
static Loc loc_of(const LayerCall *c, uint32_t offset) {
    Loc loc = json_loc_at(c->doc, offset);
    loc.pointer = c->loc.pointer;
    loc.name = c->loc.name;
    return loc;
}

Loc layer_arg_loc(const LayerCall *c, const char *name) {
    const Arg *a = layer_arg(c, name);
    return a->at ? loc_of(c, a->at->key_offset) : c->loc;
}

static bool wrong_type(const LayerCall *c, const Json *j, const char *name, const char *want) {
    Loc loc = loc_of(c, j->offset);
    return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc, "%s must be %s, not %s", name, want,
                      json_kind_text(j));
}

static bool out_of_range(const LayerCall *c, const Json *j, const ArgRow *r) {
    Loc loc = loc_of(c, j->offset);
    Diag *d = &c->cx->diag;
    bool is_count = r->hi >= SIZE_MAX_ARG; /* a count's upper end matters only to those who passed it */
    if (is_count && j->num < r->lo)
        return diag_error(d, DIAG_OUT_OF_RANGE, &loc, "%s is %.17g; it must be at least %.17g", r->name,
                          j->num, r->lo);
    if (is_count)
        return diag_error(d, DIAG_OUT_OF_RANGE, &loc, "%s is %.17g; it must be at most %.17g", r->name,
                          j->num, r->hi);
    return diag_error(d, DIAG_OUT_OF_RANGE, &loc, "%s is %.17g; it must be from %g to %g", r->name, j->num,
                      r->lo, r->hi);
}

static bool unsupported(const LayerCall *c, const Json *j, const ArgRow *r, const char *only) {
    Loc loc = loc_of(c, j->offset);
    return diag_error(&c->cx->diag, DIAG_UNSUPPORTED_ARGUMENT, &loc,
                      "only %s = %s is supported by this version", r->name, only);
}

static bool in_range(const ArgRow *r, double v) {
    return (r->lo == 0 && r->hi == 0) || (v >= r->lo && v <= r->hi);
}

static bool read_int(const LayerCall *c, const Json *j, const ArgRow *r, int64_t *out) {
    if (j->kind == JSON_NUMBER && !j->is_int) {
        Loc loc = loc_of(c, j->offset);
        return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc, "%s must be a whole number, not %.17g",
                          r->name, j->num);
    }
    if (j->kind != JSON_NUMBER)
        return wrong_type(c, j, r->name, "a whole number");
    if (!in_range(r, j->num))
        return out_of_range(c, j, r);
    *out = (int64_t)j->num;
    return true;
}

/* `want` is what the message asks for in place of something that is neither a number nor a list. */
static bool read_sizes(const LayerCall *c, const Json *j, const ArgRow *r, const char *want, Arg *a) {
    bool may_null = r->kind == ARG_SIZES_OR_IN;
    uint32_t n = spatial(c);
    if (j->kind == JSON_NUMBER) {
        if (!read_int(c, j, r, &a->v[0]))
            return false;
        for (uint32_t i = 1; i < n; i++)
            a->v[i] = a->v[0];
        return true;
    }
    if (j->kind == JSON_NULL && may_null)
        return true;
    if (j->kind != JSON_ARRAY)
        return wrong_type(c, j, r->name, want);
    if (j->n != n) {
        Loc loc = loc_of(c, j->offset);
        return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc, "%s must have %u element%s, not %u", r->name,
                          n, n > 1 ? "s" : "", j->n);
    }
    int64_t *v = a->v;
    for (const Json *e = j->first; e; e = e->next, v++)
        if (!(e->kind == JSON_NULL && may_null) && !read_int(c, e, r, v))
            return false;
    return true;
}

static bool read_float(const LayerCall *c, const Json *j, const ArgRow *r, double *out) {
    if (j->kind != JSON_NUMBER)
        return wrong_type(c, j, r->name, "a number");
    *out = j->num;
    return in_range(r, j->num) || out_of_range(c, j, r);
}

static bool read_floats(const LayerCall *c, const Json *j, const ArgRow *r, Arg *a) {
    if (j->kind == JSON_NUMBER)
        return read_float(c, j, r, &a->factors[0]);
    if (j->kind != JSON_ARRAY)
        return wrong_type(c, j, r->name, "a number or a list of them");
    a->n = j->n;
    if (j->n < 1 || j->n > MAX_SPATIAL) {
        Loc loc = loc_of(c, j->offset);
        return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc, "%s must have 1 to %d elements, not %u",
                          r->name, MAX_SPATIAL, j->n);
    }
    double *f = a->factors;
    for (const Json *e = j->first; e; e = e->next, f++)
        if (!read_float(c, e, r, f))
            return false;
    return true;
}

static bool read_list(const LayerCall *c, const Json *j, const ArgRow *r, Arg *a) {
    a->n = 1;
    if (j->kind == JSON_NUMBER)
        return read_int(c, j, r, &a->v[0]);
    if (j->kind != JSON_ARRAY)
        return wrong_type(c, j, r->name, "a whole number or a list of them");
    a->n = j->n;
    if (j->n < 1 || j->n > MAX_LIST) {
        Loc loc = loc_of(c, j->offset);
        return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc, "%s must have 1 to %d elements, not %u",
                          r->name, MAX_LIST, j->n);
    }
    int64_t *v = a->v;
    for (const Json *e = j->first; e; e = e->next, v++)
        if (!read_int(c, e, r, v))
            return false;
    return true;
}

/* "a whole number or a list of two" of a 2d layer. */
static const char *sizes_text(const LayerCall *c, const char *more) {
    static const char *const count[] = {"one", "two", "three"};
    return intern_f(c->cx, "a whole number%s a list of %s%s", *more ? "," : " or", count[spatial(c) - 1],
                    more);
}

static bool read_padding(const LayerCall *c, const Json *j, const ArgRow *r, Arg *a) {
    const char *want = sizes_text(c, ", \"same\" or \"valid\"");
    if (j->kind != JSON_STRING)
        return read_sizes(c, j, r, want, a);
    if (strcmp(j->str, "same") == 0)
        a->mode = PAD_SAME;
    else if (strcmp(j->str, "valid") == 0)
        a->mode = PAD_VALID;
    else
        return wrong_type(c, j, r->name, want);
    return true;
}

static bool read_word(const LayerCall *c, const Json *j, const ArgRow *r, Arg *a) {
    if (j->kind != JSON_STRING)
        return wrong_type(c, j, r->name, "a string");
    StrBuf all = sb_new(&c->cx->arena);
    for (int64_t i = 0; r->words[i]; i++) {
        a->v[0] = i;
        if (strcmp(j->str, r->words[i]) == 0)
            return true;
        sb_printf(&all, "%s\"%s\"", i ? " or " : "", r->words[i]);
    }
    return unsupported(c, j, r, sb_str(&all));
}

static bool read_bool(const LayerCall *c, const Json *j, const ArgRow *r, Arg *a) {
    if (j->kind != JSON_BOOL)
        return wrong_type(c, j, r->name, "true or false");
    if (r->fixed && j->b != (r->def != 0))
        return unsupported(c, j, r, r->def != 0 ? "true" : "false");
    a->v[0] = j->b;
    return true;
}

static bool read_arg(const LayerCall *c, const Json *j, const ArgRow *r, Arg *a) {
    switch (r->kind) {
    case ARG_INT:
        return read_int(c, j, r, &a->v[0]);
    case ARG_FLOAT:
        return read_float(c, j, r, &a->f);
    case ARG_FLOATS:
        return read_floats(c, j, r, a);
    case ARG_BOOL:
        return read_bool(c, j, r, a);
    case ARG_SIZES:
    case ARG_SIZES_OR_IN:
        return read_sizes(c, j, r, sizes_text(c, ""), a);
    case ARG_LIST:
        return read_list(c, j, r, a);
    case ARG_PADDING:
        return read_padding(c, j, r, a);
    case ARG_WORD:
        return read_word(c, j, r, a);
    }
    return false;
}

enum { N_LAYER_KEYS = sizeof layer_keys / sizeof *layer_keys };

/* The arguments of this layer, and the keys of all layers. */
static KeySet keys_of(const LayerCall *c, const char **names) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->row->n_args; i++)
        names[n++] = c->row->args[i].name;
    for (uint32_t i = 0; i < N_LAYER_KEYS; i++)
        names[n++] = layer_keys[i];
    return (KeySet){c->row->type, names, n};
}

static uint32_t elements(const LayerCall *c, ArgKind kind) {
    return kind == ARG_SIZES || kind == ARG_SIZES_OR_IN || kind == ARG_PADDING ? spatial(c) : 1;
}

static void set_default(const ArgRow *r, Arg *a) {
    a->f = r->def;
    for (uint32_t i = 0; i < a->n && r->kind != ARG_FLOAT; i++)
        a->v[i] = (int64_t)r->def;
}

bool layer_read_args(LayerCall *c) {
    const char *names[MAX_ARGS + N_LAYER_KEYS];
    KeySet keys = keys_of(c, names);
    bool ok = check_keys(c->doc, c->object, &keys, &c->loc);
    for (uint32_t i = 0; i < c->row->n_args; i++) {
        const ArgRow *r = &c->row->args[i];
        Arg *a = &c->args[i];
        const Json *j = json_get(c->object, r->name);
        a->n = elements(c, r->kind);
        if (j && j->kind == JSON_NULL && (r->from || r->may_null))
            j = NULL; /* PyTorch's None */
        if (j) {
            a->at = j;
            ok &= read_arg(c, j, r, a);
        } else if (r->required) {
            ok = key_missing(c->doc, c->object, &keys, r->name, &c->loc);
        } else if (r->from) {
            *a = *layer_arg(c, r->from);
        } else {
            set_default(r, a);
        }
    }
    return ok;
}

static const char *shape_text(const LayerCall *c, const Type *t, int from) {
    StrBuf sb = sb_new(&c->cx->arena);
    for (int i = from; i < t->rank; i++)
        sb_printf(&sb, "%s%" PRId64, i == from ? "[" : ",", t->dim[i].size);
    sb_putc(&sb, ']');
    return sb_str(&sb);
}

/* The input of the model that `v` is, but for nodes that keep its dimensions; or `v` itself. */
static const Value *source_of(const LayerCall *c, ValueId v) {
    uint8_t rank = graph_value(c->g, v)->type.rank;
    for (const Node *n; (n = graph_def(c->g, v)); v = n->operands[0])
        if (graph_value(c->g, n->operands[0])->type.rank != rank)
            break;
    return graph_value(c->g, v);
}

/* One dimension too many that came with an input: most likely its shape was given with the batch. Other wrong
 * ranks are the op's to report. */
static bool check_batch(const LayerCall *c) {
    const Value *in = source_of(c, c->inputs[0]);
    const Type *t = &in->type;
    if (!c->row->rank || t->rank != c->row->rank + 1 || in->kind != VK_INPUT)
        return true;
    diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &in->loc,
               "the shape %s of \"%s\" has %d dimensions, but \"%s\", a %s, takes %d", shape_text(c, t, 1),
               in->name, t->rank - 1, c->name, c->row->type, c->row->rank - 1);
    return diag_hint(&c->cx->diag, "a shape is without the batch: %s", shape_text(c, t, 2));
}

/* What the input is; where features are taken from an image, what a Flatten would make of it. */
static void input_hint(const LayerCall *c, const Value *in, const ArgRow *r) {
    const Type *t = &in->type;
    int64_t features = 1;
    StrBuf sb = sb_new(&c->cx->arena);
    type_print(&sb, t);
    for (int i = 1; i < t->rank; i++)
        if (__builtin_mul_overflow(features, t->dim[i].size, &features))
            features = 0;
    if (r->dim >= 0 || t->rank < 3 || !t->dim[0].by_n || !features)
        diag_hint(&c->cx->diag, "the input is \"%s\", %s", in->name, sb_str(&sb));
    else
        diag_hint(&c->cx->diag,
                  "the input is \"%s\", %s; a Flatten layer before this one makes %" PRId64 " features of it",
                  in->name, sb_str(&sb), features);
}

bool layer_check_input(LayerCall *c) {
    const Value *in = graph_value(c->g, c->inputs[0]);
    const Type *t = &in->type;
    if (c->row->rank && t->rank != c->row->rank)
        return check_batch(c);
    bool ok = true;
    for (uint32_t i = 0; i < c->row->n_args; i++) {
        const ArgRow *r = &c->row->args[i];
        int dim = r->dim < 0 ? t->rank + r->dim : r->dim;
        if (r->dim == 0 || dim < 1 || c->args[i].v[0] == t->dim[dim].size)
            continue;
        Loc loc = layer_arg_loc(c, r->name);
        ok = diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc,
                        "%s is %" PRId64 ", but its input has %" PRId64 " %s", r->name, c->args[i].v[0],
                        t->dim[dim].size, r->unit);
        input_hint(c, in, r);
    }
    return ok;
}

/* One term of a shape: an argument, an element of several ("kernel_size.1") or a quotient
 * ("in_channels/groups"). */
static bool eval_dim(const LayerCall *c, const char *expr, int64_t *out) {
    char name[32] = {0};
    size_t n = strcspn(expr, "./");
    memcpy(name, expr, n < sizeof name ? n : sizeof name - 1);
    const Arg *a = layer_arg(c, name);
    *out = a->v[expr[n] == '.' ? expr[n + 1] - '0' : 0];
    if (expr[n] != '/')
        return true;
    const char *divisor = expr + n + 1;
    int64_t by = layer_arg(c, divisor)->v[0];
    if (*out % by != 0) {
        Loc loc = layer_arg_loc(c, divisor);
        return diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                          "%s is %" PRId64 ", which %s = %" PRId64 " does not divide", name, *out, divisor,
                          by);
    }
    *out /= by;
    return true;
}

bool layer_param_type(const LayerCall *c, const ParamRow *p, Type *out) {
    Dim dims[MAX_LIST] = {0};
    const Arg *list = p->rank ? NULL : layer_arg(c, p->dims[0]);
    const uint32_t rank = list ? list->n : p->rank;
    for (uint32_t i = 0; i < rank; i++)
        if (list)
            dims[i].size = list->v[i];
        else if (!eval_dim(c, p->dims[i], &dims[i].size))
            return false;
    if (rank > MAX_RANK)
        return diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &c->loc, "%s has more than %d elements",
                          p->dims[0], MAX_RANK);
    *out = type_make(DT_F32, (uint8_t)rank, dims);
    const char *fault = type_fault(c->cx, out);
    if (fault)
        return diag_error(&c->cx->diag, DIAG_SIZE_OVERFLOW, &c->loc, "its %s: %s", p->name, fault);
    return true;
}
