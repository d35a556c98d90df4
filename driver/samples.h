/* The samples that cnnc train learns from: data sets, and the loaders that feed the model from them. */
#ifndef DRIVER_SAMPLES_H
#define DRIVER_SAMPLES_H

#include "driver/process.h"
#include <cnnrt_data.h>

typedef struct Samples {
    cnnrt_dataset *train, *valid; /* valid NULL: no validation; train may be NULL with --evaluate */
    cnnrt_loader *train_loader, *valid_loader;
} Samples;

/* The data sets as --data and the recipe say. False after a diagnostic, as all here. */
bool samples_open(const Compile *c, Samples *s);
/* The loaders, once the compiled model says what it takes. A sample of each has been through. */
bool samples_load(const Compile *c, const cnnrt_model *m, Samples *s);
/* Is this what a loader could not go on for? */
bool samples_failed(const Samples *s, const char *text);
void samples_close(Samples *s);

#endif
