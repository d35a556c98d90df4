/* Simplification of index expressions as they are made. Sums are kept in one normal form (sorted terms with
 * constant factors, constant last), so that equal expressions become the same node; divisions and remainders,
 * which round down, lose every part that provably divides or provably stays below the divisor. Where an
 * intermediate constant would overflow, the node is kept as written. */
#include "ir/loops/index.h"

enum { MAX_TERMS = 24, MAX_DISTRIBUTE = 8 };

typedef struct Term {
    Idx atom; /* neither a sum nor a constant nor a product with a constant */
    int64_t coef;
} Term;

typedef struct Linear {
    Term t[MAX_TERMS];
    int n;
    int64_t c;
    bool bad; /* too many terms, or overflow */
} Linear;

static void add_const(Linear *l, int64_t c) {
    l->bad |= __builtin_add_overflow(l->c, c, &l->c);
}

static void add_term(Linear *l, Idx atom, int64_t coef) {
    for (int i = 0; i < l->n; i++)
        if (l->t[i].atom == atom) {
            l->bad |= __builtin_add_overflow(l->t[i].coef, coef, &l->t[i].coef);
            if (!l->t[i].coef)
                l->t[i] = l->t[--l->n];
            return;
        }
    if (l->n == MAX_TERMS)
        l->bad = true;
    else if (coef)
        l->t[l->n++] = (Term){atom, coef};
}

/* l += x * coef */
static void add_scaled(const Kernel *k, Linear *l, Idx x, int64_t coef) {
    const IdxNode *n = &k->idx.data[x];
    int64_t c;
    if (l->bad || coef == INT64_MIN) {
        l->bad = true;
    } else if (n->kind == IX_CONST) {
        l->bad |= __builtin_mul_overflow(n->value, coef, &c);
        add_const(l, c);
    } else if (n->kind == IX_ADD || n->kind == IX_SUB) {
        add_scaled(k, l, n->a, coef);
        add_scaled(k, l, n->b, n->kind == IX_SUB ? -coef : coef);
    } else if (n->kind == IX_MUL && (ix_is_const(k, n->b, &c) || ix_is_const(k, n->a, &c))) {
        Idx other = k->idx.data[n->b].kind == IX_CONST ? n->a : n->b;
        l->bad |= __builtin_mul_overflow(c, coef, &c);
        add_scaled(k, l, other, c);
    } else {
        add_term(l, x, coef);
    }
}

static Linear linear(const Kernel *k, Idx x) {
    Linear l = {0};
    add_scaled(k, &l, x, 1);
    return l;
}

static IxRange linear_range(const Kernel *k, const Linear *l) {
    IxRange r = {l->c, l->c};
    for (int i = 0; i < l->n; i++)
        r = range_add(r, range_scale(ix_known(k, l->t[i].atom), l->t[i].coef));
    return r;
}

/* ---- Normal form ---- */

/* The innermost loop variable of x; -1: none. Sums run from the outermost term to the innermost. */
static int64_t innermost(const Kernel *k, Idx x) {
    const IdxNode *n = &k->idx.data[x];
    if (n->kind <= IX_N)
        return n->kind == IX_VAR ? n->value : -1;
    int64_t a = innermost(k, n->a), b = innermost(k, n->b);
    return a > b ? a : b;
}

/* A total order that does not depend on when nodes were made. */
static int compare(const Kernel *k, Idx x, Idx y) {
    const IdxNode *a = &k->idx.data[x], *b = &k->idx.data[y];
    if (x == y)
        return 0;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    if (a->kind <= IX_N)
        return 0;
    int c = compare(k, a->a, b->a);
    return c ? c : compare(k, a->b, b->b);
}

static bool before(const Kernel *k, Term x, Term y) {
    if ((x.coef > 0) != (y.coef > 0))
        return x.coef > 0;
    int64_t a = innermost(k, x.atom), b = innermost(k, y.atom);
    return a != b ? a < b : compare(k, x.atom, y.atom) < 0;
}

static void sort_terms(const Kernel *k, Linear *l) {
    for (int i = 1; i < l->n; i++) {
        Term t = l->t[i];
        int j = i;
        for (; j > 0 && before(k, t, l->t[j - 1]); j--)
            l->t[j] = l->t[j - 1];
        l->t[j] = t;
    }
}

/* (x / c) * (f*c) + (x % c) * f is x * f. */
static bool join_division(const Kernel *k, Linear *l) {
    for (int i = 0; i < l->n; i++) {
        const IdxNode *m = &k->idx.data[l->t[i].atom];
        int64_t c, want;
        if (m->kind != IX_MOD || !ix_is_const(k, m->b, &c) || l->t[i].coef == INT64_MIN ||
            __builtin_mul_overflow(l->t[i].coef, c, &want) || want == INT64_MIN)
            continue;
        for (int j = 0; j < l->n; j++) {
            const IdxNode *d = &k->idx.data[l->t[j].atom];
            if (d->kind != IX_DIV || d->a != m->a || d->b != m->b || l->t[j].coef != want)
                continue;
            Term mod = l->t[i], div = l->t[j];
            add_term(l, mod.atom, -mod.coef);
            add_term(l, div.atom, -div.coef);
            add_scaled(k, l, m->a, mod.coef);
            return true;
        }
    }
    return false;
}

static Idx scaled(Kernel *k, Idx atom, int64_t coef) {
    return coef == 1 ? atom : ix_raw(k, IX_MUL, 0, atom, ix_const(k, coef));
}

/* The node of a sum. `bad` must have been looked at. */
static Idx build(Kernel *k, Linear *l) {
    Linear joined = *l;
    while (join_division(k, &joined) && !joined.bad)
        *l = joined;
    sort_terms(k, l);
    if (!l->n)
        return ix_const(k, l->c);
    Idx x = scaled(k, l->t[0].atom, l->t[0].coef);
    for (int i = 1; i < l->n; i++) {
        Term t = l->t[i];
        if (t.coef < 0 && t.coef != INT64_MIN)
            x = ix_raw(k, IX_SUB, 0, x, scaled(k, t.atom, -t.coef));
        else
            x = ix_raw(k, IX_ADD, 0, x, scaled(k, t.atom, t.coef));
    }
    if (l->c < 0 && l->c != INT64_MIN)
        return ix_raw(k, IX_SUB, 0, x, ix_const(k, -l->c));
    return l->c ? ix_raw(k, IX_ADD, 0, x, ix_const(k, l->c)) : x;
}

/* ---- Each kind ---- */

static Idx make_sum(Kernel *k, IdxKind kind, Idx a, Idx b) {
    Linear l = linear(k, a);
    add_scaled(k, &l, b, kind == IX_SUB ? -1 : 1);
    return l.bad ? ix_raw(k, kind, 0, a, b) : build(k, &l);
}

static Idx product_atom(Kernel *k, Idx a, Idx b) {
    return compare(k, a, b) <= 0 ? ix_raw(k, IX_MUL, 0, a, b) : ix_raw(k, IX_MUL, 0, b, a);
}

static Idx make_mul(Kernel *k, Idx a, Idx b) {
    Linear x = linear(k, a), y = linear(k, b), l = {0};
    if (x.bad || y.bad || x.n * y.n > MAX_DISTRIBUTE)
        return ix_raw(k, IX_MUL, 0, a, b);
    l.bad = __builtin_mul_overflow(x.c, y.c, &l.c);
    for (int i = 0; i < x.n; i++) {
        add_scaled(k, &l, scaled(k, x.t[i].atom, x.t[i].coef), y.c);
        for (int j = 0; j < y.n; j++) {
            int64_t coef;
            l.bad |= __builtin_mul_overflow(x.t[i].coef, y.t[j].coef, &coef);
            add_term(&l, product_atom(k, x.t[i].atom, y.t[j].atom), coef);
        }
    }
    for (int j = 0; j < y.n; j++)
        add_scaled(k, &l, scaled(k, y.t[j].atom, y.t[j].coef), x.c);
    return l.bad ? ix_raw(k, IX_MUL, 0, a, b) : build(k, &l);
}

/* x = c*q + r, exactly, moving into q all that divides. */
static void split(const Linear *x, int64_t c, Linear *q, Linear *r) {
    *q = *r = (Linear){0};
    q->c = floor_div(x->c, c);
    r->c = floor_mod(x->c, c);
    for (int i = 0; i < x->n; i++) {
        if (x->t[i].coef % c == 0)
            add_term(q, x->t[i].atom, x->t[i].coef / c);
        else
            add_term(r, x->t[i].atom, x->t[i].coef);
    }
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Find g dividing c, 1 < g < c, with r = g*high + low and 0 <= low < g: then r/c = high/(c/g) and
 * r%c = g*(high % (c/g)) + low. */
static bool coarsen(const Kernel *k, const Linear *r, int64_t c, int64_t *g, Linear *high, Linear *low) {
    for (int i = 0; i < r->n; i++) {
        if (r->t[i].coef == INT64_MIN)
            continue;
        *g = gcd(r->t[i].coef < 0 ? -r->t[i].coef : r->t[i].coef, c);
        if (*g <= 1 || *g >= c)
            continue;
        split(r, *g, high, low);
        IxRange range = linear_range(k, low);
        if (range.lo >= 0 && range.hi < *g)
            return true;
    }
    return false;
}

/* r lies between multiples m*c and (m+1)*c. */
static bool one_multiple(const Kernel *k, const Linear *r, int64_t c, int64_t *m) {
    IxRange range = linear_range(k, r);
    if (!range_bounded(range) || floor_div(range.lo, c) != floor_div(range.hi, c))
        return false;
    *m = floor_div(range.lo, c);
    return true;
}

static Idx make_div(Kernel *k, Idx x, int64_t c) {
    Linear l = linear(k, x), q, r, high, low;
    Idx divisor = ix_const(k, c);
    int64_t m, g, inner;
    if (l.bad)
        return ix_raw(k, IX_DIV, 0, x, divisor);
    split(&l, c, &q, &r);
    if (one_multiple(k, &r, c, &m)) {
        add_const(&q, m);
    } else if (coarsen(k, &r, c, &g, &high, &low)) {
        add_scaled(k, &q, make_div(k, build(k, &high), c / g), 1);
    } else {
        Idx rest = build(k, &r);
        const IdxNode *n = &k->idx.data[rest];
        if (n->kind == IX_DIV && ix_is_const(k, n->b, &inner) && !__builtin_mul_overflow(inner, c, &inner))
            add_scaled(k, &q, make_div(k, n->a, inner), 1);
        else
            add_term(&q, ix_raw(k, IX_DIV, 0, rest, divisor), 1);
    }
    return q.bad ? ix_raw(k, IX_DIV, 0, x, divisor) : build(k, &q);
}

static Idx make_mod(Kernel *k, Idx x, int64_t c) {
    Linear l = linear(k, x), q, r, high, low;
    Idx divisor = ix_const(k, c);
    int64_t m, g, inner;
    if (l.bad)
        return ix_raw(k, IX_MOD, 0, x, divisor);
    split(&l, c, &q, &r);
    if (one_multiple(k, &r, c, &m)) {
        r.bad |= __builtin_mul_overflow(m, -c, &m);
        add_const(&r, m);
        return r.bad ? ix_raw(k, IX_MOD, 0, x, divisor) : build(k, &r);
    }
    if (coarsen(k, &r, c, &g, &high, &low)) {
        add_scaled(k, &low, make_mod(k, build(k, &high), c / g), g);
        return low.bad ? ix_raw(k, IX_MOD, 0, x, divisor) : build(k, &low);
    }
    Idx rest = build(k, &r);
    const IdxNode *n = &k->idx.data[rest];
    if (n->kind == IX_MOD && ix_is_const(k, n->b, &inner) && inner % c == 0)
        return make_mod(k, n->a, c);
    return ix_raw(k, IX_MOD, 0, rest, divisor);
}

static Idx make_min_max(Kernel *k, IdxKind kind, Idx a, Idx b) {
    Linear diff = linear(k, a);
    add_scaled(k, &diff, b, -1);
    if (!diff.bad) {
        IxRange r = linear_range(k, &diff);
        if (r.hi <= 0)
            return kind == IX_MIN ? a : b;
        if (r.lo >= 0)
            return kind == IX_MIN ? b : a;
    }
    if (ix_is_const(k, a, NULL) || (!ix_is_const(k, b, NULL) && compare(k, a, b) > 0)) {
        Idx t = a;
        a = b;
        b = t;
    }
    IdxNode n = k->idx.data[a];
    if (n.kind == kind && ix_is_const(k, n.b, NULL) && ix_is_const(k, b, NULL))
        return make_min_max(k, kind, n.a, make_min_max(k, kind, n.b, b));
    return ix_raw(k, kind, 0, a, b);
}

Idx ix_make(Kernel *k, IdxKind kind, Idx a, Idx b) {
    int64_t c;
    switch (kind) {
    case IX_ADD:
    case IX_SUB:
        return make_sum(k, kind, a, b);
    case IX_MUL:
        return make_mul(k, a, b);
    case IX_DIV:
    case IX_MOD:
        if (!ix_is_const(k, b, &c) || c <= 0)
            return ix_raw(k, kind, 0, a, b); /* the verifier refuses it */
        return kind == IX_DIV ? make_div(k, a, c) : make_mod(k, a, c);
    case IX_MIN:
    case IX_MAX:
        return make_min_max(k, kind, a, b);
    default:
        return ix_raw(k, kind, 0, a, b);
    }
}
