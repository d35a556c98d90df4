/* What the files of `cnnc info` share. */
#ifndef DRIVER_INFO_H
#define DRIVER_INFO_H

#include "driver/compile.h"
#include "driver/json_out.h"

const char *info_grouped(Arena *a, int64_t v); /* 12345678 as 12,345,678 */
const char *info_scaled(Arena *a, double v);   /* 1820000000 as 1.82 G; 0 as nothing */
/* info_training.c */
/* Is the layer "trained", "frozen", or trained "in part"? "": it has no parameters and no statistics. */
const char *info_status(const Graph *chain, const Graph *g, const Node *n);
/* Of c->chain, or of a training module alone: parameters, arithmetic and state; then what a call takes of the
 * workspace; then what freezing saves. */
void info_training_print(const Compile *c);
void info_training_workspace(const LoopModule *m, Arena *a);
void info_training_saved(const Compile *c);
void info_training_json(const Compile *c, JsonOut *j);

#endif
