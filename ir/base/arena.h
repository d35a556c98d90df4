/* Arena allocation: everything the compiler makes lives in an arena and is freed with it.
 * Memory comes zeroed. Running out of memory (or over the arena's limit) does not return:
 * control goes to the handler that the owner set with arena_on_oom. */
#ifndef IR_BASE_ARENA_H
#define IR_BASE_ARENA_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {
    ArenaBlock *head;
    size_t used;  /* bytes asked of malloc so far */
    size_t limit; /* 0: none */
    jmp_buf *oom; /* where to go when memory runs out; NULL: abort, a bug of the caller */
} Arena;

void arena_init(Arena *a, jmp_buf *oom);
void arena_free(Arena *a);

/* `size` zeroed bytes at alignment 16 (64 from 4096 bytes up). */
void *arena_alloc(Arena *a, size_t size);
/* The same for count * size, with the product checked. */
void *arena_array(Arena *a, size_t count, size_t size);
void *arena_copy(Arena *a, const void *data, size_t size);
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define NEW(arena, T) ((T *)arena_alloc((arena), sizeof(T)))
#define NEW_ARRAY(arena, T, n) ((T *)arena_array((arena), (n), sizeof(T)))

/* A growing array in an arena: VEC(int) v = {0}; vec_push(a, &v, 3); v.data[0]; v.len. */
#define VEC(T)                                                                                               \
    struct {                                                                                                 \
        T *data;                                                                                             \
        uint32_t len, cap;                                                                                   \
    }
#define vec_push(arena, v, ...)                                                                              \
    (vec_grow_((arena), (void **)&(v)->data, &(v)->cap, (v)->len, sizeof *(v)->data),                        \
     (v)->data[(v)->len] = (__VA_ARGS__), (void)(v)->len++)

void vec_grow_(Arena *a, void **data, uint32_t *cap, uint32_t len, size_t size);

#endif
