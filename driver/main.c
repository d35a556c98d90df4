/* cnnc: the command. Parses the line, runs what it asks for, prints the diagnostics. */
#include "driver/commands.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A tag as diagnostics print it, or without the brackets. */
static int explain(Context *cx, const char *tag) {
    const char *tags[DIAG_COUNT];
    if (*tag == '[')
        tag = arena_strndup(&cx->arena, tag + 1, strcspn(tag + 1, "]"));
    for (int i = 0; i < DIAG_COUNT; i++) {
        tags[i] = diag_tag((DiagId)i);
        if (strcmp(tags[i], tag) != 0)
            continue;
        printf("%s: %s\n", tag, diag_what((DiagId)i));
        return STATUS_OK;
    }
    const char *near = diag_nearest(tag, tags, DIAG_COUNT);
    fprintf(stderr, "cnnc: error: there is no diagnostic \"%s\"", tag);
    fprintf(stderr, near ? " (is it \"%s\"?)\n" : "; docs/diagnostics.md lists them\n", near);
    return STATUS_USAGE;
}

static int list_passes(void) {
    static const char *const levels[] = {"graph", "lower", "loops"};
    for (uint32_t i = 0; i < pass_count; i++)
        printf("%-14s%-7s%s\n", pass_table[i].name, levels[pass_table[i].level], pass_table[i].summary);
    printf("\ndefault: %s\n", pipeline_infer);
    printf("with --train: %s\n", pipeline_train);
    return STATUS_OK;
}

static int help(Context *cx, Command c) {
    StrBuf sb = sb_new(&cx->arena);
    options_help(&sb, c);
    fputs(sb_str(&sb), stdout);
    return STATUS_OK;
}

static int run_command(Context *cx, const Options *o) {
    static int (*const mains[CMD_COUNT])(Context *, const Options *) = {
        [CMD_COMPILE] = compile_main, [CMD_RUN] = run_main,       [CMD_TRAIN] = train_main,
        [CMD_BENCH] = bench_main,     [CMD_VERIFY] = verify_main, [CMD_INFO] = info_main,
    };
    if (o->help)
        return help(cx, o->command);
    if (o->version) {
        printf("cnnc %s\n", CNNC_VERSION);
        return STATUS_OK;
    }
    if (o->list_passes)
        return list_passes();
    if (o->explain)
        return explain(cx, o->explain);
    return mains[o->command](cx, o);
}

void print_diagnostics(Context *cx) {
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    fputs(sb_str(&sb), stderr);
    cx->diag.entries.len = 0;
}

/* A model may ask for any size; what this machine cannot hold must not drive it into swapping. */
static size_t physical_memory(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (size_t)pages * (size_t)bytes : 0;
}

int main(int argc, char **argv) {
    static Context cx; /* static: its values after longjmp are defined */
    jmp_buf oom;
    if (setjmp(oom)) {
        fprintf(stderr, "cnnc: error: %s [%s]\n", diag_what(DIAG_OUT_OF_MEMORY),
                diag_tag(DIAG_OUT_OF_MEMORY));
        return STATUS_INTERNAL;
    }
    context_init(&cx, &oom);
    cx.arena.limit = physical_memory();
    Options o;
    int status = options_parse(&cx, argc, argv, &o);
    if (!status)
        status = run_command(&cx, &o);
    print_diagnostics(&cx);
    if (fflush(stdout)) {
        perror("cnnc: error: standard output");
        status = status ? status : STATUS_INPUT;
    }
    context_free(&cx);
    return status;
}
