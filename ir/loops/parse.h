/* Private to ir/loops: the parser's state. parse.c reads the module, parse_kernel.c statements, parse_index.c
 * index expressions. Every function returns false after a diagnostic. */
#ifndef IR_LOOPS_PARSE_H
#define IR_LOOPS_PARSE_H

#include "ir/base/lexer.h"
#include "ir/loops/index.h"
#include "ir/loops/text.h"

enum { MAX_DEPTH = 64, MAX_INDEX_NODES = 256, MAX_TEXT_LANES = 64 };

/* What a name stands for; names are interned, so pointers are compared. */
typedef enum NameKind { NAME_NONE, NAME_BUF, NAME_VAR, NAME_VALUE, NAME_KERNEL } NameKind;

typedef struct Name {
    const char *text;
    NameKind kind;
    uint32_t id;
} Name;

typedef struct Names {
    Name *slots;
    uint32_t len, cap;
} Names;

typedef struct LoopParser {
    Context *cx;
    Lexer lx;
    LoopModule *m;
    Names bufs, kernels; /* of the module */
    Kernel *k;
    Names locals;   /* of the kernel: buffers, variables, values */
    VEC(bool) open; /* by variable */
    int depth;
    int budget; /* nodes left of the index expression */
} LoopParser;

Name *names_find(const Names *n, const char *text); /* NULL if absent */
void names_add(Arena *a, Names *n, const char *text, NameKind kind, uint32_t id);

bool parse_index(LoopParser *p, Idx *out);
bool parse_kernel(LoopParser *p); /* after the word `kernel` */

/* An integer within [lo, hi]. */
bool parse_range(LoopParser *p, int64_t lo, int64_t hi, int64_t *out);
bool parse_global(LoopParser *p, const char **out);
bool parse_word_of(LoopParser *p, const char *const *names, int *out); /* -1, and true, when it is none */

#endif
