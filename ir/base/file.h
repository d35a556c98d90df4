/* Whole files in, whole files out. */
#ifndef IR_BASE_FILE_H
#define IR_BASE_FILE_H

#include "ir/base/context.h"

typedef struct FileData {
    const char *data; /* NUL-terminated beyond `size` */
    size_t size;
} FileData;

/* Read `path` into the context's arena; directories, devices and files over `max` bytes are refused. */
bool file_read(Context *cx, const char *path, size_t max, FileData *out);
/* Write beside `path` and rename; "-" writes to standard output. Nothing is left behind on failure. */
bool file_write(Context *cx, const char *path, const void *data, size_t size);
typedef struct FileOut {
    const char *path;
    const void *data;
    size_t size;
} FileOut;

/* All of them or none: each is written beside its path, and they are renamed when all are there. */
bool files_put(Context *cx, const FileOut *files, uint32_t n);
/* Where a file put at `path` comes to lie, behind all symbolic links, be it there or not; `path` itself when
 * that is no link. NULL with errno: ELOOP, ENAMETOOLONG. */
const char *file_target(Context *cx, const char *path);
/* `relative` as seen from the folder of `base`; absolute paths stay. Interned. */
const char *path_beside(Context *cx, const char *base, const char *relative);
/* `path` with its extension (".json", ".loops.cnnir"...) replaced by `ext`. */
const char *path_with_ext(Context *cx, const char *path, const char *ext);

#endif
