/* A growing string in an arena, always NUL-terminated once something was added. */
#ifndef IR_BASE_STRBUF_H
#define IR_BASE_STRBUF_H

#include "ir/base/arena.h"
#include <stdarg.h>

typedef struct StrBuf {
    Arena *arena;
    char *data; /* NULL while empty; use sb_str */
    size_t len, cap;
} StrBuf;

StrBuf sb_new(Arena *a);
void sb_put(StrBuf *sb, const char *s, size_t n);
void sb_puts(StrBuf *sb, const char *s);
void sb_putc(StrBuf *sb, char c);
void sb_printf(StrBuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sb_vprintf(StrBuf *sb, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void sb_indent(StrBuf *sb, int depth); /* two blanks a level */
/* `s` in double quotes, with \" \\ \n \t \r and \xHH for other control bytes; lexer.h reads it back. */
void sb_quote(StrBuf *sb, const char *s);
const char *sb_str(const StrBuf *sb);

#endif
