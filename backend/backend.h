/* The back end: planned loop modules to objects, headers and running code, through the LLVM C API. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "ir/loops/loops.h"
#include "ir/train.h"

/* Fill in a target. cpu "native" is this machine; x86-64, x86-64-v2, -v3, -v4 and LLVM's CPU names; triple
 * NULL: this machine's. `features` (may be NULL) is "+avx2,-fma": added to the CPU's. Vector width follows.
 */
bool backend_target(Context *cx, const char *triple, const char *cpu, const char *features, Target *out);

enum { MAX_CPUS = 4 };
typedef struct TargetList {
    Target data[MAX_CPUS];
    uint32_t len;
} TargetList;

/* The same for a comma list of x86-64 CPUs, for one object; best first. One CPU is a list, too. */
bool backend_targets(Context *cx, const char *triple, const char *cpus, const char *features,
                     TargetList *out);

/* Has this machine the target's architecture? If not, after a diagnostic. CPU features are another matter:
 * the code checks them itself. */
bool backend_runs_here(Context *cx, const Target *t);

typedef struct Bytes {
    void *data;
    size_t size;
} Bytes;

typedef enum EmitKind { EMIT_OBJECT, EMIT_ASM, EMIT_LLVM } EmitKind;

/* What a training object knows beyond its module. */
typedef struct TrainingOptions {
    const char *loss, *optimizer; /* PyTorch's names */
    uint32_t n_groups;            /* at least 1 */
    const GroupSpec *groups;      /* their patterns, for the header */
    const double *hyper;          /* defaults: HYPER_GROUPS + n_groups * HYPER_PER_GROUP of ir/train.h */
    int64_t n_frozen;             /* elements of parameters that are not trained */
    /* Bytes that the state would have more without the recipe's `freeze`; 0: unknown, too. */
    int64_t saved_gradients, saved_slots;
    /* By number of the module's buffer, either array may be NULL: the dense elements of trained parameters
     * and statistics (NULL: zeros); what every element of an optimizer's f32 slot is at first. */
    const void *const *initial;
    const float *fill;
} TrainingOptions;

/* Where a call finds weights when its caller gives none. */
typedef enum WeightsPlace {
    WEIGHTS_OUTSIDE, /* nowhere */
    WEIGHTS_PACKED,  /* in the object, as `prepare` packs them: module->const_bytes */
    WEIGHTS_RAW      /* nowhere; the object has the raw parameters for its `prepare` */
} WeightsPlace;

/* The same model compiled for another CPU. */
typedef struct ObjectCpu {
    LoopModule *m;
    const Target *t;
} ObjectCpu;

typedef struct ObjectOptions {
    const char *name; /* C identifier: prefix of all global symbols */
    WeightsPlace weights;
    bool with_prepare;               /* also emit <name>_prepare */
    uint64_t hash;                   /* model hash for the descriptor */
    const TrainingOptions *training; /* of a module with an entry `backward`, else NULL */
    /* Code for further CPUs beside that of the arguments, best first, as backend_targets has them. */
    const ObjectCpu *others;
    uint32_t n_others;
} ObjectOptions;

/* Object file, assembly or LLVM text in the context's arena (valid until context_free). Same input, same
 * bytes. An object's weights are zeros until they are written where backend_object_weights says. */
bool backend_emit(Context *cx, const LoopModule *m, const Target *t, EmitKind kind, const ObjectOptions *o,
                  Bytes *out);
/* Bytes of what an object is made of: machine code, embedded weights, what a training's state begins as. */
typedef struct ObjectSizes {
    uint64_t code, weights, initial;
} ObjectSizes;
ObjectSizes backend_object_sizes(Bytes object);
/* Where the weights stand in it, 64-byte aligned; NULL: it has none. Packed ones stand there once a CPU, one
 * block behind the other, each at a multiple of 64 bytes. */
void *backend_object_weights(Bytes object);
/* Raw weights: where the buffer's parameter begins among them; of bufs.len, their bytes. */
uint64_t backend_raw_offset(const LoopModule *m, uint32_t buf);

/* Bytes of a training module's state, its head included. */
uint64_t backend_state_bytes(const LoopModule *m);

/* The generated header. */
bool backend_header(Context *cx, const LoopModule *m, const Target *t, const ObjectOptions *o, StrBuf *out);

/* Run an object in this process (ORC). The object must be for this machine. */
typedef struct Jit Jit;
Jit *jit_open(Context *cx, Bytes object);
void *jit_symbol(Jit *j, const char *name); /* NULL if absent, after a diagnostic */
void jit_close(Jit *j);

/* A C identifier from any name: docs/api.md states the rule. Interned. */
const char *backend_c_name(Context *cx, const char *name);

#endif
