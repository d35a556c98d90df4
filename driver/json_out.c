/* Writing JSON for --json: one member of the outer objects a line, what is inside arrays of numbers in one.
 */
#include "driver/json_out.h"
#include <math.h>
#include <stdio.h>

static void quote(StrBuf *sb, const char *s) {
    sb_putc(sb, '"');
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            sb_printf(sb, "\\%c", c);
        else if (c < 0x20)
            sb_printf(sb, "\\u%04x", c);
        else
            sb_putc(sb, *s);
    }
    sb_putc(sb, '"');
}

/* What stands before a member or element. */
static void before(JsonOut *j, const char *key) {
    if (j->comma)
        sb_putc(&j->sb, ',');
    if (key) {
        sb_putc(&j->sb, '\n');
        sb_indent(&j->sb, j->depth);
        quote(&j->sb, key);
        sb_puts(&j->sb, ": ");
    } else if (j->comma) {
        sb_putc(&j->sb, ' ');
    }
    j->comma = true;
}

void json_open(JsonOut *j, const char *key, char bracket) {
    before(j, key);
    sb_putc(&j->sb, bracket);
    j->comma = false;
    j->depth++;
}

void json_close(JsonOut *j, char bracket) {
    j->depth--;
    if (bracket == '}') {
        sb_putc(&j->sb, '\n');
        sb_indent(&j->sb, j->depth);
    }
    sb_putc(&j->sb, bracket);
    j->comma = true;
}

void json_text(JsonOut *j, const char *key, const char *value) {
    before(j, key);
    if (value)
        quote(&j->sb, value);
    else
        sb_puts(&j->sb, "null");
}

void json_int(JsonOut *j, const char *key, int64_t value) {
    before(j, key);
    sb_printf(&j->sb, "%lld", (long long)value);
}

void json_real(JsonOut *j, const char *key, double value) {
    before(j, key);
    if (isfinite(value))
        sb_printf(&j->sb, "%.9g", value);
    else
        sb_puts(&j->sb, "null");
}

void json_bool(JsonOut *j, const char *key, bool value) {
    before(j, key);
    sb_puts(&j->sb, value ? "true" : "false");
}

JsonOut json_begin(Arena *a, const char *format) {
    JsonOut j = {.sb = sb_new(a), .depth = 1};
    sb_putc(&j.sb, '{');
    json_text(&j, "format", format);
    return j;
}

void json_end(JsonOut *j) {
    sb_puts(&j->sb, "\n}\n");
    fputs(sb_str(&j->sb), stdout);
}
