/* Running an object in this process through LLVM's ORC. */
#include "backend/llvm.h"
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

struct Jit {
    Context *cx;
    LLVMOrcLLJITRef jit;
};

static bool failed(Context *cx, LLVMErrorRef error, const char *what) {
    if (!error)
        return false;
    char *text = LLVMGetErrorMessage(error);
    diag_error(&cx->diag, DIAG_JIT, NULL, "%s: %s", what, text);
    LLVMDisposeErrorMessage(text);
    return true;
}

/* ORC prints what it cannot resolve; jit_symbol reports it already. */
static void quiet(void *arg, LLVMErrorRef error) {
    (void)arg;
    LLVMConsumeError(error);
}

static bool load(Jit *j, Bytes object) {
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->jit);
    LLVMOrcDefinitionGeneratorRef process;
    LLVMErrorRef error = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
        &process, LLVMOrcLLJITGetGlobalPrefix(j->jit), NULL, NULL);
    if (failed(j->cx, error, "the symbols of this process cannot be searched"))
        return false;
    LLVMOrcJITDylibAddGenerator(lib, process);
    /* The buffer is not copied: it lives in the context's arena, which outlives the JIT. */
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRange(object.data, object.size, "object", false);
    return !failed(j->cx, LLVMOrcLLJITAddObjectFile(j->jit, lib, buffer),
                   "this is not an object of this machine");
}

Jit *jit_open(Context *cx, Bytes object) {
    llvm_setup();
    Jit *j = NEW(&cx->arena, Jit);
    j->cx = cx;
    if (failed(cx, LLVMOrcCreateLLJIT(&j->jit, NULL), "code cannot be run in this process"))
        return NULL;
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(j->jit), quiet, NULL);
    if (load(j, object))
        return j;
    jit_close(j);
    return NULL;
}

void *jit_symbol(Jit *j, const char *name) {
    LLVMOrcExecutorAddress at = 0;
    if (failed(j->cx, LLVMOrcLLJITLookup(j->jit, &at, name), "symbol not found"))
        return NULL;
    return (void *)(uintptr_t)at;
}

void jit_close(Jit *j) {
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(j->jit);
    if (error)
        LLVMConsumeError(error);
}
