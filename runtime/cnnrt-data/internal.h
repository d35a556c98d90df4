/* What the files of cnnrt-data share. */
#ifndef CNNRT_DATA_INTERNAL_H
#define CNNRT_DATA_INTERNAL_H

#include "cnnrt_data.h"

/* Fill in the error (may be NULL) and return its status. `path` may be NULL. */
int cnnrt_data_fail(cnnrt_data_error *error, int status, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
