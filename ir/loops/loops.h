/* The loop IR: kernels of tiled, vectorised, parallel loop nests over named buffers, and the list of steps
 * that calls them. Built with build.h, printed, parsed, verified and interpreted here, compiled by backend/.
 * docs/loop-ir.md is the reference. */
#ifndef IR_LOOPS_LOOPS_H
#define IR_LOOPS_LOOPS_H

#include "ir/graph.h"
#include "ir/target.h"

/* ---- Index expressions: hash-consed per kernel, simplified when made, printed infix. All are int64. ---- */

typedef uint32_t Idx; /* position in Kernel.idx */

typedef enum IdxKind {
    IX_CONST, /* value */
    IX_VAR,   /* loop variable number `value` */
    IX_N,     /* the batch of this call */
    IX_ADD,   /* printed infix: a + b, a - b, a * b, a / b, a % b; min(a, b), max(a, b) */
    IX_SUB,
    IX_MUL,
    IX_DIV, /* floor; the divisor is a positive constant */
    IX_MOD, /* of the same division */
    IX_MIN,
    IX_MAX,
} IdxKind;

typedef struct IdxNode {
    IdxKind kind;
    int64_t value;
    Idx a, b;
} IdxNode;

/* Inclusive; INT64_MIN and INT64_MAX say that nothing is known on that side. */
typedef struct IxRange {
    int64_t lo, hi;
} IxRange;

/* ---- Values and statements ---- */

typedef uint32_t LVal; /* a scalar or vector, assigned once; number within its kernel */
#define NO_LVAL UINT32_MAX

typedef struct LType {
    DType dtype;
    uint8_t lanes; /* 1: scalar */
} LType;

typedef enum LOp {
#define LOP(id, name, args, kind) LOP_##id,
#include "ir/loops/lop.def"
#undef LOP
    LOP_VALUE_COUNT,             /* from here: statements without a value */
    LOP_STORE = LOP_VALUE_COUNT, /* buffer[index] = arg0, lanes at index + i*stride */
    LOP_PREFETCH,                /* buffer[index], imm = locality 0..3 (3: into L1) */
    LOP_ALLOC,                   /* buffer `buf` (reg, stack or scratch) begins to live, contents undefined */
    LOP_FOR,
    LOP_IF,
    LOP_COUNT
} LOp;

typedef enum ForKind {
    FOR_SERIAL,
    FOR_PARALLEL, /* only at the top level of a kernel; iterations write disjoint elements */
    FOR_UNROLL,   /* constant bounds; `expand` replaces it by copies */
    FOR_VECTOR,   /* scalar body, step 1; `expand` makes it vectors of `lanes`, then a scalar tail */
    FOR_NOUNROLL, /* serial, and the back end must not unroll it */
} ForKind;

typedef enum IfCmp { IF_LT, IF_LE, IF_EQ, IF_NE } IfCmp;

typedef struct Stmt Stmt;
typedef struct Block {
    VEC(Stmt *) stmts;
} Block;

struct Stmt {
    LOp op;
    LType type;  /* of the result; LOP_STORE: of what is stored */
    LVal result; /* NO_LVAL for statements without */
    LVal arg[3];
    double imm;      /* LOP_CONST (floats), LOP_EXTRACT lane, LOP_PREFETCH locality */
    int64_t imm_int; /* LOP_CONST of integer and bool types */
    uint32_t buf;    /* LOP_LOAD, STORE, PREFETCH, ALLOC: number in Kernel.bufs */
    Idx index;       /* LOP_LOAD, STORE, PREFETCH: element; LOP_INDEX: the expression */
    int64_t stride;  /* LOP_LOAD, STORE with lanes > 1: elements between lanes; 1 usual */
    bool nontemporal;
    uint8_t *lane; /* LOP_SHUFFLE: type.lanes numbers into the lanes of arg0 then arg1 */
    /* LOP_FOR */
    ForKind kind;
    uint32_t var;  /* number in Kernel.vars */
    Idx lo, hi;    /* for var in [lo, hi) */
    int64_t step;  /* positive */
    uint8_t lanes; /* FOR_VECTOR */
    int64_t grain; /* FOR_PARALLEL: up to this many iterations stay on the calling thread */
    /* LOP_IF: lo cmp hi */
    IfCmp cmp;
    Block body, orelse;
};

/* ---- Buffers of a kernel ---- */

typedef enum LBufKind {
    LB_IN,  /* parameters: read only */
    LB_OUT, /* written only; every element the consumer may read is written */
    LB_INOUT,
    LB_REG,     /* array of registers; elements may be vectors (`lanes`); indices literal after expand */
    LB_STACK,   /* small array in memory under real loops */
    LB_SCRATCH, /* larger array in the thread's part of the workspace; only inside a parallel loop or a
                   kernel without one */
} LBufKind;

typedef struct LBuf {
    const char *name; /* unique among the kernel's buffers */
    LBufKind kind;
    DType dtype;
    uint8_t lanes;   /* LB_REG: of each element; else 1 */
    Dim extent;      /* elements; by_n only for parameters */
    uint32_t align;  /* bytes guaranteed for element 0; at least the dtype's */
    int32_t inplace; /* LB_OUT: number of a parameter whose memory it may share, -1: none */
    bool noalias;    /* set by `plan` when no call passes overlapping memory for it */
    int64_t offset;  /* LB_SCRATCH: byte offset in the thread's scratch, set by `plan` */
} LBuf;

typedef struct Kernel {
    const char *name;
    uint32_t n_params; /* bufs[0..n_params) are the parameters */
    VEC(LBuf) bufs;
    VEC(const char *) vars; /* names of loop variables, unique in the kernel */
    VEC(IxRange) ranges;    /* of each variable, wherever it is in scope */
    VEC(IdxNode) idx;
    VEC(LType) vals; /* type of each LVal */
    Block body;
    Arena *arena;
    struct {
        uint32_t *slots;
        uint32_t cap;
    } idx_table; /* hash-consing, private to index.c */
} Kernel;

/* ---- The module ---- */

typedef enum ModBufKind {
    MB_IN,    /* argument of an entry: input */
    MB_OUT,   /* argument of an entry: output */
    MB_PARAM, /* raw weights in PyTorch's order; arguments of `prepare` only */
    MB_CONST, /* packed weights: in the weights block at `offset`; written by `prepare`, or `data` */
    MB_WORK,  /* in the workspace at `offset` */
    MB_STATE, /* training: in the state block at `offset`; read and written; dense */
    MB_HYPER, /* training: argument of an entry: f64 numbers of a step */
} ModBufKind;

typedef struct ModBuf {
    const char *name; /* unique; the graph value's name */
    ModBufKind kind;
    Type type;       /* with layout: gives the physical extent */
    const char *key; /* MB_PARAM, MB_STATE: name in the weights file; MB_IN, MB_OUT: name in the header */
    StateRole role;  /* MB_STATE */
    uint32_t group;  /* MB_STATE of a parameter: its parameter group */
    bool target;     /* MB_IN: what the loss compares with; such inputs come last */
    const Picture *picture; /* MB_IN: what its pixels are; NULL: nothing is said */
    const void *data;       /* MB_CONST: physical contents known at compile time, else NULL */
    uint32_t align;         /* 64 */
    int64_t offset;         /* bytes in its block, set by `plan`; -1 before */
    int32_t alias;          /* MB_WORK: shares memory with this buffer (in place, or a view), -1: none */
    Loc loc;                /* MB_IN, MB_OUT: of the graph value, for messages; not in the text */
} ModBuf;

typedef struct StepArg {
    uint32_t buf;   /* number in LoopModule.bufs */
    int64_t offset; /* elements added to the buffer's start (views) */
} StepArg;

typedef struct Step {
    uint32_t kernel;
    StepArg *args;      /* one per kernel parameter */
    const char *name;   /* layer, for profiles and messages; may be NULL */
    const char *origin; /* source value that the last output argument holds, or NULL */
    bool checks;        /* the last argument is an i32[1] of the workspace: not 0 ends the call with it; such
                           steps stand before those that write state */
    Loc loc;
} Step;

typedef struct Entry {
    const char *name; /* "infer", "prepare"; in training "backward", "apply", "eval", "prepare" */
    VEC(Step) steps;
} Entry;

typedef struct LoopModule {
    Context *cx;
    const char *name;
    int64_t batch;
    bool n_fixed;
    VEC(ModBuf) bufs; /* MB_IN in the order of the call, then MB_OUT in the order of the call, the rest */
    VEC(Kernel *) kernels;
    VEC(Entry) entries;
    bool planned;
    int64_t work_bytes;    /* shared part of the workspace of `infer`; in training of the largest entry */
    int64_t prepare_bytes; /* shared part of the workspace of `prepare` */
    int64_t scratch_bytes; /* a thread's part */
    int64_t const_bytes;   /* the weights block */
    int64_t state_bytes;   /* training: the state block; roles in their order, 64-byte aligned buffers */
    int64_t live_bytes;    /* the largest live set of `infer`: no plan can be smaller */
    const char **classes;
    uint32_t n_classes;
} LoopModule;

LoopModule *loops_new(Context *cx, const char *name);
uint32_t loops_buf(LoopModule *m, ModBuf buf);       /* returns its number */
Entry *loops_entry(LoopModule *m, const char *name); /* NULL if absent */
Entry *loops_add_entry(LoopModule *m, const char *name);
/* What an entry may do with a buffer of each kind. */
typedef struct EntryRules {
    const char *name;
    uint32_t reads, writes; /* bit 1 << ModBufKind */
} EntryRules;
const EntryRules *entry_rules(const char *name); /* NULL: there is no such entry */
/* Elements of buffer b for batch n. */
int64_t modbuf_elems(const ModBuf *b, int64_t n);

/* work.c: at most so many statements are run by the entry, or the kernel, for one image; INFINITY where
 * nobody knows. */
double kernel_most_work(Kernel *k);
double loops_most_work(const LoopModule *m, const Entry *e);

/* print.c, parse.c, verify.c */
void loops_print(StrBuf *sb, const LoopModule *m,
                 const PrintOptions *o); /* filter: steps and kernels of a layer */
void kernel_print(StrBuf *sb, const Kernel *k);
void idx_print(StrBuf *sb, const Kernel *k, Idx x);
LoopModule *loops_parse(Context *cx, const char *file, const char *text, size_t size);
/* Reports DIAG_IR_INVALID. `expanded`: also that no unroll or vector loop is left and register indices are
 * literal. */
bool loops_verify(const LoopModule *m, bool expanded);
/* What a module read from a file must also satisfy, after loops_verify: it has an entry `infer`, or those of
 * training, that writes all outputs, `prepare` makes all that they read, and every access provably stays
 * inside its buffer. */
bool loops_verify_file(const LoopModule *m);
uint64_t kernel_hash(const Kernel *k); /* structural; names of values do not count */
bool kernel_equal(const Kernel *a, const Kernel *b);

/* interp.c: runs an entry over real memory and checks what sanitizers cannot see: bounds, reads of elements
 * never written, and writes of one parallel iteration that another reads or writes. */
typedef struct InterpOptions {
    bool contract; /* LOP_MAD rounds once */
    bool check_overlap;
    int32_t *status; /* 0, or what a check ended the call with; may be NULL */
} InterpOptions;
/* `memory[b]`: storage of module buffer b for batch n (NULL: the interpreter makes it; aliases share).
 * Reports DIAG_IR_INVALID with kernel, statement and iteration on a fault. */
bool loops_run(const LoopModule *m, const char *entry, int64_t n, void **memory, const InterpOptions *o);

#endif
