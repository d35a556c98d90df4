/* What a training holds and computes, counted on its graphs. */
#ifndef DRIVER_SIZES_H
#define DRIVER_SIZES_H

#include "ir/graph.h"

typedef struct TrainingSizes {
    int64_t trained, frozen;         /* elements of parameters, each f32 */
    int64_t state_bytes[ROLE_COUNT]; /* of the state's tensors, by role */
    /* Multiplications and additions of a call on a whole batch; forward and backward are one call's. */
    double forward, backward, update, evaluation;
} TrainingSizes;

/* Of backward, apply and eval, as they are linked. */
TrainingSizes training_sizes(const Graph *chain);
double training_step_flops(const TrainingSizes *s);

#endif
