/* Attributes: one plain C struct per op, described by rows. Printer, parser, importer, hash and equality
 * are loops over the rows, so no op has code for them. */
#ifndef IR_ATTR_H
#define IR_ATTR_H

#include "ir/base/context.h"
#include "ir/type.h"

enum { MAX_INTS = 6 };

/* A short list of integers, such as stride=[2,2]. */
typedef struct IntList {
    uint8_t n;
    int64_t v[MAX_INTS];
} IntList;

typedef enum AttrKind {
    ATTR_INT,    /* int64_t */
    ATTR_FLOAT,  /* double; prints as the shortest decimal that reads back */
    ATTR_BOOL,   /* bool */
    ATTR_INTS,   /* IntList of exactly `count` (0: any) */
    ATTR_ENUM,   /* int32_t index into `names` */
    ATTR_STRING, /* const char *, interned; NULL when absent */
    ATTR_LAYOUT, /* Type: prints as a type; used by reorder */
} AttrKind;

typedef struct AttrRow {
    const char *name;
    AttrKind kind;
    uint32_t offset;
    uint32_t count;           /* ATTR_INTS: required length, 0 for any */
    double lo, hi;            /* inclusive range of each integer or float; lo > hi: none */
    const char *const *names; /* ATTR_ENUM: NULL-terminated */
    bool optional;            /* printed only when it differs from `def`, may be missing in text */
    double def;               /* its value (each element's, for lists) when missing */
} AttrRow;

typedef struct AttrTable {
    const AttrRow *rows;
    uint32_t count;
    uint32_t size; /* sizeof the struct */
} AttrTable;

#define ATTR_TABLE(rows, T) {(rows), sizeof(rows) / sizeof *(rows), sizeof(T)}

void attr_defaults(const AttrTable *t, void *attrs);
/* "{kernel_size=[3,3], stride=[1,1]}"; nothing at all when every row is at its default. */
void attr_print(StrBuf *sb, const AttrTable *t, const void *attrs);
bool attr_equal(const AttrTable *t, const void *a, const void *b);
uint64_t attr_hash(const AttrTable *t, const void *attrs);
/* Reads what attr_print wrote (nothing at all gives the defaults) into a struct of t->size bytes; `owner` is
 * what messages call the op. Unknown, repeated, missing and out-of-range attributes are errors. */
bool attr_parse(Lexer *lx, const AttrTable *t, void *attrs, const char *owner);
/* The shortest decimal that reads back to the same double. */
void attr_print_float(StrBuf *sb, double v);

/* The row of a table whose only row is a type (reorder's), or NULL: in the text of a node it is left out when
 * it says the same as the node's type. */
const AttrRow *attr_only_type(const AttrTable *t);

/* NULL, or which row is out of its range and why. */
const char *attr_fault(Context *cx, const AttrTable *t, const void *attrs);

#endif
