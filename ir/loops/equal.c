/* Structural hash and equality of kernels: layers of equal shape share code. Values, variables and buffers
 * are compared by where they are defined, never by name or number. */
#include "ir/loops/text.h"
#include <math.h>
#include <string.h>

/* ---- Hash ---- */

typedef struct Hasher {
    const Kernel *k;
    uint64_t h;
    uint32_t *val, *var; /* order of definition */
    uint32_t next_val, next_var;
} Hasher;

static void mix(Hasher *s, uint64_t v) {
    s->h = (s->h ^ v) * 0x9e3779b97f4a7c15u;
    s->h ^= s->h >> 29;
}

static void mix_double(Hasher *s, double v) {
    uint64_t bits = 1; /* one NaN is as good as another */
    if (!isnan(v))
        memcpy(&bits, &v, sizeof bits);
    mix(s, bits);
}

static void mix_type(Hasher *s, LType t) {
    mix(s, (uint64_t)t.dtype << 8 | t.lanes);
}

static void mix_index(Hasher *s, Idx x) {
    const IdxNode *n = &s->k->idx.data[x];
    mix(s, n->kind);
    if (n->kind == IX_VAR)
        mix(s, s->var[n->value]);
    else if (n->kind <= IX_N)
        mix(s, (uint64_t)n->value);
    if (n->kind > IX_N) {
        mix_index(s, n->a);
        mix_index(s, n->b);
    }
}

static void mix_buf(Hasher *s, uint32_t buf) {
    const LBuf *b = &s->k->bufs.data[buf];
    mix(s, b->kind);
    mix_type(s, (LType){b->dtype, b->lanes});
    mix(s, (uint64_t)b->extent.size * 2 + b->extent.by_n);
    mix(s, b->align);
}

static void mix_block(Hasher *s, const Block *b);

static void mix_stmt(Hasher *s, const Stmt *t) {
    mix(s, t->op);
    mix_type(s, t->type);
    for (int i = 0; i < lop_info[t->op].args; i++)
        mix(s, t->arg[i] < s->k->vals.len ? s->val[t->arg[i]] : NO_LVAL);
    if (t->result < s->k->vals.len)
        s->val[t->result] = s->next_val++;
    switch (t->op) {
    case LOP_CONST:
        mix(s, (uint64_t)t->imm_int);
        mix_double(s, t->imm);
        break;
    case LOP_INDEX:
        mix_index(s, t->index);
        break;
    case LOP_LOAD:
    case LOP_STORE:
    case LOP_PREFETCH:
        mix_index(s, t->index);
        mix(s, t->buf < s->k->n_params ? t->buf : NO_LVAL);
        break;
    case LOP_ALLOC:
        mix_buf(s, t->buf);
        break;
    case LOP_FOR:
    case LOP_IF:
        mix_index(s, t->lo);
        mix_index(s, t->hi);
        mix(s, t->op == LOP_FOR ? (uint64_t)t->step * 8 + t->kind : (uint64_t)t->cmp);
        if (t->op == LOP_FOR)
            s->var[t->var] = s->next_var++;
        mix_block(s, &t->body);
        mix_block(s, &t->orelse);
        break;
    default:
        break;
    }
}

static void mix_block(Hasher *s, const Block *b) {
    mix(s, b->stmts.len);
    for (uint32_t i = 0; i < b->stmts.len; i++)
        mix_stmt(s, b->stmts.data[i]);
}

uint64_t kernel_hash(const Kernel *k) {
    Hasher s = {.k = k,
                .val = NEW_ARRAY(k->arena, uint32_t, k->vals.len),
                .var = NEW_ARRAY(k->arena, uint32_t, k->vars.len)};
    mix(&s, k->n_params);
    for (uint32_t i = 0; i < k->n_params; i++)
        mix_buf(&s, i);
    mix_block(&s, &k->body);
    return s.h;
}

/* ---- Equality ---- */

typedef struct Matcher {
    const Kernel *a, *b;
    uint32_t *val, *var, *buf; /* of `a`, to those of `b` */
} Matcher;

static bool same_type(LType x, LType y) {
    return x.dtype == y.dtype && x.lanes == y.lanes;
}

static bool same_index(const Matcher *m, Idx x, Idx y) {
    const IdxNode *p = &m->a->idx.data[x], *q = &m->b->idx.data[y];
    if (p->kind != q->kind)
        return false;
    if (p->kind == IX_VAR)
        return m->var[p->value] == (uint32_t)q->value;
    if (p->kind <= IX_N)
        return p->value == q->value;
    return same_index(m, p->a, q->a) && same_index(m, p->b, q->b);
}

static bool same_buf(const LBuf *x, const LBuf *y) {
    return x->kind == y->kind && x->dtype == y->dtype && x->lanes == y->lanes &&
           x->extent.size == y->extent.size && x->extent.by_n == y->extent.by_n && x->align == y->align &&
           x->inplace == y->inplace && x->noalias == y->noalias && x->offset == y->offset;
}

static bool same_access(const Matcher *m, const Stmt *x, const Stmt *y) {
    return m->buf[x->buf] == y->buf && same_index(m, x->index, y->index) && x->stride == y->stride &&
           x->nontemporal == y->nontemporal && (x->op != LOP_PREFETCH || x->imm == y->imm);
}

static bool same_args(const Matcher *m, const Stmt *x, const Stmt *y) {
    for (int i = 0; i < lop_info[x->op].args; i++)
        if (x->arg[i] >= m->a->vals.len || m->val[x->arg[i]] != y->arg[i])
            return false;
    return true;
}

static bool same_block(Matcher *m, const Block *x, const Block *y);

static bool same_control(Matcher *m, const Stmt *x, const Stmt *y) {
    if (!same_index(m, x->lo, y->lo) || !same_index(m, x->hi, y->hi))
        return false;
    if (x->op == LOP_IF)
        return x->cmp == y->cmp && same_block(m, &x->body, &y->body) && same_block(m, &x->orelse, &y->orelse);
    if (x->kind != y->kind || x->step != y->step || x->grain != y->grain ||
        (x->kind == FOR_VECTOR && x->lanes != y->lanes))
        return false;
    m->var[x->var] = y->var;
    return same_block(m, &x->body, &y->body);
}

static bool same_imm(const Stmt *x, const Stmt *y) {
    if (!dtype_is_float(x->type.dtype))
        return x->imm_int == y->imm_int;
    return isnan(x->imm) ? isnan(y->imm) : !memcmp(&x->imm, &y->imm, sizeof x->imm);
}

static bool same_stmt(Matcher *m, const Stmt *x, const Stmt *y) {
    if (x->op != y->op || !same_type(x->type, y->type) || !same_args(m, x, y))
        return false;
    if (x->result != NO_LVAL && x->result < m->a->vals.len)
        m->val[x->result] = y->result;
    switch (x->op) {
    case LOP_CONST:
        return same_imm(x, y);
    case LOP_INDEX:
        return same_index(m, x->index, y->index);
    case LOP_EXTRACT:
        return x->imm == y->imm;
    case LOP_SHUFFLE:
        return !memcmp(x->lane, y->lane, x->type.lanes);
    case LOP_LOAD:
    case LOP_STORE:
    case LOP_PREFETCH:
        return same_access(m, x, y);
    case LOP_ALLOC:
        m->buf[x->buf] = y->buf;
        return same_buf(&m->a->bufs.data[x->buf], &m->b->bufs.data[y->buf]);
    case LOP_FOR:
    case LOP_IF:
        return same_control(m, x, y);
    default:
        return true;
    }
}

static bool same_block(Matcher *m, const Block *x, const Block *y) {
    if (x->stmts.len != y->stmts.len)
        return false;
    for (uint32_t i = 0; i < x->stmts.len; i++)
        if (!same_stmt(m, x->stmts.data[i], y->stmts.data[i]))
            return false;
    return true;
}

bool kernel_equal(const Kernel *a, const Kernel *b) {
    Matcher m = {.a = a,
                 .b = b,
                 .val = NEW_ARRAY(a->arena, uint32_t, a->vals.len),
                 .var = NEW_ARRAY(a->arena, uint32_t, a->vars.len),
                 .buf = NEW_ARRAY(a->arena, uint32_t, a->bufs.len)};
    if (a->n_params != b->n_params)
        return false;
    for (uint32_t i = 0; i < a->n_params; i++) {
        m.buf[i] = i;
        if (!same_buf(&a->bufs.data[i], &b->bufs.data[i]))
            return false;
    }
    return same_block(&m, &a->body, &b->body);
}
