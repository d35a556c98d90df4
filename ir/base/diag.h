/* Diagnostics: faults of the input, collected and printed clang's way, each with an id that
 * docs/diagnostics.md explains. At most DIAG_LIMIT errors are kept; diag_full tells a checker to stop. */
#ifndef IR_BASE_DIAG_H
#define IR_BASE_DIAG_H

#include "ir/base/arena.h"
#include "ir/base/strbuf.h"
#include <stdbool.h>

/* Where something stands in the input. Any part may be missing (NULL or 0). */
typedef struct Loc {
    const char *file;
    uint32_t line, col;  /* from 1 */
    const char *pointer; /* JSON pointer, or the node's name in an ONNX file */
    const char *name;    /* the layer's name as the user knows it */
} Loc;

typedef enum DiagId {
#define DIAG(id, tag, what) DIAG_##id,
#include "ir/base/diag.def"
#undef DIAG
    DIAG_COUNT
} DiagId;

typedef struct DiagEntry {
    DiagId id;
    bool is_warning;
    Loc loc;
    const char *message;
    const char *hint; /* NULL: none */
} DiagEntry;

enum { DIAG_LIMIT = 20 };

typedef struct Diag {
    Arena *arena;
    VEC(DiagEntry) entries;
    uint32_t errors; /* all errors seen, also those past the limit */
    bool dropped;    /* the last report was over the limit, so its hint is to be dropped too */
} Diag;

/* Report an error; `loc` may be NULL. Always returns false, so that `return diag_error(...)` reads well. */
bool diag_error(Diag *d, DiagId id, const Loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void diag_warning(Diag *d, DiagId id, const Loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Add a hint to the entry just reported. Always returns false. */
bool diag_hint(Diag *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool diag_full(const Diag *d);

const char *diag_tag(DiagId id);  /* "unknown-key" */
const char *diag_what(DiagId id); /* one line for docs/diagnostics.md and `cnnc --explain` */

/* file:line:col: error: layer "x" (/layers/3): message [tag]\n  hint: ...\n */
void diag_print(StrBuf *sb, const DiagEntry *e);
void diag_print_all(StrBuf *sb, const Diag *d);

/* The candidate nearest to `word` by edit distance, or NULL if none is near. */
const char *diag_nearest(const char *word, const char *const *candidates, size_t count);

#endif
