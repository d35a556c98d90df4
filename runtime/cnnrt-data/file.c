/* Whole files in memory, and names of files. */
#include "internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* In pieces: a pipe or device has no size to ask for. */
static unsigned char *read_all(FILE *f, const char *path, size_t most, size_t *size,
                               cnnrt_data_error *error) {
    unsigned char *data = NULL;
    size_t cap = 0;
    for (*size = 0;;) {
        if (*size == cap) {
            cap = cap ? cap * 2 : 65536;
            unsigned char *more = *size > most ? NULL : realloc(data, cap);
            if (!more) {
                cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "too large for the memory there is");
                free(data);
                return NULL;
            }
            data = more;
        }
        size_t room = cap - *size, got = fread(data + *size, 1, room, f);
        *size += got;
        if (got < room)
            break;
    }
    if (!ferror(f))
        return data;
    cnnrt_data_fail(error, CNNRT_E_FILE, path, "cannot be read: %s", strerror(errno));
    free(data);
    return NULL;
}

unsigned char *cnnrt_data_read_file(const char *path, size_t most, size_t *size, cnnrt_data_error *error) {
    FILE *f = fopen(path, "rb");
    struct stat info;
    *size = 0;
    if (!f) {
        cnnrt_data_fail(error, CNNRT_E_FILE, path, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    unsigned char *data = NULL;
    if (fstat(fileno(f), &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size > most)
        cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "larger than %zu bytes", most);
    else
        data = read_all(f, path, most, size, error);
    fclose(f);
    return data;
}

int cnnrt_data_check_file(const char *path, cnnrt_data_error *error) {
    struct stat info;
    if (stat(path, &info) != 0)
        return cnnrt_data_fail(error, CNNRT_E_FILE, path, "cannot be opened: %s", strerror(errno));
    return S_ISREG(info.st_mode) ? CNNRT_OK
                                 : cnnrt_data_fail(error, CNNRT_E_FILE, path, "not a regular file");
}

char *cnnrt_data_path(const char *folder, const char *a, const char *b) {
    size_t room = strlen(folder) + strlen(a) + (b ? strlen(b) : 0) + 3;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s/%s%s%s", folder, a, b ? "/" : "", b ? b : "");
    return path;
}
