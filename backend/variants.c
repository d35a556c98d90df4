/* An object for several CPUs: the model's module compiled for each, best CPU first, behind entry points that
 * call the first that this machine has. Callers see one object, so what its header and descriptor say holds
 * for all. */
#include "backend/call.h"
#include "runtime/cnnrt/cnnrt.h"
#include <string.h>

static int64_t more(int64_t a, int64_t b) {
    return a > b ? a : b;
}

LoopModule common_module(const LoopModule *m, const ObjectOptions *o) {
    LoopModule common = *m;
    for (uint32_t i = 0; i < o->n_others; i++) {
        const LoopModule *other = o->others[i].m;
        common.work_bytes = more(common.work_bytes, other->work_bytes);
        common.scratch_bytes = more(common.scratch_bytes, other->scratch_bytes);
        common.prepare_bytes = more(common.prepare_bytes, other->prepare_bytes);
        common.const_bytes = more(common.const_bytes, other->const_bytes);
    }
    return common;
}

const char *cpu_names(Context *cx, const Target *t, const ObjectOptions *o) {
    StrBuf sb = sb_new(&cx->arena);
    sb_puts(&sb, t->cpu);
    for (uint32_t i = 0; i < o->n_others; i++)
        sb_printf(&sb, ",%s", o->others[i].t->cpu);
    return intern(cx, sb_str(&sb));
}

/* Do callers see the same buffers of a kind? */
static bool same_buffers(const LoopModule *a, const LoopModule *b, ModBufKind kind) {
    const uint32_t n = count_bufs(a, kind);
    if (n != count_bufs(b, kind))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const ModBuf *x = nth_buf(a, kind, i), *y = nth_buf(b, kind, i);
        if (strcmp(x->key ? x->key : x->name, y->key ? y->key : y->name) != 0 ||
            x->type.dtype != y->type.dtype ||
            type_physical_bytes(&x->type, a->batch) != type_physical_bytes(&y->type, b->batch) ||
            (kind == MB_STATE && x->offset != y->offset))
            return false;
    }
    return true;
}

static bool check_same(Context *cx, const LoopModule *a, const LoopModule *b) {
    return (a->batch == b->batch && a->n_fixed == b->n_fixed && same_buffers(a, b, MB_IN) &&
            same_buffers(a, b, MB_OUT) && same_buffers(a, b, MB_PARAM) && same_buffers(a, b, MB_STATE)) ||
           diag_error(&cx->diag, DIAG_IR_INVALID, NULL,
                      "module @%s: for two CPUs it takes other arguments or another state", a->name);
}

static void add_variant(Emit *e, const LoopModule *m, const Target *t) {
    const LoopModule common = common_module(e->m, e->o);
    LoopModule *own = arena_copy(&e->cx->arena, m, sizeof *m);
    own->work_bytes = common.work_bytes;
    own->scratch_bytes = common.scratch_bytes;
    own->prepare_bytes = common.prepare_bytes;
    const CpuVariant *last = e->n_variants ? &e->variants[e->n_variants - 1] : NULL;
    e->variants[e->n_variants++] = (CpuVariant){
        .m = own,
        .t = t,
        .features = e->x86 ? feature_parse(t->features) : 0,
        .suffix = e->o->n_others ? intern_f(e->cx, ".%s", t->cpu) : "",
        .weights_offset = last ? last->weights_offset + round64(last->m->const_bytes) : 0,
    };
}

bool variants_init(Emit *e) {
    const LoopModule *m = e->m;
    const Target *t = e->t;
    if (!check_module(e->cx, m, e->o))
        return false;
    e->x86 = !strncmp(t->triple, "x86_64", 6);
    e->weights_bytes = common_module(m, e->o).const_bytes;
    e->variants = NEW_ARRAY(&e->cx->arena, CpuVariant, e->o->n_others + 1);
    add_variant(e, m, t);
    for (uint32_t i = 0; i < e->o->n_others; i++) {
        const ObjectCpu *other = &e->o->others[i];
        if (!check_module(e->cx, other->m, e->o) || !check_same(e->cx, m, other->m))
            return false;
        add_variant(e, other->m, other->t);
    }
    variant_select(e, 0);
    return true;
}

void variant_select(Emit *e, uint32_t i) {
    const CpuVariant *v = &e->variants[i];
    e->m = v->m;
    e->t = v->t;
    e->features = v->features;
    e->kernels = v->kernels;
    e->weights_offset = v->weights_offset;
    e->suffix = v->suffix;
}

void variant_none(Emit *e) {
    variant_select(e, 0);
    e->suffix = "";
}

/* name(...): the body for this machine's CPU with the same arguments. */
static LLVMValueRef emit_dispatch(Emit *e, const char *name, const LLVMValueRef *bodies) {
    LLVMTypeRef type = LLVMGlobalGetValueType(bodies[0]);
    const uint32_t n = LLVMCountParamTypes(type);
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, n);
    LLVMValueRef *args = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n);
    LLVMGetParamTypes(type, types);
    Call c = call_begin(e, name, types, n);
    LLVMGetParams(c.fn, args);
    LLVMBasicBlockRef none = new_block(e, c.fn, "none");
    LLVMValueRef which =
        LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->cpu_pick), e->cpu_pick, NULL, 0, "cpu");
    LLVMValueRef choice = LLVMBuildSwitch(e->b, which, none, e->n_variants);
    for (uint32_t i = 0; i < e->n_variants; i++) {
        LLVMBasicBlockRef block = new_block(e, c.fn, "");
        LLVMAddCase(choice, LLVMConstInt(e->i8, i, false), block);
        LLVMPositionBuilderAtEnd(e->b, block);
        LLVMValueRef result = LLVMBuildCall2(e->b, type, bodies[i], args, n, "");
        LLVMSetTailCall(result, true);
        LLVMBuildRet(e->b, result);
    }
    LLVMPositionBuilderAtEnd(e->b, none);
    call_return(&c, CNNRT_E_CPU);
    return c.fn;
}

LLVMValueRef emit_public(Emit *e, const char *name, const char *global, EmitBody *body, const void *what) {
    LLVMValueRef *bodies = NEW_ARRAY(&e->cx->arena, LLVMValueRef, e->n_variants);
    for (uint32_t i = 0; i < e->n_variants; i++) {
        variant_select(e, i);
        bodies[i] = body(e, what);
    }
    variant_none(e);
    LLVMValueRef fn = e->n_variants > 1 ? emit_dispatch(e, name, bodies) : bodies[0];
    add_global_name(e, fn, LLVMGlobalGetValueType(fn), global);
    return fn;
}

/* cpu(): the name of the CPU whose code runs here, or NULL. */
void emit_cpu_name(Emit *e) {
    if (e->n_variants == 1)
        return;
    LLVMValueRef *names = NEW_ARRAY(&e->cx->arena, LLVMValueRef, e->n_variants + 1);
    for (uint32_t i = 0; i < e->n_variants; i++)
        names[i] = const_text(e, e->variants[i].t->cpu);
    names[e->n_variants] = LLVMConstNull(e->ptr);
    LLVMValueRef all = const_global(e, "cpus", LLVMConstArray2(e->ptr, names, e->n_variants + 1));
    LLVMValueRef fn = new_function(e, "cpu", e->ptr, NULL, 0, false);
    LLVMPositionBuilderAtEnd(e->b, new_block(e, fn, "entry"));
    LLVMValueRef which = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->cpu_pick), e->cpu_pick, NULL, 0, "");
    LLVMValueRef at = LLVMBuildZExt(e->b, which, e->i64, "");
    LLVMBuildRet(e->b, LLVMBuildLoad2(e->b, e->ptr, LLVMBuildGEP2(e->b, e->ptr, all, &at, 1, ""), ""));
    add_global_name(e, fn, LLVMGlobalGetValueType(fn), "cpu");
}
