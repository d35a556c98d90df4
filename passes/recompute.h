/* What the files of the pass recompute share. */
#ifndef PASSES_RECOMPUTE_H
#define PASSES_RECOMPUTE_H

#include "passes/passes.h"

/* The entry `backward` before anything is computed again. Steps up to the one that writes the loss are the
 * forward part. A storage is a buffer with all its views; it is named by its root (plan_root). */
typedef struct Recompute {
    LoopModule *m;
    uint32_t entry; /* its number */
    uint32_t turn;  /* the step that writes the loss */
    uint32_t *root; /* by buffer */
    /* By storage; NEVER for steps that there are not. */
    uint32_t *first_write, *last_write, *first_late; /* first_late: the first use behind the turn */
    double *work;                                    /* statements for one image to compute it again */
    bool *can;                                       /* its steps may be run again */
    bool *again;                                     /* they will be: the decision */
} Recompute;
enum { NEVER = -1 };

/* recompute_steps.c */
/* Everything but `again`, which is all false. False: the module does not train, or is planned. */
bool recompute_look(Recompute *r, LoopModule *m);
/* A copy of the module, sharing kernels, where what `again` says is computed again in front of its first use
 * behind the turn. NULL: a state that it reads has changed by then. */
LoopModule *recompute_apply(const Recompute *r, Arena *a);
/* Parameter i of the step is written by it. */
static inline bool recompute_writes(const Recompute *r, const Step *s, uint32_t i) {
    return r->m->kernels.data[s->kernel]->bufs.data[i].kind != LB_IN;
}
static inline uint32_t recompute_params(const Recompute *r, const Step *s) {
    return r->m->kernels.data[s->kernel]->n_params;
}
static inline const Step *recompute_step(const Recompute *r, uint32_t s) {
    return &r->m->entries.data[r->entry].steps.data[s];
}

#endif
