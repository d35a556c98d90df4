/* Graph passes copy: they walk the old graph in order and build a new one, emitting something else where
 * they wish. Values that nobody uses any more simply are not copied when rw_finish drops dead nodes. */
#ifndef IR_REWRITE_H
#define IR_REWRITE_H

#include "ir/graph.h"

typedef struct Rewrite {
    Graph *from, *to;
    ValueId *map; /* old value -> new value, NO_VALUE while not there */
} Rewrite;

/* A new graph with the inputs, parameters and constants of `from`; nodes are the pass's to add. */
Rewrite rw_begin(Graph *from);
/* Copy one node (operands mapped, regions and choice kept, result type kept as it is). */
ValueId rw_copy(Rewrite *rw, const Node *n);
/* Map the result of `n` to `v` of the new graph; `v` takes over origin (and name where it has none of its
 * own) when `same` says that it equals the old value. */
void rw_replace(Rewrite *rw, const Node *n, ValueId v, bool same);
ValueId rw_map(const Rewrite *rw, ValueId old);
/* Set the outputs, check the order, return the new graph. */
Graph *rw_finish(Rewrite *rw);

#endif
