/* Index expressions and addresses. An access is a chain of pointers, buffer + a*i + b*j + constant, its terms
 * in the order of the loops: every prefix is made once per scope, moves out to the loop where it stands
 * still, and the constant folds into the instruction. */
#include "backend/llvm.h"
#include <string.h>

Scope scope_open(Fn *f) {
    return (Scope){f->idx_log.len, f->prefixes.len};
}

void scope_close(Fn *f, Scope s) {
    while (f->idx_log.len > s.idx)
        f->idx[f->idx_log.data[--f->idx_log.len]] = NULL;
    f->prefixes.len = s.prefixes;
}

/* a / b or a % b rounding down; b is a positive constant. */
static LLVMValueRef floor_division(Fn *f, const IdxNode *node, LLVMValueRef a, LLVMValueRef b) {
    LLVMBuilderRef bld = f->e->b;
    int64_t min, max;
    bool mod = node->kind == IX_MOD;
    if (ix_range(f->k, node->a, f->lo, f->hi, f->e->m->batch, &min, &max) && min >= 0)
        return mod ? LLVMBuildURem(bld, a, b, "") : LLVMBuildUDiv(bld, a, b, "");
    LLVMValueRef rem = LLVMBuildSRem(bld, a, b, "");
    LLVMValueRef below = LLVMBuildICmp(bld, LLVMIntSLT, rem, const_i64(f->e, 0), "");
    if (mod)
        return LLVMBuildSelect(bld, below, LLVMBuildAdd(bld, rem, b, ""), rem, "");
    LLVMValueRef quot = LLVMBuildSDiv(bld, a, b, "");
    return LLVMBuildAdd(bld, quot, LLVMBuildSExt(bld, below, f->e->i64, ""), "");
}

static LLVMValueRef make_index(Fn *f, Idx x) {
    const IdxNode node = f->k->idx.data[x];
    LLVMBuilderRef b = f->e->b;
    if (node.kind == IX_CONST)
        return const_i64(f->e, node.value);
    if (node.kind == IX_VAR)
        return f->vars[node.value];
    if (node.kind == IX_N)
        return f->n;
    LLVMValueRef l = emit_index(f, node.a), r = emit_index(f, node.b);
    switch (node.kind) {
    case IX_ADD:
        return LLVMBuildNSWAdd(b, l, r, "");
    case IX_SUB:
        return LLVMBuildNSWSub(b, l, r, "");
    case IX_MUL:
        return LLVMBuildNSWMul(b, l, r, "");
    case IX_DIV:
    case IX_MOD:
        return floor_division(f, &node, l, r);
    case IX_MIN:
        return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, l, r, ""), l, r, "");
    default:
        return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, l, r, ""), l, r, "");
    }
}

LLVMValueRef emit_index(Fn *f, Idx x) {
    IdxKind kind = f->k->idx.data[x].kind;
    if (kind == IX_CONST || kind == IX_VAR || kind == IX_N)
        return make_index(f, x);
    if (!f->idx[x]) {
        f->idx[x] = make_index(f, x);
        vec_push(f->k->arena, &f->idx_log, x);
    }
    return f->idx[x];
}

/* ---- x as a sum of terms coef * atom, and a constant ---- */

enum { MAX_TERMS = 8 };
typedef struct Linear {
    uint32_t terms;
    Idx atom[MAX_TERMS];
    int64_t coef[MAX_TERMS];
    int64_t constant;
} Linear;

static bool add_term(Linear *l, Idx atom, int64_t coef) {
    for (uint32_t i = 0; i < l->terms; i++)
        if (l->atom[i] == atom)
            return !__builtin_add_overflow(l->coef[i], coef, &l->coef[i]);
    if (l->terms == MAX_TERMS)
        return false;
    l->atom[l->terms] = atom;
    l->coef[l->terms++] = coef;
    return true;
}

/* Add factor * x. False: too many terms or out of range. */
static bool add_linear(const Kernel *k, Linear *l, Idx x, int64_t factor) {
    const IdxNode *node = &k->idx.data[x];
    int64_t c;
    switch (node->kind) {
    case IX_CONST:
        return !__builtin_mul_overflow(node->value, factor, &c) &&
               !__builtin_add_overflow(l->constant, c, &l->constant);
    case IX_ADD:
        return add_linear(k, l, node->a, factor) && add_linear(k, l, node->b, factor);
    case IX_SUB:
        return factor != INT64_MIN && add_linear(k, l, node->a, factor) && add_linear(k, l, node->b, -factor);
    case IX_MUL:
        if (ix_is_const(k, node->b, &c))
            return !__builtin_mul_overflow(c, factor, &c) && add_linear(k, l, node->a, c);
        if (ix_is_const(k, node->a, &c))
            return !__builtin_mul_overflow(c, factor, &c) && add_linear(k, l, node->b, c);
        return add_term(l, x, factor);
    default:
        return add_term(l, x, factor);
    }
}

/* The innermost loop on which x depends, counted from 1; 0: none. */
static uint32_t loop_depth(const Fn *f, Idx x) {
    const IdxNode *node = &f->k->idx.data[x];
    if (node->kind == IX_VAR)
        return f->depth[node->value];
    if (node->kind == IX_CONST || node->kind == IX_N)
        return 0;
    uint32_t a = loop_depth(f, node->a), b = loop_depth(f, node->b);
    return a > b ? a : b;
}

static void sort_terms(const Fn *f, Linear *l) {
    for (uint32_t i = 1; i < l->terms; i++)
        for (uint32_t j = i; j > 0 && loop_depth(f, l->atom[j]) < loop_depth(f, l->atom[j - 1]); j--) {
            Idx atom = l->atom[j];
            int64_t coef = l->coef[j];
            l->atom[j] = l->atom[j - 1], l->coef[j] = l->coef[j - 1];
            l->atom[j - 1] = atom, l->coef[j - 1] = coef;
        }
}

static LLVMValueRef known_prefix(const Fn *f, uint32_t buf, const Linear *l, uint32_t terms) {
    for (uint32_t i = f->prefixes.len; i-- > 0;) {
        const Prefix *p = &f->prefixes.data[i];
        if (p->buf == buf && p->terms == terms && !memcmp(p->atom, l->atom, terms * sizeof(Idx)) &&
            !memcmp(p->coef, l->coef, terms * sizeof(int64_t)))
            return p->value;
    }
    return NULL;
}

/* Buffer plus the first `terms` terms. */
static LLVMValueRef prefix(Fn *f, uint32_t buf, const Linear *l, uint32_t terms) {
    if (!terms)
        return f->bufs[buf];
    LLVMValueRef known = known_prefix(f, buf, l, terms);
    if (known)
        return known;
    LLVMBuilderRef b = f->e->b;
    LLVMValueRef before = prefix(f, buf, l, terms - 1), offset = emit_index(f, l->atom[terms - 1]);
    if (l->coef[terms - 1] != 1)
        offset = LLVMBuildNSWMul(b, offset, const_i64(f->e, l->coef[terms - 1]), "");
    /* Not inbounds: with a negative constant to come, a prefix may point past the end. */
    LLVMTypeRef elem = llvm_dtype(f->e, f->k->bufs.data[buf].dtype);
    Prefix p = {.buf = buf, .terms = terms, .value = LLVMBuildGEP2(b, elem, before, &offset, 1, "")};
    memcpy(p.atom, l->atom, terms * sizeof(Idx));
    memcpy(p.coef, l->coef, terms * sizeof(int64_t));
    vec_push(f->k->arena, &f->prefixes, p);
    return p.value;
}

LLVMValueRef emit_address(Fn *f, uint32_t buf, Idx x) {
    Linear l = {0};
    if (!add_linear(f->k, &l, x, 1))
        l = (Linear){.terms = 1, .atom = {x}, .coef = {1}};
    sort_terms(f, &l);
    LLVMValueRef p = prefix(f, buf, &l, l.terms);
    if (!l.constant)
        return p;
    LLVMValueRef c = const_i64(f->e, l.constant);
    return LLVMBuildGEP2(f->e->b, llvm_dtype(f->e, f->k->bufs.data[buf].dtype), p, &c, 1, "");
}

/* ---- Alignment ---- */

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b, b = r;
    }
    return a;
}

enum { ANY_MULTIPLE = 4096 };

/* A power of two up to 4096 of which x is always a multiple. */
static int64_t known_multiple(const Fn *f, Idx x) {
    const IdxNode *node = &f->k->idx.data[x];
    int64_t product;
    switch (node->kind) {
    case IX_CONST:
        return gcd(ANY_MULTIPLE, node->value & (ANY_MULTIPLE - 1));
    case IX_VAR:
        return f->multiple[node->value];
    case IX_N:
        return 1;
    case IX_MUL:
        product = known_multiple(f, node->a) * known_multiple(f, node->b);
        return product > ANY_MULTIPLE ? ANY_MULTIPLE : product;
    case IX_DIV: {
        int64_t a = known_multiple(f, node->a), d = f->k->idx.data[node->b].value;
        return d > 0 && a % d == 0 ? a / d : 1;
    }
    default:
        return gcd(known_multiple(f, node->a), known_multiple(f, node->b));
    }
}

int64_t loop_multiple(const Fn *f, Idx lo, int64_t step) {
    return gcd(known_multiple(f, lo), gcd(ANY_MULTIPLE, step & (ANY_MULTIPLE - 1)));
}

uint32_t access_align(const Fn *f, uint32_t buf, Idx x, uint32_t bytes) {
    uint32_t elem = dtype_bytes(f->k->bufs.data[buf].dtype);
    int64_t align = gcd(f->align[buf], known_multiple(f, x) * elem);
    return align < bytes ? (uint32_t)align : bytes;
}
