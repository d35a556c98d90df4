/* One compilation: its arena, interned strings and diagnostics. Two contexts never share anything. */
#ifndef IR_BASE_CONTEXT_H
#define IR_BASE_CONTEXT_H

#include "ir/base/arena.h"
#include "ir/base/diag.h"

typedef struct Context {
    Arena arena;
    Diag diag;
    struct {
        const char **slots;
        uint32_t len, cap;
    } strings;
} Context;

/* `oom`: see arena.h; it may be NULL in tests. */
void context_init(Context *cx, jmp_buf *oom);
void context_free(Context *cx);

/* Interned strings: equal text gives the same pointer for the life of the context. */
const char *intern(Context *cx, const char *s);
const char *intern_n(Context *cx, const char *s, size_t n);
const char *intern_f(Context *cx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
