/* The memory planner's core: a pure function, so that whoever searches under a memory budget can ask it. */
#ifndef PASSES_PLAN_H
#define PASSES_PLAN_H

#include "ir/loops/loops.h"

enum { PLAN_ALIGN = 64 };

/* Memory that lives from step `first` to step `last`, both inclusive. */
typedef struct PlanItem {
    int64_t bytes; /* 0 takes no room */
    uint32_t first, last;
    int64_t offset; /* the result */
} PlanItem;

/* Offsets, multiples of PLAN_ALIGN, such that no two items alive at one step overlap. *total is the end of
 * the highest. False when sizes overflow. The same items give the same offsets. */
bool plan_offsets(Arena *a, PlanItem *items, uint32_t n, int64_t *total);
/* The largest sum of bytes alive at one step: a bound below. -1 on overflow. */
int64_t plan_live_bytes(Arena *a, const PlanItem *items, uint32_t n);

/* The next three ask about a module that has not been planned, and leave it as it is. */
/* The workspace that the pass would give it, for one thread. -1 after a diagnostic: sizes overflow. */
int64_t plan_workspace(Arena *a, const LoopModule *m);
int64_t plan_scratch(Arena *a, const LoopModule *m); /* the thread's part of that */
/* live[s]: bytes of the workspace in use at step s of entry number e. False after the same diagnostic. */
bool plan_live(Arena *a, const LoopModule *m, uint32_t e, int64_t *live);
/* Of a planned module: how much of the shared workspace entry number e uses. */
int64_t plan_entry_bytes(const LoopModule *m, uint32_t e);
/* The buffer whose memory b shares, or b. */
uint32_t plan_root(const LoopModule *m, uint32_t b);

#endif
