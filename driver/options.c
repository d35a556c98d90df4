/* The command line: parsing by table, the checks that need no model, and the help texts. */
#include "driver/options.h"
#include "passes/passes.h"
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum OptKind { OPT_FLAG, OPT_INT, OPT_REAL, OPT_TEXT, OPT_LIST } OptKind;

enum { ON_COMPILE = 1 << CMD_COMPILE, ON_RUN = 1 << CMD_RUN, ON_BENCH = 1 << CMD_BENCH };
enum { ON_VERIFY = 1 << CMD_VERIFY, ON_INFO = 1 << CMD_INFO, ON_TRAIN = 1 << CMD_TRAIN };
enum { ON_PROCESS = ON_RUN | ON_TRAIN | ON_BENCH | ON_VERIFY, ON_ALL = ON_COMPILE | ON_PROCESS | ON_INFO };
enum { ON_RECIPE = ON_COMPILE | ON_TRAIN | ON_INFO };

typedef struct OptRow {
    const char *name;
    char letter; /* 0: none */
    OptKind kind;
    size_t offset;
    unsigned on; /* the commands that take it */
    double lo, hi;
    const char *arg, *help;
} OptRow;

#define AT(field) offsetof(Options, field)
static const OptRow rows[] = {
    {"output", 'o', OPT_TEXT, AT(output), ON_COMPILE, 0, 0, "FILE",
     "the object; its header and other files stand beside it; '-': standard output"},
    {"emit", 0, OPT_TEXT, AT(emit), ON_COMPILE, 0, 0, "KINDS",
     "comma list of obj, header, asm, llvm, graph, loops, dot, deps (default obj,header)"},
    {"input", 'i', OPT_LIST, AT(inputs), ON_RUN | ON_VERIFY, 0, 0, "[NAME=]X",
     "an input, .npy, .png or .jpg; without a NAME the next one of the model"},
    {"output", 'o', OPT_LIST, AT(outputs), ON_RUN, 0, 0, "[NAME=]Y.npy",
     "where to write an output; without any, a summary is printed"},
    {"resize", 0, OPT_TEXT, AT(resize), ON_RUN | ON_VERIFY, 0, 0, "SIZE",
     "pictures: the shorter side, or HEIGHTxWIDTH; in place of the model's"},
    {"center-crop", 0, OPT_TEXT, AT(center_crop), ON_RUN | ON_VERIFY, 0, 0, "SIZE",
     "pictures, after that: the part in the middle; in place of the model's"},
    {"expect", 0, OPT_LIST, AT(expects), ON_VERIFY, 0, 0, "[NAME=]Y.npy", "what an output must be"},
    {"rtol", 0, OPT_REAL, AT(rtol), ON_VERIFY, 0, 1e30, "R",
     "largest error allowed over largest value (default 1e-4)"},
    {"seconds", 0, OPT_REAL, AT(seconds), ON_BENCH, 0, 86400, "S", "how long to measure (default 3)"},
    {"recipe", 'r', OPT_TEXT, AT(recipe), ON_RECIPE, 0, 0, "R.json",
     "loss, optimizer, schedule and so on (docs/training.md)"},
    {"data", 'd', OPT_TEXT, AT(data), ON_TRAIN, 0, 0, "DIR",
     "training and test samples: IDX, CIFAR-10, .npy pairs, or folders of pictures"},
    {"data-kind", 0, OPT_TEXT, AT(data_kind), ON_TRAIN, 0, 0, "KIND",
     "idx, cifar10, npy or folder (default: recognised)"},
    {"evaluate", 0, OPT_FLAG, AT(evaluate), ON_TRAIN, 0, 0, NULL,
     "train nothing: how good are --weights on the test samples?"},
    {"save", 's', OPT_TEXT, AT(save), ON_TRAIN, 0, 0, "W.safetensors", "where the trained weights go"},
    {"checkpoint", 0, OPT_TEXT, AT(checkpoint), ON_TRAIN, 0, 0, "C.safetensors",
     "write everything there after each epoch and on Ctrl-C"},
    {"resume", 0, OPT_FLAG, AT(resume), ON_TRAIN, 0, 0, NULL, "continue from --checkpoint"},
    {"log", 0, OPT_TEXT, AT(log), ON_TRAIN, 0, 0, "LOG.jsonl", "append JSON lines: steps and epochs"},
    {"epochs", 0, OPT_INT, AT(epochs), ON_TRAIN, 1, 1e9, "N", "in place of the recipe's"},
    {"seed", 0, OPT_INT, AT(seed), ON_TRAIN, 0, 9007199254740991.0, "N",
     "in place of the recipe's: initial weights, order, augmentation, dropout"},
    {"train", 0, OPT_FLAG, AT(train), ON_COMPILE | ON_INFO, 0, 0, NULL,
     "an object that trains: loss, gradients and optimizer as the recipe says"},
    {"memory-budget", 0, OPT_INT, AT(memory_budget), ON_RECIPE, 1, 9007199254740991.0, "BYTES",
     "training: compute cheap values again rather than keep them, to fit the workspace"},
    {"threads", 0, OPT_INT, AT(threads), ON_PROCESS, 1, 1024, "N",
     "threads (default: all CPUs this process may use)"},
    {"weights", 'w', OPT_TEXT, AT(weights), ON_ALL, 0, 0, "W.safetensors",
     "weights; overrides the model's own"},
    {"init-seed", 0, OPT_INT, AT(init_seed), ON_ALL, 0, 9.2e18, "N",
     "random weights, from PyTorch's initial distributions"},
    {"name", 0, OPT_TEXT, AT(name), ON_ALL, 0, 0, "NAME",
     "prefix of the C names (default: the model's name)"},
    {"batch", 0, OPT_INT, AT(batch), ON_ALL, 1, MAX_BATCH, "N",
     "the largest number of images in a call (default 1; in training the recipe's)"},
    {"input-shape", 0, OPT_LIST, AT(shapes), ON_ALL, 0, 0, "NAME=3x224x224", "another shape for an input"},
    {"target", 0, OPT_TEXT, AT(target), ON_ALL, 0, 0, "TRIPLE",
     "LLVM's target triple (default: this machine)"},
    {"cpu", 0, OPT_TEXT, AT(cpu), ON_ALL, 0, 0, "CPU",
     "native (default), x86-64-v1 to x86-64-v4, or one of LLVM's CPU names; a comma list: one object for "
     "all"},
    {"features", 0, OPT_TEXT, AT(features), ON_ALL, 0, 0, "LIST",
     "+avx2,-fma: changes to the CPU's features"},
    {"math", 0, OPT_TEXT, AT(math), ON_ALL, 0, 0, "KIND",
     "default, or exact: no algorithm that rounds differently from the plain sums"},
    {"external-weights", 0, OPT_FLAG, AT(external_weights), ON_COMPILE, 0, 0, NULL,
     "no weights in the object; NAME_prepare packs them at run time"},
    {"pack", 0, OPT_TEXT, AT(pack), ON_COMPILE, 0, 0, "WHEN",
     "object (default): packed weights in the object; load: raw ones, NAME_prepare_raw packs them"},
    {"passes", 0, OPT_TEXT, AT(passes), ON_ALL, 0, 0, "LIST", "run these passes (see --list-passes)"},
    {"stop-after", 0, OPT_TEXT, AT(stop_after), ON_COMPILE | ON_INFO, 0, 0, "PASS",
     "stop there and write the IR: to standard output, or to -o"},
    {"print-before", 0, OPT_LIST, AT(print_before), ON_ALL, 0, 0, "PASS", "print the IR before a pass"},
    {"print-after", 0, OPT_LIST, AT(print_after), ON_ALL, 0, 0, "PASS", "print the IR after a pass"},
    {"print-after-all", 0, OPT_FLAG, AT(print_after_all), ON_ALL, 0, 0, NULL,
     "print the IR after every pass"},
    {"print-changed", 0, OPT_FLAG, AT(print_changed), ON_ALL, 0, 0, NULL,
     "print the IR after every pass that changed it"},
    {"print-filter", 0, OPT_TEXT, AT(print_filter), ON_ALL, 0, 0, "LAYER",
     "only nodes of layers with this in their name"},
    {"dump-dir", 0, OPT_TEXT, AT(dump_dir), ON_ALL, 0, 0, "DIR",
     "write the IR after every pass to DIR/NN-pass.cnnir"},
    {"time-passes", 0, OPT_FLAG, AT(time_passes), ON_ALL, 0, 0, NULL, "print where the time went"},
    {"verify-each", 0, OPT_FLAG, AT(verify_each), ON_ALL, 0, 0, NULL, "check the IR after every pass"},
    {"json", 0, OPT_FLAG, AT(json), ON_PROCESS | ON_INFO, 0, 0, NULL,
     "results for machines, on standard output"},
    {"quiet", 'q', OPT_FLAG, AT(quiet), ON_ALL, 0, 0, NULL, "no progress and no summary"},
    {"list-passes", 0, OPT_FLAG, AT(list_passes), ON_COMPILE, 0, 0, NULL,
     "list the passes and the pipelines"},
    {"explain", 0, OPT_TEXT, AT(explain), ON_COMPILE, 0, 0, "TAG", "what a diagnostic's [tag] means"},
    {"help", 'h', OPT_FLAG, AT(help), ON_ALL, 0, 0, NULL, "this text"},
    {"version", 0, OPT_FLAG, AT(version), ON_ALL, 0, 0, NULL, "the version"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const struct {
    const char *name, *usage, *what;
} commands[CMD_COUNT] = {
    {"", "cnnc MODEL [-o model.o] [options]", "Compile a model: writes model.o and model.h."},
    {"run", "cnnc run MODEL [--input [NAME=]x.npy]... [--output [NAME=]y.npy]... [options]",
     "Compile a model and run it in this process."},
    {"train", "cnnc train MODEL --recipe R.json --data DIR [--save W.safetensors] [options]",
     "Compile a model for training and train it in this process; with --evaluate, only evaluate its "
     "weights."},
    {"bench", "cnnc bench MODEL [--threads N] [--seconds S] [--json] [options]",
     "Compile a model and measure it in this process, on random inputs."},
    {"verify", "cnnc verify MODEL [--input x.npy] [--expect y.npy] [--rtol R] [options]",
     "Compare compiled code with the reference evaluator, value by value, and with given outputs."},
    {"info", "cnnc info MODEL [--json] [options]", "Show layers, shapes, parameters, FLOPs and memory."},
};

const char *command_name(Command c) {
    return commands[c].name;
}

static int usage_error(Command c, const char *message) {
    fprintf(stderr, "cnnc: error: %s\n", message);
    fprintf(stderr, "  hint: cnnc%s%s --help\n", *commands[c].name ? " " : "", commands[c].name);
    return STATUS_USAGE;
}

void options_help(StrBuf *sb, Command c) {
    sb_printf(sb, "usage: %s\n\n%s\nMODEL is a .json or a .cnnir file.\n", commands[c].usage,
              commands[c].what);
    if (c == CMD_COMPILE) {
        sb_puts(sb, "\nOther commands (each has its own --help):\n");
        for (int i = 1; i < CMD_COUNT; i++)
            sb_printf(sb, "  %-8s%s\n", commands[i].name, commands[i].what);
    }
    sb_puts(sb, "\nOptions:\n");
    for (int i = 0; i < ROWS; i++) {
        const OptRow *r = &rows[i];
        if (!(r->on & 1u << c))
            continue;
        char left[64];
        char letter[5] = "    ";
        if (r->letter)
            snprintf(letter, sizeof letter, "-%c, ", r->letter);
        snprintf(left, sizeof left, "  %s--%s%s%s", letter, r->name, r->arg ? " " : "", r->arg ? r->arg : "");
        sb_printf(sb, strlen(left) < 34 ? "%-34s" : "%s\n                                  ", left);
        sb_printf(sb, "%s\n", r->help);
    }
    if (c == CMD_TRAIN)
        sb_puts(sb, "\nCtrl-C, SIGTERM and SIGHUP end the run in order, its checkpoint and weights written; "
                    "a second one kills.\n");
    sb_printf(sb, "\nExit status: 0 success, 1 the input is at fault, 2 bad usage, 3 an internal error%s.\n",
              c == CMD_TRAIN ? ", 128 + N stopped by signal N, as 130 by Ctrl-C" : "");
}

static bool parse_number(const OptRow *r, const char *text, double *out, int64_t *whole) {
    char *end;
    errno = 0;
    if (r->kind == OPT_INT)
        *out = (double)(*whole = strtoll(text, &end, 10));
    else
        *out = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*out) && *out >= r->lo && *out <= r->hi;
}

static int set_option(Context *cx, Options *o, const OptRow *r, const char *text) {
    char *field = (char *)o + r->offset;
    double real = 0;
    int64_t whole = 0;
    switch (r->kind) {
    case OPT_FLAG:
        *(bool *)field = true;
        return STATUS_OK;
    case OPT_INT:
    case OPT_REAL:
        if (!parse_number(r, text, &real, &whole))
            return usage_error(o->command,
                               r->kind == OPT_INT
                                   ? arena_printf(&cx->arena,
                                                  "--%s takes an integer from %.0f to %.0f, not \"%s\"",
                                                  r->name, r->lo, r->hi, text)
                                   : arena_printf(&cx->arena, "--%s takes a number from %g to %g, not \"%s\"",
                                                  r->name, r->lo, r->hi, text));
        if (r->kind == OPT_INT)
            *(int64_t *)(void *)field = whole;
        else
            *(double *)(void *)field = real;
        return STATUS_OK;
    case OPT_TEXT:
        *(const char **)(void *)field = text;
        return STATUS_OK;
    case OPT_LIST:
        vec_push(&cx->arena, (TextList *)(void *)field, text);
        return STATUS_OK;
    }
    return STATUS_INTERNAL;
}

/* getopt's tables for one command, made of the rows. */
typedef struct Getopt {
    struct option long_options[ROWS + 1];
    char letters[3 * ROWS + 2];
    int row[ROWS];
} Getopt;

static void getopt_tables(Command c, Getopt *t) {
    int n = 0;
    char *p = t->letters;
    *p++ = ':';
    for (int i = 0; i < ROWS; i++) {
        if (!(rows[i].on & 1u << c))
            continue;
        const bool takes = rows[i].kind != OPT_FLAG;
        t->row[n] = i;
        t->long_options[n++] =
            (struct option){rows[i].name, takes ? required_argument : no_argument, NULL, 256 + i};
        if (rows[i].letter)
            *p++ = rows[i].letter;
        if (rows[i].letter && takes)
            *p++ = ':';
    }
    t->long_options[n] = (struct option){0};
    *p = 0;
}

static int unknown_option(Context *cx, Command c, const char *word) {
    const char *names[ROWS];
    size_t n = 0;
    for (int i = 0; i < ROWS; i++)
        if (rows[i].on & 1u << c)
            names[n++] = rows[i].name;
    const char *bare = arena_strndup(&cx->arena, word, strcspn(word, "="));
    const char *name = bare + strspn(bare, "-"), *near = diag_nearest(name, names, n), *what = "unknown";
    for (size_t i = 0; i < n && !strncmp(bare, "--", 2); i++) {
        if (!strcmp(names[i], name))
            return usage_error(c, arena_printf(&cx->arena, "option %s takes no value", bare));
        what = strncmp(names[i], name, strlen(name)) != 0 ? what : "incomplete";
    }
    return usage_error(c, near ? arena_printf(&cx->arena, "%s option %s (is it --%s?)", what, bare, near)
                               : arena_printf(&cx->arena, "%s option %s", what, bare));
}

/* Models end in .json or .cnnir; a bare word, unless there is such a file, was meant as a command. */
static bool looks_like_file(const char *word) {
    return strpbrk(word, "./") || access(word, F_OK) == 0;
}

static int unknown_command(Context *cx, const char *word) {
    const char *names[CMD_COUNT - 1];
    for (int i = 1; i < CMD_COUNT; i++)
        names[i - 1] = commands[i].name;
    const char *near = diag_nearest(word, names, CMD_COUNT - 1);
    if (near && !strcmp(near, word))
        return usage_error(CMD_COMPILE,
                           arena_printf(&cx->arena, "the command comes first: cnnc %s ...", word));
    return usage_error(
        CMD_COMPILE,
        near ? arena_printf(&cx->arena, "there is no command \"%s\" (is it \"%s\"?)", word, near)
             : arena_printf(&cx->arena,
                            "\"%s\" is neither a command (run, train, bench, verify, info, help) nor a MODEL",
                            word));
}

static int parse_words(Context *cx, int argc, char **argv, Options *o) {
    Getopt t;
    getopt_tables(o->command, &t);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, t.letters, t.long_options, NULL)) != -1;) {
        const OptRow *r = found >= 256 ? &rows[found - 256] : NULL;
        if (found == ':')
            return usage_error(o->command,
                               arena_printf(&cx->arena, "option %s needs a value", argv[optind - 1]));
        if (found == '?')
            return unknown_option(cx, o->command,
                                  optopt && optopt < 256 ? arena_printf(&cx->arena, "-%c", optopt)
                                                         : argv[optind - 1]);
        for (int i = 0; !r && i < ROWS; i++)
            if ((rows[i].on & 1u << o->command) && rows[i].letter == found)
                r = &rows[i];
        const int status = set_option(cx, o, r, optarg);
        if (status)
            return status;
    }
    if (o->command == CMD_COMPILE && optind < argc && !looks_like_file(argv[optind]))
        return unknown_command(cx, argv[optind]);
    if (optind + 1 < argc)
        return usage_error(
            o->command, arena_printf(&cx->arena, "one MODEL at a time: what is \"%s\"?", argv[optind + 1]));
    o->model = optind < argc ? argv[optind] : NULL;
    return STATUS_OK;
}

bool options_print(const Options *o) {
    return o->print_before.len || o->print_after.len || o->print_after_all || o->print_changed || o->dump_dir;
}

static int parse_emit(Context *cx, Options *o) {
    static const char *const kinds[EMIT_FILE_COUNT] = {"obj",   "header", "asm", "llvm",
                                                       "graph", "loops",  "dot", "deps"};
    uint32_t count = 0;
    for (const char *p = o->emit ? o->emit : "obj,header"; *p; p += *p == ',') {
        const size_t n = strcspn(p, ",");
        int k = 0;
        while (k < EMIT_FILE_COUNT && (strlen(kinds[k]) != n || strncmp(kinds[k], p, n) != 0))
            k++;
        if (k == EMIT_FILE_COUNT)
            return usage_error(o->command,
                               arena_printf(&cx->arena,
                                            "--emit knows obj, header, asm, llvm, graph, loops, dot "
                                            "and deps, not \"%.*s\"",
                                            (int)n, p));
        count += !o->emits[k];
        o->emits[k] = true;
        p += n;
    }
    if (!count)
        return usage_error(o->command, "--emit needs at least one kind");
    if (count == 1 && o->emits[EMIT_FILE_DEPS])
        return usage_error(o->command, "--emit=deps needs another kind, whose dependencies they are");
    if (o->output && !strcmp(o->output, "/dev/stdout"))
        o->output = "-"; /* never what it is a link to: the shell has that open */
    const bool one = count == 1 || (o->stop_after && !o->emit);
    if (o->output && !strcmp(o->output, "-") && !one)
        return usage_error(o->command, "-o - writes one file: say which with --emit=KIND");
    o->only_looks = !o->output && !o->emit && options_print(o);
    return STATUS_OK;
}

static int check_passes(Context *cx, const Options *o) {
    const char *unknown = o->passes ? passes_unknown(cx, o->passes) : NULL;
    if (!unknown && o->stop_after && !pass_by_name(o->stop_after))
        unknown = o->stop_after;
    for (uint32_t i = 0; !unknown && i < o->print_before.len; i++)
        unknown = passes_unknown(cx, o->print_before.data[i]);
    for (uint32_t i = 0; !unknown && i < o->print_after.len; i++)
        unknown = passes_unknown(cx, o->print_after.data[i]);
    if (!unknown)
        return STATUS_OK;
    const char **names = NEW_ARRAY(&cx->arena, const char *, pass_count);
    for (uint32_t i = 0; i < pass_count; i++)
        names[i] = pass_table[i].name;
    const char *near = diag_nearest(unknown, names, pass_count);
    return usage_error(
        o->command,
        near ? arena_printf(&cx->arena, "there is no pass \"%s\" (is it \"%s\"?)", unknown, near)
             : arena_printf(&cx->arena, "there is no pass \"%s\" (see cnnc --list-passes)", unknown));
}

static int check_evaluate(Context *cx, const Options *o) {
    const struct {
        const char *name;
        bool given;
    } others[] = {{"save", o->save != NULL}, {"checkpoint", o->checkpoint != NULL},
                  {"resume", o->resume},     {"log", o->log != NULL},
                  {"epochs", o->epochs > 0}, {"memory-budget", o->memory_budget > 0}};
    for (size_t i = 0; o->evaluate && i < sizeof others / sizeof *others; i++)
        if (others[i].given)
            return usage_error(o->command,
                               arena_printf(&cx->arena, "--evaluate trains nothing, so --%s has no meaning",
                                            others[i].name));
    return STATUS_OK;
}

/* Several CPUs are in an object; IR, and what runs in this process, is of one. */
static int check_cpus(const Options *o) {
    const bool *e = o->emits;
    if (!o->cpu || !strchr(o->cpu, ','))
        return STATUS_OK;
    if (o->command != CMD_COMPILE && o->command != CMD_INFO)
        return usage_error(o->command, "--cpu takes a list only where an object is made: one CPU here");
    if (options_print(o) || o->stop_after || e[EMIT_FILE_GRAPH] || e[EMIT_FILE_LOOPS] || e[EMIT_FILE_DOT])
        return usage_error(o->command, "IR is that of one CPU: --cpu takes no list here");
    return STATUS_OK;
}

static int check(Context *cx, Options *o) {
    if (o->help || o->version || o->list_passes || o->explain)
        return STATUS_OK;
    if (!o->model)
        return usage_error(o->command, "which MODEL?");
    if (o->math && strcmp(o->math, "default") != 0 && strcmp(o->math, "exact") != 0)
        return usage_error(o->command,
                           arena_printf(&cx->arena, "--math is default or exact, not \"%s\"", o->math));
    if (o->pack && strcmp(o->pack, "object") != 0 && strcmp(o->pack, "load") != 0)
        return usage_error(o->command,
                           arena_printf(&cx->arena, "--pack is object or load, not \"%s\"", o->pack));
    if (o->pack && o->external_weights)
        return usage_error(o->command, "--external-weights leaves nothing to --pack");
    if (o->dump_dir && !*o->dump_dir)
        return usage_error(o->command, "--dump-dir needs a name");
    if (o->recipe && !o->train)
        return usage_error(o->command, "--recipe is for training: say --train");
    if (o->memory_budget && !o->train)
        return usage_error(o->command, "--memory-budget is for training: say --train");
    if (check_evaluate(cx, o))
        return STATUS_USAGE;
    if (o->resume && !o->checkpoint)
        return usage_error(o->command, "--resume needs --checkpoint C.safetensors");
    if (o->command == CMD_TRAIN && !o->data)
        return usage_error(o->command, "which --data?");
    if (o->weights && o->init_seed >= 0)
        return usage_error(o->command, "--weights and --init-seed exclude each other");
    int status = parse_emit(cx, o);
    if (!status)
        status = check_cpus(o);
    return status ? status : check_passes(cx, o);
}

int options_parse(Context *cx, int argc, char **argv, Options *out) {
    *out = (Options){.init_seed = -1, .seed = -1, .seconds = 3, .rtol = 1e-4};
    if (argc > 1 && !strcmp(argv[1], "help")) { /* cnnc help [COMMAND] */
        out->help = true;
        argv[1] = argv[0];
        argc--, argv++;
    }
    for (int i = CMD_COMPILE + 1; argc > 1 && i < CMD_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name))
            out->command = (Command)i;
    out->train = out->command == CMD_TRAIN;
    const int skip = out->command != CMD_COMPILE;
    const int status = parse_words(cx, argc - skip, argv + skip, out);
    return status ? status : check(cx, out);
}
