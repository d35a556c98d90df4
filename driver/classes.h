/* The classes of the data sets of cnnc train. */
#ifndef DRIVER_CLASSES_H
#define DRIVER_CLASSES_H

#include "driver/samples.h"

/* The classes that the recipe asks for, in the model's order; both sets number them alike. False after a
 * diagnostic. */
bool classes_settle(const Compile *c, Samples *s);

#endif
