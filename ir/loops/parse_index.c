/* Index expressions as text. They are kept exactly as written: what the printer printed was simplified when
 * it was made, and must come back as the same node. */
#include "ir/loops/parse.h"
#include <string.h>

static bool sum(LoopParser *p, Idx *out);

static bool node(LoopParser *p, IdxKind kind, int64_t value, Idx a, Idx b, Idx *out) {
    if (--p->budget < 0)
        return lex_invalid(&p->lx, "an index expression has at most %d parts", MAX_INDEX_NODES);
    *out = ix_raw(p->k, kind, value, a, b);
    return true;
}

/* min(a, b) and max(a, b); the word is passed. */
static bool extreme(LoopParser *p, IdxKind kind, Idx *out) {
    Idx a, b;
    return lex_expect(&p->lx, "(") && sum(p, &a) && lex_expect(&p->lx, ",") && sum(p, &b) &&
           lex_expect(&p->lx, ")") && node(p, kind, 0, a, b, out);
}

static bool variable(LoopParser *p, Idx *out) {
    const Name *name = names_find(&p->locals, p->lx.tok.text);
    if (!name || name->kind != NAME_VAR)
        return lex_invalid(&p->lx, "%%%s is no loop variable", p->lx.tok.text);
    if (!p->open.data[name->id])
        return lex_invalid(&p->lx, "%%%s is used outside its loop", p->lx.tok.text);
    lex_next(&p->lx);
    return node(p, IX_VAR, name->id, 0, 0, out);
}

static bool atom_inside(LoopParser *p, Idx *out) {
    Lexer *lx = &p->lx;
    if (lx->tok.kind == TOK_INT) {
        int64_t v = lx->tok.i;
        lex_next(lx);
        return node(p, IX_CONST, v, 0, 0, out);
    }
    if (lx->tok.kind == TOK_LOCAL)
        return variable(p, out);
    if (lex_accept(lx, "n"))
        return node(p, IX_N, 0, 0, 0, out);
    if (lex_accept(lx, "min"))
        return extreme(p, IX_MIN, out);
    if (lex_accept(lx, "max"))
        return extreme(p, IX_MAX, out);
    if (lex_accept(lx, "("))
        return sum(p, out) && lex_expect(lx, ")");
    return lex_fail(lx, "expected an index expression, found %s", lex_found(lx));
}

static bool atom(LoopParser *p, Idx *out) {
    if (p->depth == MAX_DEPTH)
        return lex_invalid(&p->lx, "more than %d levels deep", MAX_DEPTH);
    p->depth++;
    bool ok = atom_inside(p, out);
    p->depth--;
    return ok;
}

static bool product(LoopParser *p, Idx *out) {
    static const char *const spelling[] = {"*", "/", "%"};
    static const IdxKind kind[] = {IX_MUL, IX_DIV, IX_MOD};
    if (!atom(p, out))
        return false;
    for (int i = 0; i < 3; i++) {
        Idx b;
        int64_t c;
        if (!lex_accept(&p->lx, spelling[i]))
            continue;
        if (!atom(p, &b))
            return false;
        if (kind[i] != IX_MUL && (!ix_is_const(p->k, b, &c) || c <= 0))
            return lex_invalid(&p->lx, "index expressions divide by positive constants only");
        if (!node(p, kind[i], 0, *out, b, out))
            return false;
        i = -1; /* look for all three again */
    }
    return true;
}

static bool sum(LoopParser *p, Idx *out) {
    if (!product(p, out))
        return false;
    for (;;) {
        Idx b;
        /* "a -1" is a difference too, though the lexer sees a negative number. */
        bool negative = p->lx.tok.kind == TOK_INT && p->lx.tok.text[0] == '-';
        IdxKind kind = lex_is(&p->lx, "-") ? IX_SUB : IX_ADD;
        if (!negative && !lex_accept(&p->lx, "+") && !lex_accept(&p->lx, "-"))
            return true;
        if (!product(p, &b) || !node(p, kind, 0, *out, b, out))
            return false;
    }
}

bool parse_index(LoopParser *p, Idx *out) {
    p->budget = MAX_INDEX_NODES;
    return sum(p, out);
}
