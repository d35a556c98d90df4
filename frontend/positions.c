/* The scan that runs before cJSON: it holds the text to RFC 8259 where cJSON is lax (depth, leading zeros,
 * raw control characters, bad UTF-8, \u0000, numbers that no double holds) and notes each value's place in
 * the file, so that cJSON's tree, which keeps no positions, can be walked in step with the list made here. */
#include "frontend/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Scan {
    JsonDoc *d;
    const char *p, *end;
    int depth;
} Scan;

Loc json_loc_at(const JsonDoc *d, uint32_t offset) {
    uint32_t lo = 0, hi = d->lines.len; /* the last line that begins at or before offset */
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (d->lines.data[mid] <= offset)
            lo = mid;
        else
            hi = mid;
    }
    return (Loc){.file = d->file, .line = lo + 1, .col = offset - d->lines.data[lo] + 1};
}

static bool fail(const Scan *s, DiagId id, const char *at, const char *what) {
    Loc loc = json_loc_at(s->d, (uint32_t)(at - s->d->text));
    return diag_error(&s->d->cx->diag, id, &loc, "%s", what);
}

/* "expected X, found Y" at the current byte. */
static bool expected(const Scan *s, const char *what) {
    Loc loc = json_loc_at(s->d, (uint32_t)(s->p - s->d->text));
    Diag *diag = &s->d->cx->diag;
    if (s->p == s->end)
        return diag_error(diag, DIAG_JSON_SYNTAX, &loc, "expected %s, found the end of the file", what);
    unsigned char c = (unsigned char)*s->p;
    if (c < 0x20 || c >= 0x7f)
        return diag_error(diag, DIAG_JSON_SYNTAX, &loc, "expected %s, found the byte 0x%02x", what, c);
    diag_error(diag, DIAG_JSON_SYNTAX, &loc, "expected %s, found '%c'", what, c);
    if (c == '/' || c == '#')
        diag_hint(diag, "JSON has no comments");
    else if (c == '\'')
        diag_hint(diag, "JSON strings stand in double quotes");
    return false;
}

static void skip_space(Scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* Length of the UTF-8 sequence at p, or 0 if it is none (RFC 3629: no surrogates, no overlong forms). */
static int utf8_length(const unsigned char *p, const unsigned char *end) {
    int n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (n == 0 || end - p < n)
        return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : n;
}

/* Four hexadecimal digits at p, or -1. */
static int hex4(const char *p, const char *end) {
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static bool scan_escape(Scan *s) {
    const char *at = s->p++;
    if (s->p < s->end && *s->p && strchr("\"\\/bfnrt", *s->p)) {
        s->p++;
        return true;
    }
    if (s->p == s->end || *s->p != 'u')
        return fail(s, DIAG_JSON_STRING, at,
                    "no such escape: JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    int code = hex4(s->p + 1, s->end);
    if (code < 0)
        return fail(s, DIAG_JSON_STRING, at, "\\u needs four hexadecimal digits");
    if (code == 0)
        return fail(s, DIAG_JSON_STRING, at, "\\u0000 is not allowed here");
    s->p += 5;
    if (code < 0xd800 || code > 0xdfff)
        return true;
    int low = s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' ? hex4(s->p + 2, s->end) : -1;
    if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return fail(s, DIAG_JSON_STRING, at, "half of a surrogate pair");
    s->p += 6;
    return true;
}

static bool scan_string(Scan *s) {
    const char *open = s->p++;
    while (s->p < s->end && *s->p != '"') {
        unsigned char c = (unsigned char)*s->p;
        if (c == '\\') {
            if (!scan_escape(s))
                return false;
        } else if (c < 0x20) {
            if (c == '\n' || c == '\r')
                return fail(s, DIAG_JSON_STRING, open, "the string is not closed on its line");
            return fail(s, DIAG_JSON_STRING, s->p,
                        "a raw control character in a string; write it as an escape");
        } else if (c >= 0x80) {
            int n = utf8_length((const unsigned char *)s->p, (const unsigned char *)s->end);
            if (n == 0)
                return fail(s, DIAG_JSON_STRING, s->p, "the bytes here are not UTF-8");
            s->p += n;
        } else {
            s->p++;
        }
    }
    if (s->p == s->end)
        return fail(s, DIAG_JSON_SYNTAX, open, "the string is not closed");
    s->p++;
    return true;
}

static const char *digits(const char *p, const char *end) {
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* By its digits, which have no leading zeros: as a double 2^53 + 1 is 2^53. */
static bool beyond_2_53(const char *whole, size_t n) {
    static const char most[] = "9007199254740992";
    return n != sizeof most - 1 ? n > sizeof most - 1 : memcmp(whole, most, n) > 0;
}

static bool scan_number(Scan *s) {
    const char *at = s->p, *p = at, *end = s->end;
    if (*p == '-')
        p++;
    const char *whole = p;
    p = digits(p, end);
    if (p == whole) {
        s->p = p;
        return expected(s, "a digit");
    }
    if (*whole == '0' && p - whole > 1)
        return fail(s, DIAG_JSON_NUMBER, at, "a number does not begin with 0");
    bool is_whole = true;
    if (p < end && *p == '.') {
        s->p = p + 1;
        p = digits(p + 1, end);
        is_whole = false;
        if (p == s->p)
            return expected(s, "a digit after the point");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        s->p = p;
        p = digits(p, end);
        is_whole = false;
        if (p == s->p)
            return expected(s, "a digit in the exponent");
    }
    s->p = p;
    if (p - at > 60) /* cJSON reads no more */
        return fail(s, DIAG_JSON_NUMBER, at, "the number has more than 60 characters");
    char copy[64] = {0};
    memcpy(copy, at, (size_t)(p - at));
    double v = strtod(copy, NULL);
    if (!isfinite(v))
        return fail(s, DIAG_JSON_NUMBER, at, "the number is too large for double precision");
    if (is_whole && beyond_2_53(whole, (size_t)(p - whole)))
        return fail(s, DIAG_JSON_NUMBER, at,
                    "the integer is beyond 2^53, where not every integer has a double");
    return true;
}

static bool scan_word(Scan *s, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return expected(s, "a value");
    s->p += n;
    return true;
}

static bool scan_value(Scan *s, const char *key);

static bool scan_member(Scan *s, bool is_object) {
    const char *key = NULL;
    skip_space(s);
    if (is_object) {
        if (s->p == s->end || *s->p != '"')
            return expected(s, "a key in double quotes");
        key = s->p;
        if (!scan_string(s))
            return false;
        skip_space(s);
        if (s->p == s->end || *s->p != ':')
            return expected(s, "':'");
        s->p++;
        skip_space(s);
    }
    return scan_value(s, key);
}

static bool scan_members(Scan *s, char close, bool is_object) {
    if (++s->depth > JSON_MAX_DEPTH)
        return fail(s, DIAG_JSON_LIMIT, s->p, "lists and objects are nested more than 64 deep");
    s->p++;
    skip_space(s);
    if (s->p < s->end && *s->p == close) {
        s->p++;
        s->depth--;
        return true;
    }
    for (;;) {
        if (!scan_member(s, is_object))
            return false;
        skip_space(s);
        if (s->p < s->end && *s->p == close)
            break;
        if (s->p == s->end || *s->p != ',')
            return expected(s, is_object ? "',' or '}'" : "',' or ']'");
        s->p++;
    }
    s->p++;
    s->depth--;
    return true;
}

static bool scan_value(Scan *s, const char *key) {
    if (s->p == s->end)
        return expected(s, "a value");
    if (s->d->pos.len == JSON_MAX_VALUES)
        return fail(s, DIAG_JSON_LIMIT, s->p, "the file holds more than 4000000 values");
    uint32_t offset = (uint32_t)(s->p - s->d->text);
    uint32_t key_offset = key ? (uint32_t)(key - s->d->text) : offset;
    vec_push(&s->d->cx->arena, &s->d->pos, (JsonPos){offset, key_offset});
    switch (*s->p) {
    case '{':
        return scan_members(s, '}', true);
    case '[':
        return scan_members(s, ']', false);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return *s->p == '-' || (*s->p >= '0' && *s->p <= '9') ? scan_number(s) : expected(s, "a value");
    }
}

bool json_scan(JsonDoc *d) {
    Scan s = {.d = d, .p = d->text, .end = d->text + d->size};
    vec_push(&d->cx->arena, &d->lines, 0);
    for (const char *p = d->text; (p = memchr(p, '\n', (size_t)(s.end - p))); p++)
        vec_push(&d->cx->arena, &d->lines, (uint32_t)(p + 1 - d->text));
    if (d->size >= 3 && memcmp(d->text, "\xef\xbb\xbf", 3) == 0)
        s.p += 3; /* a byte order mark, which cJSON skips too */
    skip_space(&s);
    if (!scan_value(&s, NULL))
        return false;
    skip_space(&s);
    if (s.p != s.end)
        return expected(&s, "the end of the file");
    return true;
}
