/* What the files of the back end share: the LLVM module under construction and the function being filled.
 * Private to backend/. */
#ifndef BACKEND_LLVM_H
#define BACKEND_LLVM_H

#include "backend/backend.h"
#include "backend/feature.h"
#include "ir/loops/build.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

/* Initialise LLVM's targets and options, once a process. */
void llvm_setup(void);
/* Whether LLVM schedules machine code: said once a process, for its first target. */
void llvm_schedule_for(const Target *t);

/* The code for one CPU. */
typedef struct CpuVariant {
    const LoopModule *m; /* with the sizes of workspaces that hold for all CPUs */
    const Target *t;
    FeatureSet features;
    LLVMValueRef *kernels;
    uint64_t weights_offset; /* of its block among the embedded ones */
    const char *suffix;      /* of its functions' names; "" where there is one CPU */
} CpuVariant;

/* The module under construction. */
typedef struct Emit {
    Context *cx;
    CpuVariant *variants; /* best CPU first */
    uint32_t n_variants;
    /* Of the variant that is being emitted. */
    const LoopModule *m;
    const Target *t;
    const ObjectOptions *o;
    EmitKind kind;
    bool x86;
    FeatureSet features; /* x86: what the kernels use and the entries check */
    LLVMContextRef c;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, nothing;
    LLVMValueRef *kernels;  /* functions, by number of the kernel */
    uint32_t **param_align; /* of each kernel's parameters: what all calls guarantee, in bytes */
    LLVMValueRef weights;   /* the embedded block, or NULL */
    LLVMValueRef initial;   /* training: what the state begins as, or NULL */
    LLVMValueRef cpu_pick;  /* the CPU check, or NULL where the baseline is enough: the number of a variant,
                               or how many there are when this machine runs none */
    int64_t weights_bytes;  /* of the largest packed block */
    uint64_t weights_offset;
    const char *suffix;
} Emit;

/* A pointer that is a prefix of an access: buffer plus the first terms of its index. */
typedef struct Prefix {
    uint32_t buf, terms;
    Idx atom[8];
    int64_t coef[8];
    LLVMValueRef value;
} Prefix;

/* The function being filled: a kernel or one of its parallel bodies. */
typedef struct Fn {
    Emit *e;
    const Kernel *k;
    uint32_t kernel; /* number in the module */
    LLVMValueRef fn;
    LLVMBasicBlockRef entry; /* allocas go here, before its terminator */
    LLVMValueRef n, scratch, stride, pool;
    LLVMValueRef *bufs;  /* pointer of each buffer */
    LLVMValueRef **regs; /* LB_REG: an alloca per element */
    LLVMValueRef *vals;
    LLVMValueRef *vars;
    uint32_t *depth;   /* of each variable's loop */
    int64_t *lo, *hi;  /* range of each variable */
    int64_t *multiple; /* a power of two that divides each variable */
    uint32_t *align;   /* bytes, of each buffer's first element */
    uint32_t loops;    /* how deep the current block is */
    uint32_t bodies;   /* parallel bodies so far, for their names */
    /* Values of index expressions and prefixes in blocks that dominate the current one. */
    LLVMValueRef *idx;
    VEC(Idx) idx_log;
    VEC(Prefix) prefixes;
    bool failed;
} Fn;

/* What an object embeds stands in sections of its own: weights, and initial parameters of a training. On
 * x86-64 one of over 1 GB is a large one, which linkers put where it is in nobody's way; code reaches it by a
 * pointer. */
#define EMBEDDED ".rodata.cnnc_"
#define EMBEDDED_LARGE ".lrodata.cnnc_"
#define WEIGHTS "weights"
#define INITIAL "initial"
#define LARGE_BYTES (UINT64_C(1) << 30)
/* LLVM gets the names with this before them: a section of zeros that takes no room in the file. */
#define LLVM_EMBEDDED ".bss"

/* llvm.c */
LLVMValueRef const_i64(const Emit *e, int64_t v);
LLVMValueRef const_i32(const Emit *e, int64_t v);
LLVMTypeRef llvm_dtype(const Emit *e, DType t); /* in memory: bool is i8, bf16 and f16 are i16 */
LLVMTypeRef llvm_type(const Emit *e, LType t);  /* as a value: bool is i1 */
LLVMValueRef call_intrinsic(const Emit *e, const char *name, LLVMTypeRef overload, LLVMValueRef *args,
                            unsigned count);
void add_attr(const Emit *e, LLVMValueRef fn, unsigned index, const char *name, uint64_t value);
void add_text_attr(const Emit *e, LLVMValueRef fn, const char *name, const char *value);
LLVMValueRef new_function(const Emit *e, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                          unsigned n, bool global);
LLVMBasicBlockRef new_block(const Emit *e, LLVMValueRef fn, const char *name);

/* check.c */
bool check_module(Context *cx, const LoopModule *m, const ObjectOptions *o);
/* check.c: how many steps of an entry there are up to its last that checks. */
uint32_t last_check(const Entry *entry);

/* object.c */
/* A copy of LLVM's object with room for what is embedded, zeros so far. */
Bytes object_with_room(Context *cx, const char *made, size_t size);
/* Where that room is, or NULL. */
void *object_room(Bytes object, const char *what);

/* address.c */
LLVMValueRef emit_index(Fn *f, Idx x);
LLVMValueRef emit_address(Fn *f, uint32_t buf, Idx x);
/* A power of two that divides every value of a loop's variable. */
int64_t loop_multiple(const Fn *f, Idx lo, int64_t step);
/* Alignment in bytes of an access of `bytes` bytes; at most that. */
uint32_t access_align(const Fn *f, uint32_t buf, Idx x, uint32_t bytes);
typedef struct Scope {
    uint32_t idx, prefixes;
} Scope;
Scope scope_open(Fn *f);
void scope_close(Fn *f, Scope s); /* forget values made since: their block does not dominate what follows */

/* value.c */
bool emit_value(Fn *f, const Stmt *s);
void emit_store(Fn *f, const Stmt *s);

/* kernel.c */
bool emit_kernels(Emit *e);
void kernel_attributes(const Emit *e, LLVMValueRef fn);
void param_attributes(const Emit *e, LLVMValueRef fn, uint32_t kernel);
Fn fn_begin(Emit *e, uint32_t kernel, LLVMValueRef fn); /* parameters: those of the kernel, n, scratch, ... */
LLVMValueRef entry_alloca(Fn *f, LLVMTypeRef type, uint32_t align); /* align 0: the type's */
bool emit_loop(Fn *f, const Stmt *s, LLVMValueRef lo, LLVMValueRef hi);
/* parallel.c */
bool emit_parallel(Fn *f, const Stmt *s);

/* entry.c */
bool emit_entries(Emit *e);
/* training.c */
bool emit_training(Emit *e, LLVMValueRef prepare);
/* state.c */
enum { STATE_HEAD = 64 }; /* bytes before the state's tensors: the word that tells whose state it is */
uint64_t state_word(const Emit *e);
/* Elements of the state's tensors of a role. */
int64_t role_elems(const LoopModule *m, StateRole role);
/* Bytes of the parameters and statistics, with which the tensors begin. */
uint64_t initial_bytes(const LoopModule *m);
/* Are any of them embedded? */
bool has_initial(const LoopModule *m, const ObjectOptions *o);
/* Write parameters and statistics there. */
void initial_fill(const Emit *e, char *block);
LLVMValueRef emit_state_init(Emit *e);
/* The numbers of the state's buffers, roles in their order; count_bufs(m, MB_STATE) of them. */
uint32_t *state_order(const LoopModule *m);
/* The counter of that key, or NULL. */
const ModBuf *find_counter(const LoopModule *m, const char *key);
/* cpu.c */
void emit_cpu_pick(Emit *e);
/* variants.c */
/* The module with the sizes that hold for all CPUs. */
LoopModule common_module(const LoopModule *m, const ObjectOptions *o);
/* "x86-64-v4,x86-64-v3" */
const char *cpu_names(Context *cx, const Target *t, const ObjectOptions *o);
bool variants_init(Emit *e);
void variant_select(Emit *e, uint32_t i);
/* What stands in the object once: as for the first CPU. */
void variant_none(Emit *e);
typedef LLVMValueRef EmitBody(Emit *e, const void *what);
/* An entry point under its global name: its body, or one a CPU and a function that picks. */
LLVMValueRef emit_public(Emit *e, const char *name, const char *global, EmitBody *body, const void *what);
void emit_cpu_name(Emit *e);
/* The calls of the descriptor, over arrays of pointers. */
typedef struct TrainingCalls {
    LLVMValueRef state_init, train_step, zero_grad, backward, apply, eval;
} TrainingCalls;
/* descriptor.c: infer, prepare and training may be NULL. */
bool emit_descriptor(Emit *e, LLVMValueRef infer, LLVMValueRef prepare, const TrainingCalls *training);
/* A constant of these bytes, or of zeros when data is NULL. */
LLVMValueRef const_block(const Emit *e, const char *name, const void *data, size_t bytes, uint32_t align);
LLVMValueRef const_text(const Emit *e, const char *s);
LLVMValueRef const_global(const Emit *e, const char *name, LLVMValueRef value);
/* WEIGHTS or INITIAL, in a section of its own; and its address, in the function being built. */
LLVMValueRef embedded_block(const Emit *e, const char *what, uint64_t bytes);
LLVMValueRef embedded_address(const Emit *e, LLVMValueRef block);
/* A global name for something internal: the object's own references never go through the dynamic linker. */
void add_global_name(const Emit *e, LLVMValueRef what, LLVMTypeRef type, const char *suffix);

/* names.c: identifiers of the entry's arguments. */
typedef struct ArgNames {
    uint32_t n_in, n_out;
    const char **in, **out;             /* C parameter names; in training out[0] is the loss */
    const char **macro_in, **macro_out; /* upper case */
} ArgNames;
bool arg_names(Context *cx, const LoopModule *m, ArgNames *out);
/* The macro of each tensor of the state, in state_order, without the prefix. */
const char **state_names(Context *cx, const LoopModule *m, const ArgNames *args);
const Entry *find_entry(const LoopModule *m, const char *name); /* NULL if absent */
bool is_training(const LoopModule *m);
uint32_t count_bufs(const LoopModule *m, ModBufKind kind);
uint32_t count_targets(const LoopModule *m); /* the last of the inputs */
/* The kind-th buffers in order: position `i` among those of `kind`. */
const ModBuf *nth_buf(const LoopModule *m, ModBufKind kind, uint32_t i);
/* The identifier prefix in upper case. */
const char *upper_name(Context *cx, const char *name);
/* Workspaces in bytes, rounded up to whole cache lines. */
uint64_t round64(int64_t bytes);

#endif
