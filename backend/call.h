/* An entry point under construction: its arguments, checked one after the other, and its steps. Private to
 * backend/. */
#ifndef BACKEND_CALL_H
#define BACKEND_CALL_H

#include "backend/llvm.h"

typedef struct Call {
    Emit *e;
    LLVMValueRef fn;
    LLVMValueRef *base; /* pointer of each module buffer without alias */
    LLVMValueRef n, weights, work, work_bytes, pool;
    LLVMValueRef scratch, stride;
    LLVMValueRef state, hyper; /* training */
} Call;

Call call_begin(Emit *e, const char *name, LLVMTypeRef *types, uint32_t n);
/* The arguments that most calls end with, from number `at` on: weights, work, work_bytes, pool. */
void call_tail(Call *c, unsigned at);
void call_return(const Call *c, int status);

/* Checks: each returns its status to the caller when it fails. */
void refuse_if(const Call *c, LLVMValueRef bad, int status);
void refuse_null(const Call *c, LLVMValueRef p);
void refuse_unaligned(const Call *c, LLVMValueRef p, int status); /* to 64 bytes */
void check_cpu(const Call *c);                                    /* where no dispatcher has done so */
void check_batch(const Call *c);
/* Threads of the pool, 1 without one; refuses a pool of another ABI. */
LLVMValueRef check_pool(const Call *c);
/* The workspace is `shared` bytes, then the scratch of each thread. */
void check_work(Call *c, uint64_t shared, LLVMValueRef threads);
void check_weights(Call *c);
/* Pointers to the inputs and outputs of the module: parameters of the function from number `at` on. */
void check_tensors(Call *c, unsigned at);

/* Steps */
LLVMValueRef buffer_base(Call *c, uint32_t buf);
/* A pointer loaded from an array of them. */
LLVMValueRef array_item(const Emit *e, LLVMValueRef array, uint32_t i);
/* The calls of steps [begin, end) of an entry. A step that checks ends the call with what it found. */
void emit_steps(Call *c, const Entry *entry, uint32_t begin, uint32_t end);

#endif
