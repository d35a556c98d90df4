/* Attributes: loops over the rows of a table, so that no op needs code for text, hash or equality. */
#include "ir/attr.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const void *field(const AttrRow *r, const void *attrs) {
    return (const char *)attrs + r->offset;
}

static int64_t get_int(const AttrRow *r, const void *attrs) {
    return *(const int64_t *)field(r, attrs);
}

static double get_float(const AttrRow *r, const void *attrs) {
    return *(const double *)field(r, attrs);
}

static bool get_bool(const AttrRow *r, const void *attrs) {
    return *(const bool *)field(r, attrs);
}

static int32_t get_enum(const AttrRow *r, const void *attrs) {
    return *(const int32_t *)field(r, attrs);
}

static const char *get_string(const AttrRow *r, const void *attrs) {
    return *(const char *const *)field(r, attrs);
}

static const IntList *get_ints(const AttrRow *r, const void *attrs) {
    return field(r, attrs);
}

static const Type *get_type(const AttrRow *r, const void *attrs) {
    return field(r, attrs);
}

static void set_default(const AttrRow *r, void *attrs) {
    void *at = (char *)attrs + r->offset;
    IntList list = {.n = (uint8_t)r->count};
    switch (r->kind) {
    case ATTR_INT:
        *(int64_t *)at = (int64_t)r->def;
        break;
    case ATTR_FLOAT:
        *(double *)at = r->def;
        break;
    case ATTR_BOOL:
        *(bool *)at = r->def != 0;
        break;
    case ATTR_INTS:
        for (uint32_t i = 0; i < r->count && i < MAX_INTS; i++)
            list.v[i] = (int64_t)r->def;
        *(IntList *)at = list;
        break;
    case ATTR_ENUM:
        *(int32_t *)at = (int32_t)r->def;
        break;
    case ATTR_STRING:
    case ATTR_LAYOUT:
        break; /* absent: zero */
    }
}

void attr_defaults(const AttrTable *t, void *attrs) {
    memset(attrs, 0, t->size);
    for (uint32_t i = 0; i < t->count; i++)
        set_default(&t->rows[i], attrs);
}

static bool same_float(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0; /* -0 is not 0, a NaN equals itself */
}

static bool same_ints(const IntList *a, const IntList *b) {
    return a->n == b->n && memcmp(a->v, b->v, a->n * sizeof *a->v) == 0;
}

static bool row_equal(const AttrRow *r, const void *a, const void *b) {
    switch (r->kind) {
    case ATTR_INT:
        return get_int(r, a) == get_int(r, b);
    case ATTR_FLOAT:
        return same_float(get_float(r, a), get_float(r, b));
    case ATTR_BOOL:
        return get_bool(r, a) == get_bool(r, b);
    case ATTR_INTS:
        return same_ints(get_ints(r, a), get_ints(r, b));
    case ATTR_ENUM:
        return get_enum(r, a) == get_enum(r, b);
    case ATTR_STRING:
        return get_string(r, a) == get_string(r, b);
    case ATTR_LAYOUT:
        return type_equal(get_type(r, a), get_type(r, b));
    }
    return false;
}

bool attr_equal(const AttrTable *t, const void *a, const void *b) {
    for (uint32_t i = 0; i < t->count; i++)
        if (!row_equal(&t->rows[i], a, b))
            return false;
    return true;
}

static bool at_default(const AttrRow *r, const void *attrs) {
    IntList list = {.n = (uint8_t)r->count};
    switch (r->kind) {
    case ATTR_INT:
        return get_int(r, attrs) == (int64_t)r->def;
    case ATTR_FLOAT:
        return same_float(get_float(r, attrs), r->def);
    case ATTR_BOOL:
        return get_bool(r, attrs) == (r->def != 0);
    case ATTR_INTS:
        for (uint32_t i = 0; i < r->count && i < MAX_INTS; i++)
            list.v[i] = (int64_t)r->def;
        return same_ints(get_ints(r, attrs), &list);
    case ATTR_ENUM:
        return get_enum(r, attrs) == (int32_t)r->def;
    case ATTR_STRING:
        return !get_string(r, attrs);
    case ATTR_LAYOUT:
        return false;
    }
    return false;
}

const AttrRow *attr_only_type(const AttrTable *t) {
    return t->count == 1 && t->rows[0].kind == ATTR_LAYOUT ? &t->rows[0] : NULL;
}

/* ---- Hash ---- */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_string(uint64_t h, const char *s) {
    for (; s && *s; s++)
        h = mix(h, (unsigned char)*s);
    return mix(h, s != NULL);
}

static uint64_t hash_type(uint64_t h, const Type *t) {
    h = mix(h, (uint64_t)t->dtype << 8 | t->rank);
    for (int d = 0; d < t->rank && d < MAX_RANK; d++)
        h = mix(mix(h, (uint64_t)t->dim[d].size), t->dim[d].by_n);
    if (layout_is_dense(&t->layout))
        return h;
    for (int i = 0; i < t->layout.nparts && i < MAX_PARTS; i++)
        h = mix(h, (uint64_t)t->layout.part[i].factor << 8 | t->layout.part[i].dim);
    for (int d = 0; d < MAX_RANK; d++)
        h = mix(h, (uint64_t)t->layout.lo[d] << 16 | t->layout.hi[d]);
    return h;
}

static uint64_t hash_row(uint64_t h, const AttrRow *r, const void *attrs) {
    uint64_t bits = 0;
    double f;
    const IntList *list;
    switch (r->kind) {
    case ATTR_INT:
        return mix(h, (uint64_t)get_int(r, attrs));
    case ATTR_FLOAT:
        f = get_float(r, attrs);
        memcpy(&bits, &f, sizeof f);
        return mix(h, bits);
    case ATTR_BOOL:
        return mix(h, get_bool(r, attrs));
    case ATTR_INTS:
        list = get_ints(r, attrs);
        h = mix(h, list->n);
        for (int i = 0; i < list->n && i < MAX_INTS; i++)
            h = mix(h, (uint64_t)list->v[i]);
        return h;
    case ATTR_ENUM:
        return mix(h, (uint64_t)get_enum(r, attrs));
    case ATTR_STRING:
        return hash_string(h, get_string(r, attrs)); /* by text: the same in every run */
    case ATTR_LAYOUT:
        return hash_type(h, get_type(r, attrs));
    }
    return h;
}

uint64_t attr_hash(const AttrTable *t, const void *attrs) {
    uint64_t h = t->count;
    for (uint32_t i = 0; i < t->count; i++)
        h = hash_row(h, &t->rows[i], attrs);
    return h;
}

/* ---- Text ---- */

void attr_print_float(StrBuf *sb, double v) {
    size_t start = sb->len;
    if (v == floor(v) && fabs(v) < 1e15) { /* 10 rather than 1e+01 */
        sb_printf(sb, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        sb->len = start;
        sb_printf(sb, "%.*g", digits, v);
        if (isnan(v) || strtod(sb->data + start, NULL) == v)
            return;
    }
}

static const char *enum_name(const AttrRow *r, int32_t value) {
    for (int32_t i = 0; r->names[i]; i++)
        if (i == value)
            return r->names[i];
    return NULL;
}

static void print_ints(StrBuf *sb, const IntList *list) {
    sb_putc(sb, '[');
    for (int i = 0; i < list->n && i < MAX_INTS; i++)
        sb_printf(sb, "%s%lld", i ? "," : "", (long long)list->v[i]);
    sb_putc(sb, ']');
}

static void print_row(StrBuf *sb, const AttrRow *r, const void *attrs) {
    const char *name;
    switch (r->kind) {
    case ATTR_INT:
        sb_printf(sb, "%lld", (long long)get_int(r, attrs));
        break;
    case ATTR_FLOAT:
        attr_print_float(sb, get_float(r, attrs));
        break;
    case ATTR_BOOL:
        sb_puts(sb, get_bool(r, attrs) ? "true" : "false");
        break;
    case ATTR_INTS:
        print_ints(sb, get_ints(r, attrs));
        break;
    case ATTR_ENUM:
        name = enum_name(r, get_enum(r, attrs));
        sb_puts(sb, name ? name : "?");
        break;
    case ATTR_STRING:
        name = get_string(r, attrs);
        sb_quote(sb, name ? name : "");
        break;
    case ATTR_LAYOUT:
        type_print(sb, get_type(r, attrs));
        break;
    }
}

void attr_print(StrBuf *sb, const AttrTable *t, const void *attrs) {
    const char *separator = "{";
    for (uint32_t i = 0; i < t->count; i++) {
        const AttrRow *r = &t->rows[i];
        if (r->optional && at_default(r, attrs))
            continue;
        sb_printf(sb, "%s%s=", separator, r->name);
        print_row(sb, r, attrs);
        separator = ", ";
    }
    if (*separator == ',')
        sb_putc(sb, '}');
}

static bool parse_ints(Lexer *lx, IntList *out) {
    if (!lex_expect(lx, "["))
        return false;
    while (!lex_is(lx, "]")) {
        if (out->n == MAX_INTS)
            return lex_invalid(lx, "a list has at most %d integers", MAX_INTS);
        if (!lex_int(lx, &out->v[out->n++]) || (!lex_is(lx, "]") && !lex_expect(lx, ",")))
            return false;
    }
    return lex_expect(lx, "]");
}

static uint32_t count_names(const char *const *names) {
    uint32_t n = 0;
    while (names[n])
        n++;
    return n;
}

/* A hint naming the nearest of what would have been right, or all of it when nothing is near. */
static bool suggest(Lexer *lx, const char *word, const char *const *names, uint32_t count) {
    const char *nearest = diag_nearest(word, names, count);
    if (nearest)
        return diag_hint(&lx->cx->diag, "did you mean '%s'?", nearest);
    StrBuf sb = sb_new(&lx->cx->arena);
    for (uint32_t i = 0; i < count; i++)
        sb_printf(&sb, "%s%s", i ? ", " : "", names[i]);
    return count ? diag_hint(&lx->cx->diag, "known are: %s", sb_str(&sb)) : false;
}

static bool parse_enum(Lexer *lx, const AttrRow *r, int32_t *out) {
    const char *word = lx->tok.text;
    if (lx->tok.kind != TOK_WORD)
        return lex_fail(lx, "expected a name for %s, found %s", r->name, lex_found(lx));
    for (int32_t i = 0; r->names[i]; i++) {
        if (strcmp(r->names[i], word) == 0) {
            *out = i;
            lex_next(lx);
            return true;
        }
    }
    lex_invalid(lx, "%s cannot be '%.60s'", r->name, word);
    return suggest(lx, word, r->names, count_names(r->names));
}

static bool parse_row(Lexer *lx, const AttrRow *r, void *attrs) {
    void *at = (char *)attrs + r->offset;
    IntList list = {0};
    switch (r->kind) {
    case ATTR_INT:
        return lex_int(lx, at);
    case ATTR_FLOAT:
        return lex_number(lx, at);
    case ATTR_BOOL:
        *(bool *)at = lex_is(lx, "true");
        return lex_accept(lx, "true") || lex_accept(lx, "false") ||
               lex_fail(lx, "expected true or false, found %s", lex_found(lx));
    case ATTR_INTS:
        if (!parse_ints(lx, &list))
            return false;
        *(IntList *)at = list;
        return true;
    case ATTR_ENUM:
        return parse_enum(lx, r, at);
    case ATTR_STRING:
        if (lx->tok.kind != TOK_STRING)
            return lex_fail(lx, "expected a string, found %s", lex_found(lx));
        *(const char **)at = lx->tok.text;
        lex_next(lx);
        return true;
    case ATTR_LAYOUT:
        return type_parse(lx, at);
    }
    return false;
}

static const AttrRow *find_row(Lexer *lx, const AttrTable *t, const char *owner) {
    const char *word = lx->tok.text;
    if (lx->tok.kind != TOK_WORD) {
        lex_fail(lx, "expected the name of an attribute, found %s", lex_found(lx));
        return NULL;
    }
    const char **names = NEW_ARRAY(&lx->cx->arena, const char *, t->count + 1);
    for (uint32_t i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].name, word) == 0)
            return &t->rows[i];
        names[i] = t->rows[i].name;
    }
    lex_invalid(lx, "%s has no attribute '%.60s'", owner, word);
    suggest(lx, word, names, t->count);
    return NULL;
}

bool attr_parse(Lexer *lx, const AttrTable *t, void *attrs, const char *owner) {
    bool *seen = NEW_ARRAY(&lx->cx->arena, bool, t->count + 1);
    attr_defaults(t, attrs);
    if (lex_accept(lx, "{")) {
        do {
            const AttrRow *r = find_row(lx, t, owner);
            if (!r)
                return false;
            if (seen[r - t->rows])
                return lex_invalid(lx, "attribute '%s' is given twice", r->name);
            seen[r - t->rows] = true;
            lex_next(lx);
            if (!lex_expect(lx, "=") || !parse_row(lx, r, attrs))
                return false;
        } while (lex_accept(lx, ","));
        if (!lex_expect(lx, "}"))
            return false;
    }
    for (uint32_t i = 0; i < t->count; i++)
        if (!t->rows[i].optional && !seen[i])
            return lex_invalid(lx, "%s needs the attribute '%s'", owner, t->rows[i].name);
    const char *fault = attr_fault(lx->cx, t, attrs);
    return !fault || lex_invalid(lx, "%s: %s", owner, fault);
}

/* ---- Ranges ---- */

static const char *range_fault(Context *cx, const AttrRow *r, double v) {
    if (r->lo > r->hi || (v >= r->lo && v <= r->hi))
        return NULL;
    StrBuf sb = sb_new(&cx->arena);
    sb_printf(&sb, "%s is ", r->name);
    attr_print_float(&sb, v);
    sb_puts(&sb, ", which is not between ");
    attr_print_float(&sb, r->lo);
    sb_puts(&sb, " and ");
    attr_print_float(&sb, r->hi);
    return sb_str(&sb);
}

static const char *ints_fault(Context *cx, const AttrRow *r, const IntList *list) {
    if (list->n > MAX_INTS || (r->count && list->n != r->count))
        return arena_printf(&cx->arena, "%s has %d integers instead of %u", r->name, list->n, r->count);
    const char *fault = NULL;
    for (int i = 0; i < list->n && !fault; i++)
        fault = range_fault(cx, r, (double)list->v[i]);
    return fault;
}

static const char *row_fault(Context *cx, const AttrRow *r, const void *attrs) {
    const char *fault;
    switch (r->kind) {
    case ATTR_INT:
        return range_fault(cx, r, (double)get_int(r, attrs));
    case ATTR_FLOAT:
        return range_fault(cx, r, get_float(r, attrs));
    case ATTR_INTS:
        return ints_fault(cx, r, get_ints(r, attrs));
    case ATTR_ENUM:
        return enum_name(r, get_enum(r, attrs)) ? NULL
                                                : arena_printf(&cx->arena, "%s has no such value", r->name);
    case ATTR_LAYOUT:
        fault = type_fault(cx, get_type(r, attrs));
        return fault ? arena_printf(&cx->arena, "%s: %s", r->name, fault) : NULL;
    case ATTR_BOOL:
    case ATTR_STRING:
        return NULL;
    }
    return NULL;
}

const char *attr_fault(Context *cx, const AttrTable *t, const void *attrs) {
    const char *fault = NULL;
    for (uint32_t i = 0; i < t->count && !fault; i++)
        fault = row_fault(cx, &t->rows[i], attrs);
    return fault;
}
