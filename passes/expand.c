/* Copies the bodies of unrolled loops and turns vector loops into vectors. Each kernel body is rebuilt
 * statement by statement, with loop variables replaced by what they are in the copy. */
#include "ir/loops/build.h"
#include "passes/passes.h"

#include <string.h>

/* Statements of a kernel, and copies of bodies while it is made: the largest of our own have a few thousand.
 * Loops and buffers count for more, since finding each a new name takes longer the more there are. */
enum { COPIES_LIMIT = 1000000, NAME_COST = 500 };

typedef struct Expand {
    LBuild b;
    Kernel *k;
    Idx *var;                  /* old variable -> index expression in the copy; NO_IDX: not open */
    LVal *val;                 /* old value -> new value */
    uint32_t *buf;             /* old buffer -> new buffer: registers get wider within a vector loop */
    uint32_t vars, vals, bufs; /* sizes of these maps: what the kernel had before */
    uint8_t lanes;             /* of the vector loop being built, 1 outside */
    uint32_t vector_var;
    uint32_t left; /* of COPIES_LIMIT; at 0 nothing more is made */
} Expand;

static void clone_block(Expand *e, const Block *block);

static bool spend(Expand *e, uint32_t cost) {
    e->left = e->left > cost ? e->left - cost : 0;
    return e->left > 0;
}

/* ---- Index expressions ---- */

static Idx map_idx(Expand *e, Idx x) {
    for (uint32_t v = 0; v < e->vars; v++)
        if (e->var[v] != UINT32_MAX && e->var[v] != ix_var(e->k, v))
            x = ix_subst(e->k, x, v, e->var[v]);
    return x;
}

/* Elements between the lanes of an access within a vector loop; 0: all lanes alike. */
static bool lane_step(Expand *e, Idx index, int64_t *step) {
    *step = 0;
    if (e->lanes == 1 || !ix_uses(e->k, index, e->vector_var))
        return true;
    return ix_linear(e->k, index, e->vector_var, step);
}

/* ---- Values ---- */

static LVal widened(Expand *e, LVal old) {
    LVal v = e->val[old];
    return lb_type(&e->b, v).lanes < e->lanes ? lb_splat(&e->b, v, e->lanes) : v;
}

static bool any_wide(Expand *e, const Stmt *s) {
    for (int i = 0; i < 3; i++)
        if (s->arg[i] != NO_LVAL && e->lanes > 1 && lb_type(&e->b, e->val[s->arg[i]]).lanes == e->lanes)
            return true;
    return false;
}

static Stmt *append_copy(Expand *e, const Stmt *s) {
    Stmt *c = arena_copy(e->k->arena, s, sizeof *s);
    Block *top = e->b.open.data[e->b.open.len - 1];
    vec_push(e->k->arena, &top->stmts, c);
    return c;
}

/* Arithmetic: as it was, or on vectors where an argument has become one. */
static void clone_value(Expand *e, const Stmt *s) {
    bool wide = any_wide(e, s);
    LVal arg[3];
    for (int i = 0; i < 3; i++)
        arg[i] = s->arg[i] == NO_LVAL ? NO_LVAL : wide ? widened(e, s->arg[i]) : e->val[s->arg[i]];
    Stmt *c = append_copy(e, s);
    memcpy(c->arg, arg, sizeof arg);
    if (wide)
        c->type.lanes = e->lanes;
    if (s->op == LOP_INDEX)
        c->index = map_idx(e, s->index);
    c->result = e->k->vals.len;
    vec_push(e->k->arena, &e->k->vals, c->type);
    e->val[s->result] = c->result;
}

static Idx access_index(Expand *e, const Stmt *s) {
    return map_idx(e, s->index);
}

static void clone_load(Expand *e, const Stmt *s) {
    uint32_t buf = e->buf[s->buf];
    int64_t step;
    lane_step(e, s->index, &step);
    if (buf != s->buf) /* a register that was widened */
        e->val[s->result] = lb_load(&e->b, (LType){s->type.dtype, e->lanes}, buf, access_index(e, s));
    else if (step)
        e->val[s->result] =
            lb_load_strided(&e->b, (LType){s->type.dtype, e->lanes}, buf, access_index(e, s), step);
    else
        e->val[s->result] = lb_load_strided(&e->b, s->type, buf, access_index(e, s), s->stride);
}

static void clone_store(Expand *e, const Stmt *s) {
    uint32_t buf = e->buf[s->buf];
    int64_t step;
    lane_step(e, s->index, &step);
    Stmt *c;
    if (buf != s->buf || step) {
        LVal v = widened(e, s->arg[0]);
        lb_store_strided(&e->b, buf, access_index(e, s), v, step ? step : 1);
    } else {
        lb_store_strided(&e->b, buf, access_index(e, s), e->val[s->arg[0]], s->stride);
    }
    Block *top = e->b.open.data[e->b.open.len - 1];
    c = top->stmts.data[top->stmts.len - 1];
    c->nontemporal = s->nontemporal;
}

static void clone_alloc(Expand *e, const Stmt *s) {
    const LBuf *old = &e->k->bufs.data[s->buf];
    if (e->lanes > 1 && old->kind == LB_REG) {
        e->buf[s->buf] = lb_alloc(&e->b, LB_REG, old->name, (LType){old->dtype, e->lanes}, old->extent.size);
        return;
    }
    e->buf[s->buf] = s->buf;
    append_copy(e, s);
}

/* ---- Loops ---- */

static void clone_plain_for(Expand *e, const Stmt *s) {
    Idx lo = map_idx(e, s->lo), hi = map_idx(e, s->hi);
    e->var[s->var] =
        lb_for(&e->b, s->kind == FOR_VECTOR ? FOR_SERIAL : s->kind, e->k->vars.data[s->var], lo, hi, s->step);
    clone_block(e, &s->body);
    lb_end(&e->b);
    e->var[s->var] = UINT32_MAX;
}

static void clone_unroll(Expand *e, const Stmt *s) {
    int64_t lo, hi;
    if (!ix_is_const(e->k, map_idx(e, s->lo), &lo) || !ix_is_const(e->k, map_idx(e, s->hi), &hi)) {
        clone_plain_for(e, s);
        return;
    }
    bool more = lo < hi;
    for (int64_t i = lo; more && spend(e, 1); more = !__builtin_add_overflow(i, s->step, &i) && i < hi) {
        e->var[s->var] = ix_const(e->k, i);
        clone_block(e, &s->body);
    }
    e->var[s->var] = UINT32_MAX;
}

/* Can every access of the body be a vector? Otherwise the loop stays scalar. */
static bool can_vectorize(Expand *e, const Block *block, uint32_t var) {
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        int64_t c;
        if (s->op == LOP_LOAD || s->op == LOP_STORE) {
            if (s->type.lanes != 1)
                return false;
            if (ix_uses(e->k, s->index, var) && !ix_linear(e->k, s->index, var, &c))
                return false;
        }
        if (s->op == LOP_INDEX && ix_uses(e->k, s->index, var))
            return false;
        if ((s->op == LOP_FOR || s->op == LOP_IF) &&
            (ix_uses(e->k, s->lo, var) || ix_uses(e->k, s->hi, var) || !can_vectorize(e, &s->body, var) ||
             !can_vectorize(e, &s->orelse, var)))
            return false;
    }
    return true;
}

/* Iterations [lo, hi) in steps of `lanes`; hi - lo is a multiple of them. */
static void vector_part(Expand *e, const Stmt *s, Idx lo, Idx hi, uint8_t lanes) {
    uint32_t *saved = arena_copy(e->k->arena, e->buf, e->bufs * sizeof *e->buf);
    e->lanes = lanes;
    e->vector_var = s->var;
    e->var[s->var] = lb_for(&e->b, FOR_SERIAL, e->k->vars.data[s->var], lo, hi, lanes);
    clone_block(e, &s->body);
    lb_end(&e->b);
    e->var[s->var] = UINT32_MAX;
    e->lanes = 1;
    memcpy(e->buf, saved, e->bufs * sizeof *e->buf);
}

static void clone_vector(Expand *e, const Stmt *s) {
    if (e->lanes > 1 || s->lanes < 2 || !can_vectorize(e, &s->body, s->var)) {
        clone_plain_for(e, s);
        return;
    }
    LBuild *b = &e->b;
    Idx lo = map_idx(e, s->lo), hi = map_idx(e, s->hi), count = lb_sub(b, hi, lo);
    int64_t known;
    if (ix_is_const(e->k, count, &known)) { /* what is left over takes ever shorter vectors */
        for (uint8_t lanes = s->lanes; lanes >= 1 && known > 0; lanes /= 2) {
            int64_t part = known / lanes * lanes;
            if (part)
                vector_part(e, s, lo, lb_addc(b, lo, part), lanes);
            lo = lb_addc(b, lo, part);
            known -= part;
        }
        return;
    }
    Idx split = lb_add(b, lo, lb_mulc(b, lb_divc(b, count, s->lanes), s->lanes));
    vector_part(e, s, lo, split, s->lanes);
    vector_part(e, s, split, hi, 1);
}

static void clone_for(Expand *e, const Stmt *s) {
    if (s->kind == FOR_UNROLL)
        clone_unroll(e, s);
    else if (s->kind == FOR_VECTOR)
        clone_vector(e, s);
    else
        clone_plain_for(e, s);
}

static void clone_if(Expand *e, const Stmt *s) {
    lb_if(&e->b, s->cmp, map_idx(e, s->lo), map_idx(e, s->hi));
    clone_block(e, &s->body);
    if (s->orelse.stmts.len) {
        lb_else(&e->b);
        clone_block(e, &s->orelse);
    }
    lb_end(&e->b);
}

static void clone_block(Expand *e, const Block *block) {
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        if (!spend(e, s->op == LOP_FOR || s->op == LOP_ALLOC ? NAME_COST : 1))
            return;
        switch (s->op) {
        case LOP_LOAD:
            clone_load(e, s);
            break;
        case LOP_STORE:
            clone_store(e, s);
            break;
        case LOP_ALLOC:
            clone_alloc(e, s);
            break;
        case LOP_FOR:
            clone_for(e, s);
            break;
        case LOP_IF:
            clone_if(e, s);
            break;
        case LOP_PREFETCH:
            lb_prefetch(&e->b, e->buf[s->buf], access_index(e, s), (int)s->imm);
            break;
        default:
            clone_value(e, s);
        }
    }
}

/* A vector loop whose lanes store to a register of the outside cannot be split: `verify` refuses it. */
static bool expand_kernel(Context *cx, Kernel *k) {
    Block *body = NEW(k->arena, Block);
    Expand e = {.b = lb_at(cx, k, body), .k = k, .lanes = 1, .left = COPIES_LIMIT + 1};
    e.vars = k->vars.len;
    e.vals = k->vals.len;
    e.bufs = k->bufs.len;
    e.var = NEW_ARRAY(k->arena, Idx, e.vars);
    e.val = NEW_ARRAY(k->arena, LVal, e.vals);
    e.buf = NEW_ARRAY(k->arena, uint32_t, e.bufs);
    memset(e.var, 0xff, e.vars * sizeof *e.var);
    for (uint32_t i = 0; i < e.bufs; i++)
        e.buf[i] = i;
    clone_block(&e, &k->body);
    k->body = *body;
    return e.left ||
           diag_error(&cx->diag, DIAG_LOOP_SIZE, NULL,
                      "kernel @%s is too large when its loops are unrolled: more than %d statements, "
                      "a loop or buffer counted as %d",
                      k->name, COPIES_LIMIT, NAME_COST);
}

static bool has_work(const Block *block) {
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        if (s->op == LOP_FOR && (s->kind == FOR_UNROLL || s->kind == FOR_VECTOR))
            return true;
        if ((s->op == LOP_FOR || s->op == LOP_IF) && (has_work(&s->body) || has_work(&s->orelse)))
            return true;
    }
    return false;
}

bool pass_expand(Unit *u) {
    for (uint32_t i = 0; i < u->loops->kernels.len; i++)
        if (has_work(&u->loops->kernels.data[i]->body) && !expand_kernel(u->cx, u->loops->kernels.data[i]))
            return false;
    return true;
}
