/* What graph passes share when they make nodes. */
#ifndef PASSES_UTIL_H
#define PASSES_UTIL_H

#include "ir/op.h"
#include "ir/rewrite.h"
#include "passes/passes.h"

/* Append a node to the new graph that stands for (a part of) the old node `like`: it keeps its location and
 * layer name. NO_VALUE after a diagnostic. */
ValueId pass_emit(Rewrite *rw, const Node *like, OpId op, const ValueId *operands, uint32_t n,
                  const void *attrs, const char *name);
/* The result of `n` is `v` of the new graph, a value that exists already. It keeps the source value it is
 * known for, if any: one value has one origin. */
void pass_alias(Rewrite *rw, const Node *n, ValueId v);
/* A node as the importers make it: neither fused nor chosen. */
bool pass_is_plain(const Node *n);
/* The node in the old graph that makes operand i of n, or NULL for inputs, parameters and constants. */
const Node *pass_operand_def(const Graph *g, const Node *n, uint32_t i);
/* How gladly the node that makes its operand takes a pointwise node in: those do that have arithmetic to hide
 * it behind. 0: not at all. */
int pass_producer_rank(const Node *n);

#endif
