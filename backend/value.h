/* Arithmetic on LLVM values of loop-IR types. Private to backend/. */
#ifndef BACKEND_VALUE_H
#define BACKEND_VALUE_H

#include "backend/llvm.h"

static inline bool is_unsigned(DType t) {
    return t == DT_U8 || t == DT_U32 || t == DT_BOOL;
}
static inline bool is_half(DType t) {
    return t == DT_BF16 || t == DT_F16;
}

LLVMValueRef const_int_like(const Emit *e, LType t, int64_t v);
LLVMValueRef const_float_like(const Emit *e, LType t, double v); /* f32 and f64 */
LLVMValueRef emit_arith(const Emit *e, LOp op, LType t, LLVMValueRef *arg);
LLVMValueRef emit_compare(const Emit *e, LOp op, LType t, LLVMValueRef *arg);
LLVMValueRef emit_convert(const Emit *e, LLVMValueRef v, LType from, LType to);
/* bf16 and f16 are 16-bit integers here; these are their conversions to and from f32 vectors of as many
 * lanes. */
LLVMValueRef widen_half(const Emit *e, LLVMValueRef v, LType from);
LLVMValueRef narrow_half(const Emit *e, LLVMValueRef v, LType to);

#endif
