/* Reference evaluation of a graph in double precision. */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/op.h"

/* `values[v]` must hold the inputs and parameters (in double, dense) when called; holds every value after.
 * n is the batch of this run. Regions are evaluated too. False on overflow or a missing value, with a
 * diagnostic. Memory comes from the arena given. */
bool graph_eval(const Graph *g, int64_t n, Tensor *values, Arena *arena);

#endif
