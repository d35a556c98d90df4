/* What the packed algorithms read, and whether a node's operands lie so. A graph may come from a text, or
 * from a list of passes without `layout`: nothing is taken on trust. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"
#include "ir/ops/winograd.h"

static void add_part(Layout *l, int dim, int64_t factor) {
    l->part[l->nparts++] = (LayoutPart){(uint8_t)dim, (uint32_t)factor};
}

Type lower_padded(Type t, int dim, int64_t block) {
    t.layout = (Layout){0};
    for (int d = 0; d < t.rank; d++)
        add_part(&t.layout, d, 0);
    add_part(&t.layout, dim, block);
    return t;
}

Type lower_packed_weight(Type t, const Choice *c, int64_t lanes) {
    t.layout = (Layout){0};
    add_part(&t.layout, 0, 0);
    if (c->block)
        add_part(&t.layout, 1, 0);
    add_part(&t.layout, 2, 0);
    add_part(&t.layout, 3, 0);
    add_part(&t.layout, 1, c->block);
    add_part(&t.layout, 0, c->vectors * lanes);
    return t;
}

Type lower_packed_backward(Type t, const Choice *c, int64_t lanes) {
    t = lower_packed_weight(t, c, lanes);
    for (int p = 0; p < t.layout.nparts; p++) /* out and in channels have changed places */
        if (t.layout.part[p].dim < 2)
            t.layout.part[p].dim = !t.layout.part[p].dim;
    return t;
}

Type lower_packed_winograd(Type t, const Choice *c, int64_t lanes) {
    t.layout = (Layout){0};
    add_part(&t.layout, 2, 0);
    add_part(&t.layout, 3, 0);
    add_part(&t.layout, 0, 0);
    add_part(&t.layout, 1, 0);
    add_part(&t.layout, 0, c->vectors * lanes);
    return t;
}

/* ---- Does it fit? ---- */

typedef struct Fit {
    const Lower *lw;
    const Node *n;
    int64_t lanes;
    const char *algorithm;
} Fit;

static const Type *operand(const Fit *f, uint32_t i) {
    return &f->lw->g->values.data[f->n->operands[i]].type;
}

static const Type *result(const Fit *f) {
    return &f->lw->g->values.data[f->n->result].type;
}

static bool misfit(const Fit *f, ValueId v, const char *needs) {
    const Value *x = &f->lw->g->values.data[v];
    StrBuf sb = sb_new(&f->lw->cx->arena);
    type_print(&sb, &x->type);
    diag_error(&f->lw->cx->diag, DIAG_NO_LOWERING, &f->n->loc, "%s needs %%%s %s, but it is %s", f->algorithm,
               x->name, needs, sb_str(&sb));
    return diag_hint(&f->lw->cx->diag,
                     "run the pass layout between choose and lower, all three for the same target");
}

static bool same_memory(const Fit *f, uint32_t i, Type want) {
    if (type_same_memory(operand(f, i), &want))
        return true;
    StrBuf sb = sb_new(&f->lw->cx->arena);
    sb_puts(&sb, "as ");
    type_print(&sb, &want);
    return misfit(f, f->n->operands[i], sb_str(&sb));
}

static uint32_t own_operands(const Node *n) {
    return n->n_operands - n->n_epilogue; /* there is no prologue */
}

/* Pictures in whole rows: planar or blocked by the lanes. */
static bool picture(const Fit *f, const Type *t, bool blocked) {
    const Layout *l = &t->layout;
    int plain = l->nparts == 5 ? 4 : l->nparts;
    for (int p = 0; p < plain; p++)
        if (l->part[p].dim != p)
            return false;
    if (l->nparts == 5 && l->part[4].dim == 1 && l->part[4].factor == f->lanes)
        return !l->lo[1] && !l->hi[1];
    return !blocked && l->nparts != 5 && (!l->nparts || l->nparts == 4) && !l->lo[1] && !l->hi[1];
}

/* Vectors along dimension d (below 0 or of one element: a broadcast) never read past the end. */
static bool whole_vectors(const Fit *f, const Type *t, int d) {
    PhysicalPart part[MAX_PARTS];
    if (d < 0 || (t->dim[d].size == 1 && !t->dim[d].by_n))
        return true;
    int64_t room = 0;
    for (int p = type_parts(t, part) - 1; p >= 0; p--)
        if (part[p].dim == d)
            room = part[p].extent.size * part[p].divisor; /* the outermost comes last */
    int64_t used = (t->dim[d].size + f->lanes - 1) / f->lanes * f->lanes;
    return shape_lanes(t, d, (uint8_t)f->lanes) == f->lanes && !t->layout.lo[d] && room >= used;
}

/* Further operands of the epilogue are read as vectors along dimension d of the result. */
static bool extras_fit(const Fit *f, int d) {
    const Type *y = result(f);
    for (uint32_t i = own_operands(f->n); i < f->n->n_operands; i++) {
        const Type *t = operand(f, i);
        if (!whole_vectors(f, t, d - (y->rank - t->rank)))
            return misfit(f, f->n->operands[i], "padded to whole vectors");
        if (t->rank == 4 && d == 1 && !picture(f, t, false))
            return misfit(f, f->n->operands[i], "planar or blocked");
    }
    return true;
}

static bool direct_fits(const Fit *f) {
    const Node *n = f->n;
    const Choice *c = n->choice;
    const Conv2dAttrs *at = n->attrs;
    const Type *x = operand(f, 0), *y = result(f);
    int64_t group = c->vectors * f->lanes;
    if (c->block && c->block != f->lanes)
        return diag_error(&f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
                          "direct was chosen for blocks of %lld channels, but the target has vectors of %lld",
                          (long long)c->block, (long long)f->lanes);
    if (at->groups > 1 && (y->dim[1].size / at->groups) % group)
        return diag_error(&f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
                          "direct computes %lld output channels at once, which do not divide a group's %lld",
                          (long long)group, (long long)(y->dim[1].size / at->groups));
    if (!picture(f, x, false))
        return misfit(f, n->operands[0], "planar or blocked");
    for (int i = 0; i < 2; i++)
        if (x->layout.lo[2 + i] < at->padding.v[i] || x->layout.hi[2 + i] < at->padding.v[2 + i])
            return misfit(f, n->operands[0], "with a border as wide as the padding");
    if (!picture(f, y, true))
        return misfit(f, n->result, "blocked");
    return same_memory(f, 1, lower_packed_weight(*operand(f, 1), c, f->lanes)) &&
           (own_operands(n) <= 2 || same_memory(f, 2, lower_padded(*operand(f, 2), 0, group))) &&
           extras_fit(f, 1);
}

static bool depthwise_fits(const Fit *f) {
    const Node *n = f->n;
    const Conv2dAttrs *at = n->attrs;
    const Type *x = operand(f, 0);
    if (n->choice->block != f->lanes)
        return diag_error(
            &f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
            "depthwise was chosen for blocks of %lld channels, but the target has vectors of %lld",
            (long long)n->choice->block, (long long)f->lanes);
    if (!picture(f, x, true))
        return misfit(f, n->operands[0], "blocked");
    for (int i = 0; i < 2; i++)
        if (x->layout.lo[2 + i] < at->padding.v[i] || x->layout.hi[2 + i] < at->padding.v[2 + i])
            return misfit(f, n->operands[0], "with a border as wide as the padding");
    if (!picture(f, result(f), true))
        return misfit(f, n->result, "blocked");
    return same_memory(f, 1, lower_padded(*operand(f, 1), 0, f->lanes)) &&
           (own_operands(n) <= 2 || same_memory(f, 2, lower_padded(*operand(f, 2), 0, f->lanes))) &&
           extras_fit(f, 1);
}

/* conv2d_backward_weight: dy blocked, x as the convolution read it, the result dense. */
static bool weight_fits(const Fit *f) {
    const Node *n = f->n;
    const Choice *c = n->choice;
    const Conv2dAttrs *at = &((const ConvGradAttrs *)n->attrs)->conv;
    const Type *dy = operand(f, 0), *x = operand(f, 1), *w = result(f);
    if (c->block && c->block != f->lanes)
        return diag_error(&f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
                          "direct was chosen for blocks of %lld channels, but the target has vectors of %lld",
                          (long long)c->block, (long long)f->lanes);
    if (at->groups > 1 &&
        (w->dim[0].size / at->groups % (c->vectors * f->lanes) || w->dim[1].size % f->lanes))
        return diag_error(&f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
                          "direct computes %lld output channels at once, which do not divide a group's %lld",
                          (long long)(c->vectors * f->lanes), (long long)(w->dim[0].size / at->groups));
    if (!picture(f, dy, true))
        return misfit(f, n->operands[0], "blocked");
    if (!picture(f, x, c->block != 0) || (!c->block && x->layout.nparts == 5))
        return misfit(f, n->operands[1], c->block ? "blocked" : "planar");
    for (int i = 0; i < 2; i++)
        if (x->layout.lo[2 + i] < at->padding.v[i] || x->layout.hi[2 + i] < at->padding.v[2 + i])
            return misfit(f, n->operands[1], "with a border as wide as the padding");
    return layout_is_dense(&w->layout) || misfit(f, n->result, "dense");
}

static bool backward_fits(const Fit *f) {
    const Node *n = f->n;
    const Type *dy = operand(f, 0);
    int64_t border[4];
    if (n->choice->block != f->lanes)
        return diag_error(&f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
                          "direct was chosen for blocks of %lld channels, but the target has vectors of %lld",
                          (long long)n->choice->block, (long long)f->lanes);
    if (!picture(f, dy, true))
        return misfit(f, n->operands[0], "blocked");
    conv_input_border(n->attrs, dy, operand(f, 1), border);
    for (int i = 0; i < 2; i++)
        if (dy->layout.lo[2 + i] < border[i] || dy->layout.hi[2 + i] < border[2 + i])
            return misfit(f, n->operands[0], "with a border as wide as the kernel reaches");
    if (!picture(f, result(f), true))
        return misfit(f, n->result, "blocked");
    return same_memory(f, 1, lower_packed_backward(*operand(f, 1), n->choice, f->lanes)) && extras_fit(f, 1);
}

static bool winograd_fits(const Fit *f) {
    const Node *n = f->n;
    const Choice *c = n->choice;
    const Type *x = operand(f, 0);
    int64_t border[4];
    if (c->block != f->lanes)
        return diag_error(
            &f->lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
            "winograd was chosen for blocks of %lld channels, but the target has vectors of %lld",
            (long long)c->block, (long long)f->lanes);
    if (n->op != OP_conv2d_winograd)
        return misfit(f, n->operands[1], "from winograd_weight");
    if (!picture(f, x, true))
        return misfit(f, n->operands[0], "blocked");
    conv_winograd_border(&((const Conv2dWinogradAttrs *)n->attrs)->padding,
                         winograd_of_weight(operand(f, 1), c->tile)->taps, c->tile, x, border);
    for (int i = 0; i < 2; i++)
        if (x->layout.lo[2 + i] < border[i] || x->layout.hi[2 + i] < border[2 + i])
            return misfit(f, n->operands[0], "with a border as wide as its tiles reach");
    if (!picture(f, result(f), true))
        return misfit(f, n->result, "blocked");
    return same_memory(f, 1, lower_packed_winograd(*operand(f, 1), c, f->lanes)) &&
           (own_operands(n) <= 2 ||
            same_memory(f, 2, lower_padded(*operand(f, 2), 0, c->vectors * f->lanes))) &&
           extras_fit(f, 1);
}

static bool product_fits(const Fit *f) {
    const Node *n = f->n;
    int64_t group = n->choice->vectors * f->lanes;
    if (!layout_is_dense(&result(f)->layout))
        return misfit(f, n->result, "dense");
    for (uint32_t i = own_operands(n); i < n->n_operands; i++)
        if (shape_lanes(operand(f, i), 1 - (2 - operand(f, i)->rank), (uint8_t)f->lanes) != f->lanes)
            return misfit(f, n->operands[i], "dense");
    return same_memory(f, 1, lower_padded(*operand(f, 1), 0, group)) &&
           (own_operands(n) <= 2 || same_memory(f, 2, lower_padded(*operand(f, 2), 0, group)));
}

bool lower_choice_fits(const Lower *lw, const Node *n) {
    Fit f = {.lw = lw, .n = n, .lanes = target_lanes(lw->target, 4)};
    int32_t algorithm = n->choice ? n->choice->algorithm : ALGO_NONE;
    f.algorithm = algorithm == ALGO_DIRECT      ? "direct"
                  : algorithm == ALGO_WINOGRAD  ? "winograd"
                  : algorithm == ALGO_DEPTHWISE ? "depthwise"
                                                : "product";
    if (n->op == OP_conv2d_winograd && algorithm != ALGO_WINOGRAD)
        return diag_error(&lw->cx->diag, DIAG_NO_LOWERING, &n->loc,
                          "conv2d_winograd has no lowering without the choice winograd");
    if (algorithm == ALGO_WINOGRAD)
        return winograd_fits(&f);
    if (algorithm == ALGO_DEPTHWISE)
        return depthwise_fits(&f);
    if (algorithm == ALGO_DIRECT)
        return n->op == OP_conv2d                  ? direct_fits(&f)
               : n->op == OP_conv2d_backward_input ? backward_fits(&f)
                                                   : weight_fits(&f);
    return algorithm != ALGO_PRODUCT || product_fits(&f);
}
