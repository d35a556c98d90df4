/* Building kernels: statements are appended to the innermost open block. */
#include "ir/loops/build.h"
#include "ir/loops/index.h"
#include <ctype.h>
#include <string.h>

Kernel *kernel_new(Context *cx, const char *name) {
    Kernel *k = NEW(&cx->arena, Kernel);
    k->name = intern(cx, name);
    k->arena = &cx->arena;
    return k;
}

LBuild lb_at(Context *cx, Kernel *k, Block *block) {
    LBuild b = {.cx = cx, .k = k, .contract = true};
    vec_push(k->arena, &b.open, block);
    return b;
}

LBuild lb_begin(Context *cx, const char *name) {
    Kernel *k = kernel_new(cx, name);
    return lb_at(cx, k, &k->body);
}

/* ---- Names ---- */

static bool local_name_taken(const Kernel *k, const char *name) {
    for (uint32_t i = 0; i < k->bufs.len; i++)
        if (k->bufs.data[i].name == name)
            return true;
    for (uint32_t i = 0; i < k->vars.len; i++)
        if (k->vars.data[i] == name)
            return true;
    return false;
}

/* Buffers and loop variables share one name space, begin with a letter and hold what a %name may. */
static const char *unique_local(Context *cx, const Kernel *k, const char *want) {
    StrBuf sb = sb_new(&cx->arena);
    if (!want || !isalpha((unsigned char)want[0]))
        sb_putc(&sb, 'v');
    for (const char *p = want; p && *p; p++)
        sb_putc(&sb, isalnum((unsigned char)*p) || *p == '_' || *p == '.' ? *p : '_');
    const char *base = intern(cx, sb_str(&sb)), *name = base;
    for (unsigned i = 1; local_name_taken(k, name); i++)
        name = intern_f(cx, "%s.%u", base, i);
    return name;
}

uint32_t kernel_var(Context *cx, Kernel *k, const char *name, IxRange range) {
    vec_push(k->arena, &k->vars, unique_local(cx, k, name));
    vec_push(k->arena, &k->ranges, range);
    return k->vars.len - 1;
}

/* ---- Statements ---- */

static Block *top(const LBuild *b) {
    return b->open.data[b->open.len - 1];
}

static void open_block(LBuild *b, Block *block) {
    vec_push(b->k->arena, &b->open, block);
}

static Stmt *append(LBuild *b, LOp op) {
    Stmt *s = NEW(b->k->arena, Stmt);
    s->op = op;
    s->result = NO_LVAL;
    for (int i = 0; i < 3; i++)
        s->arg[i] = NO_LVAL;
    s->stride = 1;
    vec_push(b->k->arena, &top(b)->stmts, s);
    return s;
}

static Stmt *append_value(LBuild *b, LOp op, LType type) {
    Stmt *s = append(b, op);
    s->type = type;
    s->result = b->k->vals.len;
    vec_push(b->k->arena, &b->k->vals, type);
    return s;
}

LType lb_type(const LBuild *b, LVal v) {
    return b->k->vals.data[v];
}

/* ---- Buffers ---- */

static uint32_t add_buf(LBuild *b, const char *name, LBuf buf) {
    buf.name = unique_local(b->cx, b->k, name);
    buf.inplace = -1;
    buf.offset = -1;
    vec_push(b->k->arena, &b->k->bufs, buf);
    return b->k->bufs.len - 1;
}

uint32_t lb_param(LBuild *b, const char *name, LBufKind kind, DType dtype, Dim extent) {
    uint32_t n = add_buf(
        b, name,
        (LBuf){.kind = kind, .dtype = dtype, .lanes = 1, .extent = extent, .align = dtype_bytes(dtype)});
    b->k->n_params = n + 1;
    return n;
}

uint32_t lb_alloc(LBuild *b, LBufKind kind, const char *name, LType elem, int64_t extent) {
    uint32_t n = add_buf(b, name,
                         (LBuf){.kind = kind,
                                .dtype = elem.dtype,
                                .lanes = elem.lanes,
                                .extent = {extent, false},
                                .align = kind == LB_REG ? dtype_bytes(elem.dtype) : 64});
    Stmt *s = append(b, LOP_ALLOC);
    s->buf = n;
    s->type = elem;
    return n;
}

Idx lb_n(LBuild *b) {
    return ix_raw(b->k, IX_N, 0, 0, 0);
}

Idx lb_dim(LBuild *b, Dim d) {
    return d.by_n ? lb_mulc(b, lb_n(b), d.size) : lb_c(b, d.size);
}

/* ---- Control ---- */

/* Values of the variable of a loop over [lo, hi). */
IxRange loop_range(const Kernel *k, Idx lo, Idx hi, int64_t step) {
    IxRange l = ix_known(k, lo), h = ix_known(k, hi);
    IxRange r = {l.lo, h.hi == INT64_MAX || h.hi == INT64_MIN ? INT64_MAX : h.hi - 1};
    if (l.lo == l.hi && r.hi != INT64_MAX && r.hi > l.lo && l.lo >= 0)
        r.hi = l.lo + (r.hi - l.lo) / step * step;
    return r;
}

/* A block nobody keeps: code that provably never runs. */
static void open_dead(LBuild *b) {
    Block *dead = NEW(b->k->arena, Block);
    open_block(b, dead);
}

static Idx open_for(LBuild *b, ForKind kind, const char *var, Idx lo, Idx hi, int64_t step, uint8_t lanes) {
    int64_t l, h, next;
    if (ix_is_const(b->k, lo, &l) && ix_is_const(b->k, hi, &h)) {
        if (l >= h) {
            open_dead(b);
            return lo;
        }
        if (__builtin_add_overflow(l, step, &next) || next >= h) {
            open_block(b, top(b));
            return lo;
        }
    }
    Stmt *s = append(b, LOP_FOR);
    s->kind = kind;
    s->var = kernel_var(b->cx, b->k, var, loop_range(b->k, lo, hi, step));
    s->lo = lo;
    s->hi = hi;
    s->step = step;
    s->lanes = lanes;
    open_block(b, &s->body);
    return ix_var(b->k, s->var);
}

Idx lb_for(LBuild *b, ForKind kind, const char *var, Idx lo, Idx hi, int64_t step) {
    return open_for(b, kind, var, lo, hi, step, 0);
}

Idx lb_for_vector(LBuild *b, const char *var, Idx lo, Idx hi, uint8_t lanes) {
    return open_for(b, FOR_VECTOR, var, lo, hi, 1, lanes);
}

/* 1: always true, 0: never, -1: not known */
static int decide(Kernel *k, IfCmp cmp, Idx x, Idx y) {
    IxRange d = ix_known(k, ix_make(k, IX_SUB, x, y));
    bool same = d.lo == 0 && d.hi == 0, differ = d.hi < 0 || d.lo > 0;
    switch (cmp) {
    case IF_LT:
        return d.hi < 0 ? 1 : d.lo >= 0 ? 0 : -1;
    case IF_LE:
        return d.hi <= 0 ? 1 : d.lo > 0 ? 0 : -1;
    case IF_EQ:
        return same ? 1 : differ ? 0 : -1;
    default:
        return same ? 0 : differ ? 1 : -1;
    }
}

void lb_if(LBuild *b, IfCmp cmp, Idx x, Idx y) {
    int known = decide(b->k, cmp, x, y);
    if (known == 1) {
        open_block(b, top(b));
    } else if (known == 0) {
        open_dead(b);
    } else {
        Stmt *s = append(b, LOP_IF);
        s->cmp = cmp;
        s->lo = x;
        s->hi = y;
        open_block(b, &s->body);
    }
}

/* How the `if` being closed was made shows in its block: its statement's body, the parent itself (always
 * true), or a dead block (never). */
void lb_else(LBuild *b) {
    Block *then = top(b);
    b->open.len--;
    Block *parent = top(b);
    Stmt *last = parent->stmts.len ? parent->stmts.data[parent->stmts.len - 1] : NULL;
    if (last && last->op == LOP_IF && &last->body == then)
        open_block(b, &last->orelse);
    else if (then == parent)
        open_dead(b);
    else
        open_block(b, parent);
}

void lb_end(LBuild *b) {
    b->open.len--;
}

/* ---- Memory ---- */

LVal lb_load_strided(LBuild *b, LType t, uint32_t buf, Idx index, int64_t stride) {
    Stmt *s = append_value(b, LOP_LOAD, t);
    s->buf = buf;
    s->index = index;
    s->stride = stride;
    return s->result;
}

LVal lb_load(LBuild *b, LType t, uint32_t buf, Idx index) {
    return lb_load_strided(b, t, buf, index, 1);
}

void lb_store_strided(LBuild *b, uint32_t buf, Idx index, LVal v, int64_t stride) {
    LType t = lb_type(b, v);
    Stmt *s = append(b, LOP_STORE);
    s->type = t;
    s->arg[0] = v;
    s->buf = buf;
    s->index = index;
    s->stride = stride;
}

void lb_store(LBuild *b, uint32_t buf, Idx index, LVal v) {
    lb_store_strided(b, buf, index, v, 1);
}

void lb_prefetch(LBuild *b, uint32_t buf, Idx index, int locality) {
    Stmt *s = append(b, LOP_PREFETCH);
    s->buf = buf;
    s->index = index;
    s->imm = locality;
}

/* ---- Arithmetic ---- */

static Stmt *append_op(LBuild *b, LOp op, LType t, LVal x, LVal y, LVal z) {
    Stmt *s = append_value(b, op, t);
    s->arg[0] = x;
    s->arg[1] = y;
    s->arg[2] = z;
    return s;
}

LVal lb_const(LBuild *b, LType t, double v) {
    Stmt *s = append_value(b, LOP_CONST, t);
    if (dtype_is_float(t.dtype))
        s->imm = v;
    else if (v > -0x1p63 && v < 0x1p63)
        s->imm_int = (int64_t)v;
    return s->result;
}

LVal lb_const_int(LBuild *b, LType t, int64_t v) {
    Stmt *s = append_value(b, LOP_CONST, t);
    if (dtype_is_float(t.dtype))
        s->imm = (double)v;
    else
        s->imm_int = v;
    return s->result;
}

LVal lb_index(LBuild *b, LType t, Idx x) {
    Stmt *s = append_value(b, LOP_INDEX, t);
    s->index = x;
    return s->result;
}

LVal lb_splat(LBuild *b, LVal scalar, uint8_t lanes) {
    if (lanes == 1)
        return scalar;
    LType t = {lb_type(b, scalar).dtype, lanes};
    return append_op(b, LOP_SPLAT, t, scalar, NO_LVAL, NO_LVAL)->result;
}

LVal lb_op1(LBuild *b, LOp op, LVal x) {
    LType t = lb_type(b, x);
    if (op == LOP_SUM || op == LOP_HMAX) {
        if (t.lanes == 1)
            return x;
        t.lanes = 1;
    }
    return append_op(b, op, t, x, NO_LVAL, NO_LVAL)->result;
}

static bool is_compare(LOp op) {
    return op >= LOP_CMPEQ && op <= LOP_CMPLE;
}

LVal lb_op2(LBuild *b, LOp op, LVal x, LVal y) {
    LType t = lb_type(b, x);
    if (is_compare(op))
        t.dtype = DT_BOOL;
    return append_op(b, op, t, x, y, NO_LVAL)->result;
}

LVal lb_mad(LBuild *b, LVal x, LVal y, LVal z) {
    if (!b->contract)
        return lb_op2(b, LOP_ADD, lb_op2(b, LOP_MUL, x, y), z);
    return append_op(b, LOP_MAD, lb_type(b, x), x, y, z)->result;
}

LVal lb_select(LBuild *b, LVal cond, LVal x, LVal y) {
    return append_op(b, LOP_SELECT, lb_type(b, x), cond, x, y)->result;
}

LVal lb_convert(LBuild *b, DType to, LVal x) {
    LType t = lb_type(b, x);
    if (t.dtype == to)
        return x;
    t.dtype = to;
    return append_op(b, LOP_CONVERT, t, x, NO_LVAL, NO_LVAL)->result;
}

LVal lb_bitcast(LBuild *b, LType to, LVal x) {
    return append_op(b, LOP_BITCAST, to, x, NO_LVAL, NO_LVAL)->result;
}

LVal lb_extract(LBuild *b, LVal x, int lane) {
    LType t = {lb_type(b, x).dtype, 1};
    Stmt *s = append_op(b, LOP_EXTRACT, t, x, NO_LVAL, NO_LVAL);
    s->imm = lane;
    return s->result;
}

LVal lb_shuffle(LBuild *b, LVal x, LVal y, const uint8_t *lane, uint8_t lanes) {
    LType t = {lb_type(b, x).dtype, lanes};
    Stmt *s = append_op(b, LOP_SHUFFLE, t, x, y, NO_LVAL);
    s->lane = arena_copy(b->k->arena, lane, lanes);
    return s->result;
}
