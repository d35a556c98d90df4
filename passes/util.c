/* What graph passes share when they make nodes. */
#include "passes/util.h"

ValueId pass_emit(Rewrite *rw, const Node *like, OpId op, const ValueId *operands, uint32_t n,
                  const void *attrs, const char *name) {
    const ValueId v = graph_node(rw->to, op, operands, n, attrs, name, like->loc);
    if (v != NO_VALUE)
        graph_def(rw->to, v)->name = like->name;
    return v;
}

void pass_alias(Rewrite *rw, const Node *n, ValueId v) {
    const Value *value = graph_value(rw->to, v);
    rw_replace(rw, n, v, value->kind == VK_RESULT && !value->origin);
}

bool pass_is_plain(const Node *n) {
    return !n->prologue && !n->epilogue && !n->choice;
}

const Node *pass_operand_def(const Graph *g, const Node *n, uint32_t i) {
    const Value *v = &g->values.data[n->operands[i]];
    return v->kind == VK_RESULT ? &g->nodes.data[v->def] : NULL;
}

int pass_producer_rank(const Node *n) {
    const uint32_t flags = op_desc(n->op)->flags;
    if (n->op == OP_conv2d || n->op == OP_conv2d_backward_input || n->op == OP_linear)
        return 3;
    return flags & (OP_POOL | OP_ROOT) ? 2 : flags & OP_POINTWISE ? 1 : 0;
}
