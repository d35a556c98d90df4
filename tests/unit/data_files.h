/* A folder of files that a test makes for itself: .init = make_root, .fini = remove_root. */
#ifndef TESTS_UNIT_DATA_FILES_H
#define TESTS_UNIT_DATA_FILES_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

static char root[] = "/tmp/cnnrt-data-XXXXXX";

static inline void make_root(void) {
    cr_assert_not_null(mkdtemp(root));
}

static inline void remove_root(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_expect_eq(system(command), 0);
}

/* A file's path, valid for three more calls. */
static inline const char *at(const char *name) {
    static char path[4][256];
    static unsigned k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", root, name);
    return path[k];
}

static inline void folder(const char *name) {
    cr_assert_eq(mkdir(at(name), 0700), 0);
}

static inline void put(const char *name, const void *data, size_t size) {
    FILE *f = fopen(at(name), "wb");
    cr_assert(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static inline void put_gz(const char *name, const void *data, size_t size) {
    gzFile f = gzopen(at(name), "wb");
    cr_assert(f && gzwrite(f, data, (unsigned)size) == (int)size && gzclose(f) == Z_OK);
}

/* The whole of a file, malloced. */
static inline unsigned char *get(const char *name, size_t *size) {
    unsigned char *data = malloc(1 << 20);
    FILE *f = fopen(at(name), "rb");
    cr_assert(f && data);
    *size = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

#endif
