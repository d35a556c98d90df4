/* Statements that make values, and stores: one LLVM instruction or a short fixed sequence each. No fast-math
 * flags anywhere: what the loop IR says is what is computed, in every lane. */
#include "backend/value.h"

static LLVMValueRef splat(const Emit *e, LLVMValueRef v, uint32_t lanes) {
    if (lanes <= 1)
        return v;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(v), lanes);
    LLVMValueRef undef = LLVMGetPoison(type);
    LLVMValueRef first = LLVMBuildInsertElement(e->b, undef, v, const_i32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, first, undef, LLVMConstNull(LLVMVectorType(e->i32, lanes)), "");
}

static LLVMValueRef const_splat(LLVMValueRef v, uint32_t lanes) {
    LLVMValueRef all[256];
    if (lanes <= 1)
        return v;
    for (uint32_t i = 0; i < lanes; i++)
        all[i] = v;
    return LLVMConstVector(all, lanes);
}

LLVMValueRef const_int_like(const Emit *e, LType t, int64_t v) {
    return const_splat(LLVMConstInt(llvm_type(e, (LType){t.dtype, 1}), (unsigned long long)v, true), t.lanes);
}

LLVMValueRef const_float_like(const Emit *e, LType t, double v) {
    return const_splat(LLVMConstReal(t.dtype == DT_F64 ? e->f64 : e->f32, v), t.lanes);
}

static LLVMValueRef constant(Fn *f, const Stmt *s) {
    if (is_half(s->type.dtype)) {
        LType wide = {DT_F32, s->type.lanes};
        return narrow_half(f->e, const_float_like(f->e, wide, s->imm), s->type);
    }
    return dtype_is_float(s->type.dtype) ? const_float_like(f->e, s->type, s->imm)
                                         : const_int_like(f->e, s->type, s->imm_int);
}

/* ---- Memory ---- */

static LLVMValueRef reg_slot(Fn *f, const Stmt *s) {
    int64_t i = 0;
    const LBuf *buf = &f->k->bufs.data[s->buf];
    if (f->regs[s->buf] && ix_is_const(f->k, s->index, &i) && i >= 0 && i < buf->extent.size)
        return f->regs[s->buf][i];
    f->failed = true;
    diag_error(
        &f->e->cx->diag, DIAG_IR_INVALID, NULL,
        "kernel @%s: register array %s is used before its alloc, outside its loop, or with an index that "
        "is not a literal",
        f->k->name, buf->name);
    return NULL;
}

static LLVMValueRef from_memory(const Emit *e, LLVMValueRef v, LType t) {
    if (t.dtype != DT_BOOL)
        return v;
    return LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

static LLVMTypeRef memory_type(const Emit *e, LType t) {
    LLVMTypeRef elem = llvm_dtype(e, t.dtype);
    return t.lanes > 1 ? LLVMVectorType(elem, t.lanes) : elem;
}

static LLVMValueRef lane_address(Fn *f, const Stmt *s, LLVMValueRef base, uint32_t lane) {
    LLVMValueRef offset = const_i64(f->e, (int64_t)((uint64_t)s->stride * lane));
    return LLVMBuildGEP2(f->e->b, llvm_dtype(f->e, s->type.dtype), base, &offset, 1, "");
}

static void mark_nontemporal(const Emit *e, LLVMValueRef inst) {
    LLVMMetadataRef one = LLVMValueAsMetadata(const_i32(e, 1));
    LLVMValueRef node = LLVMMetadataAsValue(e->c, LLVMMDNodeInContext2(e->c, &one, 1));
    LLVMSetMetadata(inst, LLVMGetMDKindIDInContext(e->c, "nontemporal", 11), node);
}

static bool is_strided(const Stmt *s) {
    return s->type.lanes > 1 && s->stride != 1;
}

static LLVMValueRef load(Fn *f, const Stmt *s) {
    const Emit *e = f->e;
    if (f->k->bufs.data[s->buf].kind == LB_REG) {
        LLVMValueRef slot = reg_slot(f, s);
        return slot ? LLVMBuildLoad2(e->b, llvm_type(e, s->type), slot, "") : NULL;
    }
    LLVMValueRef base = emit_address(f, s->buf, s->index);
    uint32_t bytes = dtype_bytes(s->type.dtype);
    if (is_strided(s)) {
        LLVMValueRef v = LLVMGetPoison(memory_type(e, s->type));
        for (uint32_t i = 0; i < s->type.lanes; i++) {
            LLVMValueRef x =
                LLVMBuildLoad2(e->b, llvm_dtype(e, s->type.dtype), lane_address(f, s, base, i), "");
            LLVMSetAlignment(x, access_align(f, s->buf, s->index, bytes) < bytes ? 1 : bytes);
            v = LLVMBuildInsertElement(e->b, v, x, const_i32(e, i), "");
        }
        return from_memory(e, v, s->type);
    }
    LLVMValueRef v = LLVMBuildLoad2(e->b, memory_type(e, s->type), base, "");
    LLVMSetAlignment(v, access_align(f, s->buf, s->index, bytes * s->type.lanes));
    if (s->nontemporal)
        mark_nontemporal(e, v);
    return from_memory(e, v, s->type);
}

void emit_store(Fn *f, const Stmt *s) {
    const Emit *e = f->e;
    LLVMValueRef v = f->vals[s->arg[0]];
    if (f->k->bufs.data[s->buf].kind == LB_REG) {
        LLVMValueRef slot = reg_slot(f, s);
        if (slot)
            LLVMBuildStore(e->b, v, slot);
        return;
    }
    if (s->type.dtype == DT_BOOL)
        v = LLVMBuildZExt(e->b, v, memory_type(e, s->type), "");
    LLVMValueRef base = emit_address(f, s->buf, s->index);
    uint32_t bytes = dtype_bytes(s->type.dtype);
    if (is_strided(s)) {
        for (uint32_t i = 0; i < s->type.lanes; i++) {
            LLVMValueRef x = LLVMBuildExtractElement(e->b, v, const_i32(e, i), "");
            LLVMSetAlignment(LLVMBuildStore(e->b, x, lane_address(f, s, base, i)),
                             access_align(f, s->buf, s->index, bytes) < bytes ? 1 : bytes);
        }
        return;
    }
    LLVMValueRef st = LLVMBuildStore(e->b, v, base);
    LLVMSetAlignment(st, access_align(f, s->buf, s->index, bytes * s->type.lanes));
    if (s->nontemporal)
        mark_nontemporal(e, st);
}

/* ---- Lanes ---- */

static LLVMValueRef shuffle(Fn *f, LLVMValueRef x, LLVMValueRef y, const uint8_t *lane, uint32_t lanes) {
    LLVMValueRef mask[256];
    for (uint32_t i = 0; i < lanes; i++)
        mask[i] = const_i32(f->e, lane[i]);
    return LLVMBuildShuffleVector(f->e->b, x, y, LLVMConstVector(mask, lanes), "");
}

/* A shuffle of scalars or into one: LLVM shuffles vectors only. */
static LLVMValueRef shuffle_any(Fn *f, const Stmt *s, LLVMValueRef x, LLVMValueRef y) {
    const Emit *e = f->e;
    uint32_t from = f->k->vals.data[s->arg[0]].lanes;
    if (from > 1 && s->type.lanes > 1)
        return shuffle(f, x, y, s->lane, s->type.lanes);
    LLVMValueRef v = s->type.lanes > 1 ? LLVMGetPoison(llvm_type(e, s->type)) : NULL;
    for (uint32_t i = 0; i < s->type.lanes; i++) {
        LLVMValueRef source = s->lane[i] < from ? x : y;
        if (from > 1)
            source = LLVMBuildExtractElement(e->b, source, const_i32(e, s->lane[i] % from), "");
        v = v ? LLVMBuildInsertElement(e->b, v, source, const_i32(e, i), "") : source;
    }
    return v;
}

/* The upper half of v's lanes combined with the lower, until one is left. */
static LLVMValueRef horizontal(Fn *f, LOp op, LLVMValueRef v, LType t) {
    uint8_t low[128], high[128];
    while (t.lanes > 1) {
        uint32_t half = t.lanes / 2u;
        for (uint32_t i = 0; i < half; i++)
            low[i] = (uint8_t)i, high[i] = (uint8_t)(i + half);
        LLVMValueRef a, b;
        if (half > 1) {
            a = shuffle(f, v, v, low, half), b = shuffle(f, v, v, high, half);
        } else {
            a = LLVMBuildExtractElement(f->e->b, v, const_i32(f->e, 0), "");
            b = LLVMBuildExtractElement(f->e->b, v, const_i32(f->e, 1), "");
        }
        t.lanes = (uint8_t)half;
        v = emit_arith(f->e, op, t, (LLVMValueRef[]){a, b});
    }
    return v;
}

static LLVMValueRef index_value(Fn *f, const Stmt *s) {
    LLVMValueRef v = emit_index(f, s->index);
    return emit_convert(f->e, v, (LType){DT_I64, 1}, s->type);
}

static LLVMValueRef extract(Fn *f, const Stmt *s, LLVMValueRef x) {
    if (f->k->vals.data[s->arg[0]].lanes == 1)
        return x;
    return LLVMBuildExtractElement(f->e->b, x, const_i32(f->e, (int64_t)s->imm), "");
}

static LLVMValueRef make_value(Fn *f, const Stmt *s) {
    const Emit *e = f->e;
    LLVMValueRef arg[3] = {0};
    static const uint8_t args[] = {
#define LOP(id, name, n, kind) [LOP_##id] = n,
#include "ir/loops/lop.def"
#undef LOP
    };
    for (int i = 0; i < args[s->op]; i++)
        arg[i] = f->vals[s->arg[i]];
    LType from = args[s->op] ? f->k->vals.data[s->arg[0]] : s->type;
    switch (s->op) {
    case LOP_CONST:
        return constant(f, s);
    case LOP_INDEX:
        return index_value(f, s);
    case LOP_LOAD:
        return load(f, s);
    case LOP_SPLAT:
        return splat(e, arg[0], s->type.lanes);
    case LOP_EXTRACT:
        return extract(f, s, arg[0]);
    case LOP_SHUFFLE:
        return shuffle_any(f, s, arg[0], arg[1]);
    case LOP_SELECT:
        return LLVMBuildSelect(e->b, arg[0], arg[1], arg[2], "");
    case LOP_CONVERT:
        return emit_convert(e, arg[0], from, s->type);
    case LOP_BITCAST:
        return LLVMBuildBitCast(e->b, arg[0], llvm_type(e, s->type), "");
    case LOP_SUM:
        return horizontal(f, LOP_ADD, arg[0], from);
    case LOP_HMAX:
        return horizontal(f, LOP_MAX, arg[0], from);
    case LOP_CLOCK:
        return call_intrinsic(e, "llvm.readcyclecounter", NULL, NULL, 0);
    case LOP_CMPEQ:
    case LOP_CMPNE:
    case LOP_CMPLT:
    case LOP_CMPLE:
        return emit_compare(e, s->op, from, arg);
    default:
        return emit_arith(e, s->op, s->type, arg);
    }
}

bool emit_value(Fn *f, const Stmt *s) {
    f->vals[s->result] = make_value(f, s);
    return f->vals[s->result] && !f->failed;
}
