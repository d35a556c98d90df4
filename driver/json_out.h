/* Writing JSON for --json. Commas are the writer's care, not the caller's. */
#ifndef DRIVER_JSON_OUT_H
#define DRIVER_JSON_OUT_H

#include "ir/base/strbuf.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct JsonOut {
    StrBuf sb;
    bool comma; /* something stands before at this level */
    int depth;
} JsonOut;

JsonOut json_begin(Arena *a, const char *format); /* the outer object, with its "format" */
void json_end(JsonOut *j);                        /* close it and print all to standard output */
/* `key` is NULL within arrays. */
void json_open(JsonOut *j, const char *key, char bracket);      /* '{' or '[' */
void json_close(JsonOut *j, char bracket);                      /* '}' or ']' */
void json_text(JsonOut *j, const char *key, const char *value); /* NULL: null */
void json_int(JsonOut *j, const char *key, int64_t value);
void json_real(JsonOut *j, const char *key, double value); /* what is not finite becomes null */
void json_bool(JsonOut *j, const char *key, bool value);

#endif
