/* The safetensors format, read in place: u64 header length, a JSON object of tensors, the data section.
 * Nothing is allocated: a walker checks the header's JSON strictly as it goes, and the rules that concern all
 * tensors together (no overlap, no hole, no name twice) are checked by fingerprints in linear time. */
#include "cnnrt.h"
#include <stdbool.h>
#include <string.h>

enum { MAX_HEADER = 100000000, MAX_TENSORS = 65536, NAME_TABLE = 4096 };

typedef struct Walker {
    const unsigned char *file;
    size_t pos, end;   /* within the header */
    size_t data_bytes; /* of the data section */
    const char *fault; /* first fault, or NULL */
    size_t fault_at;
} Walker;

static bool fail_at(Walker *w, size_t at, const char *fault) {
    if (!w->fault) {
        w->fault = fault;
        w->fault_at = at;
    }
    return false;
}

static bool fail(Walker *w, const char *fault) {
    return fail_at(w, w->pos, fault);
}

/* ---- JSON tokens ---- */

static void skip_blanks(Walker *w) {
    while (w->pos < w->end && (w->file[w->pos] == ' ' || w->file[w->pos] == '\t' || w->file[w->pos] == '\n' ||
                               w->file[w->pos] == '\r'))
        w->pos++;
}

static bool accept(Walker *w, char c) {
    skip_blanks(w);
    if (w->pos >= w->end || w->file[w->pos] != (unsigned char)c)
        return false;
    w->pos++;
    return true;
}

static bool expect(Walker *w, char c, const char *fault) {
    return accept(w, c) || fail(w, fault);
}

/* Four hexadecimal digits at p, or -1. */
static int32_t hex4(const unsigned char *p, const unsigned char *end) {
    int32_t v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = p[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + ((c | 32) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* Length of the escape sequence at p (after which `*code` is its character), or 0 when it is malformed. */
static size_t escape(const unsigned char *p, const unsigned char *end, uint32_t *code) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (end - p < 2)
        return 0;
    if (p[1] != 'u') {
        const char *hit = p[1] ? strchr(from, p[1]) : NULL;
        *code = hit ? (unsigned char)to[hit - from] : 0;
        return hit ? 2 : 0;
    }
    int32_t high = hex4(p + 2, end);
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff)) /* U+0000 would end a C string early */
        return 0;
    *code = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 6;
    int32_t low = end - p >= 8 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *code = 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 12;
}

/* Length of the UTF-8 sequence at p, 0 when it is not valid (RFC 3629). */
static size_t utf8_length(const unsigned char *p, const unsigned char *end) {
    unsigned char c = p[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    if (n == 0 || (size_t)(end - p) < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

typedef struct Text { /* between the quotes, escapes as written */
    const unsigned char *p, *end;
} Text;

static bool string(Walker *w, Text *out, const char *fault) {
    if (!expect(w, '"', fault))
        return false;
    const unsigned char *end = w->file + w->end;
    out->p = w->file + w->pos;
    while (w->pos < w->end && w->file[w->pos] != '"') {
        const unsigned char *p = w->file + w->pos;
        uint32_t code;
        size_t n = *p == '\\' ? escape(p, end, &code) : utf8_length(p, end);
        if (*p < 0x20)
            return fail(w, "a control character in a string");
        if (n == 0)
            return fail(w, *p == '\\' ? "a malformed escape in a string" : "a string is not valid UTF-8");
        w->pos += n;
    }
    out->end = w->file + w->pos;
    if (w->pos >= w->end)
        return fail(w, "a string does not end");
    w->pos++;
    return true;
}

static bool number(Walker *w, uint64_t *out, const char *fault) {
    skip_blanks(w);
    size_t from = w->pos;
    uint64_t v = 0;
    for (; w->pos < w->end && w->file[w->pos] >= '0' && w->file[w->pos] <= '9'; w->pos++) {
        unsigned digit = w->file[w->pos] - '0';
        if (v > ((uint64_t)INT64_MAX - digit) / 10u)
            return fail_at(w, from, "a number is too large");
        v = v * 10 + digit;
    }
    if (w->pos == from)
        return fail(w, fault);
    if (w->pos - from > 1 && w->file[from] == '0')
        return fail_at(w, from, "a number begins with 0");
    *out = v;
    return true;
}

/* ---- Names with escapes resolved ---- */

/* The next bytes of a checked text: one character as UTF-8. Returns their count. */
static size_t next_char(const unsigned char **p, const unsigned char *end, unsigned char out[4]) {
    if (**p != '\\') {
        out[0] = *(*p)++;
        return 1;
    }
    uint32_t c = 0;
    *p += escape(*p, end, &c);
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(lead[n] | c);
    return n;
}

static bool text_is(Text t, const char *s) {
    unsigned char c[4];
    while (t.p < t.end) {
        size_t n = next_char(&t.p, t.end, c);
        for (size_t i = 0; i < n; i++, s++)
            if (*s == '\0' || (unsigned char)*s != c[i])
                return false;
    }
    return *s == '\0';
}

static uint64_t mix(uint64_t x) { /* a bijection of 64 bits with good avalanche (splitmix64's finisher) */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t text_hash(Text t, uint64_t seed) {
    unsigned char c[4];
    uint64_t h = seed;
    while (t.p < t.end) {
        size_t n = next_char(&t.p, t.end, c);
        for (size_t i = 0; i < n; i++)
            h = (h ^ c[i]) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return mix(h);
}

/* ---- Entries ---- */

static const struct {
    const char *name;
    uint32_t dtype, bits;
} dtypes[] = {
    {"F32", CNNRT_F32, 32},     {"F16", CNNRT_F16, 16},     {"BF16", CNNRT_BF16, 16},
    {"F64", CNNRT_F64, 64},     {"I64", CNNRT_I64, 64},     {"I32", CNNRT_I32, 32},
    {"U8", CNNRT_U8, 8},        {"I8", CNNRT_I8, 8},        {"BOOL", UINT32_MAX, 8},
    {"I16", UINT32_MAX, 16},    {"U16", UINT32_MAX, 16},    {"U32", UINT32_MAX, 32},
    {"U64", UINT32_MAX, 64},    {"C64", UINT32_MAX, 64},    {"F8_E5M2", UINT32_MAX, 8},
    {"F8_E4M3", UINT32_MAX, 8}, {"F8_E8M0", UINT32_MAX, 8}, {"F4", UINT32_MAX, 4},
    {"F6_E2M3", UINT32_MAX, 6}, {"F6_E3M2", UINT32_MAX, 6},
};

static bool entry_dtype(Walker *w, cnnrt_st_tensor *t, uint32_t *bits) {
    Text s = {NULL, NULL};
    skip_blanks(w);
    size_t at = w->pos;
    if (!string(w, &s, "dtype is not a string"))
        return false;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (text_is(s, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            *bits = dtypes[i].bits;
            return true;
        }
    return fail_at(w, at, "an unknown dtype");
}

static bool entry_shape(Walker *w, cnnrt_st_tensor *t) {
    if (!expect(w, '[', "shape is not a list"))
        return false;
    t->rank = 0;
    if (accept(w, ']'))
        return true;
    do {
        uint64_t v;
        if (t->rank == sizeof t->dim / sizeof *t->dim)
            return fail(w, "a tensor of more than 8 dimensions");
        if (!number(w, &v, "a dimension is not a whole number"))
            return false;
        t->dim[t->rank++] = (int64_t)v;
    } while (accept(w, ','));
    return expect(w, ']', "a list is not closed with ]");
}

static bool entry_offsets(Walker *w, uint64_t range[2]) {
    return expect(w, '[', "data_offsets is not a list") &&
           number(w, &range[0], "an offset is not a whole number") &&
           expect(w, ',', "data_offsets needs two numbers") &&
           number(w, &range[1], "an offset is not a whole number") &&
           expect(w, ']', "data_offsets needs two numbers");
}

/* Bytes of the tensor as its shape says; false on overflow or when they are not whole. */
static bool shape_bytes(const cnnrt_st_tensor *t, uint32_t bits, uint64_t *bytes) {
    uint64_t n = bits;
    for (uint32_t i = 0; i < t->rank; i++) /* a 0 anywhere makes it 0, whatever overflows elsewhere */
        if (t->dim[i] == 0)
            n = 0;
    for (uint32_t i = 0; i < t->rank && n != 0; i++) {
        if (n > UINT64_MAX / (uint64_t)t->dim[i])
            return false;
        n *= (uint64_t)t->dim[i];
    }
    *bytes = n / 8;
    return n % 8 == 0;
}

/* The object after a tensor's name. */
static bool entry_body(Walker *w, cnnrt_st_tensor *t) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    uint64_t range[2] = {0, 0}, bytes = 0;
    uint32_t bits = 0, seen = 0;
    skip_blanks(w);
    size_t at = w->pos;
    if (!expect(w, '{', "a tensor is not described by an object"))
        return false;
    do {
        Text key = {NULL, NULL};
        skip_blanks(w);
        size_t key_at = w->pos;
        if (!string(w, &key, "a key is expected here"))
            return false;
        uint32_t bit = text_is(key, "dtype")          ? DTYPE
                       : text_is(key, "shape")        ? SHAPE
                       : text_is(key, "data_offsets") ? OFFSETS
                                                      : 0;
        if (bit == 0)
            return fail_at(w, key_at, "an unknown key; dtype, shape and data_offsets are known");
        if (seen & bit)
            return fail_at(w, key_at, "a key stands twice");
        seen |= bit;
        if (!expect(w, ':', "a key lacks its :"))
            return false;
        if (!(bit == DTYPE   ? entry_dtype(w, t, &bits)
              : bit == SHAPE ? entry_shape(w, t)
                             : entry_offsets(w, range)))
            return false;
    } while (accept(w, ','));
    if (!expect(w, '}', "an object is not closed with }"))
        return false;
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return fail_at(w, at, "a tensor lacks dtype, shape or data_offsets");
    if (range[0] > range[1] || range[1] > w->data_bytes)
        return fail_at(w, at, "data_offsets lie outside the file or are reversed");
    if (!shape_bytes(t, bits, &bytes) || bytes != range[1] - range[0])
        return fail_at(w, at, "data_offsets do not fit shape and dtype");
    t->data = w->file + w->end + range[0];
    t->bytes = (size_t)bytes;
    return true;
}

static bool metadata(Walker *w) {
    Text s = {NULL, NULL};
    if (!expect(w, '{', "__metadata__ is not an object"))
        return false;
    if (accept(w, '}'))
        return true;
    do {
        if (!string(w, &s, "a key of __metadata__ is expected here") ||
            !expect(w, ':', "a key lacks its :") || !string(w, &s, "a value of __metadata__ is not a string"))
            return false;
    } while (accept(w, ','));
    return expect(w, '}', "an object is not closed with }");
}

/* The next tensor: 1, the end of the header: 0, a fault: -1. w->pos 8 begins. */
static int walk(Walker *w, cnnrt_st_tensor *t, Text *name, uint32_t *n_metadata) {
    for (;;) {
        bool first = w->pos == 8;
        if (first && (w->end == 8 || w->file[w->pos++] != '{'))
            return fail_at(w, 8, "the header does not begin with {") - 1;
        if (accept(w, '}')) {
            skip_blanks(w);
            return w->pos == w->end ? 0 : fail(w, "something follows the header's }") - 1;
        }
        if (!first && !expect(w, ',', "a , or } is expected here"))
            return -1;
        if (!string(w, name, "a tensor's name is expected here") || !expect(w, ':', "a name lacks its :"))
            return -1;
        if (!text_is(*name, "__metadata__")) {
            t->name = (const char *)name->p;
            t->name_bytes = (size_t)(name->end - name->p);
            return entry_body(w, t) ? 1 : -1;
        }
        if ((*n_metadata)++)
            return fail(w, "__metadata__ stands twice") - 1;
        if (!metadata(w))
            return -1;
    }
}

/* ---- Rules for all tensors together ---- */

/* Begins and the end of the section against ends and 0, as multisets: they are equal exactly when the tensors
 * cover each byte once. Compared by a sum of hashes under a seed that depends on the whole header. */
static bool check_cover(Walker *w, uint64_t seed, size_t *count) {
    uint64_t begins = mix(seed ^ w->data_bytes), ends = mix(seed);
    uint32_t n_metadata = 0;
    cnnrt_st_tensor t;
    Text name = {NULL, NULL};
    int more;
    *count = 0;
    w->pos = 8;
    while ((more = walk(w, &t, &name, &n_metadata)) > 0) {
        uint64_t begin = (uint64_t)((const unsigned char *)t.data - (w->file + w->end));
        begins += mix(seed ^ begin);
        ends += mix(seed ^ (begin + t.bytes));
        if (++*count > MAX_TENSORS)
            return fail(w, "more than 65536 tensors");
    }
    if (more < 0)
        return false;
    return begins == ends || fail_at(w, w->end, "the tensors overlap, or leave bytes of the file unused");
}

/* No name twice: a table of hashes on the stack takes a share of the names at a time. */
static bool check_names(Walker *w, uint64_t seed, size_t count) {
    uint64_t table[NAME_TABLE];
    size_t rounds = count / (NAME_TABLE / 2) + 1;
    for (size_t round = 0; round < rounds; round++) {
        uint32_t n_metadata = 0;
        size_t used = 0;
        cnnrt_st_tensor t;
        Text name = {NULL, NULL};
        memset(table, 0, sizeof table);
        w->pos = 8;
        while (walk(w, &t, &name, &n_metadata) > 0) {
            uint64_t h = text_hash(name, seed) | 1; /* 0 marks a free slot */
            if ((h >> 32) % rounds != round)
                continue;
            size_t slot = (h >> 1) % NAME_TABLE;
            while (table[slot] != 0 && table[slot] != h)
                slot = (slot + 1) % NAME_TABLE;
            if (table[slot] == h)
                return fail_at(w, (size_t)(name.p - w->file), "a tensor's name stands twice");
            table[slot] = h;
            if (++used == NAME_TABLE - 1)
                return fail(w, "the names of the tensors are not spread enough");
        }
    }
    return true;
}

static uint64_t header_seed(const unsigned char *p, size_t n) {
    uint64_t h = 0x9e3779b97f4a7c15u ^ n, word;
    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        h = mix(h ^ word);
    }
    for (; n > 0; p++, n--)
        h = mix(h ^ *p);
    return h;
}

/* ---- The public calls ---- */

static Walker walker(const cnnrt_safetensors *st) {
    Walker w = {.file = st->file, .pos = 8, .end = 8 + st->header_bytes};
    w.data_bytes = st->file_bytes - w.end;
    return w;
}

int cnnrt_st_open(cnnrt_safetensors *st, const void *file, size_t file_bytes, char *why, size_t why_size,
                  size_t *at) {
    Walker w = {.file = file};
    uint64_t header = 0;
    memset(st, 0, sizeof *st);
    for (int i = 7; i >= 0 && file_bytes >= 8; i--)
        header = header << 8 | w.file[i];
    if (file_bytes < 8)
        fail(&w, "the file is shorter than 8 bytes");
    else if (header > MAX_HEADER)
        fail(&w, "the header's length is above 100 MB");
    else if (header > file_bytes - 8)
        fail(&w, "the header's length goes beyond the file");
    if (!w.fault) {
        *st = (cnnrt_safetensors){file, file_bytes, (size_t)header, 0};
        w = walker(st);
        uint64_t seed = header_seed(w.file, w.end);
        if (check_cover(&w, seed, &st->count))
            check_names(&w, seed, st->count);
    }
    if (!w.fault)
        return CNNRT_OK;
    memset(st, 0, sizeof *st);
    if (why && why_size > 0) {
        size_t n = strlen(w.fault) < why_size - 1 ? strlen(w.fault) : why_size - 1;
        memcpy(why, w.fault, n);
        why[n] = '\0';
    }
    if (at)
        *at = w.fault_at;
    return CNNRT_E_FORMAT;
}

int cnnrt_st_next(const cnnrt_safetensors *st, size_t *cursor, cnnrt_st_tensor *out) {
    if (!st->file)
        return 0;
    Walker w = walker(st);
    uint32_t n_metadata = 0;
    Text name = {NULL, NULL};
    if (*cursor > 8 && *cursor <= w.end)
        w.pos = *cursor;
    memset(out, 0, sizeof *out);
    int more = walk(&w, out, &name, &n_metadata);
    *cursor = w.pos;
    return more > 0;
}

static Text tensor_name(const cnnrt_st_tensor *t) {
    const unsigned char *p = (const unsigned char *)t->name;
    return (Text){p, p + t->name_bytes};
}

size_t cnnrt_st_name(const cnnrt_st_tensor *t, char *out) {
    Text name = tensor_name(t);
    size_t length = 0;
    unsigned char c[4];
    while (name.p < name.end) { /* at most 4 bytes for an escape of 6, so `out` is large enough */
        size_t n = next_char(&name.p, name.end, c);
        memcpy(out + length, c, n);
        length += n;
    }
    return length;
}

int cnnrt_st_find(const cnnrt_safetensors *st, const char *name, cnnrt_st_tensor *out) {
    size_t cursor = 0;
    while (cnnrt_st_next(st, &cursor, out)) {
        if (text_is(tensor_name(out), name))
            return 1;
    }
    memset(out, 0, sizeof *out);
    return 0;
}
