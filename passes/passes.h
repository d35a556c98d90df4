/* The pass manager. Graph passes map a graph to a new graph; the pass `lower` maps a graph to loops; loop
 * passes edit a module in place. passes.def has one row a pass, pipelines.c the pipelines as strings. */
#ifndef PASSES_PASSES_H
#define PASSES_PASSES_H

#include "ir/loops/loops.h"
#include "ir/train.h"

typedef struct Unit Unit; /* what goes through a pipeline */
struct Unit {
    Context *cx;
    const Target *target;
    Graph *graph;           /* NULL once lowered; in training the first of several (Graph.next) */
    LoopModule *loops;      /* NULL before */
    const TrainSpec *train; /* what to train and how; NULL: inference */
    bool keep_all; /* verify: `plan` keeps every buffer of `infer` alive to the end and shares no memory */
    bool exact;    /* --math=exact: `choose` takes no algorithm that rounds differently from the plain sums */
    bool internal; /* set by the manager when a pass broke the IR: our bug, not the input's */
};

typedef enum PassLevel { PASS_GRAPH, PASS_LOWER, PASS_LOOPS } PassLevel;
typedef struct Pass {
    const char *name;
    PassLevel level;
    bool (*run)(Unit *u); /* false after diagnostics */
    const char *summary;
} Pass;
extern const Pass pass_table[];
extern const uint32_t pass_count;
const Pass *pass_by_name(const char *name);
#define PASS(id, name, level, summary) bool pass_##id(Unit *u);
#include "passes/passes.def"
#undef PASS

extern const char *const pipeline_infer; /* "canonicalize,fold,cse,..." */
extern const char *const pipeline_train; /* "autodiff,..." and then the same */

/* Called around each pass; `before` true before it runs. Printing, dumping, timing and --stop-after live in
 * the driver, behind this. Return false to stop the pipeline (not an error). */
typedef bool PassHook(void *arg, const Unit *u, const Pass *p, bool before, bool changed, double seconds);

typedef struct PipelineOptions {
    const char *passes; /* comma list; NULL: pipeline_infer */
    bool verify_each;   /* always in debug builds */
    bool watch_changes; /* compute `changed` (prints twice); else true */
    PassHook *hook;
    void *hook_arg;
} PipelineOptions;

/* NULL, or the first word of the list that is no pass. */
const char *passes_unknown(Context *cx, const char *list);

/* Runs the pipeline from where the unit stands: graph passes are skipped when it is at loop level already. */
bool passes_run(Unit *u, const PipelineOptions *o, bool *stopped);

#endif
