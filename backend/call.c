/* What entry points are made of: checks of everything they are given, then calls of the kernels in order. */
#include "backend/call.h"
#include "runtime/cnnrt/cnnrt.h"

Call call_begin(Emit *e, const char *name, LLVMTypeRef *types, uint32_t n) {
    const char *full = intern_f(e->cx, "%s%s", name, e->suffix);
    Call c = {.e = e, .fn = new_function(e, full, e->i32, types, n, false)};
    c.base = NEW_ARRAY(&e->cx->arena, LLVMValueRef, e->m->bufs.len + 1);
    LLVMPositionBuilderAtEnd(e->b, new_block(e, c.fn, "entry"));
    return c;
}

void call_tail(Call *c, unsigned at) {
    c->weights = LLVMGetParam(c->fn, at);
    c->work = LLVMGetParam(c->fn, at + 1);
    c->work_bytes = LLVMGetParam(c->fn, at + 2);
    c->pool = LLVMGetParam(c->fn, at + 3);
}

void call_return(const Call *c, int status) {
    LLVMBuildRet(c->e->b, const_i32(c->e, status));
}

/* ---- Checks ---- */

static void return_if(const Call *c, LLVMValueRef bad, LLVMValueRef status) {
    const Emit *e = c->e;
    LLVMBasicBlockRef fail = new_block(e, c->fn, "fail"), next = new_block(e, c->fn, "");
    LLVMBuildCondBr(e->b, bad, fail, next);
    LLVMPositionBuilderAtEnd(e->b, fail);
    LLVMBuildRet(e->b, status);
    LLVMPositionBuilderAtEnd(e->b, next);
}

void refuse_if(const Call *c, LLVMValueRef bad, int status) {
    return_if(c, bad, const_i32(c->e, status));
}

void refuse_null(const Call *c, LLVMValueRef p) {
    refuse_if(c, LLVMBuildIsNull(c->e->b, p, ""), CNNRT_E_NULL);
}

void refuse_unaligned(const Call *c, LLVMValueRef p, int status) {
    LLVMBuilderRef b = c->e->b;
    LLVMValueRef low = LLVMBuildAnd(b, LLVMBuildPtrToInt(b, p, c->e->i64, ""), const_i64(c->e, 63), "");
    refuse_if(c, LLVMBuildIsNotNull(b, low, ""), status);
}

void check_cpu(const Call *c) {
    const Emit *e = c->e;
    if (!e->cpu_pick || e->n_variants > 1)
        return;
    LLVMValueRef which = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->cpu_pick), e->cpu_pick, NULL, 0, "");
    refuse_if(c, LLVMBuildIsNotNull(e->b, which, ""), CNNRT_E_CPU);
}

void check_batch(const Call *c) {
    const Emit *e = c->e;
    LLVMValueRef batch = const_i64(e, e->m->batch), bad;
    if (e->m->n_fixed) {
        bad = LLVMBuildICmp(e->b, LLVMIntNE, c->n, batch, "");
    } else {
        LLVMValueRef less = LLVMBuildSub(e->b, c->n, const_i64(e, 1), "");
        bad = LLVMBuildICmp(e->b, LLVMIntUGE, less, batch, "");
    }
    refuse_if(c, bad, CNNRT_E_BATCH);
}

static LLVMValueRef pool_field(const Call *c, size_t offset) {
    LLVMValueRef at = const_i64(c->e, (int64_t)offset);
    return LLVMBuildLoad2(c->e->b, c->e->i32, LLVMBuildGEP2(c->e->b, c->e->i8, c->pool, &at, 1, ""), "");
}

LLVMValueRef check_pool(const Call *c) {
    const Emit *e = c->e;
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), ask = new_block(e, c->fn, "pool");
    LLVMBasicBlockRef after = new_block(e, c->fn, "");
    LLVMBuildCondBr(e->b, LLVMBuildIsNull(e->b, c->pool, ""), after, ask);
    LLVMPositionBuilderAtEnd(e->b, ask);
    LLVMValueRef abi = pool_field(c, offsetof(cnnrt_pool, abi_version));
    refuse_if(c, LLVMBuildICmp(e->b, LLVMIntNE, abi, const_i32(e, CNNRT_ABI_VERSION), ""), CNNRT_E_ABI);
    LLVMValueRef threads = LLVMBuildZExt(e->b, pool_field(c, offsetof(cnnrt_pool, threads)), e->i64, "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
    LLVMValueRef phi = LLVMBuildPhi(e->b, e->i64, "threads"), one = const_i64(e, 1);
    LLVMAddIncoming(phi, (LLVMValueRef[]){one, threads}, (LLVMBasicBlockRef[]){from, last}, 2);
    return call_intrinsic(e, "llvm.umax", e->i64, (LLVMValueRef[]){phi, one}, 2);
}

void check_work(Call *c, uint64_t shared, LLVMValueRef threads) {
    const Emit *e = c->e;
    uint64_t scratch = round64(e->m->scratch_bytes);
    LLVMValueRef offset = const_i64(e, (int64_t)shared);
    c->stride = const_i64(e, (int64_t)scratch);
    if (shared || scratch) {
        LLVMValueRef need = LLVMBuildAdd(e->b, offset, LLVMBuildMul(e->b, threads, c->stride, ""), "");
        refuse_null(c, c->work);
        refuse_unaligned(c, c->work, CNNRT_E_WORKSPACE_ALIGN);
        refuse_if(c, LLVMBuildICmp(e->b, LLVMIntULT, c->work_bytes, need, ""), CNNRT_E_WORKSPACE_SIZE);
    }
    c->scratch = LLVMBuildGEP2(e->b, e->i8, c->work, &offset, 1, "");
}

void check_weights(Call *c) {
    const Emit *e = c->e;
    if (!e->weights_bytes)
        return;
    LLVMValueRef none = LLVMBuildIsNull(e->b, c->weights, ""),
                 offset = const_i64(e, (int64_t)e->weights_offset);
    if (e->weights) {
        LLVMValueRef own = LLVMBuildGEP2(e->b, e->i8, embedded_address(e, e->weights), &offset, 1, "");
        c->weights = LLVMBuildSelect(e->b, none, own, c->weights, "");
    } else
        refuse_if(c, none, CNNRT_E_NO_WEIGHTS);
    refuse_unaligned(c, c->weights, CNNRT_E_WORKSPACE_ALIGN);
}

void check_tensors(Call *c, unsigned at) {
    const LoopModule *m = c->e->m;
    for (ModBufKind kind = MB_IN; kind <= MB_OUT; kind++)
        for (uint32_t b = 0; b < m->bufs.len; b++)
            if (m->bufs.data[b].kind == kind) {
                c->base[b] = LLVMGetParam(c->fn, at++);
                refuse_null(c, c->base[b]);
            }
}

/* ---- Steps ---- */

LLVMValueRef array_item(const Emit *e, LLVMValueRef array, uint32_t i) {
    LLVMValueRef at = const_i64(e, i);
    return LLVMBuildLoad2(e->b, e->ptr, LLVMBuildGEP2(e->b, e->ptr, array, &at, 1, ""), "");
}

/* Where a buffer with an offset lies. */
static LLVMValueRef place_of(const Call *c, const ModBuf *b) {
    const Emit *e = c->e;
    LLVMValueRef block = b->kind == MB_STATE ? c->state : b->kind == MB_CONST ? c->weights : c->work;
    LLVMValueRef offset = const_i64(e, b->offset + (b->kind == MB_STATE ? STATE_HEAD : 0));
    return LLVMBuildGEP2(e->b, e->i8, block, &offset, 1, "");
}

LLVMValueRef buffer_base(Call *c, uint32_t buf) {
    const LoopModule *m = c->e->m;
    while (m->bufs.data[buf].kind == MB_WORK && m->bufs.data[buf].alias >= 0)
        buf = (uint32_t)m->bufs.data[buf].alias;
    const ModBuf *b = &m->bufs.data[buf];
    if (!c->base[buf])
        c->base[buf] = b->kind == MB_HYPER ? c->hyper : place_of(c, b);
    return c->base[buf];
}

static void emit_step(Call *c, const Step *s) {
    const Emit *e = c->e;
    uint32_t np = e->m->kernels.data[s->kernel]->n_params;
    LLVMValueRef *args = NEW_ARRAY(&e->cx->arena, LLVMValueRef, np + 4);
    for (uint32_t i = 0; i < np; i++) {
        args[i] = buffer_base(c, s->args[i].buf);
        LLVMValueRef offset = const_i64(e, s->args[i].offset);
        LLVMTypeRef elem = llvm_dtype(e, e->m->bufs.data[s->args[i].buf].type.dtype);
        if (s->args[i].offset)
            args[i] = LLVMBuildGEP2(e->b, elem, args[i], &offset, 1, "");
    }
    args[np] = c->n;
    args[np + 1] = c->scratch;
    args[np + 2] = c->stride;
    args[np + 3] = c->pool;
    LLVMValueRef fn = e->kernels[s->kernel];
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(fn), fn, args, np + 4, "");
    if (!s->checks)
        return;
    LLVMValueRef status = LLVMBuildLoad2(e->b, e->i32, args[np - 1], "");
    return_if(c, LLVMBuildIsNotNull(e->b, status, ""), status);
}

void emit_steps(Call *c, const Entry *entry, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++)
        emit_step(c, &entry->steps.data[i]);
}
