/* Reading objects by rows. Every fault is reported at the place of the value. */
#include "frontend/fields.h"
#include "frontend/frontend.h"

#include <math.h>
#include <string.h>

typedef struct Field {
    const JsonDoc *d;
    const FieldRow *row;
    const Json *j;
    Loc loc;
    char *out;
} Field;

Loc fields_loc(const JsonDoc *d, const Json *member, const Loc *object) {
    Loc loc = json_loc_at(d, member->offset);
    const char *base = object->pointer ? object->pointer : "";
    loc.pointer = member->key ? intern_f(d->cx, "%s/%s", base, member->key) : base;
    loc.name = object->name;
    return loc;
}

static bool wrong_type(const Field *f, const Json *j, const char *want) {
    return diag_error(&f->d->cx->diag, DIAG_WRONG_TYPE, &f->loc, "%s must be %s, not %s", f->row->name, want,
                      json_kind_text(j));
}

static bool read_number(const Field *f, const Json *j, bool whole, double *out) {
    Diag *diag = &f->d->cx->diag;
    const FieldRow *r = f->row;
    if (j->kind != JSON_NUMBER)
        return wrong_type(f, j, whole ? "a whole number" : "a number");
    if (whole && !j->is_int)
        return diag_error(diag, DIAG_WRONG_TYPE, &f->loc, "%s must be a whole number, not %.17g", r->name,
                          j->num);
    if ((r->lo != 0 || r->hi != 0) && !(j->num >= r->lo && j->num <= r->hi))
        return diag_error(diag, DIAG_OUT_OF_RANGE, &f->loc, "%s is %.17g; it must be from %g to %g", r->name,
                          j->num, r->lo, r->hi);
    *out = j->num;
    return true;
}

static bool read_word(const Field *f) {
    const char *const *words = f->row->words;
    uint32_t n = 0;
    while (words[n])
        n++;
    if (f->j->kind != JSON_STRING)
        return wrong_type(f, f->j, "a string");
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(words[i], f->j->str) == 0) {
            *(int *)f->out = (int)i;
            return true;
        }
    diag_error(&f->d->cx->diag, DIAG_BAD_ARGUMENT, &f->loc, "%s cannot be \"%s\"", f->row->name, f->j->str);
    StrBuf sb = sb_new(&f->d->cx->arena);
    for (uint32_t i = 0; i < n; i++)
        sb_printf(&sb, "%s\"%s\"", i ? ", " : "", words[i]);
    return diag_hint(&f->d->cx->diag, "it is one of %s", sb_str(&sb));
}

static void set_count(const Field *f, void *data, uint32_t n) {
    memcpy(f->out, &data, sizeof data);
    memcpy(f->out - f->row->offset + f->row->count, &n, sizeof n);
}

static bool read_texts(const Field *f) {
    const Json *j = f->j;
    const bool one = j->kind == JSON_STRING;
    if (!one && j->kind != JSON_ARRAY)
        return wrong_type(f, j, "a string or a list of strings");
    const char **texts = NEW_ARRAY(&f->d->cx->arena, const char *, (one ? 1 : j->n) + 1);
    uint32_t n = 0;
    for (const Json *e = one ? j : j->first; e; e = one ? NULL : e->next) {
        if (e->kind != JSON_STRING)
            return wrong_type(f, e, "a list of strings");
        texts[n++] = e->str;
    }
    set_count(f, texts, n);
    return true;
}

static bool read_floats(const Field *f) {
    if (f->j->kind != JSON_ARRAY)
        return wrong_type(f, f->j, "a list of numbers");
    float *data = NEW_ARRAY(&f->d->cx->arena, float, f->j->n + 1);
    uint32_t n = 0;
    double v;
    for (const Json *e = f->j->first; e; e = e->next) {
        if (!read_number(f, e, false, &v))
            return false;
        data[n++] = (float)v;
    }
    set_count(f, data, n);
    return true;
}

static bool read_ints(const Field *f) {
    if (f->j->kind != JSON_ARRAY)
        return wrong_type(f, f->j, "a list of whole numbers");
    int64_t *data = NEW_ARRAY(&f->d->cx->arena, int64_t, f->j->n + 1);
    uint32_t n = 0;
    double v;
    for (const Json *e = f->j->first; e; e = e->next) {
        if (!read_number(f, e, true, &v))
            return false;
        data[n++] = (int64_t)v;
        if (n > 1 && data[n - 1] <= data[n - 2])
            return diag_error(&f->d->cx->diag, DIAG_BAD_ARGUMENT, &f->loc, "%s must ascend", f->row->name);
    }
    set_count(f, data, n);
    return true;
}

static bool read_pair(const Field *f) {
    double *out = (double *)f->out;
    if (f->j->kind == JSON_NUMBER) {
        if (!read_number(f, f->j, false, &out[0]))
            return false;
        out[1] = out[0];
        return true;
    }
    if (f->j->kind != JSON_ARRAY || f->j->n != 2)
        return wrong_type(f, f->j, "a number or a list of two");
    return read_number(f, f->j->first, false, &out[0]) && read_number(f, f->j->first->next, false, &out[1]);
}

static bool read_numbers(const Field *f) {
    Numbers *out = (Numbers *)f->out;
    const bool list = f->j->kind == JSON_ARRAY;
    if (list && (f->j->n == 0 || f->j->n > sizeof out->v / sizeof *out->v))
        return diag_error(&f->d->cx->diag, DIAG_OUT_OF_RANGE, &f->loc,
                          "%s has %u elements; it must have 1 to %zu", f->row->name, f->j->n,
                          sizeof out->v / sizeof *out->v);
    for (const Json *e = list ? f->j->first : f->j; e; e = list ? e->next : NULL)
        if (!read_number(f, e, false, &out->v[out->n++]))
            return false;
    return true;
}

static bool read_scalar(const Field *f) {
    double v = 0;
    const bool whole = f->row->kind == FIELD_INT || f->row->kind == FIELD_COUNT32;
    if (!read_number(f, f->j, whole, &v))
        return false;
    if (f->row->kind == FIELD_REAL)
        *(double *)f->out = v;
    else if (f->row->kind == FIELD_FLOAT)
        *(float *)f->out = (float)v;
    else if (f->row->kind == FIELD_INT)
        *(int64_t *)f->out = (int64_t)v;
    else
        *(uint32_t *)f->out = (uint32_t)v;
    return true;
}

static bool read_truth(const Field *f) {
    if (f->j->kind != JSON_BOOL)
        return wrong_type(f, f->j, "true or false");
    if (f->row->kind == FIELD_BOOL)
        *(bool *)f->out = f->j->b;
    else
        *(int *)f->out = f->j->b;
    return true;
}

static bool read_field(const Field *f) {
    switch (f->row->kind) {
    case FIELD_REAL:
    case FIELD_FLOAT:
    case FIELD_INT:
    case FIELD_COUNT32:
        return read_scalar(f);
    case FIELD_FLAG:
    case FIELD_BOOL:
        return read_truth(f);
    case FIELD_WORD:
        return read_word(f);
    case FIELD_TEXT:
        if (f->j->kind != JSON_STRING)
            return wrong_type(f, f->j, "a string");
        memcpy(f->out, &f->j->str, sizeof f->j->str);
        return true;
    case FIELD_TEXTS:
        return read_texts(f);
    case FIELD_FLOATS:
        return read_floats(f);
    case FIELD_INTS:
        return read_ints(f);
    case FIELD_PAIR:
        return read_pair(f);
    case FIELD_NUMBERS:
        return read_numbers(f);
    case FIELD_SKIP:
        return true;
    }
    return true;
}

bool fields_read(const JsonDoc *d, const Json *object, const char *what, const FieldRow *rows, uint32_t n,
                 void *out, const Loc *loc) {
    const char **names = NEW_ARRAY(&d->cx->arena, const char *, n + 1);
    for (uint32_t i = 0; i < n; i++)
        names[i] = rows[i].name;
    const KeySet keys = {what, names, n};
    bool ok = check_keys(d, object, &keys, loc);
    for (uint32_t i = 0; i < n; i++) {
        const Json *j = json_get(object, rows[i].name);
        if (!j) {
            ok &= !rows[i].required || key_missing(d, object, &keys, rows[i].name, loc);
            continue;
        }
        const Field f = {.d = d,
                         .row = &rows[i],
                         .j = j,
                         .loc = fields_loc(d, j, loc),
                         .out = (char *)out + rows[i].offset};
        ok &= read_field(&f);
    }
    return ok;
}
