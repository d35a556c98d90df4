/* Private to ir/loops: the verifier's state while it walks a kernel. */
#ifndef IR_LOOPS_VERIFY_H
#define IR_LOOPS_VERIFY_H

#include "ir/loops/index.h"
#include "ir/loops/text.h"

enum { MAX_LANES = 64, MAX_ALIGN = 4096 };

/* Where a value or buffer stands. */
typedef struct Scope {
    bool visible, defined;
    bool in_parallel; /* defined inside the parallel loop being walked */
    bool in_vector;
} Scope;

typedef struct Verify {
    Context *cx;
    const LoopModule *m;
    const Kernel *k;
    bool expanded, ok;
    Scope *val, *buf;
    bool *var_open;
    const Stmt **var_loop;    /* the open loop of each variable */
    VEC(uint32_t) vals, bufs; /* visible ones, innermost last */
    bool has_parallel;        /* anywhere in the kernel */
    bool in_parallel;
    const Stmt *vector; /* the vector loop around, or NULL */
} Verify;

/* Report a fault of statement s (NULL: of the kernel). Always false. */
bool verify_fault(Verify *v, const Stmt *s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool verify_ids(Verify *v, const Stmt *s);               /* every number in s means something */
bool verify_types(Verify *v, const Stmt *s);             /* result, arguments and buffer fit the operation */
void verify_kernel(Verify *v);                           /* scopes, types, loops; v->ok tells */
void verify_bounds(Verify *v, int64_t n);                /* after verify_kernel found no fault */
bool prove_bounds(const LoopModule *m, const Kernel *k); /* prove.c; reports what cannot be proved */

#endif
