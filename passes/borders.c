/* Border needs: a fact that `choose` and `layout` share. */
#include "passes/borders.h"
#include "ir/op.h"

enum { BORDER_MAX = 64 }; /* wider paddings go to the plain nest */

bool conv_can_be_direct(const Graph *g, const Node *n, int64_t lanes) {
    const Conv2dAttrs *at = n->attrs;
    const Type *w = &g->values.data[n->operands[1]].type;
    if (n->prologue || w->dtype != DT_F32)
        return false;
    for (int i = 0; i < 4; i++)
        if (at->padding.v[i] > BORDER_MAX)
            return false;
    return at->groups == 1 || (w->dim[1].size % lanes == 0 && (w->dim[0].size / at->groups) % lanes == 0);
}

static bool is_direct(const Graph *g, const Node *n) {
    if (n->op != OP_conv2d)
        return false;
    return n->choice ? n->choice->algorithm == ALGO_DIRECT : conv_can_be_direct(g, n, 4);
}

bool conv_weight_can_be_direct(const Graph *g, const Node *n, int64_t lanes) {
    const Conv2dAttrs *at = &((const ConvGradAttrs *)n->attrs)->conv;
    const Type *w = &g->values.data[n->result].type;
    if (w->dtype != DT_F32)
        return false;
    for (int i = 0; i < 4; i++)
        if (at->padding.v[i] > BORDER_MAX)
            return false;
    return at->groups == 1 || (w->dim[1].size % lanes == 0 && (w->dim[0].size / at->groups) % lanes == 0);
}

/* The padding of a direct node, and the operand that must carry it; NULL: none. */
static const IntList *border_of(const Graph *g, const Node *n, uint32_t *operand) {
    bool weight = n->op == OP_conv2d_backward_weight;
    if (!weight && !is_direct(g, n))
        return NULL;
    if (weight && !(n->choice ? n->choice->algorithm == ALGO_DIRECT : conv_weight_can_be_direct(g, n, 4)))
        return NULL;
    *operand = weight;
    return weight ? &((const ConvGradAttrs *)n->attrs)->conv.padding
                  : &((const Conv2dAttrs *)n->attrs)->padding;
}

static void widen(uint16_t *side, int64_t padding) {
    if (padding > *side)
        *side = (uint16_t)padding;
}

Border *border_needs(const Graph *g) {
    Border *need = NEW_ARRAY(&g->cx->arena, Border, g->values.len);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        uint32_t operand;
        const IntList *padding = border_of(g, n, &operand);
        if (!padding)
            continue;
        Border *b = &need[n->operands[operand]];
        widen(&b->top, padding->v[0]);
        widen(&b->left, padding->v[1]);
        widen(&b->bottom, padding->v[2]);
        widen(&b->right, padding->v[3]);
    }
    return need;
}
