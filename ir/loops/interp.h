/* Private to ir/loops: the interpreter's state. */
#ifndef IR_LOOPS_INTERP_H
#define IR_LOOPS_INTERP_H

#include "ir/loops/build.h"
#include "ir/loops/text.h"

/* One lane: `f` of float types (rounded to the type), `i` of integers and bools (wrapped to it). */
typedef union Num {
    double f;
    int64_t i;
} Num;

/* Memory that several buffers may share. A cell is the smallest element that lives in it. */
typedef struct Storage {
    uint8_t *data;
    int64_t bytes;
    uint32_t cell;   /* bytes */
    uint32_t *owner; /* of each cell, who wrote it last: module buffer + 1, 0 nobody. NULL: all is written */
    /* Of each cell, iterations of parallel loops that wrote it, read it, and another that read it. */
    uint32_t *writer, *reader, *reader2;
} Storage;

/* A kernel's view of a buffer. */
typedef struct View {
    Storage *st;
    int64_t byte;   /* of element 0 */
    int64_t extent; /* elements; of a register array: lanes of all registers */
    DType dtype;
    uint32_t bytes; /* of an element */
    uint32_t owner; /* as whom it reads and writes */
    bool local;
    bool read, written; /* by the call so far */
} View;

typedef struct Interp {
    Context *cx;
    const LoopModule *m;
    const InterpOptions *o;
    int64_t n;
    const Kernel *k;
    const Step *step;
    View *view;      /* of each kernel buffer */
    uint32_t *first; /* of each value, its first lane in `lanes` */
    Num *lanes;
    int64_t *var;
    VEC(uint32_t) open;  /* loop variables, outermost first */
    uint32_t iteration;  /* of a parallel loop, counted over the whole run; 0 outside */
    uint32_t iterations; /* so far */
    uint32_t loop_start; /* iterations before the parallel loop being run */
    bool failed;
} Interp;

/* Report a fault of statement s (NULL: of the call) and stop. */
void interp_fault(Interp *in, const Stmt *s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* interp_value.c: the operations without memory. */
void interp_value(Interp *in, const Stmt *s);

/* interp_memory.c */
void interp_load(Interp *in, const Stmt *s);
void interp_store(Interp *in, const Stmt *s);
void interp_alloc(Interp *in, const Stmt *s);
/* The storages of the module's buffers, one View each, for `entry`. NULL after a diagnostic. */
View *interp_buffers(Interp *in, const Entry *entry, void **memory);
/* Views of the kernel's own buffers, in `arena`. */
void interp_locals(Interp *in, Arena *arena);
/* After a call: memory said to be free of aliases really was. */
void interp_check_noalias(Interp *in);
/* After the entry: every element of the outputs was written. */
void interp_check_outputs(Interp *in, View *buffers);

#endif
