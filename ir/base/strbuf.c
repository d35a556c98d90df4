/* Growing strings for printers and messages. */
#include "ir/base/strbuf.h"

#include <stdio.h>
#include <string.h>

StrBuf sb_new(Arena *a) {
    return (StrBuf){.arena = a};
}

static void reserve(StrBuf *sb, size_t more) {
    if (sb->len + more + 1 <= sb->cap)
        return;
    size_t cap = sb->cap ? sb->cap : 64;
    while (cap < sb->len + more + 1)
        cap *= 2;
    char *p = arena_alloc(sb->arena, cap);
    if (sb->len)
        memcpy(p, sb->data, sb->len);
    sb->data = p;
    sb->cap = cap;
}

void sb_put(StrBuf *sb, const char *s, size_t n) {
    reserve(sb, n);
    if (n)
        memcpy(sb->data + sb->len, s, n);
    sb->len += n;
    sb->data[sb->len] = 0;
}

void sb_puts(StrBuf *sb, const char *s) {
    sb_put(sb, s, strlen(s));
}

void sb_putc(StrBuf *sb, char c) {
    sb_put(sb, &c, 1);
}

void sb_vprintf(StrBuf *sb, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    reserve(sb, (size_t)n);
    vsnprintf(sb->data + sb->len, (size_t)n + 1, fmt, ap);
    sb->len += (size_t)n;
}

void sb_printf(StrBuf *sb, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(sb, fmt, ap);
    va_end(ap);
}

void sb_indent(StrBuf *sb, int depth) {
    for (int i = 0; i < depth; i++)
        sb_puts(sb, "  ");
}

void sb_quote(StrBuf *sb, const char *s) {
    sb_putc(sb, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            sb_printf(sb, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            sb_printf(sb, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || c == 0x7f)
            sb_printf(sb, "\\x%02x", c);
        else
            sb_putc(sb, (char)c);
    }
    sb_putc(sb, '"');
}

const char *sb_str(const StrBuf *sb) {
    return sb->data ? sb->data : "";
}
