/* Entry points: baseline code that checks everything it is given and then calls the kernels in order. */
#include "backend/llvm.h"
#include "runtime/cnnrt/cnnrt.h"

/* An entry point under construction. */
typedef struct Call {
    Emit *e;
    LLVMValueRef fn;
    LLVMValueRef *base; /* pointer of each module buffer without alias */
    LLVMValueRef n, weights, work, work_bytes, pool;
    LLVMValueRef scratch, stride;
} Call;

/* Return `status` when `bad` holds. */
static void refuse_if(const Call *c, LLVMValueRef bad, int status) {
    const Emit *e = c->e;
    LLVMBasicBlockRef fail = new_block(e, c->fn, "fail"), next = new_block(e, c->fn, "");
    LLVMBuildCondBr(e->b, bad, fail, next);
    LLVMPositionBuilderAtEnd(e->b, fail);
    LLVMBuildRet(e->b, const_i32(e, status));
    LLVMPositionBuilderAtEnd(e->b, next);
}

static void refuse_null(const Call *c, LLVMValueRef p) {
    refuse_if(c, LLVMBuildIsNull(c->e->b, p, ""), CNNRT_E_NULL);
}

static void refuse_unaligned(const Call *c, LLVMValueRef p) {
    LLVMBuilderRef b = c->e->b;
    LLVMValueRef low = LLVMBuildAnd(b, LLVMBuildPtrToInt(b, p, c->e->i64, ""), const_i64(c->e, 63), "");
    refuse_if(c, LLVMBuildIsNotNull(b, low, ""), CNNRT_E_WORKSPACE_ALIGN);
}

static void check_cpu(const Call *c) {
    const Emit *e = c->e;
    if (!e->cpu_ok)
        return;
    LLVMValueRef ok = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->cpu_ok), e->cpu_ok, NULL, 0, "");
    refuse_if(c, LLVMBuildNot(e->b, ok, ""), CNNRT_E_CPU);
}

static void check_batch(const Call *c) {
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

/* Threads of the pool, 1 without one; refuses a pool of another ABI. */
static LLVMValueRef check_pool(const Call *c) {
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

/* The workspace is `shared` bytes, then the scratch of each thread. */
static void check_work(Call *c, uint64_t shared, LLVMValueRef threads) {
    const Emit *e = c->e;
    uint64_t scratch = round64(e->m->scratch_bytes);
    LLVMValueRef offset = const_i64(e, (int64_t)shared);
    c->stride = const_i64(e, (int64_t)scratch);
    if (shared || scratch) {
        LLVMValueRef need = LLVMBuildAdd(e->b, offset, LLVMBuildMul(e->b, threads, c->stride, ""), "");
        refuse_null(c, c->work);
        refuse_unaligned(c, c->work);
        refuse_if(c, LLVMBuildICmp(e->b, LLVMIntULT, c->work_bytes, need, ""), CNNRT_E_WORKSPACE_SIZE);
    }
    c->scratch = LLVMBuildGEP2(e->b, e->i8, c->work, &offset, 1, "");
}

static void check_weights(Call *c) {
    const Emit *e = c->e;
    if (!e->m->const_bytes)
        return;
    LLVMValueRef none = LLVMBuildIsNull(e->b, c->weights, "");
    if (e->weights)
        c->weights = LLVMBuildSelect(e->b, none, e->weights, c->weights, "");
    else
        refuse_if(c, none, CNNRT_E_NO_WEIGHTS);
    refuse_unaligned(c, c->weights);
}

/* ---- Steps ---- */

static LLVMValueRef buffer_base(Call *c, uint32_t buf) {
    const Emit *e = c->e;
    const ModBuf *b = &e->m->bufs.data[buf];
    while (b->kind == MB_WORK && b->alias >= 0) {
        buf = (uint32_t)b->alias;
        b = &e->m->bufs.data[buf];
    }
    if (!c->base[buf]) {
        LLVMValueRef offset = const_i64(e, b->offset);
        LLVMValueRef block = b->kind == MB_CONST ? c->weights : c->work;
        c->base[buf] = LLVMBuildGEP2(e->b, e->i8, block, &offset, 1, "");
    }
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
}

static void emit_steps(Call *c, const char *entry) {
    const LoopModule *m = c->e->m;
    for (uint32_t i = 0; i < m->entries.len; i++)
        if (m->entries.data[i].name == intern(c->e->cx, entry))
            for (uint32_t j = 0; j < m->entries.data[i].steps.len; j++)
                emit_step(c, &m->entries.data[i].steps.data[j]);
    LLVMBuildRet(c->e->b, const_i32(c->e, CNNRT_OK));
}

static Call call_begin(Emit *e, const char *name, LLVMTypeRef *types, uint32_t n) {
    Call c = {.e = e, .fn = new_function(e, name, e->i32, types, n, false)};
    c.base = NEW_ARRAY(&e->cx->arena, LLVMValueRef, e->m->bufs.len + 1);
    LLVMPositionBuilderAtEnd(e->b, new_block(e, c.fn, "entry"));
    return c;
}

/* ---- The entry points ---- */

/* infer(n, inputs..., outputs..., weights, work, work_bytes, pool) */
static LLVMValueRef emit_infer(Emit *e) {
    const LoopModule *m = e->m;
    uint32_t io = count_bufs(m, MB_IN) + count_bufs(m, MB_OUT), at = 1;
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, io + 5);
    for (uint32_t i = 0; i < io + 5; i++)
        types[i] = i == 0 || i == io + 3 ? e->i64 : e->ptr;
    Call c = call_begin(e, "infer", types, io + 5);
    c.n = LLVMGetParam(c.fn, 0);
    c.weights = LLVMGetParam(c.fn, io + 1);
    c.work = LLVMGetParam(c.fn, io + 2);
    c.work_bytes = LLVMGetParam(c.fn, io + 3);
    c.pool = LLVMGetParam(c.fn, io + 4);
    check_cpu(&c);
    check_batch(&c);
    for (ModBufKind kind = MB_IN; kind <= MB_OUT; kind++)
        for (uint32_t b = 0; b < m->bufs.len; b++)
            if (m->bufs.data[b].kind == kind) {
                c.base[b] = LLVMGetParam(c.fn, at++);
                refuse_null(&c, c.base[b]);
            }
    LLVMValueRef threads = check_pool(&c);
    check_weights(&c);
    check_work(&c, round64(m->work_bytes), threads);
    emit_steps(&c, "infer");
    return c.fn;
}

static LLVMValueRef array_item(const Emit *e, LLVMValueRef array, uint32_t i) {
    LLVMValueRef at = const_i64(e, i);
    return LLVMBuildLoad2(e->b, e->ptr, LLVMBuildGEP2(e->b, e->ptr, array, &at, 1, ""), "");
}

/* The descriptor's call: arrays of pointers in place of single arguments. */
static LLVMValueRef emit_uniform(Emit *e, LLVMValueRef infer) {
    uint32_t n_in = count_bufs(e->m, MB_IN), n_out = count_bufs(e->m, MB_OUT), io = n_in + n_out;
    LLVMTypeRef types[] = {e->i64, e->ptr, e->ptr, e->ptr, e->ptr, e->i64, e->ptr};
    Call c = call_begin(e, "infer_arrays", types, 7);
    LLVMValueRef *args = NEW_ARRAY(&e->cx->arena, LLVMValueRef, io + 5);
    LLVMValueRef in = LLVMGetParam(c.fn, 1), out = LLVMGetParam(c.fn, 2);
    refuse_null(&c, in);
    refuse_null(&c, out);
    args[0] = LLVMGetParam(c.fn, 0);
    for (uint32_t i = 0; i < io; i++)
        args[1 + i] = i < n_in ? array_item(e, in, i) : array_item(e, out, i - n_in);
    for (uint32_t i = 0; i < 4; i++)
        args[1 + io + i] = LLVMGetParam(c.fn, 3 + i);
    LLVMBuildRet(e->b, LLVMBuildCall2(e->b, LLVMGlobalGetValueType(infer), infer, args, io + 5, ""));
    return c.fn;
}

/* Constants whose contents are known go into the block as they are. */
static void copy_constants(Call *c) {
    Emit *e = c->e;
    for (uint32_t i = 0; i < e->m->bufs.len; i++) {
        const ModBuf *b = &e->m->bufs.data[i];
        int64_t bytes = b->kind == MB_CONST && b->data ? type_physical_bytes(&b->type, e->m->batch) : 0;
        if (bytes <= 0)
            continue;
        LLVMValueRef from = const_block(e, intern_f(e->cx, "data.%s", b->name), b->data, (size_t)bytes, 64);
        LLVMBuildMemCpy(e->b, buffer_base(c, i), 64, from, 64, const_i64(e, bytes));
    }
}

/* prepare(params, weights, weights_bytes, work, work_bytes), on the calling thread */
static LLVMValueRef emit_prepare(Emit *e) {
    const LoopModule *m = e->m;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64, e->ptr, e->i64};
    Call c = call_begin(e, "prepare", types, 5);
    LLVMValueRef params = LLVMGetParam(c.fn, 0), weights_bytes = LLVMGetParam(c.fn, 2);
    c.n = const_i64(e, m->batch);
    c.weights = LLVMGetParam(c.fn, 1);
    c.work = LLVMGetParam(c.fn, 3);
    c.work_bytes = LLVMGetParam(c.fn, 4);
    c.pool = LLVMConstNull(e->ptr);
    check_cpu(&c);
    if (count_bufs(m, MB_PARAM))
        refuse_null(&c, params);
    for (uint32_t b = 0, i = 0; b < m->bufs.len; b++)
        if (m->bufs.data[b].kind == MB_PARAM) {
            c.base[b] = array_item(e, params, i++);
            refuse_null(&c, c.base[b]);
        }
    if (m->const_bytes) {
        refuse_null(&c, c.weights);
        refuse_unaligned(&c, c.weights);
        LLVMValueRef need = const_i64(e, m->const_bytes);
        refuse_if(&c, LLVMBuildICmp(e->b, LLVMIntULT, weights_bytes, need, ""), CNNRT_E_WORKSPACE_SIZE);
    }
    check_work(&c, round64(m->prepare_bytes), const_i64(e, 1));
    copy_constants(&c);
    emit_steps(&c, "prepare");
    return c.fn;
}

bool emit_entries(Emit *e) {
    emit_cpu_check(e);
    if (e->o->weights && e->m->const_bytes) {
        size_t bytes = (size_t)e->m->const_bytes;
        e->weights = const_block(e, "weights", NULL, bytes, 64); /* filled in once the object is made */
        LLVMSetSection(e->weights, WEIGHTS_SECTION);
        add_global_name(e, e->weights, LLVMGlobalGetValueType(e->weights), "weights");
    }
    LLVMValueRef infer = emit_infer(e), prepare = NULL;
    add_global_name(e, infer, LLVMGlobalGetValueType(infer), "infer");
    if (e->o->with_prepare) {
        prepare = emit_prepare(e);
        add_global_name(e, prepare, LLVMGlobalGetValueType(prepare), "prepare_raw");
    }
    return emit_descriptor(e, emit_uniform(e, infer), prepare);
}
