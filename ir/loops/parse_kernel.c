/* Kernels as text: parameters, statements, control. Statements are made as written; the verifier judges
 * types. */
#include "ir/loops/parse.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names, types, values ---- */

static bool is_value_name(const char *s) {
    return isdigit((unsigned char)s[0]) != 0;
}

/* A %name of a new buffer or variable; the token is not passed. */
static bool new_name(LoopParser *p) {
    Lexer *lx = &p->lx;
    if (lx->tok.kind != TOK_LOCAL)
        return lex_fail(lx, "expected a %%name, found %s", lex_found(lx));
    return isalpha((unsigned char)lx->tok.text[0]) ||
           lex_fail(lx, "the name %%%s must begin with a letter", lx->tok.text);
}

/* f32, f32x8 */
static bool ltype(LoopParser *p, LType *out) {
    const char *s = p->lx.tok.text, *x = strchr(s, 'x');
    size_t n = x ? (size_t)(x - s) : strlen(s);
    unsigned long lanes = 1;
    if (p->lx.tok.kind != TOK_WORD || !dtype_parse(s, n, &out->dtype))
        return lex_fail(&p->lx, "expected a type such as f32x8, found %s", lex_found(&p->lx));
    if (x) {
        char *end;
        lanes = isdigit((unsigned char)x[1]) ? strtoul(x + 1, &end, 10) : 0;
        if (lanes < 2 || lanes > MAX_TEXT_LANES || *end || x[1] == '0')
            return lex_fail(&p->lx, "a vector has 2 to %d lanes", MAX_TEXT_LANES);
    }
    out->lanes = (uint8_t)lanes;
    lex_next(&p->lx);
    return true;
}

static bool dtype(LoopParser *p, DType *out) {
    LType t;
    if (!ltype(p, &t))
        return false;
    *out = t.dtype;
    return t.lanes == 1 || lex_fail(&p->lx, "expected an element type, not a vector");
}

static bool value(LoopParser *p, LVal *out) {
    Lexer *lx = &p->lx;
    if (lx->tok.kind != TOK_LOCAL)
        return lex_fail(lx, "expected a value such as %%0, found %s", lex_found(lx));
    const Name *name = names_find(&p->locals, lx->tok.text);
    if (!name || name->kind != NAME_VALUE)
        return lex_invalid(lx, "%%%s is no value defined before", lx->tok.text);
    *out = name->id;
    lex_next(lx);
    return true;
}

static bool buffer(LoopParser *p, uint32_t *out) {
    Lexer *lx = &p->lx;
    const Name *name = lx->tok.kind == TOK_LOCAL ? names_find(&p->locals, lx->tok.text) : NULL;
    if (!name || name->kind != NAME_BUF)
        return lex_invalid(lx, "expected a buffer, found %s", lex_found(lx));
    *out = name->id;
    lex_next(lx);
    return true;
}

/* %buf[index] */
static bool element(LoopParser *p, Stmt *s) {
    return buffer(p, &s->buf) && lex_expect(&p->lx, "[") && parse_index(p, &s->index) &&
           lex_expect(&p->lx, "]");
}

static bool access_flags(LoopParser *p, Stmt *s) {
    if (lex_accept(&p->lx, "stride") && !parse_range(p, 1, TYPE_MAX_ELEMS, &s->stride))
        return false;
    s->nontemporal = lex_accept(&p->lx, "nontemporal");
    return true;
}

static Stmt *append(LoopParser *p, Block *b, LOp op) {
    Stmt *s = NEW(p->k->arena, Stmt);
    s->op = op;
    s->result = NO_LVAL;
    for (int i = 0; i < 3; i++)
        s->arg[i] = NO_LVAL;
    s->stride = 1;
    vec_push(p->k->arena, &b->stmts, s);
    return s;
}

/* ---- Operations that give a value ---- */

static bool args(LoopParser *p, Stmt *s) {
    for (int i = 0; i < lop_info[s->op].args; i++)
        if ((i && !lex_expect(&p->lx, ",")) || !value(p, &s->arg[i]))
            return false;
    return true;
}

static bool literal(LoopParser *p, Stmt *s) {
    if (dtype_is_float(s->type.dtype))
        return lex_number(&p->lx, &s->imm);
    return lex_int(&p->lx, &s->imm_int);
}

static bool shuffle_lanes(LoopParser *p, Stmt *s) {
    uint8_t lane[MAX_TEXT_LANES];
    int n = 0;
    int64_t v;
    if (!lex_expect(&p->lx, "["))
        return false;
    do {
        if (n == MAX_TEXT_LANES)
            return lex_fail(&p->lx, "a vector has at most %d lanes", MAX_TEXT_LANES);
        if (!parse_range(p, 0, 2 * MAX_TEXT_LANES - 1, &v))
            return false;
        lane[n++] = (uint8_t)v;
    } while (lex_accept(&p->lx, ","));
    s->lane = arena_copy(p->k->arena, lane, (size_t)n);
    s->type.lanes = (uint8_t)n;
    return lex_expect(&p->lx, "]");
}

/* The type of a result that follows from the arguments. */
static LType derived_type(const LoopParser *p, const Stmt *s) {
    LType t = p->k->vals.data[s->arg[s->op == LOP_SELECT ? 1 : 0]];
    if (lop_info[s->op].kind == 'C')
        t.dtype = DT_BOOL;
    if (s->op == LOP_EXTRACT || s->op == LOP_SUM || s->op == LOP_HMAX)
        t.lanes = 1;
    return t;
}

static bool typed_operation(LoopParser *p, Stmt *s) {
    if (!ltype(p, &s->type) || !args(p, s))
        return false;
    if (s->op == LOP_CONST)
        return literal(p, s);
    if (s->op == LOP_INDEX)
        return parse_index(p, &s->index);
    return s->op != LOP_LOAD || (element(p, s) && access_flags(p, s));
}

static bool operation(LoopParser *p, Stmt *s) {
    int64_t lane = 0;
    DType to = DT_F32;
    switch (s->op) {
    case LOP_CONST:
    case LOP_INDEX:
    case LOP_LOAD:
    case LOP_SPLAT:
    case LOP_BITCAST:
        return typed_operation(p, s);
    case LOP_CLOCK:
        s->type = (LType){DT_I64, 1};
        return true;
    case LOP_CONVERT:
        if (!dtype(p, &to) || !args(p, s))
            return false;
        s->type = (LType){to, derived_type(p, s).lanes};
        return true;
    case LOP_EXTRACT:
        if (!args(p, s) || !lex_expect(&p->lx, ",") || !parse_range(p, 0, MAX_TEXT_LANES - 1, &lane))
            return false;
        s->imm = (double)lane;
        s->type = derived_type(p, s);
        return true;
    case LOP_SHUFFLE:
        if (!args(p, s))
            return false;
        s->type = derived_type(p, s);
        return shuffle_lanes(p, s);
    default:
        if (!args(p, s))
            return false;
        s->type = derived_type(p, s);
        return true;
    }
}

/* %3 = add %1, %2 */
static bool definition(LoopParser *p, Block *b) {
    Lexer *lx = &p->lx;
    const char *name = lx->tok.text;
    if (!is_value_name(name) || strspn(name, "0123456789") != strlen(name))
        return lex_fail(lx, "values are called %%0, %%1 and so on, not %%%s", name);
    if (names_find(&p->locals, name))
        return lex_invalid(lx, "%%%s is defined twice", name);
    lex_next(lx);
    if (!lex_expect(lx, "="))
        return false;
    LOp op = 0;
    while (op < LOP_VALUE_COUNT && strcmp(lx->tok.text, lop_info[op].name) != 0)
        op++;
    if (op == LOP_VALUE_COUNT || lx->tok.kind != TOK_WORD)
        return lex_fail(lx, "expected an operation, found %s", lex_found(lx));
    lex_next(lx);
    Stmt *s = append(p, b, op);
    if (!operation(p, s))
        return false;
    s->result = p->k->vals.len;
    vec_push(p->k->arena, &p->k->vals, s->type);
    names_add(&p->cx->arena, &p->locals, name, NAME_VALUE, s->result);
    return true;
}

/* ---- Allocations ---- */

static bool same_buf(const LBuf *a, const LBuf *b) {
    return a->kind == b->kind && a->dtype == b->dtype && a->lanes == b->lanes &&
           a->extent.size == b->extent.size && a->align == b->align && a->offset == b->offset;
}

/* Copies of a loop body allocate the same buffer again: that is one buffer. */
static bool declare(LoopParser *p, const LBuf *buf, uint32_t *out) {
    const Name *name = names_find(&p->locals, buf->name);
    if (!name) {
        *out = p->k->bufs.len;
        vec_push(p->k->arena, &p->k->bufs, *buf);
        names_add(&p->cx->arena, &p->locals, buf->name, NAME_BUF, *out);
        return true;
    }
    *out = name->id;
    return (name->kind == NAME_BUF && name->id >= p->k->n_params &&
            same_buf(&p->k->bufs.data[name->id], buf)) ||
           lex_invalid(&p->lx, "%%%s is something else already", buf->name);
}

static bool alignment(LoopParser *p, uint32_t *align) {
    int64_t v;
    if (!lex_accept(&p->lx, "align"))
        return true;
    if (!parse_range(p, 1, 4096, &v))
        return false;
    *align = (uint32_t)v;
    return true;
}

static bool alloc(LoopParser *p, Block *b) {
    LBuf buf = {.inplace = -1, .offset = -1};
    LType t;
    int kind;
    if (!parse_word_of(p, lbuf_kind_names, &kind))
        return false;
    if (kind < LB_REG)
        return lex_fail(&p->lx, "expected reg, stack or scratch, found %s", lex_found(&p->lx));
    lex_next(&p->lx);
    if (!new_name(p))
        return false;
    buf.name = p->lx.tok.text;
    lex_next(&p->lx);
    if (!lex_expect(&p->lx, ":") || !ltype(p, &t) || !lex_expect(&p->lx, "[") ||
        !parse_range(p, 1, INT64_MAX, &buf.extent.size) || !lex_expect(&p->lx, "]"))
        return false;
    buf.kind = (LBufKind)kind;
    buf.dtype = t.dtype;
    buf.lanes = t.lanes;
    buf.align = kind == LB_REG ? dtype_bytes(t.dtype) : 64;
    if (!alignment(p, &buf.align) || (lex_accept(&p->lx, "at") && !parse_range(p, 0, INT64_MAX, &buf.offset)))
        return false;
    Stmt *s = append(p, b, LOP_ALLOC);
    s->type = t;
    return declare(p, &buf, &s->buf);
}

/* ---- Control ---- */

static bool block(LoopParser *p, Block *b);

static bool for_kind(LoopParser *p, Stmt *s) {
    int kind;
    int64_t lanes = 0;
    if (p->lx.tok.kind == TOK_LOCAL)
        return true;
    if (!parse_word_of(p, for_kind_names, &kind))
        return false;
    if (kind < 0)
        return lex_fail(&p->lx, "expected a kind of loop or a variable, found %s", lex_found(&p->lx));
    lex_next(&p->lx);
    s->kind = (ForKind)kind;
    if (kind == FOR_VECTOR &&
        (!lex_expect(&p->lx, "(") || !parse_range(p, 2, MAX_TEXT_LANES, &lanes) || !lex_expect(&p->lx, ")")))
        return false;
    s->lanes = (uint8_t)lanes;
    if (kind == FOR_PARALLEL && lex_accept(&p->lx, "("))
        return parse_range(p, 1, INT64_MAX, &s->grain) && lex_expect(&p->lx, ")");
    return true;
}

/* The variable of a loop; one that ended may be used again by a later loop. */
static bool loop_variable(LoopParser *p, uint32_t *var) {
    if (!new_name(p))
        return false;
    const char *text = p->lx.tok.text;
    const Name *name = names_find(&p->locals, text);
    if (name && (name->kind != NAME_VAR || p->open.data[name->id]))
        return lex_invalid(&p->lx, "%%%s is something else here", text);
    if (name) {
        *var = name->id;
    } else {
        *var = p->k->vars.len;
        vec_push(p->k->arena, &p->k->vars, text);
        vec_push(p->k->arena, &p->k->ranges, (IxRange){INT64_MAX, INT64_MIN});
        vec_push(&p->cx->arena, &p->open, false);
        names_add(&p->cx->arena, &p->locals, text, NAME_VAR, *var);
    }
    lex_next(&p->lx);
    return true;
}

static void widen_range(IxRange *r, IxRange by) {
    r->lo = by.lo < r->lo ? by.lo : r->lo;
    r->hi = by.hi > r->hi ? by.hi : r->hi;
}

static bool for_loop(LoopParser *p, Block *b) {
    Stmt *s = append(p, b, LOP_FOR);
    s->step = 1;
    if (!for_kind(p, s) || !loop_variable(p, &s->var) || !lex_expect(&p->lx, "=") ||
        !parse_index(p, &s->lo) || !lex_expect(&p->lx, "to") || !parse_index(p, &s->hi))
        return false;
    if (lex_accept(&p->lx, "step") && !parse_range(p, 1, INT64_MAX, &s->step))
        return false;
    widen_range(&p->k->ranges.data[s->var], loop_range(p->k, s->lo, s->hi, s->step));
    p->open.data[s->var] = true;
    if (!block(p, &s->body))
        return false;
    p->open.data[s->var] = false;
    return true;
}

static bool comparison(LoopParser *p, IfCmp *out) {
    if (lex_accept(&p->lx, "<")) {
        *out = lex_accept(&p->lx, "=") ? IF_LE : IF_LT;
        return true;
    }
    *out = lex_is(&p->lx, "=") ? IF_EQ : IF_NE;
    return (lex_accept(&p->lx, "=") || lex_accept(&p->lx, "!")) ? lex_expect(&p->lx, "=")
                                                                : lex_expect(&p->lx, "<");
}

static bool conditional(LoopParser *p, Block *b) {
    Stmt *s = append(p, b, LOP_IF);
    if (!parse_index(p, &s->lo) || !comparison(p, &s->cmp) || !parse_index(p, &s->hi) || !block(p, &s->body))
        return false;
    return !lex_accept(&p->lx, "else") || block(p, &s->orelse);
}

static bool store(LoopParser *p, Block *b) {
    Stmt *s = append(p, b, LOP_STORE);
    if (!element(p, s) || !lex_expect(&p->lx, ",") || !value(p, &s->arg[0]))
        return false;
    s->type = p->k->vals.data[s->arg[0]];
    return access_flags(p, s);
}

static bool prefetch(LoopParser *p, Block *b) {
    Stmt *s = append(p, b, LOP_PREFETCH);
    int64_t locality = 0;
    if (!element(p, s) || !lex_expect(&p->lx, ",") || !parse_range(p, 0, 3, &locality))
        return false;
    s->imm = (double)locality;
    return true;
}

static bool statement(LoopParser *p, Block *b) {
    Lexer *lx = &p->lx;
    if (lx->tok.kind == TOK_LOCAL)
        return definition(p, b);
    if (lex_accept(lx, "store"))
        return store(p, b);
    if (lex_accept(lx, "for"))
        return for_loop(p, b);
    if (lex_accept(lx, "if"))
        return conditional(p, b);
    if (lex_accept(lx, "alloc"))
        return alloc(p, b);
    if (lex_accept(lx, "prefetch"))
        return prefetch(p, b);
    return lex_fail(lx, "expected a statement, found %s", lex_found(lx));
}

static bool block(LoopParser *p, Block *b) {
    if (p->depth == MAX_DEPTH)
        return lex_invalid(&p->lx, "more than %d levels deep", MAX_DEPTH);
    p->depth++;
    if (!lex_expect(&p->lx, "{"))
        return false;
    while (!lex_is(&p->lx, "}"))
        if (!statement(p, b))
            return false;
    p->depth--;
    return lex_expect(&p->lx, "}");
}

/* ---- Parameters ---- */

/* `inplace` may name a later parameter, so it is kept in *inplace. */
static bool param(LoopParser *p, const char **inplace) {
    Lexer *lx = &p->lx;
    LBuf buf = {.inplace = -1, .offset = -1, .lanes = 1, .extent = {1, false}};
    int kind;
    if (!parse_word_of(p, lbuf_kind_names, &kind))
        return false;
    if (kind < 0 || kind > LB_INOUT)
        return lex_fail(lx, "expected in, out or inout, found %s", lex_found(lx));
    lex_next(lx);
    buf.kind = (LBufKind)kind;
    if (!new_name(p))
        return false;
    buf.name = lx->tok.text;
    if (names_find(&p->locals, buf.name))
        return lex_invalid(lx, "two parameters are called %%%s", buf.name);
    lex_next(lx);
    if (!lex_expect(lx, ":") || !dtype(p, &buf.dtype) || !lex_expect(lx, "["))
        return false;
    if (!lex_is(lx, "N") && !parse_range(p, 1, INT64_MAX, &buf.extent.size))
        return false;
    buf.extent.by_n = lex_accept(lx, "N");
    buf.align = dtype_bytes(buf.dtype);
    if (!lex_expect(lx, "]") || !alignment(p, &buf.align))
        return false;
    *inplace = NULL;
    if (lex_accept(lx, "inplace")) {
        if (lx->tok.kind != TOK_LOCAL)
            return lex_fail(lx, "expected a parameter, found %s", lex_found(lx));
        *inplace = lx->tok.text;
        lex_next(lx);
    }
    buf.noalias = lex_accept(lx, "noalias");
    names_add(&p->cx->arena, &p->locals, buf.name, NAME_BUF, p->k->bufs.len);
    vec_push(p->k->arena, &p->k->bufs, buf);
    return true;
}

static bool params(LoopParser *p) {
    VEC(const char *) inplace = {0};
    const char *name = NULL;
    if (!lex_expect(&p->lx, "("))
        return false;
    while (!lex_is(&p->lx, ")")) {
        if ((inplace.len && !lex_expect(&p->lx, ",")) || !param(p, &name))
            return false;
        vec_push(&p->cx->arena, &inplace, name);
    }
    p->k->n_params = p->k->bufs.len;
    for (uint32_t i = 0; i < inplace.len; i++) {
        const Name *at = inplace.data[i] ? names_find(&p->locals, inplace.data[i]) : NULL;
        if (inplace.data[i] && !at)
            return lex_invalid(&p->lx, "%%%s is no parameter", inplace.data[i]);
        if (at)
            p->k->bufs.data[i].inplace = (int32_t)at->id;
    }
    return lex_expect(&p->lx, ")");
}

bool parse_kernel(LoopParser *p) {
    const char *name = NULL;
    if (!parse_global(p, &name))
        return false;
    p->k = kernel_new(p->cx, name);
    p->locals = (Names){0};
    p->open.len = 0;
    p->depth = 0;
    return params(p) && block(p, &p->k->body);
}
