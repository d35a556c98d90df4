/* Watching a pipeline: printing, dumping, timing and stopping, behind the pass manager's hook. */
#ifndef DRIVER_WATCH_H
#define DRIVER_WATCH_H

#include "driver/options.h"
#include "passes/passes.h"

typedef struct Timing {
    const char *what;
    double seconds;
} Timing;

typedef struct Watch {
    Context *cx;
    const Options *o;
    bool needs_loops; /* false: stop before `lower` */
    bool progress;    /* a line on a terminal that says what is being done */
    bool stopped;     /* by --stop-after */
    bool failed;      /* a dump could not be written */
    Graph *graph;     /* the graph that `lower` got */
    Graph *chain;     /* the graphs of training as they were first */
    uint32_t done;    /* passes so far, for names in --dump-dir */
    bool *seen;       /* by pass: it was reached */
    VEC(Timing) times;
} Watch;

Watch watch_new(Context *cx, const Options *o, bool needs_loops);
/* The hook for PipelineOptions; `arg` is the Watch. */
bool watch_pass(void *arg, const Unit *u, const Pass *p, bool before, bool changed, double seconds);
/* The unit as it is before any pass goes to --dump-dir as 00-import.cnnir. */
bool watch_start(Watch *w, const Unit *u);
/* Warn about passes that were to be printed and never came. */
void watch_end(const Watch *w);
/* Say what is being done now (NULL: nothing, wipe the line), and note how long something took. */
void watch_progress(const Watch *w, const char *what);
void watch_time(Watch *w, const char *what, double seconds);
void watch_print_times(const Watch *w);
double watch_now(void); /* seconds, monotonic */

#endif
