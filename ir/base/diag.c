/* Collecting and printing diagnostics. What the input holds may be anything, so control bytes and broken
 * UTF-8 are shown as \xHH: a message can neither garble a terminal nor forge a second line. */
#include "ir/base/diag.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ENTRY_LIMIT = 100, WORD_LIMIT = 64 };

static const char *const tags[] = {
#define DIAG(id, tag, what) tag,
#include "ir/base/diag.def"
#undef DIAG
};
static const char *const whats[] = {
#define DIAG(id, tag, what) what,
#include "ir/base/diag.def"
#undef DIAG
};

const char *diag_tag(DiagId id) {
    return id < DIAG_COUNT ? tags[id] : "unknown";
}

const char *diag_what(DiagId id) {
    return id < DIAG_COUNT ? whats[id] : "";
}

/* Past the limit entries are only counted; their hints go the same way. */
static void add(Diag *d, DiagId id, bool is_warning, const Loc *loc, const char *fmt, va_list ap) {
    d->dropped = d->errors >= DIAG_LIMIT || d->entries.len >= ENTRY_LIMIT;
    if (!is_warning)
        d->errors++;
    if (d->dropped)
        return;
    StrBuf sb = sb_new(d->arena);
    sb_vprintf(&sb, fmt, ap);
    vec_push(d->arena, &d->entries,
             (DiagEntry){
                 .id = id, .is_warning = is_warning, .loc = loc ? *loc : (Loc){0}, .message = sb_str(&sb)});
}

bool diag_error(Diag *d, DiagId id, const Loc *loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, id, false, loc, fmt, ap);
    va_end(ap);
    return false;
}

void diag_warning(Diag *d, DiagId id, const Loc *loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, id, true, loc, fmt, ap);
    va_end(ap);
}

bool diag_hint(Diag *d, const char *fmt, ...) {
    if (d->dropped || !d->entries.len)
        return false;
    StrBuf sb = sb_new(d->arena);
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&sb, fmt, ap);
    va_end(ap);
    d->entries.data[d->entries.len - 1].hint = sb_str(&sb);
    return false;
}

bool diag_full(const Diag *d) {
    return d->errors >= DIAG_LIMIT;
}

/* The length of the printable UTF-8 sequence at s, 0 if there is none: shortest form only, no surrogates,
 * no control characters (neither U+0000..1F, U+7F nor U+0080..9F). */
static size_t printable(const unsigned char *s) {
    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    uint32_t c = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
    return c < least[n] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff ? 0 : n;
}

static void put_safe(StrBuf *sb, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t n = printable(s);
        if (n)
            sb_put(sb, (const char *)s, n);
        else
            sb_printf(sb, "\\x%02x", *s);
        s += n ? n : 1;
    }
}

void diag_print(StrBuf *sb, const DiagEntry *e) {
    const Loc *l = &e->loc;
    put_safe(sb, l->file ? l->file : "cnnc");
    if (l->file && l->line)
        sb_printf(sb, ":%u", l->line);
    if (l->file && l->line && l->col)
        sb_printf(sb, ":%u", l->col);
    sb_puts(sb, e->is_warning ? ": warning: " : ": error: ");
    if (l->name) {
        sb_puts(sb, "layer \"");
        put_safe(sb, l->name);
        sb_puts(sb, l->pointer ? "\" (" : "\": ");
    }
    if (l->pointer) {
        put_safe(sb, l->pointer);
        sb_puts(sb, l->name ? "): " : ": ");
    }
    put_safe(sb, e->message);
    sb_printf(sb, " [%s]\n", diag_tag(e->id));
    if (e->hint) {
        sb_puts(sb, "  hint: ");
        put_safe(sb, e->hint);
        sb_putc(sb, '\n');
    }
}

void diag_print_all(StrBuf *sb, const Diag *d) {
    uint32_t shown = 0;
    for (uint32_t i = 0; i < d->entries.len; i++) {
        diag_print(sb, &d->entries.data[i]);
        shown += !d->entries.data[i].is_warning;
    }
    if (d->errors > shown)
        sb_printf(sb, "cnnc: error: and %u more error%s\n", d->errors - shown,
                  d->errors - shown > 1 ? "s" : "");
}

/* Edit distance with swaps of neighbours; letter case does not count. Words are at most WORD_LIMIT long. */
static uint32_t distance(const char *a, size_t na, const char *b, size_t nb) {
    uint32_t rows[3][WORD_LIMIT + 1];
    for (uint32_t j = 0; j <= nb; j++)
        rows[0][j] = j;
    for (uint32_t i = 1; i <= na; i++) {
        uint32_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= nb; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            uint32_t best = up[j - 1] + (x != y);
            best = up[j] + 1 < best ? up[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[na % 3][nb];
}

const char *diag_nearest(const char *word, const char *const *candidates, size_t count) {
    size_t n = strnlen(word, WORD_LIMIT + 1);
    if (n > WORD_LIMIT)
        return NULL;
    const char *nearest = NULL;
    uint32_t best = (uint32_t)(n + 2) / 3 + 1; /* one more than what still counts as near */
    best = best > n ? (uint32_t)n : best;      /* but something of the word must remain */
    for (size_t i = 0; i < count; i++) {
        size_t m = strnlen(candidates[i], WORD_LIMIT + 1);
        if (m > WORD_LIMIT)
            continue;
        uint32_t d = distance(word, n, candidates[i], m);
        if (d < best) {
            best = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}
