/* Index expressions: hash-consing, ranges, substitution and evaluation. simplify.c decides which node an
 * expression becomes. */
#include "ir/loops/index.h"
#include <string.h>

/* ---- Hash-consing ---- */

static uint32_t node_hash(IdxKind kind, int64_t value, Idx a, Idx b) {
    uint64_t h = (uint64_t)kind * 0x9e3779b97f4a7c15u + (uint64_t)value;
    h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9u + a;
    h = (h ^ (h >> 32)) * 0x94d049bb133111ebu + b;
    return (uint32_t)(h ^ (h >> 31));
}

/* Slots hold index + 1; 0 is empty. At most half of them are used. */
static void table_grow(Kernel *k) {
    uint32_t cap = k->idx_table.cap ? k->idx_table.cap * 2 : 64;
    uint32_t *slots = NEW_ARRAY(k->arena, uint32_t, cap);
    for (uint32_t i = 0; i < k->idx.len; i++) {
        const IdxNode *x = &k->idx.data[i];
        uint32_t s = node_hash(x->kind, x->value, x->a, x->b) & (cap - 1);
        while (slots[s])
            s = (s + 1) & (cap - 1);
        slots[s] = i + 1;
    }
    k->idx_table.slots = slots;
    k->idx_table.cap = cap;
}

Idx ix_raw(Kernel *k, IdxKind kind, int64_t value, Idx a, Idx b) {
    if (k->idx.len * 2 >= k->idx_table.cap)
        table_grow(k);
    uint32_t mask = k->idx_table.cap - 1;
    uint32_t s = node_hash(kind, value, a, b) & mask;
    for (; k->idx_table.slots[s]; s = (s + 1) & mask) {
        const IdxNode *x = &k->idx.data[k->idx_table.slots[s] - 1];
        if (x->kind == kind && x->value == value && x->a == a && x->b == b)
            return k->idx_table.slots[s] - 1;
    }
    vec_push(k->arena, &k->idx, (IdxNode){.kind = kind, .value = value, .a = a, .b = b});
    k->idx_table.slots[s] = k->idx.len;
    return k->idx.len - 1;
}

Idx ix_const(Kernel *k, int64_t v) {
    return ix_raw(k, IX_CONST, v, 0, 0);
}

Idx ix_var(Kernel *k, uint32_t var) {
    return ix_raw(k, IX_VAR, var, 0, 0);
}

bool ix_is_const(const Kernel *k, Idx x, int64_t *v) {
    if (k->idx.data[x].kind != IX_CONST)
        return false;
    if (v)
        *v = k->idx.data[x].value;
    return true;
}

/* ---- Ranges ---- */

static const IxRange unknown = {INT64_MIN, INT64_MAX};

int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

int64_t floor_mod(int64_t a, int64_t b) {
    int64_t r = a % b;
    return r < 0 ? r + b : r;
}

bool range_bounded(IxRange r) {
    return r.lo != INT64_MIN && r.hi != INT64_MAX;
}

IxRange range_add(IxRange a, IxRange b) {
    IxRange r;
    if (a.lo == INT64_MIN || b.lo == INT64_MIN || __builtin_add_overflow(a.lo, b.lo, &r.lo))
        r.lo = INT64_MIN;
    if (a.hi == INT64_MAX || b.hi == INT64_MAX || __builtin_add_overflow(a.hi, b.hi, &r.hi))
        r.hi = INT64_MAX;
    return r;
}

IxRange range_scale(IxRange a, int64_t c) {
    IxRange r = {0, 0};
    if (!c)
        return r;
    int64_t low = c > 0 ? a.lo : a.hi, high = c > 0 ? a.hi : a.lo;
    if (low == INT64_MIN || low == INT64_MAX || __builtin_mul_overflow(low, c, &r.lo))
        r.lo = INT64_MIN;
    if (high == INT64_MIN || high == INT64_MAX || __builtin_mul_overflow(high, c, &r.hi))
        r.hi = INT64_MAX;
    return r;
}

/* Products of two unknowns matter only for sizes, which are not negative. */
static IxRange range_mul(IxRange a, IxRange b) {
    if (a.lo == a.hi)
        return range_scale(b, a.lo);
    if (b.lo == b.hi)
        return range_scale(a, b.lo);
    if (a.lo < 0 || b.lo < 0)
        return unknown;
    IxRange r;
    if (__builtin_mul_overflow(a.lo, b.lo, &r.lo))
        r.lo = 0;
    if (a.hi == INT64_MAX || b.hi == INT64_MAX || __builtin_mul_overflow(a.hi, b.hi, &r.hi))
        r.hi = INT64_MAX;
    return r;
}

static IxRange range_div(IxRange a, int64_t c) {
    if (c <= 0)
        return unknown;
    return (IxRange){a.lo == INT64_MIN ? INT64_MIN : floor_div(a.lo, c),
                     a.hi == INT64_MAX ? INT64_MAX : floor_div(a.hi, c)};
}

static IxRange range_mod(IxRange a, int64_t c) {
    if (c <= 0)
        return unknown;
    if (range_bounded(a) && floor_div(a.lo, c) == floor_div(a.hi, c))
        return (IxRange){floor_mod(a.lo, c), floor_mod(a.hi, c)};
    return (IxRange){0, c - 1};
}

static IxRange leaf_range(const Kernel *k, const IdxNode *x, const RangeEnv *env) {
    if (x->kind == IX_CONST)
        return (IxRange){x->value, x->value};
    if (x->kind == IX_N && env->n)
        return (IxRange){env->n, env->n};
    if (x->kind == IX_N)
        return (IxRange){1, env->batch > 0 ? env->batch : INT64_MAX};
    if (x->value < 0 || x->value >= (int64_t)k->ranges.len)
        return unknown;
    return env->lo ? (IxRange){env->lo[x->value], env->hi[x->value]} : k->ranges.data[x->value];
}

IxRange ix_range_in(const Kernel *k, Idx x, const RangeEnv *env) {
    const IdxNode *n = &k->idx.data[x];
    if (n->kind <= IX_N)
        return leaf_range(k, n, env);
    IxRange a = ix_range_in(k, n->a, env), b = ix_range_in(k, n->b, env);
    switch (n->kind) {
    case IX_ADD:
        return range_add(a, b);
    case IX_SUB:
        return range_add(a, range_scale(b, -1));
    case IX_MUL:
        return range_mul(a, b);
    case IX_DIV:
        return range_div(a, b.lo == b.hi ? b.lo : 0);
    case IX_MOD:
        return range_mod(a, b.lo == b.hi ? b.lo : 0);
    case IX_MIN:
        return (IxRange){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    case IX_MAX:
        return (IxRange){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
    default:
        return unknown;
    }
}

IxRange ix_known(const Kernel *k, Idx x) {
    return ix_range_in(k, x, &(RangeEnv){0});
}

bool ix_range(const Kernel *k, Idx x, const int64_t *lo, const int64_t *hi, int64_t batch, int64_t *min,
              int64_t *max) {
    IxRange r = ix_range_in(k, x, &(RangeEnv){.lo = lo, .hi = hi, .batch = batch});
    *min = r.lo;
    *max = r.hi;
    return range_bounded(r);
}

/* ---- Queries ---- */

bool ix_uses(const Kernel *k, Idx x, uint32_t var) {
    const IdxNode *n = &k->idx.data[x];
    if (n->kind == IX_VAR)
        return n->value == (int64_t)var;
    return n->kind > IX_N && (ix_uses(k, n->a, var) || ix_uses(k, n->b, var));
}

bool ix_linear(const Kernel *k, Idx x, uint32_t var, int64_t *coef) {
    const IdxNode *n = &k->idx.data[x];
    int64_t a, b, c;
    *coef = 0;
    switch (n->kind) {
    case IX_VAR:
        *coef = n->value == (int64_t)var;
        return true;
    case IX_ADD:
        return ix_linear(k, n->a, var, &a) && ix_linear(k, n->b, var, &b) &&
               !__builtin_add_overflow(a, b, coef);
    case IX_SUB:
        return ix_linear(k, n->a, var, &a) && ix_linear(k, n->b, var, &b) &&
               !__builtin_sub_overflow(a, b, coef);
    case IX_MUL:
        if (ix_is_const(k, n->b, &c))
            return ix_linear(k, n->a, var, &a) && !__builtin_mul_overflow(a, c, coef);
        if (ix_is_const(k, n->a, &c))
            return ix_linear(k, n->b, var, &b) && !__builtin_mul_overflow(b, c, coef);
        return !ix_uses(k, x, var);
    default:
        return !ix_uses(k, x, var);
    }
}

Idx ix_subst(Kernel *k, Idx x, uint32_t var, Idx by) {
    IdxNode n = k->idx.data[x]; /* a copy: the vector grows below */
    if (n.kind == IX_VAR)
        return n.value == (int64_t)var ? by : x;
    if (n.kind <= IX_N)
        return x;
    Idx a = ix_subst(k, n.a, var, by), b = ix_subst(k, n.b, var, by);
    return a == n.a && b == n.b ? x : ix_make(k, n.kind, a, b);
}

/* Wraps like the machine: a hostile text may overflow, but never into undefined behaviour. */
int64_t ix_eval(const Kernel *k, Idx x, const int64_t *vars, int64_t n) {
    const IdxNode *e = &k->idx.data[x];
    if (e->kind == IX_CONST)
        return e->value;
    if (e->kind == IX_VAR)
        return vars[e->value];
    if (e->kind == IX_N)
        return n;
    int64_t a = ix_eval(k, e->a, vars, n), b = ix_eval(k, e->b, vars, n), r;
    switch (e->kind) {
    case IX_ADD:
        (void)__builtin_add_overflow(a, b, &r);
        return r;
    case IX_SUB:
        (void)__builtin_sub_overflow(a, b, &r);
        return r;
    case IX_MUL:
        (void)__builtin_mul_overflow(a, b, &r);
        return r;
    case IX_DIV:
        return b > 0 ? floor_div(a, b) : 0;
    case IX_MOD:
        return b > 0 ? floor_mod(a, b) : 0;
    case IX_MIN:
        return a < b ? a : b;
    default:
        return a > b ? a : b;
    }
}
