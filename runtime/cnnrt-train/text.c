/* Sentences and numbers as text. */
#include "internal.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cnnrt_why(Why why, int status, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (why.text && why.size > 0)
        vsnprintf(why.text, why.size, fmt, ap);
    va_end(ap);
    return status;
}

/* printf writes the locale's decimal point, which may be a comma or several bytes. */
const char *cnnrt_real_text(char out[REAL_TEXT], double v) {
    char raw[REAL_TEXT];
    size_t n = 0;
    if (!isfinite(v))
        return strcpy(out, "null");
    snprintf(raw, sizeof raw, "%.9g", v);
    for (const char *p = raw; *p; p++) {
        if (strchr("0123456789+-e", *p))
            out[n++] = *p;
        else if (n > 0 && out[n - 1] != '.')
            out[n++] = '.';
    }
    out[n] = '\0';
    return out;
}
