/* From a planned loop module to an object, assembly or LLVM text: build the LLVM module, run a short pipeline
 * over it, generate code. */
#include "backend/llvm.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <string.h>

/* Registers out of memory, what stands still out of loops, addresses made once. No vectoriser and no
 * unroller: the loop IR decided that, and more passes gave the same speed at four times the compile time. */
static const char pipeline[] = "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,"
                               "loop-mssa(licm),early-cse,instcombine<no-verify-fixpoint>,simplifycfg,dce)";

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *arg) {
    Context *cx = arg;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "LLVM: %s", text);
    LLVMDisposeMessage(text);
}

static bool report(Context *cx, const char *what, char *message) {
    diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "%s: %s", what, message ? message : "unknown reason");
    if (message)
        LLVMDisposeMessage(message);
    return false;
}

static void emit_init(Emit *e) {
    LLVMContextRef c = e->c = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(c, on_diagnostic, e->cx);
    LLVMContextSetDiscardValueNames(c, e->kind == EMIT_OBJECT);
    e->mod = LLVMModuleCreateWithNameInContext(e->o->name, c);
    e->b = LLVMCreateBuilderInContext(c);
    e->i1 = LLVMInt1TypeInContext(c);
    e->i8 = LLVMInt8TypeInContext(c);
    e->i16 = LLVMInt16TypeInContext(c);
    e->i32 = LLVMInt32TypeInContext(c);
    e->i64 = LLVMInt64TypeInContext(c);
    e->f32 = LLVMFloatTypeInContext(c);
    e->f64 = LLVMDoubleTypeInContext(c);
    e->ptr = LLVMPointerTypeInContext(c, 0);
    e->nothing = LLVMVoidTypeInContext(c);
}

static LLVMTargetMachineRef make_machine(Emit *e) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(e->t->triple, &target, &message)) {
        diag_error(&e->cx->diag, DIAG_TARGET, NULL, "LLVM has no target \"%s\": %s", e->t->triple, message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    LLVMTargetMachineRef tm =
        LLVMCreateTargetMachine(target, e->t->triple, e->x86 ? "x86-64" : "generic", "",
                                LLVMCodeGenLevelAggressive, LLVMRelocPIC, LLVMCodeModelSmall);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(e->mod, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(e->mod, e->t->triple);
    LLVMMetadataRef level = LLVMValueAsMetadata(const_i32(e, 2));
    LLVMAddModuleFlag(e->mod, LLVMModuleFlagBehaviorError, "PIC Level", 9, level);
    return tm;
}

static bool run_passes(Emit *e, LLVMTargetMachineRef tm) {
    char *message = NULL;
    if (LLVMVerifyModule(e->mod, LLVMReturnStatusAction, &message))
        return report(e->cx, "the back end made a wrong LLVM module", message);
    LLVMDisposeMessage(message);
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(e->mod, pipeline, tm, o);
    LLVMDisposePassBuilderOptions(o);
    if (!error)
        return true;
    char *text = LLVMGetErrorMessage(error);
    diag_error(&e->cx->diag, DIAG_IR_INVALID, NULL, "LLVM's passes: %s", text);
    LLVMDisposeErrorMessage(text);
    return false;
}

static bool generate(Emit *e, LLVMTargetMachineRef tm, Bytes *out) {
    if (e->kind == EMIT_LLVM) {
        char *text = LLVMPrintModuleToString(e->mod);
        *out = (Bytes){arena_copy(&e->cx->arena, text, strlen(text)), strlen(text)};
        LLVMDisposeMessage(text);
        return true;
    }
    LLVMMemoryBufferRef object;
    char *message = NULL;
    LLVMCodeGenFileType type = e->kind == EMIT_ASM ? LLVMAssemblyFile : LLVMObjectFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, e->mod, type, &message, &object))
        return report(e->cx, "LLVM cannot generate code", message);
    const char *made = LLVMGetBufferStart(object);
    const size_t size = LLVMGetBufferSize(object);
    *out = e->kind == EMIT_ASM ? (Bytes){arena_copy(&e->cx->arena, made, size), size}
                               : object_with_room(e->cx, made, size);
    if (e->kind == EMIT_OBJECT && e->initial)
        initial_fill(e, object_room(*out, INITIAL));
    LLVMDisposeMemoryBuffer(object);
    return true;
}

/* Code of x86-64 reaches large sections anywhere; elsewhere it reaches 4 GB around it. */
static bool check_reach(const Emit *e) {
    const uint64_t raw = e->o->weights == WEIGHTS_RAW ? backend_raw_offset(e->m, e->m->bufs.len) : 0;
    const CpuVariant *last = &e->variants[e->n_variants - 1];
    const uint64_t packed = last->weights_offset + (uint64_t)last->m->const_bytes;
    const uint64_t weights = e->o->weights == WEIGHTS_PACKED ? packed : raw;
    const uint64_t bytes = weights + (is_training(e->m) ? initial_bytes(e->m) : 0);
    if (bytes <= 2 * LARGE_BYTES || !strncmp(e->t->triple, "x86_64", 6))
        return true;
    diag_error(&e->cx->diag, DIAG_MODEL_SIZE, NULL,
               "%.1f GB of weights in an object are more than code for %s reaches", (double)bytes / 1e9,
               e->t->triple);
    return diag_hint(&e->cx->diag, "--external-weights keeps them out of it");
}

uint64_t round64(int64_t bytes) {
    return bytes > 0 ? ((uint64_t)bytes + 63) & ~UINT64_C(63) : 0;
}

static bool emit_code(Emit *e) {
    for (uint32_t i = 0; i < e->n_variants; i++) {
        variant_select(e, i);
        if (!emit_kernels(e))
            return false;
        e->variants[i].kernels = e->kernels;
    }
    variant_none(e);
    return emit_entries(e);
}

bool backend_emit(Context *cx, const LoopModule *m, const Target *t, EmitKind kind, const ObjectOptions *o,
                  Bytes *out) {
    llvm_setup();
    Emit e = {.cx = cx, .m = m, .t = t, .o = o, .kind = kind};
    uint32_t errors = cx->diag.errors;
    if (!variants_init(&e) || !check_reach(&e))
        return false;
    emit_init(&e);
    LLVMTargetMachineRef tm = make_machine(&e);
    bool ok = tm && emit_code(&e) && run_passes(&e, tm) && generate(&e, tm, out);
    LLVMDisposeBuilder(e.b);
    LLVMDisposeModule(e.mod);
    if (tm)
        LLVMDisposeTargetMachine(tm);
    LLVMContextDispose(e.c);
    return ok && cx->diag.errors == errors;
}
