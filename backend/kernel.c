/* Kernels to LLVM functions, one each: kernel(params..., n, scratch, stride, pool). Only these functions (and
 * the bodies of their parallel loops, parallel.c) use instructions beyond the target's baseline. */
#include "backend/llvm.h"
#include <llvm-c/DebugInfo.h>

static bool emit_block(Fn *f, const Block *block);

/* ---- Functions ---- */

void kernel_attributes(const Emit *e, LLVMValueRef fn) {
    if (!e->x86)
        return;
    StrBuf sb = sb_new(&e->cx->arena);
    bool avx512 = e->features & 1u << feature_find("avx512f", 7);
    sb_printf(&sb, "%s%s", e->t->features, avx512 ? ",+evex512" : "");
    add_text_attr(e, fn, "target-features", sb_str(&sb));
    add_text_attr(e, fn, "tune-cpu", e->t->cpu);
    const char *bits = e->t->vector_bytes == 64 ? "512" : e->t->vector_bytes == 32 ? "256" : "128";
    add_text_attr(e, fn, "prefer-vector-width", bits);
    add_text_attr(e, fn, "min-legal-vector-width", bits);
}

void param_attributes(const Emit *e, LLVMValueRef fn, uint32_t kernel) {
    const Kernel *k = e->m->kernels.data[kernel];
    for (uint32_t i = 0; i < k->n_params; i++) {
        const LBuf *buf = &k->bufs.data[i];
        if (buf->noalias)
            add_attr(e, fn, i + 1, "noalias", 0);
        if (buf->kind == LB_IN)
            add_attr(e, fn, i + 1, "readonly", 0);
        add_attr(e, fn, i + 1, "align", e->param_align[kernel][i]);
        add_attr(e, fn, i + 1, "nocapture", 0);
    }
}

Fn fn_begin(Emit *e, uint32_t kernel, LLVMValueRef fn) {
    const Kernel *k = e->m->kernels.data[kernel];
    Arena *a = &e->cx->arena;
    Fn f = {.e = e, .k = k, .kernel = kernel, .fn = fn};
    f.bufs = NEW_ARRAY(a, LLVMValueRef, k->bufs.len + 1);
    f.regs = NEW_ARRAY(a, LLVMValueRef *, k->bufs.len + 1);
    f.align = NEW_ARRAY(a, uint32_t, k->bufs.len + 1);
    f.vals = NEW_ARRAY(a, LLVMValueRef, k->vals.len + 1);
    f.vars = NEW_ARRAY(a, LLVMValueRef, k->vars.len + 1);
    f.depth = NEW_ARRAY(a, uint32_t, k->vars.len + 1);
    f.lo = NEW_ARRAY(a, int64_t, k->vars.len + 1);
    f.hi = NEW_ARRAY(a, int64_t, k->vars.len + 1);
    f.multiple = NEW_ARRAY(a, int64_t, k->vars.len + 1);
    f.idx = NEW_ARRAY(a, LLVMValueRef, k->idx.len + 1);
    for (uint32_t i = 0; i < k->n_params; i++) {
        f.bufs[i] = LLVMGetParam(fn, i);
        f.align[i] = e->param_align[kernel][i];
    }
    f.n = LLVMGetParam(fn, k->n_params);
    f.scratch = LLVMGetParam(fn, k->n_params + 1);
    f.entry = new_block(e, fn, "entry");
    LLVMPositionBuilderAtEnd(e->b, f.entry);
    return f;
}

LLVMValueRef entry_alloca(Fn *f, LLVMTypeRef type, uint32_t align) {
    LLVMBuilderRef b = f->e->b;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(b);
    LLVMValueRef first = LLVMGetFirstInstruction(f->entry);
    if (first)
        LLVMPositionBuilderBefore(b, first);
    else
        LLVMPositionBuilderAtEnd(b, f->entry);
    LLVMValueRef slot = LLVMBuildAlloca(b, type, "");
    if (align)
        LLVMSetAlignment(slot, align);
    LLVMPositionBuilderAtEnd(b, here);
    return slot;
}

/* ---- Buffers ---- */

/* A poison store says that nothing lives on from an earlier iteration. */
static void alloc_registers(Fn *f, uint32_t buf, const LBuf *lb) {
    LLVMTypeRef type = llvm_type(f->e, (LType){lb->dtype, lb->lanes});
    bool fresh = !f->regs[buf];
    if (fresh)
        f->regs[buf] = NEW_ARRAY(&f->e->cx->arena, LLVMValueRef, (size_t)lb->extent.size);
    for (int64_t i = 0; i < lb->extent.size; i++) {
        if (fresh)
            f->regs[buf][i] = entry_alloca(f, type, 0);
        LLVMBuildStore(f->e->b, LLVMGetPoison(type), f->regs[buf][i]);
    }
}

static bool emit_alloc(Fn *f, const Stmt *s) {
    const LBuf *lb = &f->k->bufs.data[s->buf];
    if (lb->kind == LB_REG) {
        alloc_registers(f, s->buf, lb);
        return true;
    }
    f->align[s->buf] = 64;
    if (lb->kind == LB_SCRATCH) {
        LLVMValueRef offset = const_i64(f->e, lb->offset);
        f->align[s->buf] = lb->offset % 64 ? lb->align : 64;
        f->bufs[s->buf] = LLVMBuildGEP2(f->e->b, f->e->i8, f->scratch, &offset, 1, "");
        return true;
    }
    LLVMTypeRef type = LLVMArrayType2(llvm_dtype(f->e, lb->dtype), (uint64_t)lb->extent.size);
    f->bufs[s->buf] = entry_alloca(f, type, 64);
    return true;
}

static void emit_prefetch(Fn *f, const Stmt *s) {
    LLVMValueRef args[] = {emit_address(f, s->buf, s->index), const_i32(f->e, 0),
                           const_i32(f->e, (int64_t)s->imm), const_i32(f->e, 1)};
    call_intrinsic(f->e, "llvm.prefetch", f->e->ptr, args, 4);
}

/* ---- Control ---- */

static void know_variable(Fn *f, const Stmt *s) {
    int64_t min, max, batch = f->e->m->batch;
    uint32_t v = s->var;
    f->lo[v] = INT64_MIN, f->hi[v] = INT64_MAX;
    if (ix_range(f->k, s->lo, f->lo, f->hi, batch, &min, &max))
        f->lo[v] = min;
    if (ix_range(f->k, s->hi, f->lo, f->hi, batch, &min, &max))
        f->hi[v] = max - 1;
    f->multiple[v] = loop_multiple(f, s->lo, s->step);
    f->depth[v] = f->loops;
}

static void forbid_unrolling(const Emit *e, LLVMValueRef branch) {
    LLVMMetadataRef text = LLVMMDStringInContext2(e->c, "llvm.loop.unroll.disable", 24);
    LLVMMetadataRef hint = LLVMMDNodeInContext2(e->c, &text, 1);
    /* A loop's node names itself first, so that no two loops share one. */
    LLVMMetadataRef temp = LLVMTemporaryMDNode(e->c, NULL, 0), parts[] = {temp, hint};
    LLVMMetadataRef node = LLVMMDNodeInContext2(e->c, parts, 2);
    LLVMMetadataReplaceAllUsesWith(temp, node);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(e->c, "llvm.loop", 9), LLVMMetadataAsValue(e->c, node));
}

/* for (var = lo; var < hi; var += step): the test stands at the end, with a guard before the first round. */
bool emit_loop(Fn *f, const Stmt *s, LLVMValueRef lo, LLVMValueRef hi) {
    const Emit *e = f->e;
    LLVMBuilderRef b = e->b;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMBasicBlockRef body = new_block(e, f->fn, f->k->vars.data[s->var]), after = new_block(e, f->fn, "");
    bool runs = LLVMIsConstant(lo) && LLVMIsConstant(hi) &&
                LLVMConstIntGetSExtValue(lo) < LLVMConstIntGetSExtValue(hi);
    if (runs)
        LLVMBuildBr(b, body);
    else
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, lo, hi, ""), body, after);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef phi = LLVMBuildPhi(b, e->i64, f->k->vars.data[s->var]);
    f->vars[s->var] = phi;
    f->loops++;
    know_variable(f, s);
    Scope scope = scope_open(f);
    bool ok = emit_block(f, &s->body);
    scope_close(f, scope);
    f->loops--;
    LLVMValueRef next = LLVMBuildNSWAdd(b, phi, const_i64(e, s->step), "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(b);
    LLVMValueRef branch = LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, hi, ""), body, after);
    forbid_unrolling(e, branch);
    LLVMAddIncoming(phi, (LLVMValueRef[]){lo, next}, (LLVMBasicBlockRef[]){before, latch}, 2);
    LLVMPositionBuilderAtEnd(b, after);
    return ok;
}

static bool emit_if(Fn *f, const Stmt *s) {
    static const LLVMIntPredicate predicates[] = {LLVMIntSLT, LLVMIntSLE, LLVMIntEQ, LLVMIntNE};
    const Emit *e = f->e;
    LLVMBuilderRef b = e->b;
    LLVMValueRef cond = LLVMBuildICmp(b, predicates[s->cmp], emit_index(f, s->lo), emit_index(f, s->hi), "");
    LLVMBasicBlockRef yes = new_block(e, f->fn, "then"), no = new_block(e, f->fn, "else");
    LLVMBasicBlockRef after = new_block(e, f->fn, "");
    LLVMBuildCondBr(b, cond, yes, no);
    LLVMPositionBuilderAtEnd(b, yes);
    Scope scope = scope_open(f);
    bool ok = emit_block(f, &s->body);
    scope_close(f, scope);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, no);
    ok = ok && emit_block(f, &s->orelse);
    scope_close(f, scope);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
    return ok;
}

static bool broken(Fn *f, const char *what) {
    return diag_error(&f->e->cx->diag, DIAG_IR_INVALID, NULL, "kernel @%s: %s", f->k->name, what);
}

static bool emit_stmt(Fn *f, const Stmt *s) {
    switch (s->op) {
    case LOP_STORE:
        emit_store(f, s);
        return !f->failed;
    case LOP_PREFETCH:
        emit_prefetch(f, s);
        return true;
    case LOP_ALLOC:
        return emit_alloc(f, s);
    case LOP_IF:
        return emit_if(f, s);
    case LOP_FOR:
        if (s->kind == FOR_UNROLL || s->kind == FOR_VECTOR)
            return broken(f, "an unroll or vector loop is left; run the pass expand first");
        if (s->kind == FOR_PARALLEL)
            return f->loops || !f->pool ? broken(f, "a parallel loop inside a loop") : emit_parallel(f, s);
        return emit_loop(f, s, emit_index(f, s->lo), emit_index(f, s->hi));
    default:
        return emit_value(f, s) ||
               (f->failed ? false : broken(f, "an operation that its type does not have"));
    }
}

static bool emit_block(Fn *f, const Block *block) {
    for (uint32_t i = 0; i < block->stmts.len; i++)
        if (!emit_stmt(f, block->stmts.data[i]))
            return false;
    return true;
}

/* ---- All kernels ---- */

static bool emit_kernel(Emit *e, uint32_t kernel) {
    const Kernel *k = e->m->kernels.data[kernel];
    LLVMValueRef fn = e->kernels[kernel];
    kernel_attributes(e, fn);
    param_attributes(e, fn, kernel);
    Fn f = fn_begin(e, kernel, fn);
    f.stride = LLVMGetParam(fn, k->n_params + 2);
    f.pool = LLVMGetParam(fn, k->n_params + 3);
    bool ok = emit_block(&f, &k->body);
    LLVMBuildRetVoid(e->b);
    return ok;
}

/* What the memory passed for a buffer guarantees: entry arguments are aligned as their elements, blocks
 * to 64. */
static uint32_t step_align(const LoopModule *m, const StepArg *arg) {
    const ModBuf *b = &m->bufs.data[arg->buf];
    uint32_t elem = dtype_bytes(b->type.dtype);
    while (b->kind == MB_WORK && b->alias >= 0)
        b = &m->bufs.data[b->alias];
    if (b->kind == MB_IN || b->kind == MB_OUT || b->kind == MB_PARAM || b->kind == MB_HYPER)
        return elem;
    uint64_t at = (uint64_t)b->offset + (uint64_t)arg->offset * elem;
    return at % 64 ? (uint32_t)(at & -at) : 64;
}

static void find_alignment(Emit *e) {
    const LoopModule *m = e->m;
    for (uint32_t i = 0; i < m->kernels.len; i++) {
        const Kernel *k = m->kernels.data[i];
        e->param_align[i] = NEW_ARRAY(&e->cx->arena, uint32_t, k->n_params + 1);
        for (uint32_t p = 0; p < k->n_params; p++)
            e->param_align[i][p] = 64;
    }
    for (uint32_t i = 0; i < m->entries.len; i++)
        for (uint32_t j = 0; j < m->entries.data[i].steps.len; j++) {
            const Step *s = &m->entries.data[i].steps.data[j];
            for (uint32_t p = 0; p < m->kernels.data[s->kernel]->n_params; p++) {
                uint32_t a = step_align(m, &s->args[p]);
                if (a < e->param_align[s->kernel][p])
                    e->param_align[s->kernel][p] = a;
            }
        }
}

bool emit_kernels(Emit *e) {
    const LoopModule *m = e->m;
    e->kernels = NEW_ARRAY(&e->cx->arena, LLVMValueRef, m->kernels.len + 1);
    e->param_align = NEW_ARRAY(&e->cx->arena, uint32_t *, m->kernels.len + 1);
    find_alignment(e);
    for (uint32_t i = 0; i < m->kernels.len; i++) {
        uint32_t np = m->kernels.data[i]->n_params;
        LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, np + 4);
        for (uint32_t p = 0; p < np + 4; p++)
            types[p] = p == np || p == np + 2 ? e->i64 : e->ptr;
        const char *name = intern_f(e->cx, "k.%s%s", m->kernels.data[i]->name, e->suffix);
        e->kernels[i] = new_function(e, name, e->nothing, types, np + 4, false);
        if (!emit_kernel(e, i))
            return false;
    }
    return true;
}
