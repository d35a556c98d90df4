/* What cnnc train shows: a bar on a terminal, plain lines elsewhere, a report at the end. */
#ifndef DRIVER_PROGRESS_H
#define DRIVER_PROGRESS_H

#include "driver/compile.h"
#include <cnnrt_data.h>
#include <cnnrt_train.h>

typedef struct Progress {
    const Compile *c;
    bool bar, lines; /* neither: --quiet or --json */
    bool top5;       /* wanted */
    double shown;    /* when the bar was last drawn, in seconds since the start */
} Progress;

Progress progress_new(const Compile *c);
/* The callback of cnnrt_fit; `user` is the Progress. */
int progress_event(void *user, const cnnrt_fit_event *event);
void progress_end(const Progress *p); /* wipe the bar */

/* start.c: "training net from weights w.safetensors; fresh: fc; frozen: conv, bn". `checkpoint` NULL: it is
 * not resumed; else it stands behind `epoch` epochs, or amid the next. */
const char *training_start(const Compile *c, const char *checkpoint, int64_t epoch, bool amid);

/* At the end, in words or as JSON. `valid` is the set of the last validation or of the evaluation. */
void progress_report(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid);
void progress_json(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid);
void progress_evaluation(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid);
void progress_evaluation_json(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid);

#endif
