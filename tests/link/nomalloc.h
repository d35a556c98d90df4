/* malloc and its relatives are this program's own, and abort while armed. */
#ifndef LINK_NOMALLOC_H
#define LINK_NOMALLOC_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static volatile int armed = 0;

static void refuse(void) {
    static const char text[] = "allocation on the run path\n";
    if (armed) {
        if (write(2, text, sizeof text - 1) < 0)
            _exit(3);
        abort();
    }
}

void *malloc(size_t size) {
    refuse();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    refuse();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    refuse();
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    refuse();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return memalign(alignment, size);
}

void free(void *p) {
    refuse();
    __libc_free(p);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    refuse();
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

/* The test of the test: this must abort. */
static void provoke(void) {
    void *volatile p = malloc(16);
    free(p);
}

#endif
