/* The one way a call of this library fails. */
#include "internal.h"
#include <stdarg.h>
#include <stdio.h>

int cnnrt_data_fail(cnnrt_data_error *error, int status, const char *path, const char *fmt, ...) {
    if (!error)
        return status;
    error->status = status;
    int n = path ? snprintf(error->text, sizeof error->text, "%s: ", path) : 0;
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used >= sizeof error->text) /* a very long path: the sentence matters more */
        used = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(error->text + used, sizeof error->text - used, fmt, ap);
    va_end(ap);
    return status;
}
