/* Element types, dimensions and layouts. A layout is data: everything here is arithmetic over its parts. */
#include "ir/type.h"

#include <string.h>

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[] = {
#define DTYPE(id, name, bytes) {name, bytes},
#include "ir/dtype.def"
#undef DTYPE
};

const char *dtype_name(DType t) {
    return t < DT_COUNT ? dtypes[t].name : "?";
}

uint32_t dtype_bytes(DType t) {
    return t < DT_COUNT ? dtypes[t].bytes : 0;
}

bool dtype_parse(const char *s, size_t n, DType *out) {
    for (uint32_t i = 0; i < DT_COUNT; i++) {
        if (strlen(dtypes[i].name) == n && memcmp(dtypes[i].name, s, n) == 0) {
            *out = (DType)i;
            return true;
        }
    }
    return false;
}

bool dtype_is_float(DType t) {
    return t == DT_F32 || t == DT_F64 || t == DT_BF16 || t == DT_F16;
}

Type type_make(DType dtype, uint8_t rank, const Dim *dims) {
    Type t = {.dtype = dtype, .rank = rank};
    for (uint8_t d = 0; d < rank && d < MAX_RANK; d++)
        t.dim[d] = dims[d];
    return t;
}

Type type_dense(const Type *t) {
    return type_make(t->dtype, t->rank, t->dim);
}

bool type_has_n(const Type *t) {
    return t->rank > 0 && t->dim[0].by_n;
}

/* a * b where neither is negative; -1 when either is an overflow already or the product is one. */
static int64_t times(int64_t a, int64_t b) {
    int64_t p;
    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, &p) ? -1 : p;
}

int64_t dim_at(Dim d, int64_t n) {
    return d.by_n ? times(d.size, n) : d.size;
}

static int64_t limited(int64_t elems) {
    return elems < TYPE_MAX_ELEMS ? elems : -1;
}

int64_t type_elems(const Type *t, int64_t n) {
    int64_t elems = 1;
    for (int d = 0; d < t->rank; d++)
        elems = times(elems, dim_at(t->dim[d], n));
    return limited(elems);
}

int64_t type_physical_elems(const Type *t, int64_t n) {
    PhysicalPart part[MAX_PARTS];
    int count = type_parts(t, part);
    int64_t elems = 1;
    for (int i = 0; i < count; i++)
        elems = times(elems, dim_at(part[i].extent, n));
    return limited(elems);
}

int64_t type_physical_bytes(const Type *t, int64_t n) {
    return times(type_physical_elems(t, n), dtype_bytes(t->dtype));
}

/* ---- Layouts ---- */

static bool has_border(const Layout *l) {
    for (int d = 0; d < MAX_RANK; d++)
        if (l->lo[d] || l->hi[d])
            return true;
    return false;
}

bool layout_is_dense(const Layout *l) {
    for (int i = 0; i < l->nparts; i++)
        if (l->part[i].dim != i || l->part[i].factor)
            return false;
    return !has_border(l);
}

bool layout_equal(const Layout *a, const Layout *b) {
    if (layout_is_dense(a) || layout_is_dense(b))
        return layout_is_dense(a) && layout_is_dense(b);
    if (a->nparts != b->nparts)
        return false;
    for (int i = 0; i < a->nparts; i++)
        if (a->part[i].dim != b->part[i].dim || a->part[i].factor != b->part[i].factor)
            return false;
    return memcmp(a->lo, b->lo, sizeof a->lo) == 0 && memcmp(a->hi, b->hi, sizeof a->hi) == 0;
}

bool type_same_shape(const Type *a, const Type *b) {
    if (a->dtype != b->dtype || a->rank != b->rank)
        return false;
    for (int d = 0; d < a->rank; d++)
        if (a->dim[d].size != b->dim[d].size || a->dim[d].by_n != b->dim[d].by_n)
            return false;
    return true;
}

bool type_equal(const Type *a, const Type *b) {
    return type_same_shape(a, b) && layout_equal(&a->layout, &b->layout);
}

/* The parts, dense layouts expanded to one part a dimension. */
static int expand_parts(const Type *t, LayoutPart out[MAX_PARTS]) {
    if (t->layout.nparts) {
        memcpy(out, t->layout.part, t->layout.nparts * sizeof *out);
        return t->layout.nparts;
    }
    for (uint8_t d = 0; d < t->rank; d++)
        out[d] = (LayoutPart){.dim = d};
    return t->rank;
}

int type_parts(const Type *t, PhysicalPart out[MAX_PARTS]) {
    LayoutPart part[MAX_PARTS];
    int count = expand_parts(t, part);
    int64_t inner[MAX_RANK], stride = 1;
    for (int d = 0; d < MAX_RANK; d++)
        inner[d] = 1;
    for (int i = count - 1; i >= 0; i--) {
        uint8_t d = part[i].dim;
        Dim extent = {.size = part[i].factor};
        if (!part[i].factor) {
            extent = t->dim[d];
            extent.size += t->layout.lo[d] + t->layout.hi[d];
            extent.size = extent.size / inner[d] + (extent.size % inner[d] != 0);
        }
        out[i] = (PhysicalPart){.dim = d, .extent = extent, .stride = stride, .divisor = inner[d]};
        /* Types past type_fault do not overflow here; for others the result merely has no meaning. */
        if (__builtin_mul_overflow(stride, extent.size, &stride) || stride <= 0)
            stride = TYPE_MAX_ELEMS;
        if (part[i].factor && __builtin_mul_overflow(inner[d], extent.size, &inner[d]))
            inner[d] = TYPE_MAX_ELEMS;
    }
    return count;
}

int64_t type_offset(const Type *t, const int64_t coord[MAX_RANK]) {
    PhysicalPart part[MAX_PARTS];
    LayoutPart shape[MAX_PARTS];
    int count = type_parts(t, part);
    expand_parts(t, shape);
    int64_t offset = 0;
    for (int i = 0; i < count; i++) {
        int d = part[i].dim;
        int64_t at = (coord[d] + t->layout.lo[d]) / part[i].divisor;
        offset += (shape[i].factor ? at % shape[i].factor : at) * part[i].stride;
    }
    return offset;
}

typedef struct Run {
    Dim extent;
    int64_t step; /* distance in row-major order of the bordered shape */
} Run;

/* The physical order as runs over the row-major order, parts of extent 1 left out and neighbours merged:
 * two types of one shape have equal runs exactly when they lie in memory alike. */
static int runs(const Type *t, Run out[MAX_PARTS]) {
    PhysicalPart part[MAX_PARTS];
    int count = type_parts(t, part), n = 0;
    int64_t below[MAX_RANK], product = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        below[d] = product;
        product = times(product, t->dim[d].size + t->layout.lo[d] + t->layout.hi[d]);
    }
    for (int i = 0; i < count; i++) {
        Run r = {.extent = part[i].extent, .step = times(part[i].divisor, below[part[i].dim])};
        if (r.extent.size == 1 && !r.extent.by_n)
            continue;
        if (n && out[n - 1].step == times(r.extent.size, r.step)) {
            out[n - 1].extent.size = times(out[n - 1].extent.size, r.extent.size);
            out[n - 1].step = r.step;
        } else {
            out[n++] = r;
        }
    }
    return n;
}

bool type_same_memory(const Type *a, const Type *b) {
    bool border = has_border(&a->layout) || has_border(&b->layout);
    if (a->dtype != b->dtype || type_elems(a, 1) != type_elems(b, 1) || type_has_n(a) != type_has_n(b))
        return false;
    if (border && (!type_same_shape(a, b) || memcmp(a->layout.lo, b->layout.lo, sizeof a->layout.lo) != 0 ||
                   memcmp(a->layout.hi, b->layout.hi, sizeof a->layout.hi) != 0))
        return false;
    Run ra[MAX_PARTS], rb[MAX_PARTS];
    int n = runs(a, ra);
    if (n != runs(b, rb))
        return false;
    for (int i = 0; i < n; i++)
        if (ra[i].extent.size != rb[i].extent.size || ra[i].extent.by_n != rb[i].extent.by_n ||
            ra[i].step != rb[i].step)
            return false;
    return true;
}

/* ---- Rules ---- */

static const char *border_fault(Context *cx, const Type *t) {
    for (int d = 0; d < MAX_RANK; d++) {
        if (!t->layout.lo[d] && !t->layout.hi[d])
            continue;
        if (d >= t->rank || !t->layout.nparts)
            return "a border needs a dimension and a layout that names it";
        if (t->dim[d].by_n)
            return arena_printf(&cx->arena, "dimension %c counts the batch and cannot have a border",
                                'a' + d);
    }
    return NULL;
}

static const char *layout_fault(Context *cx, const Type *t) {
    const Layout *l = &t->layout;
    bool seen[MAX_RANK] = {0};
    if (l->nparts > MAX_PARTS)
        return "the layout has too many parts";
    for (int i = 0; i < l->nparts; i++) {
        uint8_t d = l->part[i].dim;
        if (d >= t->rank)
            return arena_printf(&cx->arena, "the layout names dimension %c, but the rank is %d", 'a' + d % 26,
                                t->rank);
        if (!l->part[i].factor == seen[d])
            return arena_printf(&cx->arena,
                                seen[d] ? "the layout names dimension %c twice without a factor"
                                        : "the outermost part of dimension %c must come before its blocks",
                                'a' + d);
        if (t->dim[d].by_n && (i > 0 || l->part[i].factor))
            return "the batch dimension must be outermost and not blocked";
        if (l->part[i].factor > 65536)
            return "a block of a layout is larger than 65536";
        seen[d] = true;
    }
    for (int d = 0; l->nparts && d < t->rank; d++)
        if (!seen[d])
            return arena_printf(&cx->arena, "the layout leaves out dimension %c", 'a' + d);
    return border_fault(cx, t);
}

const char *type_fault(Context *cx, const Type *t) {
    if (t->dtype >= DT_COUNT)
        return "the element type is unknown";
    if (t->rank > MAX_RANK)
        return arena_printf(&cx->arena, "the rank is %d; at most %d are possible", t->rank, MAX_RANK);
    for (int d = 0; d < t->rank; d++) {
        if (t->dim[d].size <= 0 || t->dim[d].size >= TYPE_MAX_ELEMS)
            return arena_printf(&cx->arena, "dimension %d has size %lld, which is not between 1 and 2^40", d,
                                (long long)t->dim[d].size);
        if (t->dim[d].by_n && d > 0)
            return "only dimension 0 may count the batch N";
    }
    const char *fault = layout_fault(cx, t);
    if (!fault && type_physical_elems(t, 1) < 0)
        fault = "the tensor has 2^40 elements or more";
    return fault;
}

/* ---- Text ---- */

static bool blocked_inside(const Layout *l, int i) {
    for (int j = i + 1; j < l->nparts; j++)
        if (l->part[j].dim == l->part[i].dim)
            return true;
    return false;
}

void layout_print(StrBuf *sb, const Type *t) {
    const Layout *l = &t->layout;
    if (layout_is_dense(l))
        return;
    for (int i = 0; i < l->nparts; i++) {
        if (l->part[i].factor)
            sb_printf(sb, "%u%c", l->part[i].factor, 'a' + l->part[i].dim);
        else
            sb_putc(sb, (char)((blocked_inside(l, i) ? 'A' : 'a') + l->part[i].dim));
    }
    const char *separator = "(";
    for (int d = 0; d < t->rank && d < MAX_RANK; d++) {
        if (l->lo[d] || l->hi[d]) {
            sb_printf(sb, "%s%c%u:%u", separator, 'a' + d, l->lo[d], l->hi[d]);
            separator = ",";
        }
    }
    if (*separator == ',')
        sb_putc(sb, ')');
}

void type_print(StrBuf *sb, const Type *t) {
    sb_puts(sb, dtype_name(t->dtype));
    sb_putc(sb, '[');
    for (int d = 0; d < t->rank && d < MAX_RANK; d++) {
        if (d)
            sb_putc(sb, ',');
        if (!t->dim[d].by_n || t->dim[d].size != 1)
            sb_printf(sb, "%lld", (long long)t->dim[d].size);
        if (t->dim[d].by_n)
            sb_putc(sb, 'N');
    }
    sb_putc(sb, ']');
    if (!layout_is_dense(&t->layout)) {
        sb_putc(sb, ':');
        layout_print(sb, t);
    }
}

static bool parse_dims(Lexer *lx, Type *t) {
    while (!lex_is(lx, "]")) {
        if (t->rank == MAX_RANK)
            return lex_invalid(lx, "a tensor has at most %d dimensions", MAX_RANK);
        Dim *d = &t->dim[t->rank++];
        d->size = 1;
        if (!lex_is(lx, "N") && !lex_int(lx, &d->size))
            return false;
        d->by_n = lex_accept(lx, "N");
        if (!lex_is(lx, "]") && !lex_expect(lx, ","))
            return false;
    }
    return lex_expect(lx, "]");
}

/* A decimal of at most five digits; -1 if there is none. */
static int64_t short_number(const char **p) {
    int64_t v = 0;
    const char *start = *p;
    while (**p >= '0' && **p <= '9' && *p - start < 5)
        v = v * 10 + *(*p)++ - '0';
    return *p > start ? v : -1;
}

/* The parts of a layout, "aBcd8b": the lexer took it for a word. */
static bool parse_parts(Lexer *lx, Type *t) {
    Layout *l = &t->layout;
    for (const char *p = lx->tok.text; *p;) {
        int64_t factor = short_number(&p);
        bool upper = *p >= 'A' && *p <= 'Z';
        int d = upper ? *p - 'A' : *p - 'a';
        if (d < 0 || d >= t->rank || (upper && factor >= 0) || factor == 0)
            return lex_invalid(lx, "'%.60s' is not a layout of rank %d", lx->tok.text, t->rank);
        if (l->nparts == MAX_PARTS)
            return lex_invalid(lx, "a layout has at most %d parts", MAX_PARTS);
        l->part[l->nparts++] = (LayoutPart){.dim = (uint8_t)d, .factor = factor < 0 ? 0 : (uint32_t)factor};
        p++;
    }
    StrBuf sb = sb_new(&lx->cx->arena); /* letter case must tell the truth */
    layout_print(&sb, t);
    if (!layout_is_dense(l) && strcmp(sb_str(&sb), lx->tok.text) != 0)
        return lex_invalid(lx, "write the layout '%.60s' as '%s'", lx->tok.text, sb_str(&sb));
    lex_next(lx);
    return true;
}

static bool parse_border(Lexer *lx, Type *t) {
    do {
        const char *p = lx->tok.text;
        int d = lx->tok.kind == TOK_WORD ? *p - 'a' : -1;
        if (d < 0 || d >= t->rank)
            return lex_fail(lx, "expected a border such as c1:1, found %s", lex_found(lx));
        p++;
        int64_t lo = short_number(&p), hi;
        if (lo < 0 || lo > UINT16_MAX || *p)
            return lex_fail(lx, "expected a border such as c1:1, found %s", lex_found(lx));
        lex_next(lx);
        if (!lex_expect(lx, ":") || !lex_int(lx, &hi))
            return false;
        if (hi < 0 || hi > UINT16_MAX)
            return lex_invalid(lx, "a border has at most %d elements", UINT16_MAX);
        t->layout.lo[d] = (uint16_t)lo;
        t->layout.hi[d] = (uint16_t)hi;
    } while (lex_accept(lx, ","));
    return lex_expect(lx, ")");
}

bool type_parse(Lexer *lx, Type *out) {
    Type t = {0};
    if (lx->tok.kind != TOK_WORD || !dtype_parse(lx->tok.text, strlen(lx->tok.text), &t.dtype))
        return lex_fail(lx, "expected a type such as f32[N,3,224,224], found %s", lex_found(lx));
    lex_next(lx);
    if (!lex_expect(lx, "[") || !parse_dims(lx, &t))
        return false;
    if (lex_accept(lx, ":")) {
        if (lx->tok.kind != TOK_WORD)
            return lex_fail(lx, "expected a layout such as aBcd8b, found %s", lex_found(lx));
        if (!parse_parts(lx, &t) || (lex_accept(lx, "(") && !parse_border(lx, &t)))
            return false;
    }
    const char *fault = type_fault(lx->cx, &t);
    if (fault)
        return lex_invalid(lx, "%s", fault);
    if (layout_is_dense(&t.layout))
        t.layout.nparts = 0; /* an explicit abcd */
    *out = t;
    return true;
}
