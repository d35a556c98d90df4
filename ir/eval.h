/* Reference evaluation of a graph in double precision. */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/op.h"

/* `values[v]` must hold the inputs, parameters, states and hyper value (in double, dense) when called; holds
 * every value after. Whole numbers are doubles too: exact up to 2^53. Nodes that write states do so in the
 * tensors given. n is the batch of this run. Regions are evaluated too. False on overflow or a missing value,
 * with a diagnostic. Memory comes from the arena given. This graph only, not those that follow it. */
bool graph_eval(const Graph *g, int64_t n, Tensor *values, Arena *arena);

#endif
