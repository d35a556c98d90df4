/* The sub-commands, each in a file of its name. They return an exit status. */
#ifndef DRIVER_COMMANDS_H
#define DRIVER_COMMANDS_H

#include "driver/compile.h"

int run_main(Context *cx, const Options *o);
int train_main(Context *cx, const Options *o);
int bench_main(Context *cx, const Options *o);
int verify_main(Context *cx, const Options *o);
int info_main(Context *cx, const Options *o);

#endif
