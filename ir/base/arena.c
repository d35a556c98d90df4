/* Bump allocation in blocks that double in size up to 1 MiB; large requests get a block of their own. */
#include "ir/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ArenaBlock {
    ArenaBlock *next;
    size_t size, used; /* of the bytes that follow this header */
};

enum { FIRST_BLOCK = 4096, LAST_BLOCK = 1 << 20, BIG = 4096 };

void arena_init(Arena *a, jmp_buf *oom) {
    *a = (Arena){.oom = oom};
}

void arena_free(Arena *a) {
    for (ArenaBlock *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (Arena){.oom = a->oom, .limit = a->limit};
}

static void out_of_memory(Arena *a) {
    if (a->oom)
        longjmp(*a->oom, 1);
    abort();
}

static size_t header_bytes(void) {
    return (sizeof(ArenaBlock) + 15) & ~(size_t)15;
}

static ArenaBlock *add_block(Arena *a, size_t size) {
    size_t bytes = header_bytes() + size;
    if (bytes < size || (a->limit && (bytes > a->limit || a->used > a->limit - bytes)))
        out_of_memory(a);
    ArenaBlock *b = calloc(1, bytes);
    if (!b)
        out_of_memory(a);
    *b = (ArenaBlock){.next = a->head, .size = size};
    a->used += bytes;
    a->head = b;
    return b;
}

void *arena_alloc(Arena *a, size_t size) {
    size_t align = size >= BIG ? 64 : 16;
    if (size > SIZE_MAX / 2)
        out_of_memory(a);
    ArenaBlock *b = a->head;
    for (int tries = 0; tries < 2; tries++) {
        if (b) {
            uintptr_t base = (uintptr_t)b + header_bytes();
            uintptr_t at = (base + b->used + align - 1) & ~(uintptr_t)(align - 1);
            if (at + size <= base + b->size) {
                b->used = at + size - base;
                return (void *)at;
            }
        }
        size_t want = a->head && a->head->size < LAST_BLOCK ? a->head->size * 2 : LAST_BLOCK;
        if (!a->head)
            want = FIRST_BLOCK;
        b = add_block(a, size + align > want ? size + align : want);
    }
    abort(); /* unreachable: a fresh block holds the request */
}

void *arena_array(Arena *a, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        out_of_memory(a);
    return arena_alloc(a, bytes);
}

void *arena_copy(Arena *a, const void *data, size_t size) {
    void *p = arena_alloc(a, size);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *arena_strndup(Arena *a, const char *s, size_t n) {
    char *p = arena_alloc(a, n + 1);
    memcpy(p, s, n);
    return p;
}

char *arena_strdup(Arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void vec_grow_(Arena *a, void **data, uint32_t *cap, uint32_t len, size_t size) {
    if (len < *cap)
        return;
    uint32_t bigger = *cap ? *cap * 2 : 8;
    if (bigger < *cap)
        out_of_memory(a);
    void *p = arena_array(a, bigger, size);
    if (len)
        memcpy(p, *data, (size_t)len * size);
    *data = p;
    *cap = bigger;
}
