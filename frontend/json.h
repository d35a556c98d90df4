/* JSON documents with positions: cJSON parses, this room adds where every value stands in the file and
 * rejects what cJSON lets through. */
#ifndef FRONTEND_JSON_H
#define FRONTEND_JSON_H

#include "ir/base/context.h"

typedef enum JsonKind {
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
} JsonKind;

typedef struct Json Json;
struct Json {
    JsonKind kind;
    bool is_int;         /* JSON_NUMBER: a whole number of at most 2^53 */
    bool b;              /* JSON_BOOL */
    double num;          /* JSON_NUMBER */
    const char *str;     /* JSON_STRING; interned */
    const char *key;     /* of an object's member; interned */
    uint32_t offset;     /* of the value's first byte */
    uint32_t key_offset; /* of the key's first byte; else equal to `offset` */
    uint32_t n;          /* how many children */
    Json *first, *next;  /* children in the file's order */
};

enum {
    JSON_MAX_BYTES = 64 << 20,
    JSON_MAX_DEPTH = 64,
    JSON_MAX_VALUES = 4000000,
};

/* What the scan finds: one entry a value, in the order of the text. */
typedef struct JsonPos {
    uint32_t offset, key_offset;
} JsonPos;

typedef struct JsonDoc {
    Context *cx;
    const char *file;
    const char *text; /* NUL-terminated beyond `size` */
    size_t size;
    VEC(uint32_t) lines; /* offset of the first byte of each line */
    VEC(JsonPos) pos;
    Json *root;
} JsonDoc;

/* positions.c: check the text against the grammar of RFC 8259 and the limits above, and note where each value
 * stands. Reports the first fault. */
bool json_scan(JsonDoc *d);
Loc json_loc_at(const JsonDoc *d, uint32_t offset);

/* json.c: scan and parse. `text` must live as long as the document. */
bool json_parse(Context *cx, const char *file, const char *text, size_t size, JsonDoc *d);
const Json *json_get(const Json *object, const char *key); /* NULL when absent */
const char *json_kind_text(const Json *j);                 /* "a list", "the number 3" needs no article */

#endif
