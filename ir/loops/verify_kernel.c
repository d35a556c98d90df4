/* The verifier's walk over a kernel: scopes, loops, what may stand where. docs/loop-ir.md states the rules.
 */
#include "ir/loops/verify.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool verify_fault(Verify *v, const Stmt *s, const char *fmt, ...) {
    StrBuf why = sb_new(&v->cx->arena), where = sb_new(&v->cx->arena);
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&why, fmt, ap);
    va_end(ap);
    v->ok = false;
    if (s) {
        sb_puts(&where, " `");
        stmt_print(&where, v->k, s);
        sb_puts(&where, "`:");
    }
    return diag_error(&v->cx->diag, DIAG_IR_INVALID, NULL, "kernel @%s:%s %s", v->k->name, sb_str(&where),
                      sb_str(&why));
}

/* ---- Index expressions ---- */

static bool index_open(const Verify *v, Idx x) {
    const IdxNode *n = &v->k->idx.data[x];
    if (n->kind == IX_VAR)
        return v->var_open[n->value];
    return n->kind <= IX_N || (index_open(v, n->a) && index_open(v, n->b));
}

static bool check_index(Verify *v, const Stmt *s, Idx x) {
    return index_open(v, x) || verify_fault(v, s, "a loop variable is used outside its loop");
}

/* Nodes refer to earlier nodes only, divide by positive constants, and name known variables. */
static bool check_nodes(Verify *v) {
    const Kernel *k = v->k;
    for (uint32_t i = 0; i < k->idx.len; i++) {
        const IdxNode *n = &k->idx.data[i];
        int64_t c = 1;
        if ((unsigned)n->kind > IX_MAX || (n->kind > IX_N && (n->a >= i || n->b >= i)))
            return verify_fault(v, NULL, "index expression %u is malformed", i);
        if (n->kind == IX_VAR && (n->value < 0 || n->value >= (int64_t)k->vars.len))
            return verify_fault(v, NULL, "an index expression names an unknown variable");
        if ((n->kind == IX_DIV || n->kind == IX_MOD) && (!ix_is_const(k, n->b, &c) || c <= 0))
            return verify_fault(v, NULL, "index expressions divide by positive constants only");
    }
    return true;
}

/* ---- Scopes ---- */

static void open_value(Verify *v, const Stmt *s) {
    Scope *x = &v->val[s->result];
    if (x->defined) {
        verify_fault(v, s, "the value is defined twice");
        return;
    }
    *x = (Scope){true, true, v->in_parallel, v->vector != NULL};
    vec_push(&v->cx->arena, &v->vals, s->result);
}

static bool check_args(Verify *v, const Stmt *s) {
    for (int i = 0; i < lop_info[s->op].args; i++) {
        const Scope *x = &v->val[s->arg[i]];
        if (!x->visible)
            return verify_fault(v, s, "argument %d is not defined here", i);
        if (x->in_parallel != v->in_parallel)
            return verify_fault(v, s, "a value from outside is used inside a parallel loop");
    }
    return true;
}

static bool check_buf(Verify *v, const Stmt *s) {
    const Scope *x = &v->buf[s->buf];
    if (s->buf < v->k->n_params)
        return true;
    if (!x->visible)
        return verify_fault(v, s, "%%%s is not allocated here", v->k->bufs.data[s->buf].name);
    if (x->in_parallel != v->in_parallel)
        return verify_fault(v, s, "a buffer from outside is used inside a parallel loop");
    return true;
}

static bool check_alloc(Verify *v, const Stmt *s) {
    const LBuf *b = &v->k->bufs.data[s->buf];
    Scope *x = &v->buf[s->buf];
    if (s->buf < v->k->n_params)
        return verify_fault(v, s, "a parameter cannot be allocated");
    if (x->visible && x->in_parallel != v->in_parallel)
        return verify_fault(v, s, "the buffer is allocated outside the parallel loop too");
    if (b->kind == LB_SCRATCH && v->has_parallel && !v->in_parallel)
        return verify_fault(v, s, "scratch belongs inside the parallel loop");
    if (!x->visible) /* copies of one statement follow each other: each begins a new life */
        vec_push(&v->cx->arena, &v->bufs, s->buf);
    *x = (Scope){true, true, v->in_parallel, v->vector != NULL};
    return true;
}

/* ---- Vector loops: one scalar iteration becomes one lane ---- */

static bool lanes_or_fixed(Verify *v, const Stmt *s, Idx x, bool must_move) {
    int64_t coef;
    if (!ix_linear(v->k, x, v->vector->var, &coef))
        return verify_fault(v, s, "inside a vector loop an index is linear in the loop's variable");
    if (must_move && coef < 1)
        return verify_fault(v, s, "inside a vector loop each iteration stores its own element");
    return coef >= 0 || verify_fault(v, s, "inside a vector loop an index does not run backwards");
}

static bool check_vector_access(Verify *v, const Stmt *s) {
    const LBuf *b = &v->k->bufs.data[s->buf];
    bool inside = s->buf >= v->k->n_params && v->buf[s->buf].in_vector;
    if (b->kind != LB_REG)
        return lanes_or_fixed(v, s, s->index, s->op == LOP_STORE);
    if (ix_uses(v->k, s->index, v->vector->var))
        return verify_fault(v, s, "the index of a register must not depend on the vector loop's variable");
    return s->op == LOP_LOAD || inside ||
           verify_fault(v, s, "registers from outside a vector loop are not written inside it");
}

static bool check_vector(Verify *v, const Stmt *s) {
    switch (s->op) {
    case LOP_CLOCK:
    case LOP_SPLAT:
    case LOP_EXTRACT:
    case LOP_SHUFFLE:
    case LOP_SUM:
    case LOP_HMAX:
        return verify_fault(v, s, "not inside a vector loop");
    case LOP_ALLOC:
        if (v->k->bufs.data[s->buf].kind != LB_REG || v->k->bufs.data[s->buf].lanes != 1)
            return verify_fault(v, s, "inside a vector loop only scalar registers are allocated");
        return true;
    case LOP_FOR:
    case LOP_IF:
        if (s->op == LOP_FOR && (s->kind == FOR_VECTOR || s->kind == FOR_PARALLEL))
            return verify_fault(v, s, "a vector loop holds serial and unrolled loops only");
        if (ix_uses(v->k, s->lo, v->vector->var) || ix_uses(v->k, s->hi, v->vector->var))
            return verify_fault(v, s, "control inside a vector loop must not depend on its variable");
        return true;
    case LOP_PREFETCH:
        return true;
    default:
        break;
    }
    if (s->type.lanes != 1)
        return verify_fault(v, s, "the body of a vector loop is scalar");
    if (s->op == LOP_INDEX)
        return lanes_or_fixed(v, s, s->index, false);
    return (s->op != LOP_LOAD && s->op != LOP_STORE) || check_vector_access(v, s);
}

/* ---- Loops ---- */

/* Bounds that are constant once the unrolled loops around are copied out. */
static bool unroll_bound(const Verify *v, Idx x) {
    const IdxNode *n = &v->k->idx.data[x];
    if (n->kind == IX_VAR)
        return v->var_loop[n->value] && v->var_loop[n->value]->kind == FOR_UNROLL;
    return n->kind == IX_CONST || (n->kind > IX_N && unroll_bound(v, n->a) && unroll_bound(v, n->b));
}

static bool check_for(Verify *v, const Stmt *s, int depth) {
    if (s->step < 1)
        return verify_fault(v, s, "the step must be positive");
    if (v->var_open[s->var])
        return verify_fault(v, s, "the variable belongs to a loop around this one");
    if (s->kind == FOR_PARALLEL && depth > 0)
        return verify_fault(v, s, "a parallel loop stands at the top of its kernel");
    if (s->kind == FOR_UNROLL && (!unroll_bound(v, s->lo) || !unroll_bound(v, s->hi)))
        return verify_fault(v, s, "the bounds of an unrolled loop must be constant");
    if (s->kind == FOR_VECTOR && (s->step != 1 || s->lanes < 2 || s->lanes > MAX_LANES))
        return verify_fault(v, s, "a vector loop has step 1 and 2 to %d lanes", MAX_LANES);
    if (v->expanded && (s->kind == FOR_UNROLL || s->kind == FOR_VECTOR))
        return verify_fault(v, s, "no %s loop is left after expansion", for_kind_names[s->kind]);
    return true;
}

static void walk(Verify *v, const Block *b, int depth);

static void walk_for(Verify *v, const Stmt *s, int depth) {
    const Stmt *vector = v->vector;
    bool in_parallel = v->in_parallel;
    if (!check_for(v, s, depth))
        return;
    v->var_open[s->var] = true;
    v->var_loop[s->var] = s;
    if (s->kind == FOR_PARALLEL)
        v->in_parallel = true;
    if (s->kind == FOR_VECTOR)
        v->vector = s;
    walk(v, &s->body, depth + 1);
    v->var_open[s->var] = false;
    v->in_parallel = in_parallel;
    v->vector = vector;
}

static void walk_stmt(Verify *v, const Stmt *s, int depth) {
    if (!verify_ids(v, s) || !check_args(v, s))
        return;
    bool access = s->op == LOP_LOAD || s->op == LOP_STORE || s->op == LOP_PREFETCH;
    if ((access || s->op == LOP_INDEX) && !check_index(v, s, s->index))
        return;
    if ((s->op == LOP_FOR || s->op == LOP_IF) && (!check_index(v, s, s->lo) || !check_index(v, s, s->hi)))
        return;
    if (access && !check_buf(v, s))
        return;
    if (!verify_types(v, s) || (v->vector && !check_vector(v, s)))
        return;
    if (s->op < LOP_VALUE_COUNT) {
        open_value(v, s);
    } else if (s->op == LOP_ALLOC) {
        check_alloc(v, s);
    } else if (s->op == LOP_FOR) {
        walk_for(v, s, depth);
    } else if (s->op == LOP_IF) {
        walk(v, &s->body, depth + 1);
        walk(v, &s->orelse, depth + 1);
    }
}

static void walk(Verify *v, const Block *b, int depth) {
    uint32_t vals = v->vals.len, bufs = v->bufs.len;
    for (uint32_t i = 0; i < b->stmts.len && !diag_full(&v->cx->diag); i++)
        walk_stmt(v, b->stmts.data[i], depth);
    for (; v->vals.len > vals; v->vals.len--)
        v->val[v->vals.data[v->vals.len - 1]].visible = false;
    for (; v->bufs.len > bufs; v->bufs.len--)
        v->buf[v->bufs.data[v->bufs.len - 1]].visible = false;
}

/* ---- Buffers and names ---- */

static bool check_lbuf(Verify *v, uint32_t i) {
    const Kernel *k = v->k;
    const LBuf *b = &k->bufs.data[i];
    int64_t bytes;
    bool param = i < k->n_params;
    if ((unsigned)b->kind > LB_SCRATCH || (unsigned)b->dtype >= DT_COUNT || (b->kind <= LB_INOUT) != param)
        return verify_fault(v, NULL, "%%%s: wrong kind of buffer", b->name);
    if (b->lanes < 1 || b->lanes > MAX_LANES || (b->lanes > 1 && b->kind != LB_REG))
        return verify_fault(v, NULL, "%%%s: only registers have lanes", b->name);
    if (b->extent.size < 1 || (b->extent.by_n && !param) ||
        __builtin_mul_overflow(b->extent.size, (int64_t)dtype_bytes(b->dtype) * b->lanes, &bytes) ||
        (b->extent.by_n && __builtin_mul_overflow(bytes, v->m->batch, &bytes)))
        return verify_fault(v, NULL, "%%%s: bad extent", b->name);
    if (b->align < dtype_bytes(b->dtype) || b->align > MAX_ALIGN || (b->align & (b->align - 1)))
        return verify_fault(v, NULL, "%%%s: bad alignment %u", b->name, b->align);
    if (b->inplace >= 0 &&
        (b->kind != LB_OUT || b->inplace >= (int64_t)k->n_params || k->bufs.data[b->inplace].kind != LB_IN))
        return verify_fault(v, NULL, "%%%s: an out buffer is in place of an in buffer", b->name);
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool check_names(Verify *v) {
    const Kernel *k = v->k;
    uint32_t n = 0;
    const char **names = NEW_ARRAY(&v->cx->arena, const char *, k->bufs.len + k->vars.len + 1);
    for (uint32_t i = 0; i < k->bufs.len; i++)
        names[n++] = k->bufs.data[i].name;
    for (uint32_t i = 0; i < k->vars.len; i++)
        names[n++] = k->vars.data[i];
    for (uint32_t i = 0; i < n; i++)
        if (!names[i])
            return verify_fault(v, NULL, "a buffer or variable has no name");
    qsort(names, n, sizeof *names, by_text);
    for (uint32_t i = 1; i < n; i++)
        if (!strcmp(names[i - 1], names[i]))
            return verify_fault(v, NULL, "two buffers or variables are called %%%s", names[i]);
    return true;
}

void verify_kernel(Verify *v) {
    const Kernel *k = v->k;
    Arena *a = &v->cx->arena;
    if (k->n_params > k->bufs.len) {
        verify_fault(v, NULL, "parameters are missing");
        return;
    }
    if (!check_nodes(v) || !check_names(v))
        return;
    for (uint32_t i = 0; i < k->bufs.len; i++)
        check_lbuf(v, i);
    v->val = NEW_ARRAY(a, Scope, k->vals.len + 1);
    v->buf = NEW_ARRAY(a, Scope, k->bufs.len + 1);
    v->var_open = NEW_ARRAY(a, bool, k->vars.len + 1);
    v->var_loop = NEW_ARRAY(a, const Stmt *, k->vars.len + 1);
    for (uint32_t i = 0; i < k->body.stmts.len; i++)
        v->has_parallel |=
            k->body.stmts.data[i]->op == LOP_FOR && k->body.stmts.data[i]->kind == FOR_PARALLEL;
    if (v->ok)
        walk(v, &k->body, 0);
}
