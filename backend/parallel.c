/* Parallel loops. Each becomes two functions beside its kernel: the body over a range of iterations, and the
 * task that a thread pool calls, which unpacks the arguments:
 *
 *     body(params..., n, scratch, begin, end, args)   scratch of this thread
 *     task(args, begin, end, thread)                  body(args->..., args->scratch + thread * args->stride,
 * ...)
 */
#include "backend/llvm.h"
#include "runtime/cnnrt/cnnrt.h"

/* What a parallel body uses of the code around it. */
static void find_captures(const Fn *f, const Block *block, Captures *c) {
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        for (int a = 0; a < 3; a++) {
            bool outer = s->op <= LOP_STORE && s->arg[a] < f->k->vals.len && f->vals[s->arg[a]], seen = false;
            for (uint32_t j = 0; outer && j < c->vals.len; j++)
                seen |= c->vals.data[j] == s->arg[a];
            if (outer && !seen)
                vec_push(&f->e->cx->arena, &c->vals, s->arg[a]);
        }
        bool memory = s->op == LOP_LOAD || s->op == LOP_STORE || s->op == LOP_PREFETCH;
        bool stack = memory && f->k->bufs.data[s->buf].kind == LB_STACK && f->bufs[s->buf], seen = false;
        for (uint32_t j = 0; stack && j < c->bufs.len; j++)
            seen |= c->bufs.data[j] == s->buf;
        if (stack && !seen)
            vec_push(&f->e->cx->arena, &c->bufs, s->buf);
        find_captures(f, &s->body, c);
        find_captures(f, &s->orelse, c);
    }
}

/* struct args { params..., n, scratch, stride, captured values..., captured arrays... } */
static LLVMTypeRef args_type(const Fn *f, const Captures *c) {
    const Emit *e = f->e;
    uint32_t np = f->k->n_params, n = 0;
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, np + 3 + c->vals.len + c->bufs.len);
    for (uint32_t i = 0; i < np; i++)
        types[n++] = e->ptr;
    types[n++] = e->i64;
    types[n++] = e->ptr;
    types[n++] = e->i64;
    for (uint32_t i = 0; i < c->vals.len; i++)
        types[n++] = llvm_type(e, f->k->vals.data[c->vals.data[i]]);
    for (uint32_t i = 0; i < c->bufs.len; i++)
        types[n++] = e->ptr;
    return LLVMStructTypeInContext(e->c, types, n, false);
}

static LLVMValueRef load_field(const Emit *e, LLVMTypeRef type, LLVMValueRef args, uint32_t i) {
    LLVMValueRef p = LLVMBuildStructGEP2(e->b, type, args, i, "");
    return LLVMBuildLoad2(e->b, LLVMStructGetTypeAtIndex(type, i), p, "");
}

/* The loop over [begin, end) of the iteration count; `parent` is the kernel's function. */
static LLVMValueRef emit_body(const Fn *parent, const Stmt *s, LLVMTypeRef type, const Captures *c,
                              const char *name, bool *ok) {
    Emit *e = parent->e;
    const Kernel *k = parent->k;
    uint32_t np = k->n_params;
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, np + 5);
    for (uint32_t i = 0; i < np + 5; i++)
        types[i] = i == np || i == np + 2 || i == np + 3 ? e->i64 : e->ptr;
    LLVMValueRef fn = new_function(e, name, e->nothing, types, np + 5, false);
    kernel_attributes(e, fn);
    param_attributes(e, fn, parent->kernel);
    Fn f = fn_begin(e, parent->kernel, fn);
    LLVMValueRef args = LLVMGetParam(fn, np + 4);
    for (uint32_t i = 0; i < c->vals.len; i++)
        f.vals[c->vals.data[i]] = load_field(e, type, args, np + 3 + i);
    for (uint32_t i = 0; i < c->bufs.len; i++) {
        f.bufs[c->bufs.data[i]] = load_field(e, type, args, np + 3 + c->vals.len + i);
        f.align[c->bufs.data[i]] = 64;
    }
    LLVMValueRef step = const_i64(e, s->step), lo = emit_index(&f, s->lo);
    LLVMValueRef first = LLVMBuildNSWMul(e->b, LLVMGetParam(fn, np + 2), step, "");
    LLVMValueRef last = LLVMBuildNSWMul(e->b, LLVMGetParam(fn, np + 3), step, "");
    *ok = emit_loop(&f, s, LLVMBuildNSWAdd(e->b, lo, first, ""), LLVMBuildNSWAdd(e->b, lo, last, ""));
    LLVMBuildRetVoid(e->b);
    return fn;
}

static LLVMValueRef emit_task(const Emit *e, uint32_t np, LLVMTypeRef type, LLVMValueRef body,
                              const char *name) {
    LLVMValueRef fn =
        new_function(e, name, e->nothing, (LLVMTypeRef[]){e->ptr, e->i64, e->i64, e->i32}, 4, false);
    LLVMPositionBuilderAtEnd(e->b, new_block(e, fn, "entry"));
    LLVMValueRef args = LLVMGetParam(fn, 0);
    LLVMValueRef *pass = NEW_ARRAY(&e->cx->arena, LLVMValueRef, np + 5);
    for (uint32_t i = 0; i < np + 2; i++)
        pass[i] = load_field(e, type, args, i);
    LLVMValueRef thread = LLVMBuildZExt(e->b, LLVMGetParam(fn, 3), e->i64, "");
    LLVMValueRef offset = LLVMBuildMul(e->b, thread, load_field(e, type, args, np + 2), "");
    pass[np + 1] = LLVMBuildGEP2(e->b, e->i8, pass[np + 1], &offset, 1, "");
    pass[np + 2] = LLVMGetParam(fn, 1);
    pass[np + 3] = LLVMGetParam(fn, 2);
    pass[np + 4] = args;
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(body), body, pass, np + 5, "");
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

/* pool->parallel_for(pool, count, task, args) when there are several threads and iterations, else the task
 * here. */
static void call_task(Fn *f, LLVMValueRef count, LLVMValueRef task, LLVMValueRef args) {
    const Emit *e = f->e;
    LLVMBuilderRef b = e->b;
    LLVMBasicBlockRef ask = new_block(e, f->fn, "pool"), share = new_block(e, f->fn, "share");
    LLVMBasicBlockRef alone = new_block(e, f->fn, "alone"), after = new_block(e, f->fn, "");
    LLVMValueRef several = LLVMBuildICmp(b, LLVMIntUGT, count, const_i64(e, 1), "");
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
    Captures c = {0};
    find_captures(f, &s->body, &c);
    LLVMTypeRef type = args_type(f, &c);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    bool ok;
    LLVMValueRef body = emit_body(f, s, type, &c, intern_f(e->cx, "k.%s.body%u", f->k->name, part), &ok);
    LLVMValueRef task = emit_task(e, np, type, body, intern_f(e->cx, "k.%s.task%u", f->k->name, part));
    LLVMPositionBuilderAtEnd(e->b, here);
    LLVMValueRef args = entry_alloca(f, type, 0);
    for (uint32_t i = 0; i < np + 3 + c.vals.len + c.bufs.len; i++) {
        LLVMValueRef v = i < np                    ? f->bufs[i]
                         : i == np                 ? f->n
                         : i == np + 1             ? f->scratch
                         : i == np + 2             ? f->stride
                         : i < np + 3 + c.vals.len ? f->vals[c.vals.data[i - np - 3]]
                                                   : f->bufs[c.bufs.data[i - np - 3 - c.vals.len]];
        LLVMBuildStore(e->b, v, LLVMBuildStructGEP2(e->b, type, args, i, ""));
    }
    call_task(f, iteration_count(f, s), task, args);
    return ok;
}
