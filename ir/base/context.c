/* The context: one arena, interned strings by open addressing, and the diagnostics of one compilation. */
#include "ir/base/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void context_init(Context *cx, jmp_buf *oom) {
    *cx = (Context){0};
    arena_init(&cx->arena, oom);
    cx->diag.arena = &cx->arena;
}

void context_free(Context *cx) {
    arena_free(&cx->arena);
    *cx = (Context){0};
}

static uint32_t hash_bytes(const char *s, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h;
}

/* The slot of the string, or the free slot where it belongs. cap is a power of two, never full. */
static uint32_t find_slot(const char *const *slots, uint32_t cap, const char *s, size_t n) {
    uint32_t i = hash_bytes(s, n) & (cap - 1);
    while (slots[i] && (strncmp(slots[i], s, n) != 0 || slots[i][n]))
        i = (i + 1) & (cap - 1);
    return i;
}

static void grow(Context *cx) {
    uint32_t cap = cx->strings.cap ? cx->strings.cap * 2 : 256;
    const char **slots = NEW_ARRAY(&cx->arena, const char *, cap);
    for (uint32_t i = 0; i < cx->strings.cap; i++) {
        const char *s = cx->strings.slots[i];
        if (s)
            slots[find_slot(slots, cap, s, strlen(s))] = s;
    }
    cx->strings.slots = slots;
    cx->strings.cap = cap;
}

const char *intern_n(Context *cx, const char *s, size_t n) {
    n = strnlen(s, n); /* interned strings hold no NUL */
    if (cx->strings.len >= cx->strings.cap / 2)
        grow(cx);
    uint32_t i = find_slot(cx->strings.slots, cx->strings.cap, s, n);
    if (!cx->strings.slots[i]) {
        cx->strings.slots[i] = arena_strndup(&cx->arena, s, n);
        cx->strings.len++;
    }
    return cx->strings.slots[i];
}

const char *intern(Context *cx, const char *s) {
    return intern_n(cx, s, strlen(s));
}

const char *intern_f(Context *cx, const char *fmt, ...) {
    StrBuf sb = sb_new(&cx->arena);
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&sb, fmt, ap);
    va_end(ap);
    return intern(cx, sb_str(&sb));
}
