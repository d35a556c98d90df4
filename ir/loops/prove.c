/* Proof that no access of a kernel can leave its buffer, whatever n is. An index is a sum of atoms
 * (variables, n, quotients, remainders, minima, maxima); one atom after the other, innermost loop first, is
 * replaced by a bound of it, until what is left has a known range. Sums stay in normal form, so that equal
 * parts cancel. */
#include "ir/loops/verify.h"

enum { MAX_ATOMS = 32, MAX_FACTS = 64, STEPS = 4000, DEPTH = 48 };

typedef struct Atom {
    Idx x;
    int64_t coef;
} Atom;

typedef struct Prover {
    Verify v;
    Kernel k;          /* the kernel with room for new index expressions */
    const Stmt **loop; /* the open loop of each variable */
    uint32_t *level;   /* its depth, from 1; 0: not open */
    uint32_t depth;
    Idx fact[MAX_FACTS]; /* what the `if`s around say: these are not negative */
    uint32_t facts;
    int steps; /* left for this access */
    int uses;  /* facts used on the way here */
} Prover;

static IxRange range_of(const Prover *p, Idx x) {
    const LoopModule *m = p->v.m;
    return ix_range_in(&p->k, x, &(RangeEnv){.batch = m->batch, .n = m->n_fixed ? m->batch : 0});
}

static Idx constant(Prover *p, int64_t c) {
    return ix_const(&p->k, c);
}

static Idx sum(Prover *p, Idx a, int64_t coef, Idx b) {
    return ix_make(&p->k, IX_ADD, a, ix_make(&p->k, IX_MUL, b, constant(p, coef)));
}

/* ---- Atoms ---- */

/* The atoms of x times `coef`, added to out[n...); the new n, or -1 when there are too many. */
static int atoms(const Prover *p, Idx x, int64_t coef, Atom *out, int n) {
    const IdxNode *e = &p->k.idx.data[x];
    int64_t c;
    if (n < 0 || n == MAX_ATOMS)
        return -1;
    if (e->kind == IX_CONST)
        return n;
    if (e->kind == IX_ADD || (e->kind == IX_SUB && coef != INT64_MIN))
        return atoms(p, e->b, e->kind == IX_SUB ? -coef : coef, out, atoms(p, e->a, coef, out, n));
    if (e->kind == IX_MUL && ix_is_const(&p->k, e->b, &c))
        return __builtin_mul_overflow(coef, c, &coef) ? -1 : atoms(p, e->a, coef, out, n);
    out[n] = (Atom){x, coef};
    return n + 1;
}

/* How deep the innermost loop is whose variable x uses. */
static uint32_t level(const Prover *p, Idx x) {
    const IdxNode *e = &p->k.idx.data[x];
    if (e->kind <= IX_N)
        return e->kind == IX_VAR ? p->level[e->value] : 0;
    uint32_t a = level(p, e->a), b = level(p, e->b);
    return a > b ? a : b;
}

static int height(const Prover *p, Idx x) {
    const IdxNode *e = &p->k.idx.data[x];
    if (e->kind <= IX_N)
        return 0;
    int a = height(p, e->a), b = height(p, e->b);
    return 1 + (a > b ? a : b);
}

/* Innermost first; of one loop, what may hold another atom before that one. */
static int64_t rank(const Prover *p, Idx x) {
    return (int64_t)level(p, x) << 32 | (int64_t)height(p, x) << 8 | p->k.idx.data[x].kind;
}

static bool pick(const Prover *p, Idx x, Atom *best) {
    Atom all[MAX_ATOMS];
    int n = atoms(p, x, 1, all, 0);
    for (int i = 0; i < n; i++)
        if (i == 0 || rank(p, all[i].x) > rank(p, best->x))
            *best = all[i];
    return n > 0;
}

/* ---- One step: bounds of an expression without its innermost atom ---- */

typedef struct Bounds {
    Idx x[3];
    int n;
    bool all; /* all of them together bound it; else each does */
} Bounds;

/* The last value of a loop's variable. */
static Idx last(Prover *p, const Stmt *s) {
    Idx span = sum(p, sum(p, s->hi, -1, s->lo), -1, constant(p, 1));
    return sum(p, s->lo, s->step, ix_make(&p->k, IX_DIV, span, constant(p, s->step)));
}

static Bounds bound_sum(Prover *p, Idx x, bool up, int depth);

/* Bounds of an atom by itself. */
static Bounds bound_atom(Prover *p, Idx x, bool up, int depth) {
    const IdxNode e = p->k.idx.data[x];
    const IxRange r = range_of(p, x);
    switch (e.kind) {
    case IX_VAR:
        return (Bounds){{up ? last(p, p->loop[e.value]) : p->loop[e.value]->lo}, 1, false};
    case IX_MIN:
    case IX_MAX:
        return (Bounds){{e.a, e.b}, 2, (e.kind == IX_MIN) != up};
    case IX_DIV: {
        Bounds b = bound_sum(p, e.a, up, depth + 1);
        for (int i = 0; i < b.n; i++)
            b.x[i] = ix_make(&p->k, IX_DIV, b.x[i], e.b);
        return b;
    }
    default:
        if (!range_bounded(r))
            return (Bounds){0};
        return (Bounds){{constant(p, up ? r.hi : r.lo)}, 1, false};
    }
}

/* coef * (e / m), where m divides coef, lies within coef/m * e and coef/m * (e - (m - 1)). */
static bool open_quotient(Prover *p, Atom a, bool up, Idx *out) {
    const IdxNode e = p->k.idx.data[a.x];
    int64_t m;
    if (e.kind != IX_DIV || !ix_is_const(&p->k, e.b, &m) || a.coef % m)
        return false;
    Idx least = up == (a.coef > 0) ? e.a : sum(p, e.a, 1 - m, constant(p, 1));
    *out = sum(p, constant(p, 0), a.coef / m, least);
    return true;
}

static Bounds bound_sum(Prover *p, Idx x, bool up, int depth) {
    Atom a = {0};
    Bounds b = {0};
    if (depth > DEPTH || !pick(p, x, &a) || a.coef == INT64_MIN)
        return b;
    Idx rest = sum(p, x, -a.coef, a.x), opened;
    b = bound_atom(p, a.x, up == (a.coef > 0), depth);
    for (int i = 0; i < b.n; i++)
        b.x[i] = sum(p, rest, a.coef, b.x[i]);
    if (b.n < 3 && !b.all && open_quotient(p, a, up, &opened))
        b.x[b.n++] = sum(p, rest, 1, opened);
    return b;
}

/* ---- Proofs ---- */

static bool prove(Prover *p, Idx x, int depth);

/* x >= 0 because x minus a multiple of a fact is, where the two cancel. */
static bool prove_by_facts(Prover *p, Idx x, int depth) {
    Atom of_x[MAX_ATOMS], of_fact[MAX_ATOMS];
    int n = p->uses < 2 && p->facts ? atoms(p, x, 1, of_x, 0) : 0;
    bool ok = false;
    p->uses++;
    for (uint32_t f = 0; f < p->facts && n > 0 && !ok; f++) {
        int m = atoms(p, p->fact[f], 1, of_fact, 0);
        for (int i = 0; i < m && !ok; i++)
            for (int k = 0; k < n && !ok; k++) {
                int64_t have = of_fact[i].coef, want = of_x[k].coef;
                if (of_fact[i].x == of_x[k].x && (have > 0) == (want > 0) && want % have == 0)
                    ok = prove(p, sum(p, x, -(want / have), p->fact[f]), depth + 1);
            }
    }
    p->uses--;
    return ok;
}

static bool prove(Prover *p, Idx x, int depth) {
    if (range_of(p, x).lo >= 0)
        return true;
    if (depth > DEPTH || p->steps-- <= 0)
        return false;
    if (prove_by_facts(p, x, depth))
        return true;
    Bounds b = bound_sum(p, x, false, 0);
    bool ok = b.n > 0 && b.all;
    for (int i = 0; i < b.n; i++) {
        bool one = prove(p, b.x[i], depth + 1);
        ok = b.all ? ok && one : ok || one;
        if (ok != b.all)
            break;
    }
    return ok;
}

/* Wherever arithmetic might wrap around, sums of bounds say nothing. */
static bool no_overflow(const Prover *p, Idx x) {
    const IdxNode *e = &p->k.idx.data[x];
    return range_bounded(range_of(p, x)) &&
           (e->kind <= IX_N || (no_overflow(p, e->a) && no_overflow(p, e->b)));
}

static bool prove_access(Prover *p, const Stmt *s) {
    const LBuf *b = &p->k.bufs.data[s->buf];
    int64_t lanes = b->kind == LB_REG ? 0 : (s->type.lanes - 1) * s->stride;
    Idx size = constant(p, b->extent.size), index = sum(p, s->index, 1, constant(p, 0));
    if (b->extent.by_n)
        size = ix_make(&p->k, IX_MUL, size, ix_raw(&p->k, IX_N, 0, 0, 0));
    Idx below = sum(p, index, lanes < 0 ? lanes : 0, constant(p, 1));
    Idx above = sum(p, sum(p, size, -1, index), -1 - (lanes > 0 ? lanes : 0), constant(p, 1));
    bool ok = no_overflow(p, s->index);
    p->steps = STEPS;
    ok = ok && prove(p, below, 0);
    p->steps = STEPS;
    return ok && prove(p, above, 0);
}

/* ---- The walk ---- */

static void walk(Prover *p, const Block *b);

static void add_fact(Prover *p, Idx more, Idx less, int64_t c) {
    if (p->facts < MAX_FACTS)
        p->fact[p->facts++] = sum(p, sum(p, more, -1, less), c, constant(p, 1));
}

static void walk_if(Prover *p, const Stmt *s) {
    uint32_t facts = p->facts;
    if (s->cmp != IF_NE)
        add_fact(p, s->hi, s->lo, s->cmp == IF_LT ? -1 : 0);
    if (s->cmp == IF_EQ)
        add_fact(p, s->lo, s->hi, 0);
    walk(p, &s->body);
    p->facts = facts;
    if (s->cmp == IF_LT || s->cmp == IF_LE)
        add_fact(p, s->lo, s->hi, s->cmp == IF_LT ? 0 : -1);
    if (s->cmp == IF_NE) {
        add_fact(p, s->hi, s->lo, 0);
        add_fact(p, s->lo, s->hi, 0);
    }
    walk(p, &s->orelse);
    p->facts = facts;
}

static void walk_for(Prover *p, const Stmt *s) {
    IxRange lo = range_of(p, s->lo), hi = range_of(p, s->hi), r = {lo.lo, hi.hi};
    if (range_bounded(hi))
        r.hi = hi.hi - 1;
    if (r.hi < r.lo)
        return; /* it never runs */
    if (!no_overflow(p, s->lo) || !no_overflow(p, s->hi))
        r = (IxRange){INT64_MIN, INT64_MAX};
    p->k.ranges.data[s->var] = r;
    p->loop[s->var] = s;
    p->level[s->var] = ++p->depth;
    walk(p, &s->body);
    p->level[s->var] = 0;
    p->depth--;
}

static void walk(Prover *p, const Block *b) {
    for (uint32_t i = 0; i < b->stmts.len && p->v.ok; i++) {
        const Stmt *s = b->stmts.data[i];
        if (s->op == LOP_FOR)
            walk_for(p, s);
        else if (s->op == LOP_IF)
            walk_if(p, s);
        else if ((s->op == LOP_LOAD || s->op == LOP_STORE) && !prove_access(p, s))
            verify_fault(&p->v, s, "it cannot be proved that this stays inside %%%s",
                         p->k.bufs.data[s->buf].name);
    }
}

bool prove_bounds(const LoopModule *m, const Kernel *k) {
    Arena arena;
    arena_init(&arena, m->cx->arena.oom);
    Prover p = {.v = {.cx = m->cx, .m = m, .ok = true}, .k = *k};
    p.k.arena = &arena;
    p.k.idx_table.slots = NULL;
    p.k.idx_table.cap = 0;
    p.k.idx.data = NULL;
    p.k.idx.len = p.k.idx.cap = 0;
    for (uint32_t i = 0; i < k->idx.len; i++) /* the same numbers: all nodes differ */
        ix_raw(&p.k, k->idx.data[i].kind, k->idx.data[i].value, k->idx.data[i].a, k->idx.data[i].b);
    p.k.ranges.data = NEW_ARRAY(&arena, IxRange, k->vars.len + 1);
    p.k.ranges.len = p.k.ranges.cap = k->vars.len;
    p.loop = NEW_ARRAY(&arena, const Stmt *, k->vars.len + 1);
    p.level = NEW_ARRAY(&arena, uint32_t, k->vars.len + 1);
    p.v.k = &p.k;
    walk(&p, &k->body);
    if (!p.v.ok) /* one fault brings many like it */
        diag_hint(&m->cx->diag, "correct the loops around it, or bound the index, as in min(%%i, 15)");
    arena_free(&arena);
    return p.v.ok;
}
