/* __metadata__ of a safetensors file whose header cnnrt_st_open has checked. */
#include "internal.h"
#include <string.h>

static const char *skip_blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* The closing quote of a string whose text begins at p. */
static const char *string_end(const char *p, const char *end) {
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    return p < end ? p : end;
}

static bool is(const char *p, const char *end, const char *text) {
    return (size_t)(end - p) == strlen(text) && memcmp(p, text, strlen(text)) == 0;
}

bool cnnrt_st_text(const cnnrt_safetensors *st, const char *key, const char **value, size_t *size) {
    const char *p = (const char *)st->file + 8, *end = p + st->header_bytes;
    int depth = 0;
    bool metadata = false;
    for (; p < end; p++) {
        depth += *p == '{' ? 1 : *p == '}' ? -1 : 0;
        if (*p != '"')
            continue;
        const char *from = p + 1;
        p = string_end(from, end);
        const char *colon = skip_blanks(p < end ? p + 1 : end, end);
        if (colon == end || *colon != ':') /* a value */
            continue;
        if (depth == 1)
            metadata = is(from, p, "__metadata__");
        if (depth == 2 && metadata && is(from, p, key)) {
            *value = skip_blanks(colon + 1, end) + 1;
            *size = (size_t)(string_end(*value, end) - *value);
            return true;
        }
    }
    return false;
}
