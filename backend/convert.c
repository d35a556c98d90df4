/* Conversions between element types. bf16 and f16 go through f32 by bit operations, so that no helper
 * function of a compiler's library is called and every CPU gives the same bits. */
#include "backend/value.h"

static LLVMTypeRef with_lanes(LLVMTypeRef elem, uint32_t lanes) {
    return lanes > 1 ? LLVMVectorType(elem, lanes) : elem;
}

static LLVMValueRef bits(const Emit *e, uint32_t lanes, uint32_t v) {
    return const_int_like(e, (LType){DT_U32, (uint8_t)lanes}, v);
}

static LLVMValueRef pick(const Emit *e, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b, LLVMValueRef yes,
                         LLVMValueRef no) {
    return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, p, a, b, ""), yes, no, "");
}

/* f16 to f32: shift exponent and fraction into place and scale by 2^112, which also makes subnormals right.
 */
static LLVMValueRef widen_f16(const Emit *e, LLVMValueRef x, uint32_t n) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef f = with_lanes(e->f32, n);
    LLVMValueRef body = LLVMBuildShl(b, LLVMBuildAnd(b, x, bits(e, n, 0x7fff), ""), bits(e, n, 13), "");
    LLVMValueRef scale = const_float_like(e, (LType){DT_F32, (uint8_t)n}, 0x1p112);
    LLVMValueRef value = LLVMBuildFMul(b, LLVMBuildBitCast(b, body, f, ""), scale, "");
    value = LLVMBuildBitCast(b, value, LLVMTypeOf(x), "");
    LLVMValueRef special = LLVMBuildOr(b, body, bits(e, n, 0x7f800000), "");
    value = pick(e, LLVMIntUGE, body, bits(e, n, 0x0f800000), special, value);
    LLVMValueRef sign = LLVMBuildShl(b, LLVMBuildAnd(b, x, bits(e, n, 0x8000), ""), bits(e, n, 16), "");
    return LLVMBuildBitCast(b, LLVMBuildOr(b, value, sign, ""), f, "");
}

LLVMValueRef widen_half(const Emit *e, LLVMValueRef v, LType from) {
    LLVMValueRef x = LLVMBuildZExt(e->b, v, with_lanes(e->i32, from.lanes), "");
    if (from.dtype == DT_F16)
        return widen_f16(e, x, from.lanes);
    x = LLVMBuildShl(e->b, x, bits(e, from.lanes, 16), "");
    return LLVMBuildBitCast(e->b, x, with_lanes(e->f32, from.lanes), "");
}

/* Nearest, ties to even: adding half a unit less one, plus the last bit kept, carries as rounding does. */
static LLVMValueRef narrow_bf16(const Emit *e, LLVMValueRef x, uint32_t n) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef last = LLVMBuildAnd(b, LLVMBuildLShr(b, x, bits(e, n, 16), ""), bits(e, n, 1), "");
    LLVMValueRef r = LLVMBuildAdd(b, x, LLVMBuildAdd(b, last, bits(e, n, 0x7fff), ""), "");
    LLVMValueRef nan = LLVMBuildOr(b, x, bits(e, n, 0x400000), "");
    LLVMValueRef size = LLVMBuildAnd(b, x, bits(e, n, 0x7fffffff), "");
    r = pick(e, LLVMIntUGT, size, bits(e, n, 0x7f800000), nan, r);
    return LLVMBuildLShr(b, r, bits(e, n, 16), "");
}

/* Normal numbers round as above and move the exponent by 112; for subnormals adding 0.5 puts the last bit of
 * f16 at the last bit of f32, so that the addition rounds; 65520 and up is infinity. */
static LLVMValueRef narrow_f16(const Emit *e, LLVMValueRef x, uint32_t n) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef f = with_lanes(e->f32, n), u = LLVMTypeOf(x);
    LLVMValueRef size = LLVMBuildAnd(b, x, bits(e, n, 0x7fffffff), "");
    LLVMValueRef last = LLVMBuildAnd(b, LLVMBuildLShr(b, size, bits(e, n, 13), ""), bits(e, n, 1), "");
    LLVMValueRef normal =
        LLVMBuildAdd(b, size, bits(e, n, 0xc8000fffu), ""); /* -112 << 23, and half a unit */
    normal = LLVMBuildLShr(b, LLVMBuildAdd(b, normal, last, ""), bits(e, n, 13), "");
    LLVMValueRef half = const_float_like(e, (LType){DT_F32, (uint8_t)n}, 0.5);
    LLVMValueRef sum = LLVMBuildFAdd(b, LLVMBuildBitCast(b, size, f, ""), half, "");
    LLVMValueRef tiny = LLVMBuildSub(b, LLVMBuildBitCast(b, sum, u, ""), bits(e, n, 0x3f000000), "");
    LLVMValueRef r = pick(e, LLVMIntULT, size, bits(e, n, 0x38800000), tiny, normal);
    r = pick(e, LLVMIntUGE, size, bits(e, n, 0x477ff000), bits(e, n, 0x7c00), r);
    r = pick(e, LLVMIntUGT, size, bits(e, n, 0x7f800000), bits(e, n, 0x7e00), r);
    LLVMValueRef sign = LLVMBuildAnd(b, LLVMBuildLShr(b, x, bits(e, n, 16), ""), bits(e, n, 0x8000), "");
    return LLVMBuildOr(b, r, sign, "");
}

LLVMValueRef narrow_half(const Emit *e, LLVMValueRef v, LType to) {
    LLVMValueRef x = LLVMBuildBitCast(e->b, v, with_lanes(e->i32, to.lanes), "");
    x = to.dtype == DT_F16 ? narrow_f16(e, x, to.lanes) : narrow_bf16(e, x, to.lanes);
    return LLVMBuildTrunc(e->b, x, llvm_type(e, to), "");
}

static LLVMValueRef int_to_int(const Emit *e, LLVMValueRef v, LType from, LType to) {
    LLVMTypeRef type = llvm_type(e, to);
    if (to.dtype == DT_BOOL)
        return LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    uint32_t a = from.dtype == DT_BOOL ? 0 : dtype_bytes(from.dtype), b = dtype_bytes(to.dtype);
    if (a == b)
        return v;
    if (a > b)
        return LLVMBuildTrunc(e->b, v, type, "");
    return is_unsigned(from.dtype) ? LLVMBuildZExt(e->b, v, type, "") : LLVMBuildSExt(e->b, v, type, "");
}

static LLVMValueRef float_to_int(const Emit *e, LLVMValueRef v, LType to) {
    LLVMTypeRef type = llvm_type(e, to);
    if (to.dtype == DT_BOOL)
        return LLVMBuildFCmp(e->b, LLVMRealUNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    LLVMValueRef r =
        is_unsigned(to.dtype) ? LLVMBuildFPToUI(e->b, v, type, "") : LLVMBuildFPToSI(e->b, v, type, "");
    return LLVMBuildFreeze(e->b, r, ""); /* a number that does not fit gives some number, not poison */
}

LLVMValueRef emit_convert(const Emit *e, LLVMValueRef v, LType from, LType to) {
    if (from.dtype == to.dtype)
        return v;
    if (is_half(from.dtype)) {
        v = widen_half(e, v, from);
        from.dtype = DT_F32;
    }
    bool real = dtype_is_float(from.dtype);
    if (is_half(to.dtype))
        return narrow_half(e, emit_convert(e, v, from, (LType){DT_F32, to.lanes}), to);
    LLVMTypeRef type = llvm_type(e, to);
    if (!dtype_is_float(to.dtype))
        return real ? float_to_int(e, v, to) : int_to_int(e, v, from, to);
    if (real)
        return from.dtype == to.dtype ? v
               : to.dtype == DT_F64   ? LLVMBuildFPExt(e->b, v, type, "")
                                      : LLVMBuildFPTrunc(e->b, v, type, "");
    return is_unsigned(from.dtype) ? LLVMBuildUIToFP(e->b, v, type, "") : LLVMBuildSIToFP(e->b, v, type, "");
}
