/* What runs in the emulated machine around a generated object: one call of
 * MODEL (a cnnrt_model), described by a page at MAIL that machine.py fills,
 * then hlt. The thread pool runs its tasks one after another, the last first,
 * each under its own thread number. No C library. */
#include "cnnrt.h"

/* The same in machine.py. */
struct mail {
    uint64_t ask; /* 1: only fill in `model`; 2: call infer; 3: call prepare */
    int64_t n;
    uint64_t threads; /* 0: no pool */
    uint64_t work, work_bytes, weights;
    uint64_t model, status; /* answers */
    uint64_t pointers[384]; /* the inputs, then the outputs; or the parameters */
};
#define MAIL ((struct mail *)0x10000)

extern const cnnrt_model MODEL;
void start(void);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    void *d = to;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t n) {
    void *d = to;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(byte) : "memory");
    return to;
}

static void in_turn(cnnrt_pool *pool, size_t count, cnnrt_task *task, void *arg) {
    size_t part = (count + pool->threads - 1) / pool->threads;
    for (unsigned t = pool->threads; t-- > 0;) {
        size_t begin = t * part, end = begin + part < count ? begin + part : count;
        if (begin < end)
            task(arg, begin, end, t);
    }
}

void start(void) {
    struct mail *m = MAIL;
    m->model = (uint64_t)(uintptr_t)&MODEL;
    cnnrt_pool pool = {CNNRT_ABI_VERSION, (unsigned)m->threads, in_turn};
    const void *const *pointers = (const void *const *)(uintptr_t)m->pointers;
    void *work = (void *)(uintptr_t)m->work, *weights = (void *)(uintptr_t)m->weights;
    if (m->ask == 2)
        m->status =
            (uint64_t)MODEL.infer(m->n, pointers, (void *const *)(uintptr_t)(m->pointers + MODEL.n_inputs),
                                  weights, work, m->work_bytes, m->threads ? &pool : NULL);
    else if (m->ask == 3)
        m->status = (uint64_t)MODEL.prepare(pointers, weights, MODEL.weights_bytes, work, m->work_bytes);
    for (;;)
        __asm__ volatile("hlt");
}
