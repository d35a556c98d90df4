/* Warnings about what a model and a recipe do together that can hardly be meant: none stops anything. */
#ifndef FRONTEND_ADVICE_H
#define FRONTEND_ADVICE_H

#include "frontend/recipe.h"
#include "ir/graph.h"

/* A loss behind a layer that does half of the loss' work once more. */
void advise_loss(Context *cx, const Graph *g, const Recipe *r);
/* Parameters that are frozen at random values. `pretrained`: there is a file of weights. */
void advise_frozen(Context *cx, const Graph *g, const Recipe *r, bool pretrained);
/* Batch norms that are trained with batches of one sample. */
void advise_batch_norm(Context *cx, const Graph *g, const Recipe *r);
/* The first batch norm that is trained and has one value a channel of each sample; NULL: there is none. */
const Node *advise_single_norm(const Graph *g, const Recipe *r);

#endif
