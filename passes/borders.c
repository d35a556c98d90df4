/* Border needs: a fact that `choose` and `layout` share. */
#include "passes/borders.h"
#include "ir/lower/lower.h"
#include "ir/ops/winograd.h"

#include <string.h>

enum { BORDER_MAX = 64 }; /* wider paddings go to the plain nest */

/* By what reads the input's border from memory. */
static bool can_read_border(const Node *n, const Type *w) {
    const Conv2dAttrs *at = n->attrs;
    if (n->prologue || w->dtype != DT_F32)
        return false;
    for (int i = 0; i < 4; i++)
        if (at->padding.v[i] > BORDER_MAX)
            return false;
    return true;
}

bool conv_can_be_depthwise(const Graph *g, const Node *n, int64_t lanes) {
    const Type *w = &g->values.data[n->operands[1]].type;
    return can_read_border(n, w) && conv2d_is_depthwise(n->attrs, w) && w->dim[0].size > lanes / 2;
}

bool conv_can_be_direct(const Graph *g, const Node *n, int64_t lanes) {
    const Conv2dAttrs *at = n->attrs;
    const Type *w = &g->values.data[n->operands[1]].type;
    if (!can_read_border(n, w))
        return false;
    return at->groups == 1 || (w->dim[1].size % lanes == 0 && (w->dim[0].size / at->groups) % lanes == 0);
}

static bool reads_border(const Graph *g, const Node *n) {
    if (n->op != OP_conv2d)
        return false;
    return n->choice ? n->choice->algorithm == ALGO_DIRECT || n->choice->algorithm == ALGO_DEPTHWISE
                     : conv_can_be_direct(g, n, 4) || conv_can_be_depthwise(g, n, 4);
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

bool conv_input_can_be_direct(const Graph *g, const Node *n) {
    enum { MAX_STRIDE = 4 }; /* each phase is code of its own */
    const Conv2dAttrs *at = &((const ConvGradAttrs *)n->attrs)->conv;
    const Type *w = &g->values.data[n->operands[1]].type, *dy = &g->values.data[n->operands[0]].type;
    int64_t border[4];
    conv_input_border(n->attrs, dy, w, border);
    for (int i = 0; i < 4; i++)
        if (border[i] > BORDER_MAX || at->stride.v[i % 2] > MAX_STRIDE || at->dilation.v[i % 2] > 1)
            return false;
    return w->dtype == DT_F32 && at->groups == 1;
}

static bool chosen(const Node *n, bool can) {
    return n->choice ? n->choice->algorithm == ALGO_DIRECT : can;
}

/* The border that a direct node reads around an operand, whose number is returned; -1: none. */
static int border_of(const Graph *g, const Node *n, int64_t border[4]) {
    const IntList *padding = NULL;
    if (n->choice && n->choice->algorithm == ALGO_WINOGRAD) {
        const Type *w = &g->values.data[n->operands[1]].type;
        int64_t taps = w->dim[2].size;
        if (n->op == OP_conv2d_winograd)
            taps = winograd_of_weight(w, n->choice->tile)->taps;
        padding = n->op == OP_conv2d ? &((const Conv2dAttrs *)n->attrs)->padding
                                     : &((const Conv2dWinogradAttrs *)n->attrs)->padding;
        conv_winograd_border(padding, taps, n->choice->tile, &g->values.data[n->operands[0]].type, border);
        return 0;
    }
    if (reads_border(g, n))
        padding = &((const Conv2dAttrs *)n->attrs)->padding;
    if (n->op == OP_conv2d_backward_weight && chosen(n, conv_weight_can_be_direct(g, n, 4)))
        padding = &((const ConvGradAttrs *)n->attrs)->conv.padding;
    if (padding) {
        memcpy(border, padding->v, 4 * sizeof *border);
        return n->op != OP_conv2d;
    }
    if (n->op != OP_conv2d_backward_input || !chosen(n, conv_input_can_be_direct(g, n)))
        return -1;
    conv_input_border(n->attrs, &g->values.data[n->operands[0]].type, &g->values.data[n->operands[1]].type,
                      border);
    return 0;
}

static void widen(uint16_t *side, int64_t padding) {
    if (padding > *side)
        *side = (uint16_t)padding;
}

Border *border_needs(const Graph *g) {
    Border *need = NEW_ARRAY(&g->cx->arena, Border, g->values.len);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        int64_t border[4];
        int operand = border_of(g, n, border);
        if (operand < 0)
            continue;
        Border *b = &need[n->operands[operand]];
        widen(&b->top, border[0]);
        widen(&b->left, border[1]);
        widen(&b->bottom, border[2]);
        widen(&b->right, border[3]);
    }
    return need;
}
