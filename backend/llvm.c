/* Small things over the LLVM C API that every file of the back end needs. */
#include "backend/llvm.h"
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <string.h>

static void setup_targets(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
}

void llvm_setup(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup_targets);
}

static void scheduler_off(void) {
    const char *args[] = {"cnnc", "-enable-misched=false"};
    LLVMParseCommandLineOptions(2, args, NULL);
}

static void scheduler_on(void) {}

/* With 32 registers the machine scheduler moves the loads of a large tile far up and spills accumulators (570
 * spills in ResNet-18 against 68 without it); small tiles gain some 4% from it. LLVM takes the option for the
 * whole process, so its first target decides. */
void llvm_schedule_for(const Target *t) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, t->vector_regs > 16 ? scheduler_off : scheduler_on);
}

LLVMValueRef const_i64(const Emit *e, int64_t v) {
    return LLVMConstInt(e->i64, (unsigned long long)v, true);
}
LLVMValueRef const_i32(const Emit *e, int64_t v) {
    return LLVMConstInt(e->i32, (unsigned long long)v, true);
}

LLVMTypeRef llvm_dtype(const Emit *e, DType t) {
    switch (t) {
    case DT_F32:
        return e->f32;
    case DT_F64:
        return e->f64;
    case DT_BF16:
    case DT_F16:
        return e->i16;
    case DT_I8:
    case DT_U8:
    case DT_BOOL:
        return e->i8;
    case DT_I64:
        return e->i64;
    default:
        return e->i32;
    }
}

LLVMTypeRef llvm_type(const Emit *e, LType t) {
    LLVMTypeRef elem = t.dtype == DT_BOOL ? e->i1 : llvm_dtype(e, t.dtype);
    return t.lanes > 1 ? LLVMVectorType(elem, t.lanes) : elem;
}

LLVMValueRef call_intrinsic(const Emit *e, const char *name, LLVMTypeRef overload, LLVMValueRef *args,
                            unsigned count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->mod, id, &overload, overload ? 1 : 0);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->c, id, &overload, overload ? 1 : 0);
    return LLVMBuildCall2(e->b, type, fn, args, count, "");
}

void add_attr(const Emit *e, LLVMValueRef fn, unsigned index, const char *name, uint64_t value) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, index, LLVMCreateEnumAttribute(e->c, kind, value));
}

void add_text_attr(const Emit *e, LLVMValueRef fn, const char *name, const char *value) {
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(e->c, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

LLVMValueRef new_function(const Emit *e, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                          unsigned n, bool global) {
    LLVMValueRef fn = LLVMAddFunction(e->mod, name, LLVMFunctionType(result, params, n, false));
    LLVMSetLinkage(fn, global ? LLVMExternalLinkage : LLVMInternalLinkage);
    add_attr(e, fn, LLVMAttributeFunctionIndex, "nounwind", 0);
    if (e->x86)
        add_text_attr(e, fn, "target-cpu", "x86-64");
    return fn;
}

LLVMBasicBlockRef new_block(const Emit *e, LLVMValueRef fn, const char *name) {
    return LLVMAppendBasicBlockInContext(e->c, fn, name);
}
