/* Arithmetic and comparisons. Integers wrap; minimum and maximum give NaN when either argument is NaN. */
#include "backend/value.h"

static LLVMValueRef call1(const Emit *e, const char *name, LLVMValueRef x) {
    return call_intrinsic(e, name, LLVMTypeOf(x), &x, 1);
}

static bool is_number(LLVMValueRef v) {
    LLVMBool lost;
    if (!LLVMIsConstant(v))
        return false;
    LLVMValueRef one =
        LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind ? LLVMGetAggregateElement(v, 0) : v;
    if (!one || !LLVMIsAConstantFP(one))
        return false;
    double d = LLVMConstRealGetDouble(one, &lost);
    return d == d;
}

/* The machine's own maximum, a > b ? a : b, returns its second argument when either is NaN. So max(x, y) is
 * that of (y, x), which keeps a NaN of x, and one more select for a NaN of y: constants need only the first.
 * Of two equal arguments (zeros of either sign) the result is x. */
static LLVMValueRef float_extreme(const Emit *e, LOp op, LLVMValueRef x, LLVMValueRef y) {
    LLVMRealPredicate better = op == LOP_MAX ? LLVMRealOGT : LLVMRealOLT;
    LLVMValueRef wins = LLVMBuildFCmp(e->b, better, y, x, "");
    LLVMValueRef r = LLVMBuildSelect(e->b, wins, y, x, "");
    if (is_number(y))
        return r;
    return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, y, y, ""), y, r, "");
}

/* Without the instruction (before SSE4.1) LLVM would call floorf once a lane. */
static LLVMValueRef floor_by_hand(const Emit *e, LType t, LLVMValueRef x) {
    bool wide = t.dtype == DT_F64;
    LType whole = {wide ? DT_I64 : DT_I32, t.lanes};
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef i = LLVMBuildFreeze(e->b, LLVMBuildFPToSI(e->b, x, llvm_type(e, whole), ""), "");
    LLVMValueRef r = LLVMBuildSIToFP(e->b, i, type, "");
    LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGT, r, x, "");
    LLVMValueRef less = LLVMBuildFSub(e->b, r, const_float_like(e, t, 1.0), "");
    r = LLVMBuildSelect(e->b, above, less, r, "");
    r = call_intrinsic(e, "llvm.copysign", type, (LLVMValueRef[]){r, x}, 2); /* floor(-0) is -0 */
    LLVMValueRef limit = const_float_like(e, t, wide ? 0x1p52 : 0x1p23);
    LLVMValueRef small = LLVMBuildFCmp(e->b, LLVMRealOLT, call1(e, "llvm.fabs", x), limit, "");
    return LLVMBuildSelect(e->b, small, r, x, "");
}

static LLVMValueRef float_arith(const Emit *e, LOp op, LType t, LLVMValueRef *a) {
    LLVMBuilderRef b = e->b;
    switch (op) {
    case LOP_ADD:
        return LLVMBuildFAdd(b, a[0], a[1], "");
    case LOP_SUB:
        return LLVMBuildFSub(b, a[0], a[1], "");
    case LOP_MUL:
        return LLVMBuildFMul(b, a[0], a[1], "");
    case LOP_DIV:
        return LLVMBuildFDiv(b, a[0], a[1], "");
    case LOP_MIN:
    case LOP_MAX:
        return float_extreme(e, op, a[0], a[1]);
    case LOP_MAD:
        if (e->t->has_fma)
            return call_intrinsic(e, "llvm.fma", LLVMTypeOf(a[0]), a, 3);
        return LLVMBuildFAdd(b, LLVMBuildFMul(b, a[0], a[1], ""), a[2], "");
    case LOP_NEG:
        return LLVMBuildFNeg(b, a[0], "");
    case LOP_ABS:
        return call1(e, "llvm.fabs", a[0]);
    case LOP_SQRT:
        return call1(e, "llvm.sqrt", a[0]);
    case LOP_FLOOR:
        if (e->x86 && !(e->features & 1u << feature_find("sse4.1", 6)))
            return floor_by_hand(e, t, a[0]);
        return call1(e, "llvm.floor", a[0]);
    default:
        return NULL; /* bit operations of floats: the verifier refuses them */
    }
}

static LLVMValueRef mulhi(const Emit *e, LType t, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = e->b;
    unsigned bits = dtype_bytes(t.dtype) * 8;
    LLVMTypeRef wide = LLVMIntTypeInContext(e->c, 2 * bits), narrow = LLVMTypeOf(x);
    if (t.lanes > 1)
        wide = LLVMVectorType(wide, t.lanes);
    bool u = is_unsigned(t.dtype);
    LLVMValueRef l = u ? LLVMBuildZExt(b, x, wide, "") : LLVMBuildSExt(b, x, wide, "");
    LLVMValueRef r = u ? LLVMBuildZExt(b, y, wide, "") : LLVMBuildSExt(b, y, wide, "");
    LLVMTypeRef elem = t.lanes > 1 ? LLVMGetElementType(wide) : wide;
    LLVMValueRef shift = LLVMConstInt(elem, bits, false), all[256];
    if (t.lanes > 1) {
        for (unsigned i = 0; i < t.lanes; i++)
            all[i] = shift;
        shift = LLVMConstVector(all, t.lanes);
    }
    return LLVMBuildTrunc(b, LLVMBuildLShr(b, LLVMBuildMul(b, l, r, ""), shift, ""), narrow, "");
}

static LLVMValueRef int_extreme(const Emit *e, LOp op, LType t, LLVMValueRef *a) {
    bool u = is_unsigned(t.dtype);
    const char *name = op == LOP_MIN ? (u ? "llvm.umin" : "llvm.smin") : (u ? "llvm.umax" : "llvm.smax");
    return call_intrinsic(e, name, LLVMTypeOf(a[0]), a, 2);
}

/* x / y without the two cases that trap: by zero gives 0, and the least number by -1 itself. */
static LLVMValueRef int_division(const Emit *e, LType t, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(y)), one = const_int_like(e, t, 1);
    LLVMValueRef by_zero = LLVMBuildICmp(b, LLVMIntEQ, y, zero, "");
    LLVMValueRef safe = LLVMBuildSelect(b, by_zero, one, y, ""), q;
    if (is_unsigned(t.dtype)) {
        q = LLVMBuildUDiv(b, x, safe, "");
    } else {
        LLVMValueRef minus = LLVMBuildICmp(b, LLVMIntEQ, y, LLVMConstAllOnes(LLVMTypeOf(y)), "");
        q = LLVMBuildSDiv(b, x, LLVMBuildSelect(b, minus, one, safe, ""), "");
        q = LLVMBuildSelect(b, minus, LLVMBuildNeg(b, x, ""), q, "");
    }
    return LLVMBuildSelect(b, by_zero, zero, q, "");
}

/* Shift counts are taken modulo the width. */
static LLVMValueRef shift(const Emit *e, LOp op, LType t, LLVMValueRef *a) {
    LLVMValueRef mask = const_int_like(e, t, dtype_bytes(t.dtype) * 8 - 1);
    LLVMValueRef by = LLVMBuildAnd(e->b, a[1], mask, "");
    if (op == LOP_SHL)
        return LLVMBuildShl(e->b, a[0], by, "");
    return is_unsigned(t.dtype) ? LLVMBuildLShr(e->b, a[0], by, "") : LLVMBuildAShr(e->b, a[0], by, "");
}

static LLVMValueRef int_arith(const Emit *e, LOp op, LType t, LLVMValueRef *a) {
    LLVMBuilderRef b = e->b;
    switch (op) {
    case LOP_ADD:
        return LLVMBuildAdd(b, a[0], a[1], "");
    case LOP_SUB:
        return LLVMBuildSub(b, a[0], a[1], "");
    case LOP_MUL:
        return LLVMBuildMul(b, a[0], a[1], "");
    case LOP_DIV:
        return int_division(e, t, a[0], a[1]);
    case LOP_MIN:
    case LOP_MAX:
        return int_extreme(e, op, t, a);
    case LOP_MAD:
        return LLVMBuildAdd(b, LLVMBuildMul(b, a[0], a[1], ""), a[2], "");
    case LOP_NEG:
        return LLVMBuildNeg(b, a[0], "");
    case LOP_ABS:
        if (is_unsigned(t.dtype))
            return a[0];
        return call_intrinsic(e, "llvm.abs", LLVMTypeOf(a[0]),
                              (LLVMValueRef[]){a[0], LLVMConstInt(e->i1, 0, 0)}, 2);
    case LOP_AND:
        return LLVMBuildAnd(b, a[0], a[1], "");
    case LOP_OR:
        return LLVMBuildOr(b, a[0], a[1], "");
    case LOP_XOR:
        return LLVMBuildXor(b, a[0], a[1], "");
    case LOP_SHL:
    case LOP_SHR:
        return shift(e, op, t, a);
    case LOP_MULHI:
        return mulhi(e, t, a[0], a[1]);
    case LOP_FLOOR:
        return a[0];
    default:
        return NULL;
    }
}

LLVMValueRef emit_arith(const Emit *e, LOp op, LType t, LLVMValueRef *arg) {
    if (is_half(t.dtype) && op == LOP_MAD && !e->t->has_fma)
        return emit_arith(e, LOP_ADD, t, (LLVMValueRef[]){emit_arith(e, LOP_MUL, t, arg), arg[2]});
    if (is_half(t.dtype)) {
        LLVMValueRef wide[3] = {0};
        unsigned n = op == LOP_MAD ? 3 : op == LOP_NEG || (op >= LOP_ABS && op <= LOP_FLOOR) ? 1 : 2;
        for (unsigned i = 0; i < n; i++)
            wide[i] = widen_half(e, arg[i], t);
        LLVMValueRef r = float_arith(e, op, (LType){DT_F32, t.lanes}, wide);
        return r ? narrow_half(e, r, t) : NULL;
    }
    return dtype_is_float(t.dtype) ? float_arith(e, op, t, arg) : int_arith(e, op, t, arg);
}

LLVMValueRef emit_compare(const Emit *e, LOp op, LType t, LLVMValueRef *arg) {
    int i = op - LOP_CMPEQ;
    static const LLVMRealPredicate real[] = {LLVMRealOEQ, LLVMRealUNE, LLVMRealOLT, LLVMRealOLE};
    static const LLVMIntPredicate with_sign[] = {LLVMIntEQ, LLVMIntNE, LLVMIntSLT, LLVMIntSLE};
    static const LLVMIntPredicate without[] = {LLVMIntEQ, LLVMIntNE, LLVMIntULT, LLVMIntULE};
    LLVMValueRef x = arg[0], y = arg[1];
    if (is_half(t.dtype))
        x = widen_half(e, x, t), y = widen_half(e, y, t);
    if (dtype_is_float(t.dtype))
        return LLVMBuildFCmp(e->b, real[i], x, y, "");
    return LLVMBuildICmp(e->b, is_unsigned(t.dtype) ? without[i] : with_sign[i], x, y, "");
}
