/* Counting a model's arithmetic. */
#ifndef DRIVER_BENCH_H
#define DRIVER_BENCH_H

#include "ir/op.h"

/* Multiplications and additions for a batch of n: of one node, and of all. */
double node_flops(const Graph *g, const Node *n, int64_t batch);
double graph_flops(const Graph *g, int64_t n);

#endif
