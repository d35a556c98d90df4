/* The classes of the data sets of cnnc train. */
#ifndef DRIVER_CLASSES_H
#define DRIVER_CLASSES_H

#include "driver/samples.h"

/* The classes that the recipe asks for, in the model's order; both sets number them alike. False after a
 * diagnostic. */
bool classes_settle(const Compile *c, Samples *s);
/* Are the classes of these files mere numbers, as many as the largest label says? */
bool classes_numbered(const Compile *c, const cnnrt_dataset *set);
/* False after a diagnostic on the first sample, if there is one, whose label is `limit` or more: "FILE:
 * sample 5 has label 7, but " and `but`. */
bool classes_below(const Compile *c, const cnnrt_dataset *set, int64_t limit, const char *but);

#endif
