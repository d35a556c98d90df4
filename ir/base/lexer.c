/* The tokenizer of .cnnir text. After the first fault every token is TOK_ERROR, so parsers may test late. */
#include "ir/base/lexer.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(char c) {
    return is_alpha(c) || is_digit(c) || c == '.';
}

void lex_init(Lexer *lx, Context *cx, const char *file, const char *text, size_t size) {
    *lx = (Lexer){.cx = cx, .file = file, .p = text, .end = text + size, .line = 1, .line_start = text};
    lex_next(lx);
}

Loc lex_loc(const Lexer *lx) {
    return (Loc){.file = lx->file, .line = lx->tok.line, .col = lx->tok.col};
}

static bool fail(Lexer *lx, DiagId id, const char *fmt, va_list ap) {
    if (lx->failed)
        return false;
    StrBuf sb = sb_new(&lx->cx->arena);
    sb_vprintf(&sb, fmt, ap);
    Loc loc = lex_loc(lx);
    lx->failed = true;
    lx->tok.kind = TOK_ERROR;
    lx->tok.text = "";
    return diag_error(&lx->cx->diag, id, &loc, "%s", sb_str(&sb));
}

bool lex_fail(Lexer *lx, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(lx, DIAG_TEXT_SYNTAX, fmt, ap);
    va_end(ap);
    return false;
}

bool lex_invalid(Lexer *lx, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(lx, DIAG_IR_INVALID, fmt, ap);
    va_end(ap);
    return false;
}

static char peek(const Lexer *lx, size_t ahead) {
    return (size_t)(lx->end - lx->p) > ahead ? lx->p[ahead] : 0;
}

static void skip_blanks(Lexer *lx) {
    while (lx->p < lx->end) {
        char c = *lx->p;
        if (c == '#') {
            while (lx->p < lx->end && *lx->p != '\n')
                lx->p++;
        } else if (c == '\n') {
            lx->line_start = ++lx->p;
            lx->line++;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            lx->p++;
        } else {
            return;
        }
    }
}

static int hex_digit(char c) {
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One escape, the backslash already passed. */
static bool escape(Lexer *lx, StrBuf *sb) {
    char c = peek(lx, 0);
    if (c == 'x') {
        int hi = hex_digit(peek(lx, 1)), lo = hi < 0 ? -1 : hex_digit(peek(lx, 2));
        if (lo < 0 || hi * 16 + lo == 0)
            return lex_fail(lx, "\\x in a string needs two hex digits, not both 0");
        sb_putc(sb, (char)(hi * 16 + lo));
        lx->p += 3;
        return true;
    }
    static const char from[] = "\"\\ntr", to[] = "\"\\\n\t\r";
    const char *at = c ? strchr(from, c) : NULL;
    if (!at)
        return lex_fail(lx, "unknown escape in a string");
    sb_putc(sb, to[at - from]);
    lx->p++;
    return true;
}

/* The text of a string; lx->p is at the opening quote. */
static bool string(Lexer *lx) {
    StrBuf sb = sb_new(&lx->cx->arena);
    lx->p++;
    while (peek(lx, 0) != '"') {
        if (lx->p == lx->end || *lx->p == '\n')
            return lex_fail(lx, "a string does not end on its line");
        if ((unsigned char)*lx->p < 0x20)
            return lex_fail(lx, "control byte 0x%02x in a string; write it as \\x%02x", *lx->p, *lx->p);
        if (*lx->p == '\\') {
            lx->p++;
            if (!escape(lx, &sb))
                return false;
        } else {
            sb_putc(&sb, *lx->p++);
        }
    }
    lx->p++;
    lx->tok.text = intern(lx->cx, sb_str(&sb));
    return true;
}

/* The end of the number at p: decimal or hex, with fraction and exponent. */
static const char *number_end(const char *p, const char *end, bool *is_float) {
    p += *p == '-';
    bool hex = end - p > 2 && p[0] == '0' && p[1] == 'x' && (hex_digit(p[2]) >= 0 || p[2] == '.');
    p += hex ? 2 : 0;
    *is_float = hex;
    for (; p < end; p++) {
        bool exponent = hex ? *p == 'p' || *p == 'P' : *p == 'e' || *p == 'E';
        if (exponent) { /* only with digits after it: 4e is the integer 4 and a word */
            const char *q = p + 1;
            q += q < end && (*q == '+' || *q == '-');
            if (q >= end || !is_digit(*q))
                return p;
            *is_float = true;
            while (q < end && is_digit(*q))
                q++;
            return q;
        }
        if (*p == '.')
            *is_float = true;
        else if (hex ? hex_digit(*p) < 0 : !is_digit(*p))
            break;
    }
    return p;
}

static void number(Lexer *lx) {
    bool is_float;
    const char *end = number_end(lx->p, lx->end, &is_float);
    const char *text = lx->tok.text = intern_n(lx->cx, lx->p, (size_t)(end - lx->p));
    char *stop;
    lx->p = end;
    errno = 0;
    if (is_float) {
        lx->tok.kind = TOK_FLOAT;
        lx->tok.f = strtod(text, &stop);
        if (*stop || isinf(lx->tok.f))
            lex_fail(lx, *stop ? "'%s' is not a number" : "'%s' is too large", text);
        return;
    }
    lx->tok.kind = TOK_INT;
    lx->tok.i = strtoll(text, &stop, 10);
    lx->tok.f = strtod(text, NULL); /* not from i: -0 is negative */
    if (errno == ERANGE)
        lex_fail(lx, "the integer %s is too large", text);
}

/* inf and nan are numbers, not words. */
static bool special_float(Lexer *lx, const char *text) {
    bool minus = text[0] == '-';
    bool inf = strcmp(text + minus, "inf") == 0;
    if (!inf && strcmp(text + minus, "nan") != 0)
        return false;
    double f = inf ? (double)INFINITY : (double)NAN;
    lx->tok.kind = TOK_FLOAT;
    lx->tok.f = minus ? -f : f;
    return true;
}

static const char *take_name(Lexer *lx, size_t skip) {
    const char *start = lx->p + skip, *p = start;
    while (p < lx->end && is_name(*p))
        p++;
    lx->p = p;
    return intern_n(lx->cx, start, (size_t)(p - start));
}

static void punct(Lexer *lx) {
    unsigned char c = (unsigned char)*lx->p;
    if (c <= 0x20 || c >= 0x7f) {
        lex_fail(lx, "unexpected byte 0x%02x", c);
        return;
    }
    size_t n = c == '-' && peek(lx, 1) == '>' ? 2 : 1;
    lx->tok.kind = TOK_PUNCT;
    lx->tok.text = intern_n(lx->cx, lx->p, n);
    lx->p += n;
}

static bool minus_special(const Lexer *lx) {
    size_t left = (size_t)(lx->end - lx->p);
    return left >= 4 && (memcmp(lx->p, "-inf", 4) == 0 || memcmp(lx->p, "-nan", 4) == 0) &&
           !is_name(peek(lx, 4));
}

void lex_next(Lexer *lx) {
    if (lx->failed)
        return;
    skip_blanks(lx);
    lx->tok =
        (Token){.kind = TOK_EOF, .text = "", .line = lx->line, .col = (uint32_t)(lx->p - lx->line_start) + 1};
    if (lx->p == lx->end)
        return;
    char c = *lx->p;
    if (is_digit(c) || (c == '-' && is_digit(peek(lx, 1)))) {
        number(lx);
    } else if (minus_special(lx)) {
        lx->tok.text = intern_n(lx->cx, lx->p, 4);
        lx->p += 4;
        special_float(lx, lx->tok.text);
    } else if (is_alpha(c)) {
        lx->tok.kind = TOK_WORD;
        lx->tok.text = take_name(lx, 0);
        special_float(lx, lx->tok.text);
    } else if (c == '%' && is_name(peek(lx, 1))) {
        lx->tok.kind = TOK_LOCAL;
        lx->tok.text = take_name(lx, 1);
    } else if (c == '@' && is_name(peek(lx, 1))) {
        lx->tok.kind = TOK_GLOBAL;
        lx->tok.text = take_name(lx, 1);
    } else if (c == '"' || (c == '@' && peek(lx, 1) == '"')) {
        lx->tok.kind = c == '@' ? TOK_GLOBAL : TOK_STRING;
        lx->p += c == '@';
        string(lx);
    } else {
        punct(lx);
    }
}

bool lex_is(const Lexer *lx, const char *what) {
    return (lx->tok.kind == TOK_PUNCT || lx->tok.kind == TOK_WORD) && strcmp(lx->tok.text, what) == 0;
}

bool lex_accept(Lexer *lx, const char *what) {
    if (!lex_is(lx, what))
        return false;
    lex_next(lx);
    return true;
}

const char *lex_found(const Lexer *lx) {
    const Token *t = &lx->tok;
    const char *quote = t->kind == TOK_STRING ? "\"" : "'";
    const char *sigil = t->kind == TOK_LOCAL ? "%" : t->kind == TOK_GLOBAL ? "@" : "";
    if (t->kind == TOK_EOF)
        return "the end of the file";
    return arena_printf(&lx->cx->arena, "%s%s%.60s%s", quote, sigil, t->text, quote);
}

bool lex_expect(Lexer *lx, const char *what) {
    return lex_accept(lx, what) || lex_fail(lx, "expected '%s', found %s", what, lex_found(lx));
}

bool lex_int(Lexer *lx, int64_t *out) {
    if (lx->tok.kind != TOK_INT)
        return lex_fail(lx, "expected an integer, found %s", lex_found(lx));
    *out = lx->tok.i;
    lex_next(lx);
    return true;
}

bool lex_number(Lexer *lx, double *out) {
    if (lx->tok.kind != TOK_INT && lx->tok.kind != TOK_FLOAT)
        return lex_fail(lx, "expected a number, found %s", lex_found(lx));
    *out = lx->tok.f;
    lex_next(lx);
    return true;
}
