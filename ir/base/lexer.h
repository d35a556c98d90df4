/* Tokens of .cnnir text, shared by the parsers of the graph and the loop IR. */
#ifndef IR_BASE_LEXER_H
#define IR_BASE_LEXER_H

#include "ir/base/context.h"

typedef enum TokKind {
    TOK_EOF,
    TOK_WORD,   /* conv2d, cmp.eq, aBcd8b: [A-Za-z_][A-Za-z0-9_.]* */
    TOK_LOCAL,  /* %name: text without the '%'; [A-Za-z0-9_.]+ */
    TOK_GLOBAL, /* @name or @"any text": text without '@' and quotes */
    TOK_INT,    /* -12 */
    TOK_FLOAT,  /* 1.5, 0x1.8p+0, inf, -inf, nan: a word never begins with a digit */
    TOK_STRING, /* "..." with the escapes of sb_quote */
    TOK_PUNCT,  /* one character, or -> */
    TOK_ERROR,  /* reported already */
} TokKind;

typedef struct Token {
    TokKind kind;
    const char *text; /* interned */
    int64_t i;        /* TOK_INT */
    double f;         /* TOK_FLOAT and TOK_INT */
    uint32_t line, col;
} Token;

typedef struct Lexer {
    Context *cx;
    const char *file;
    const char *p, *end;
    uint32_t line;
    const char *line_start;
    Token tok; /* the current token */
    bool failed;
} Lexer;

/* Comments run from '#' to the end of the line. */
void lex_init(Lexer *lx, Context *cx, const char *file, const char *text, size_t size);
void lex_next(Lexer *lx);
bool lex_is(const Lexer *lx, const char *punct_or_word); /* current token is this punctuation or word */
bool lex_accept(Lexer *lx, const char *punct_or_word);   /* and step over it */
bool lex_expect(Lexer *lx, const char *punct_or_word);   /* else DIAG_TEXT_SYNTAX "expected X, found Y" */
bool lex_fail(Lexer *lx, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* once; false */
/* The same as DIAG_IR_INVALID: well formed, but against the rules. */
bool lex_invalid(Lexer *lx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *lex_found(const Lexer *lx); /* the current token, for "expected X, found ..." */
Loc lex_loc(const Lexer *lx);
bool lex_int(Lexer *lx, int64_t *out);
bool lex_number(Lexer *lx, double *out);

#endif
