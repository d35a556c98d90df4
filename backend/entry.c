/* Entry points of inference: infer and prepare. The object of a training module has training.c's instead of
 * infer. */
#include "backend/call.h"
#include "runtime/cnnrt/cnnrt.h"

static void emit_all(Call *c, const Entry *entry) {
    if (entry)
        emit_steps(c, entry, 0, entry->steps.len);
    call_return(c, CNNRT_OK);
}

/* infer(n, inputs..., outputs..., weights, work, work_bytes, pool) */
static LLVMValueRef emit_infer(Emit *e, const void *what) {
    (void)what;
    const LoopModule *m = e->m;
    uint32_t io = count_bufs(m, MB_IN) + count_bufs(m, MB_OUT);
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, io + 5);
    for (uint32_t i = 0; i < io + 5; i++)
        types[i] = i == 0 || i == io + 3 ? e->i64 : e->ptr;
    Call c = call_begin(e, "infer", types, io + 5);
    c.n = LLVMGetParam(c.fn, 0);
    call_tail(&c, io + 1);
    check_cpu(&c);
    check_batch(&c);
    check_tensors(&c, 1);
    LLVMValueRef threads = check_pool(&c);
    check_weights(&c);
    check_work(&c, round64(m->work_bytes), threads);
    emit_all(&c, find_entry(m, "infer"));
    return c.fn;
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

uint64_t backend_raw_offset(const LoopModule *m, uint32_t buf) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < buf; i++)
        at += m->bufs.data[i].kind == MB_PARAM ? round64(type_physical_bytes(&m->bufs.data[i].type, 1)) : 0;
    return at;
}

/* An array of pointers to the raw parameters in the object, in their order; NULL: there are none. */
static LLVMValueRef raw_parameters(const Emit *e) {
    const LoopModule *m = e->m;
    const uint64_t bytes = e->o->weights == WEIGHTS_RAW ? backend_raw_offset(m, m->bufs.len) : 0;
    if (!bytes)
        return NULL;
    LLVMValueRef raw = embedded_block(e, WEIGHTS, bytes);
    LLVMValueRef *at = NEW_ARRAY(&e->cx->arena, LLVMValueRef, m->bufs.len);
    unsigned n = 0;
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        LLVMValueRef offset = const_i64(e, (int64_t)backend_raw_offset(m, i));
        if (m->bufs.data[i].kind == MB_PARAM)
            at[n++] = LLVMConstGEP2(e->i8, raw, &offset, 1);
    }
    return const_global(e, "raw", LLVMConstArray2(e->ptr, at, n));
}

/* prepare(params, weights, weights_bytes, work, work_bytes), on the calling thread; `raw` is NULL or where
 * the object's own parameters are. */
static LLVMValueRef emit_prepare(Emit *e, const void *what) {
    const LoopModule *m = e->m;
    LLVMValueRef raw = (LLVMValueRef)(uintptr_t)what;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64, e->ptr, e->i64};
    Call c = call_begin(e, "prepare", types, 5);
    LLVMValueRef params = LLVMGetParam(c.fn, 0), weights_bytes = LLVMGetParam(c.fn, 2);
    c.n = const_i64(e, m->batch);
    c.weights = LLVMGetParam(c.fn, 1);
    c.work = LLVMGetParam(c.fn, 3);
    c.work_bytes = LLVMGetParam(c.fn, 4);
    c.pool = LLVMConstNull(e->ptr);
    check_cpu(&c);
    if (raw)
        params = LLVMBuildSelect(e->b, LLVMBuildIsNull(e->b, params, ""), raw, params, "");
    else if (count_bufs(m, MB_PARAM))
        refuse_null(&c, params);
    for (uint32_t b = 0, i = 0; b < m->bufs.len; b++)
        if (m->bufs.data[b].kind == MB_PARAM) {
            c.base[b] = array_item(e, params, i++);
            refuse_null(&c, c.base[b]);
        }
    if (e->weights_bytes) {
        refuse_null(&c, c.weights);
        refuse_unaligned(&c, c.weights, CNNRT_E_WORKSPACE_ALIGN);
        LLVMValueRef need = const_i64(e, e->weights_bytes);
        refuse_if(&c, LLVMBuildICmp(e->b, LLVMIntULT, weights_bytes, need, ""), CNNRT_E_WORKSPACE_SIZE);
    }
    check_work(&c, round64(m->prepare_bytes), const_i64(e, 1));
    copy_constants(&c);
    emit_all(&c, find_entry(m, "prepare"));
    return c.fn;
}

/* Packed weights, a block for each CPU. */
static void emit_weights(Emit *e) {
    const CpuVariant *last = &e->variants[e->n_variants - 1];
    const uint64_t bytes = last->weights_offset + (uint64_t)last->m->const_bytes;
    if (e->o->weights != WEIGHTS_PACKED || !bytes)
        return;
    e->weights = embedded_block(e, WEIGHTS, bytes);
    add_global_name(e, e->weights, LLVMGlobalGetValueType(e->weights), "weights");
}

bool emit_entries(Emit *e) {
    emit_cpu_pick(e);
    emit_cpu_name(e);
    emit_weights(e);
    LLVMValueRef prepare = NULL;
    if (e->o->with_prepare)
        prepare = emit_public(e, "prepare", "prepare_raw", emit_prepare, raw_parameters(e));
    if (is_training(e->m))
        return emit_training(e, prepare);
    LLVMValueRef infer = emit_public(e, "infer", "infer", emit_infer, NULL);
    return emit_descriptor(e, emit_uniform(e, infer), prepare, NULL);
}
