/* Parallel loops. Each becomes two functions beside its kernel: the body over a range of iterations, and the
 * task that a thread pool calls, which unpacks the arguments:
 *
 *     body(params..., n, scratch, begin, end)   scratch of this thread
 *     task(args, begin, end, thread)            body(args->..., args->scratch + thread * args->stride,
 * ...)
 */
#include "backend/llvm.h"
#include "runtime/cnnrt/cnnrt.h"

/* struct args { params..., n, scratch, stride }: the verifier lets a parallel body use nothing else from
 * outside. */
static LLVMTypeRef args_type(const Emit *e, uint32_t np) {
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, np + 3);
    for (uint32_t i = 0; i < np + 3; i++)
        types[i] = i == np || i == np + 2 ? e->i64 : e->ptr;
    return LLVMStructTypeInContext(e->c, types, np + 3, false);
}

static LLVMValueRef load_field(const Emit *e, LLVMTypeRef type, LLVMValueRef args, uint32_t i) {
    LLVMValueRef p = LLVMBuildStructGEP2(e->b, type, args, i, "");
    return LLVMBuildLoad2(e->b, LLVMStructGetTypeAtIndex(type, i), p, "");
}

/* The loop over iterations [begin, end). */
static LLVMValueRef emit_body(const Fn *parent, const Stmt *s, const char *name, bool *ok) {
    Emit *e = parent->e;
    uint32_t np = parent->k->n_params;
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, np + 4);
    for (uint32_t i = 0; i < np + 4; i++)
        types[i] = i < np || i == np + 1 ? e->ptr : e->i64;
    LLVMValueRef fn = new_function(e, name, e->nothing, types, np + 4, false);
    kernel_attributes(e, fn);
    param_attributes(e, fn, parent->kernel);
    Fn f = fn_begin(e, parent->kernel, fn);
    LLVMValueRef step = const_i64(e, s->step), lo = emit_index(&f, s->lo);
    LLVMValueRef first = LLVMBuildNSWMul(e->b, LLVMGetParam(fn, np + 2), step, "");
    LLVMValueRef last = LLVMBuildNSWMul(e->b, LLVMGetParam(fn, np + 3), step, "");
    *ok = emit_loop(&f, s, LLVMBuildNSWAdd(e->b, lo, first, ""), LLVMBuildNSWAdd(e->b, lo, last, ""));
    LLVMBuildRetVoid(e->b);
    return fn;
}

static LLVMValueRef emit_task(const Emit *e, uint32_t np, LLVMTypeRef type, LLVMValueRef body,
                              const char *name) {
    LLVMTypeRef types[] = {e->ptr, e->i64, e->i64, e->i32};
    LLVMValueRef fn = new_function(e, name, e->nothing, types, 4, false);
    LLVMPositionBuilderAtEnd(e->b, new_block(e, fn, "entry"));
    LLVMValueRef args = LLVMGetParam(fn, 0);
    LLVMValueRef *pass = NEW_ARRAY(&e->cx->arena, LLVMValueRef, np + 4);
    for (uint32_t i = 0; i < np + 2; i++)
        pass[i] = load_field(e, type, args, i);
    LLVMValueRef thread = LLVMBuildZExt(e->b, LLVMGetParam(fn, 3), e->i64, "");
    LLVMValueRef offset = LLVMBuildMul(e->b, thread, load_field(e, type, args, np + 2), "");
    pass[np + 1] = LLVMBuildGEP2(e->b, e->i8, pass[np + 1], &offset, 1, "");
    pass[np + 2] = LLVMGetParam(fn, 1);
    pass[np + 3] = LLVMGetParam(fn, 2);
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(body), body, pass, np + 4, "");
    LLVMBuildRetVoid(e->b);
    return fn;
}

/* Iterations of the loop, at least 0. */
static LLVMValueRef iteration_count(Fn *f, const Stmt *s) {
    LLVMBuilderRef b = f->e->b;
    LLVMValueRef span = LLVMBuildNSWSub(b, emit_index(f, s->hi), emit_index(f, s->lo), "");
    LLVMValueRef zero = const_i64(f->e, 0);
    span = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, span, zero, ""), span, zero, "");
    if (s->step == 1)
        return span;
    span = LLVMBuildNSWAdd(b, span, const_i64(f->e, s->step - 1), "");
    return LLVMBuildUDiv(b, span, const_i64(f->e, s->step), "");
}

/* pool->parallel_for(pool, count, task, args) when there are several threads and more iterations than the
 * grain, else the task here. */
static void call_task(Fn *f, int64_t grain, LLVMValueRef count, LLVMValueRef task, LLVMValueRef args) {
    const Emit *e = f->e;
    LLVMBuilderRef b = e->b;
    LLVMBasicBlockRef ask = new_block(e, f->fn, "pool"), share = new_block(e, f->fn, "share");
    LLVMBasicBlockRef alone = new_block(e, f->fn, "alone"), after = new_block(e, f->fn, "");
    LLVMValueRef several = LLVMBuildICmp(b, LLVMIntUGT, count, const_i64(e, grain > 1 ? grain : 1), "");
    LLVMValueRef have = LLVMBuildAnd(b, several, LLVMBuildIsNotNull(b, f->pool, ""), "");
    LLVMBuildCondBr(b, have, ask, alone);
    LLVMPositionBuilderAtEnd(b, ask);
    LLVMValueRef at = const_i64(e, offsetof(cnnrt_pool, threads));
    LLVMValueRef threads = LLVMBuildLoad2(b, e->i32, LLVMBuildGEP2(b, e->i8, f->pool, &at, 1, ""), "");
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntUGT, threads, const_i32(e, 1), ""), share, alone);
    LLVMPositionBuilderAtEnd(b, share);
    at = const_i64(e, offsetof(cnnrt_pool, parallel_for));
    LLVMValueRef call = LLVMBuildLoad2(b, e->ptr, LLVMBuildGEP2(b, e->i8, f->pool, &at, 1, ""), "");
    LLVMTypeRef types[] = {e->ptr, e->i64, e->ptr, e->ptr};
    LLVMTypeRef type = LLVMFunctionType(e->nothing, types, 4, false);
    LLVMBuildCall2(b, type, call, (LLVMValueRef[]){f->pool, count, task, args}, 4, "");
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, alone);
    LLVMValueRef direct[] = {args, const_i64(e, 0), count, const_i32(e, 0)};
    LLVMBuildCall2(b, LLVMGlobalGetValueType(task), task, direct, 4, "");
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
}

bool emit_parallel(Fn *f, const Stmt *s) {
    Emit *e = f->e;
    uint32_t np = f->k->n_params, part = f->bodies++;
    LLVMTypeRef type = args_type(e, np);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    bool ok;
    LLVMValueRef body = emit_body(f, s, intern_f(e->cx, "k.%s.body%u%s", f->k->name, part, e->suffix), &ok);
    LLVMValueRef task =
        emit_task(e, np, type, body, intern_f(e->cx, "k.%s.task%u%s", f->k->name, part, e->suffix));
    LLVMPositionBuilderAtEnd(e->b, here);
    LLVMValueRef args = entry_alloca(f, type, 0);
    LLVMValueRef rest[] = {f->n, f->scratch, f->stride};
    for (uint32_t i = 0; i < np + 3; i++) {
        LLVMValueRef field = LLVMBuildStructGEP2(e->b, type, args, i, "");
        LLVMBuildStore(e->b, i < np ? f->bufs[i] : rest[i - np], field);
    }
    call_task(f, s->grain, iteration_count(f, s), task, args);
    return ok;
}
