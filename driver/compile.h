/* One compilation, from a model file to an object in memory. */
#ifndef DRIVER_COMPILE_H
#define DRIVER_COMPILE_H

#include "backend/backend.h"
#include "driver/options.h"
#include "driver/watch.h"
#include "frontend/import.h"
#include "frontend/recipe.h"
#include "passes/passes.h"

typedef struct Compile {
    Context *cx;
    const Options *o;
    /* What is wanted. */
    bool needs_loops;   /* else it is enough to run the graph passes */
    bool needs_object;  /* weights and what the header must know */
    bool needs_code;    /* the object file itself */
    bool needs_weights; /* without any it is an error */
    bool keep_all;      /* every value of `infer` can be read in the workspace after a call */
    /* What there is, in the order of its making. */
    const Recipe *recipe; /* NULL: inference */
    TargetList targets;   /* best CPU first */
    Target target;        /* the first of them */
    Graph *source;        /* as imported; NULL when MODEL is loop IR */
    LoopModule *loaded;   /* MODEL is loop IR */
    Graph *parameters;    /* with loaded: its raw parameters, as a graph without nodes */
    Weights weights;      /* of the parameters of source, else of parameters */
    const char *name;     /* C identifier */
    Watch watch;
    Unit unit;
    Graph *graph;       /* the last graph before lowering, or NULL */
    const Graph *chain; /* training: its graphs as autodiff made them, else as the file has them; or NULL */
    LoopModule *loops;  /* NULL when the pipeline ended before */
    ObjectCpu others[MAX_CPUS - 1]; /* the same for the other targets */
    ObjectOptions object;
    Bytes code;    /* the object file */
    bool internal; /* the fault is ours */
} Compile;

/* The steps of the path; each needs the one before. False after diagnostics. */
bool compile_import(Compile *c);
bool compile_passes(Compile *c);
bool compile_object(Compile *c);
/* All of them. */
bool compile_all(Compile *c);

/* The command: compile and write the files asked for. An exit status. */
int compile_main(Context *cx, const Options *o);
/* Bytes of workspace that an object's callers bring for one thread: enough for each of its CPUs. */
int64_t compile_workspace(const Compile *c);
/* The model's name as its file has it; `name` is that made an identifier. */
const char *compile_model_name(const Compile *c);
/* STATUS_INPUT or STATUS_INTERNAL, for a compilation that failed. */
int compile_fault(const Compile *c);

/* weights.c: write into the object the weights that it is to hold: packed, by running the module's own
 * `prepare` in this process, or raw. */
bool weights_embed(Compile *c);
/* The raw weights of a parameter, dense f32, or NULL. */
const float *weights_find(const Compile *c, const char *key);

/* training.c: for ObjectOptions of a training object. */
const TrainingOptions *training_options(Compile *c);
/* What training would be without the recipe's `freeze`, after these passes. False: nothing is frozen, or the
 * model cannot be trained so; without a diagnostic. */
bool training_unfrozen(const Compile *c, const char *passes, Unit *out);

/* files.c: render all kinds asked for, then write them; all or nothing. */
bool files_write(Compile *c);
/* Is `path` none of the model, the weights and the recipe that were read, nor among the data? A diagnostic if
 * not; links are seen through. */
bool output_is_free(const Compile *c, const char *path);
/* Besides, can a whole file be put there at the end of the run, as far as can be told now? */
bool output_is_possible(const Compile *c, const char *path);
/* No two of these are one file; NULL is none. */
bool outputs_differ(const Compile *c, const char *const *paths, uint32_t n);

#endif
