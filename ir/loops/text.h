/* Private to ir/loops: spellings shared by print.c and parse.c, and access to elements of any type. */
#ifndef IR_LOOPS_TEXT_H
#define IR_LOOPS_TEXT_H

#include "ir/loops/loops.h"

typedef struct LOpInfo {
    const char *name;
    uint8_t args;
    char kind; /* of lop.def: 'A', 'C' or 'X'; 'S' for statements without a value */
} LOpInfo;

extern const LOpInfo lop_info[LOP_COUNT];
extern const char *const lbuf_kind_names[];   /* by LBufKind, then NULL */
extern const char *const modbuf_kind_names[]; /* by ModBufKind, then NULL */
extern const char *const for_kind_names[];    /* by ForKind, then NULL */
extern const char *const if_cmp_names[];      /* by IfCmp, then NULL */

/* One statement as it stands in the text of its kernel, without its blocks; for messages. Its ids are valid.
 */
void stmt_print(StrBuf *sb, const Kernel *k, const Stmt *s);

/* elem.c */
double elem_get(DType t, const void *data, int64_t i);      /* of float types */
int64_t elem_get_int(DType t, const void *data, int64_t i); /* of integer types and bool */
void elem_put(DType t, void *data, int64_t i, double v);
void elem_put_int(DType t, void *data, int64_t i, int64_t v); /* wraps */
/* v rounded to a value of the float type t, ties to even. */
double elem_round(DType t, double v);

#endif
