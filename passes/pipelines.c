/* The pipelines, as text: what `--passes` would say. */
#include "passes/passes.h"

const char *const pipeline_infer = "canonicalize,fold,fold-bn,fold,cse,dce,fuse,choose,layout,cse,dce,"
                                   "lower,merge,expand,tidy,grain,plan";

const char *const pipeline_train =
    "autodiff,canonicalize,fold,fold-bn,fold,cse,dce,fuse,choose,layout,cse,dce,"
    "lower,merge,expand,tidy,grain,recompute,plan";
