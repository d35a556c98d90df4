/* Objects of JSON into structs, by rows: what each key may hold and where it goes. */
#ifndef FRONTEND_FIELDS_H
#define FRONTEND_FIELDS_H

#include "frontend/json.h"

#include <stddef.h>

typedef enum FieldKind {
    FIELD_REAL,    /* double */
    FIELD_FLOAT,   /* float */
    FIELD_INT,     /* int64_t */
    FIELD_COUNT32, /* uint32_t */
    FIELD_FLAG,    /* int: true or false */
    FIELD_BOOL,    /* bool */
    FIELD_WORD,    /* int: position in `words` */
    FIELD_TEXT,    /* const char * */
    FIELD_TEXTS,   /* const char *const *, and a uint32_t at `count`: a string or a list of them */
    FIELD_FLOATS,  /* const float *, and a uint32_t at `count` */
    FIELD_INTS,    /* const int64_t *, and a uint32_t at `count`; ascending */
    FIELD_PAIR,    /* double[2]: a number twice or a list of two */
    FIELD_NUMBERS, /* Numbers: a number or a list */
    FIELD_SKIP,    /* read elsewhere */
} FieldKind;

typedef struct Numbers {
    uint32_t n; /* 0: not given; a number alone: 1 */
    double v[16];
} Numbers;

typedef struct FieldRow {
    const char *name;
    FieldKind kind;
    size_t offset;
    double lo, hi;            /* numbers, inclusive; both 0: any finite one */
    size_t count;             /* FIELD_TEXTS, FIELD_FLOATS, FIELD_INTS: where the length goes */
    const char *const *words; /* FIELD_WORD, NULL at the end */
    bool required;
} FieldRow;

/* Reads the members of `object` into `out`; keys that are not in the table are faults, with the nearest
 * known. `loc` is the object's place. All faults are reported. */
bool fields_read(const JsonDoc *d, const Json *object, const char *what, const FieldRow *rows, uint32_t n,
                 void *out, const Loc *loc);
/* The place of a member, for messages: the object's pointer and the key. */
Loc fields_loc(const JsonDoc *d, const Json *member, const Loc *object);

#endif
