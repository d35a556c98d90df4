/* The sub-commands, each in a file of its name. They return an exit status. */
#ifndef DRIVER_COMMANDS_H
#define DRIVER_COMMANDS_H

#include "driver/compile.h"

/* Those that were reported since the last call: `main` does this at the end, and commands that work for hours
 * at their start too, where there are only warnings. */
void print_diagnostics(Context *cx);

int run_main(Context *cx, const Options *o);
int train_main(Context *cx, const Options *o);
int bench_main(Context *cx, const Options *o);
int verify_main(Context *cx, const Options *o);
int info_main(Context *cx, const Options *o);

#endif
