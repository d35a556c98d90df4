/* What the files of the pass autodiff share. */
#ifndef PASSES_AUTODIFF_H
#define PASSES_AUTODIFF_H

#include "ir/grad.h"
#include "passes/passes.h"

typedef struct Autodiff {
    Context *cx;
    const Graph *g; /* as imported: every node plain */
    const TrainSpec *spec;
    bool *trained;   /* by value of g: parameters that are trained, statistics of batch norms that are */
    uint32_t scored; /* number of the output of g that the loss looks at */
} Autodiff;

/* A graph of the chain under construction. */
typedef struct Emit {
    const Autodiff *ad;
    Grad gr;
    ValueId *map;   /* value of the imported graph -> value here */
    ValueId target; /* what the loss compares with */
} Emit;

/* autodiff_spec.c: find what is trained. False after diagnostics: patterns without a match, everything
 * frozen. */
bool autodiff_spec(Autodiff *ad);

/* autodiff_loss.c */
/* Which output the loss looks at. False after a diagnostic. */
bool autodiff_find_scored(Autodiff *ad);
/* Declares the target as the last input. False after a diagnostic: no loss of that kind fits the output. */
bool autodiff_target(Emit *e);
/* Nodes that check the target, then the loss; NO_VALUE after a diagnostic. */
ValueId autodiff_loss(Emit *e);
/* The gradient of output `scored` times hyper[HYPER_GRAD_SCALE]. */
ValueId autodiff_loss_backward(Emit *e, ValueId loss);

/* autodiff_apply.c: the graph of the optimizer, for the parameters whose gradients `backward` makes; NULL
 * after a diagnostic. */
Graph *autodiff_apply(const Autodiff *ad, const Graph *backward);

/* autodiff.c: an empty graph of the chain. */
Graph *autodiff_graph(const Autodiff *ad, const char *entry);
/* NO_VALUE: none. */
ValueId autodiff_find_state(const Graph *g, StateRole role, const char *key);
/* i64[1] */
ValueId autodiff_counter(Graph *g, const char *key);
ValueId autodiff_hyper(Graph *g, const TrainSpec *spec);

#endif
