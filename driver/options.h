/* The command line: one table of options serves the parser, the help texts and docs/cli.md. */
#ifndef DRIVER_OPTIONS_H
#define DRIVER_OPTIONS_H

#include "ir/base/context.h"

/* Exit statuses. */
enum {
    STATUS_OK = 0,
    STATUS_INPUT = 1,
    STATUS_USAGE = 2,
    STATUS_INTERNAL = 3,
    STATUS_SIGNAL = 128 /* and its number */
};

typedef enum Command { CMD_COMPILE, CMD_RUN, CMD_TRAIN, CMD_BENCH, CMD_VERIFY, CMD_INFO, CMD_COUNT } Command;

typedef enum EmitFile {
    EMIT_FILE_OBJ,
    EMIT_FILE_HEADER,
    EMIT_FILE_ASM,
    EMIT_FILE_LLVM,
    EMIT_FILE_GRAPH,
    EMIT_FILE_LOOPS,
    EMIT_FILE_DOT,
    EMIT_FILE_DEPS,
    EMIT_FILE_COUNT
} EmitFile;

typedef struct TextList {
    const char **data;
    uint32_t len, cap;
} TextList;

typedef struct Options {
    Command command;
    const char *model;
    /* model */
    const char *weights, *name;
    int64_t init_seed; /* -1: not asked for */
    int64_t batch;     /* 0: not given */
    TextList shapes;
    /* training */
    bool train;            /* compile: a training object; always so for the command train */
    const char *recipe;    /* NULL: the default recipe */
    int64_t memory_budget; /* bytes, 0: as the recipe says */
    /* train */
    const char *data, *data_kind, *save, *checkpoint, *log;
    int64_t epochs, seed; /* 0 and -1: as the recipe says */
    bool resume;
    bool evaluate; /* no training: only how good the weights are */
    /* target */
    const char *target, *cpu, *features, *math;
    const char *pack; /* NULL: object */
    bool external_weights;
    /* output */
    const char *output, *emit;
    bool quiet, json;
    /* passes */
    const char *passes, *print_filter, *dump_dir, *stop_after;
    TextList print_before, print_after;
    bool print_after_all, print_changed, time_passes, verify_each;
    /* run, bench, verify */
    TextList inputs, outputs, expects;
    int64_t threads; /* 0: all that this process may use */
    double seconds, rtol;
    const char *resize, *center_crop; /* of pictures: "256", "224x320" */
    /* asked for instead of work */
    bool help, version, list_passes;
    const char *explain;
    /* made of the above */
    bool emits[EMIT_FILE_COUNT];
    bool only_looks; /* compile: IR is printed or dumped, and neither -o nor --emit asks for files */
} Options;

/* Parse and check. STATUS_OK to go on; else the exit status, after a message on standard error. */
int options_parse(Context *cx, int argc, char **argv, Options *out);
void options_help(StrBuf *sb, Command c);
bool options_print(const Options *o); /* IR is printed or dumped on the way */
const char *command_name(Command c);  /* "run"; "" for compile */

#endif
