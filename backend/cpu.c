/* Which variant's features, all that its kernels use, this CPU and operating system have: baseline code,
 * asked once and remembered in one byte. */
#include "backend/llvm.h"
#include <string.h>

enum { UNKNOWN, FIRST }; /* of the byte: the variant's number, counted from FIRST */

static LLVMValueRef assembly(const Emit *e, const char *text, const char *constraints, unsigned results,
                             LLVMValueRef *args, unsigned n) {
    LLVMTypeRef out[4] = {e->i32, e->i32, e->i32, e->i32}, in[2] = {e->i32, e->i32};
    LLVMTypeRef type = LLVMFunctionType(LLVMStructTypeInContext(e->c, out, results, false), in, n, false);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints), true,
                                         false, LLVMInlineAsmDialectATT, false);
    return LLVMBuildCall2(e->b, type, code, args, n, "");
}

/* One of eax, ebx, ecx, edx (0..3) after cpuid. */
static LLVMValueRef cpuid(const Emit *e, uint32_t leaf, unsigned reg) {
    LLVMValueRef args[] = {const_i32(e, leaf), const_i32(e, 0)};
    LLVMValueRef all =
        assembly(e, "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}", 4, args, 2);
    return LLVMBuildExtractValue(e->b, all, reg, "");
}

static LLVMValueRef has_bits(const Emit *e, LLVMValueRef word, uint32_t mask) {
    LLVMValueRef m = const_i32(e, mask);
    return LLVMBuildICmp(e->b, LLVMIntEQ, LLVMBuildAnd(e->b, word, m, ""), m, "");
}

/* Are all bits of `mask` set in a word of cpuid, where the leaf exists at all? */
static LLVMValueRef word_ok(const Emit *e, CpuidWord word, uint32_t mask) {
    static const struct {
        uint32_t max_leaf, leaf;
        unsigned reg;
    } where[] = {
        [CPUID_1_ECX] = {0, 1, 2}, [CPUID_7_EBX] = {0, 7, 1}, [CPUID_EXT_ECX] = {0x80000000, 0x80000001, 2}};
    LLVMValueRef max = cpuid(e, where[word].max_leaf, 0);
    LLVMValueRef exists = LLVMBuildICmp(e->b, LLVMIntUGE, max, const_i32(e, where[word].leaf), "");
    return LLVMBuildAnd(e->b, exists, has_bits(e, cpuid(e, where[word].leaf, where[word].reg), mask), "");
}

static LLVMValueRef state_byte(const Emit *e) {
    LLVMValueRef g = LLVMAddGlobal(e->mod, e->i8, "cpu_state");
    LLVMSetLinkage(g, LLVMInternalLinkage);
    LLVMSetInitializer(g, LLVMConstInt(e->i8, UNKNOWN, false));
    return g;
}

/* xgetbv may only be executed once cpuid says that the operating system uses it. */
static LLVMValueRef os_ok(const Emit *e, LLVMValueRef fn, LLVMValueRef cpu, uint32_t xcr0) {
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), ask = new_block(e, fn, "os"),
                      after = new_block(e, fn, "");
    LLVMBuildCondBr(e->b, cpu, ask, after);
    LLVMPositionBuilderAtEnd(e->b, ask);
    LLVMValueRef zero = const_i32(e, 0);
    LLVMValueRef saved =
        LLVMBuildExtractValue(e->b, assembly(e, "xgetbv", "={ax},={dx},{cx}", 2, &zero, 1), 0, "");
    LLVMValueRef ok = has_bits(e, saved, xcr0);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
    LLVMValueRef phi = LLVMBuildPhi(e->b, e->i1, "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){LLVMConstInt(e->i1, 0, false), ok},
                    (LLVMBasicBlockRef[]){from, ask}, 2);
    return phi;
}

static LLVMValueRef probe(const Emit *e, LLVMValueRef fn, FeatureSet features) {
    uint32_t mask[CPUID_WORDS] = {0}, xcr0 = 0;
    for (uint32_t i = 0; i < feature_count; i++)
        if (features & 1u << i) {
            mask[feature_table[i].word] |= 1u << feature_table[i].bit;
            xcr0 |= feature_table[i].xcr0;
        }
    if (xcr0)
        mask[CPUID_1_ECX] |= 1u << 27; /* OSXSAVE */
    LLVMValueRef ok = LLVMConstInt(e->i1, 1, false);
    for (int w = 0; w < CPUID_WORDS; w++)
        if (mask[w])
            ok = LLVMBuildAnd(e->b, ok, word_ok(e, (CpuidWord)w, mask[w]), "");
    return xcr0 ? os_ok(e, fn, ok, xcr0) : ok;
}

/* The number of the first variant that this machine has, or how many there are. */
static LLVMValueRef pick(const Emit *e, LLVMValueRef fn) {
    LLVMValueRef found = LLVMConstInt(e->i8, e->n_variants, false);
    for (uint32_t i = e->n_variants; i-- > 0;) {
        LLVMValueRef ok = probe(e, fn, e->variants[i].features);
        found = LLVMBuildSelect(e->b, ok, LLVMConstInt(e->i8, i, false), found, "");
    }
    return found;
}

void emit_cpu_pick(Emit *e) {
    if (!e->x86 || !e->features)
        return;
    LLVMValueRef byte = state_byte(e), fn = new_function(e, "cpu_pick", e->i8, NULL, 0, false);
    LLVMValueRef first_number = LLVMConstInt(e->i8, FIRST, false);
    LLVMBasicBlockRef entry = new_block(e, fn, "entry"), first = new_block(e, fn, "first");
    LLVMBasicBlockRef known = new_block(e, fn, "known");
    LLVMPositionBuilderAtEnd(e->b, entry);
    LLVMValueRef state = LLVMBuildLoad2(e->b, e->i8, byte, "");
    LLVMSetOrdering(state, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(state, 1);
    LLVMBuildCondBr(e->b, LLVMBuildIsNull(e->b, state, ""), first, known);
    LLVMPositionBuilderAtEnd(e->b, known);
    LLVMBuildRet(e->b, LLVMBuildSub(e->b, state, first_number, ""));
    LLVMPositionBuilderAtEnd(e->b, first);
    LLVMValueRef found = pick(e, fn);
    LLVMValueRef keep = LLVMBuildStore(e->b, LLVMBuildAdd(e->b, found, first_number, ""), byte);
    LLVMSetOrdering(keep, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(keep, 1);
    LLVMBuildRet(e->b, found);
    e->cpu_pick = fn;
}
