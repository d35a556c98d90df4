/* Output files: all of them are rendered in memory before the first is written, and all or none appear. */
#include "driver/compile.h"
#include "ir/base/file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const extensions[EMIT_FILE_COUNT] = {".o",           ".h",           ".s",   ".ll",
                                                        ".graph.cnnir", ".loops.cnnir", ".dot", ".d"};

/* What --stop-after leaves to write when --emit does not say: the IR where it stopped. */
static bool wanted(const Compile *c, int kind) {
    if (c->o->stop_after && !c->o->emit)
        return kind == (c->loops ? EMIT_FILE_LOOPS : EMIT_FILE_GRAPH);
    return c->o->emits[kind];
}

/* No files stand beside a device. */
static bool is_device(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static const char *file_path(const Compile *c, int kind, uint32_t count) {
    const char *output = c->o->output;
    if (c->o->stop_after && !c->o->emit) { /* -o model.o names the object, which this is not */
        const size_t n = output ? strlen(output) : 0;
        return !output                                  ? "-"
               : n > 2 && !strcmp(output + n - 2, ".o") ? path_with_ext(c->cx, output, extensions[kind])
                                                        : output;
    }
    if (output && (count == 1 || kind == EMIT_FILE_OBJ || is_device(output)))
        return output;
    const char *base = output ? output : c->o->model;
    if (!output && strrchr(base, '/'))
        base = strrchr(base, '/') + 1;
    return path_with_ext(c->cx, base, extensions[kind]);
}

static bool render_ir(Compile *c, int kind, StrBuf *sb) {
    const PrintOptions options = {.filter = c->o->print_filter};
    const bool is_loops = kind == EMIT_FILE_LOOPS;
    if (is_loops ? !c->loops : !c->graph)
        return diag_error(&c->cx->diag, DIAG_PASS_LIST, NULL,
                          is_loops ? "--emit=loops needs the pass \"lower\""
                                   : "there is no graph: MODEL is loop IR");
    if (is_loops)
        loops_print(sb, c->loops, &options);
    else if (kind == EMIT_FILE_GRAPH)
        graph_print(sb, c->graph, &options);
    else
        graph_dot(sb, c->graph);
    return true;
}

/* A path in a rule of make, whose own characters are escaped. */
static void put_path(StrBuf *sb, const char *path) {
    for (; *path; path++) {
        if (*path == ' ' || *path == '#')
            sb_putc(sb, '\\');
        else if (*path == '$')
            sb_putc(sb, '$');
        sb_putc(sb, *path);
    }
}

/* One rule of make: the other files of this run depend on what it read. */
static void render_deps(const Compile *c, StrBuf *sb) {
    const char *const read[] = {c->o->model, c->weights.file, c->o->train ? c->o->recipe : NULL};
    const char *gap = "";
    for (int k = 0; k < EMIT_FILE_DEPS; k++) {
        if (!wanted(c, k))
            continue;
        sb_puts(sb, gap);
        put_path(sb, file_path(c, k, 2));
        gap = " ";
    }
    sb_putc(sb, ':');
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        if (read[i])
            sb_puts(sb, " \\\n  ");
        if (read[i])
            put_path(sb, read[i]);
    }
    sb_putc(sb, '\n');
}

static bool render(Compile *c, int kind, FileOut *out) {
    StrBuf sb = sb_new(&c->cx->arena);
    Bytes code = c->code;
    bool ok = true, is_code = false;
    switch (kind) {
    case EMIT_FILE_OBJ:
        is_code = true;
        break;
    case EMIT_FILE_ASM:
    case EMIT_FILE_LLVM: {
        const EmitKind emit = kind == EMIT_FILE_ASM ? EMIT_ASM : EMIT_LLVM;
        is_code = true;
        ok = backend_emit(c->cx, c->loops, &c->target, emit, &c->object, &code);
        break;
    }
    case EMIT_FILE_HEADER:
        ok = backend_header(c->cx, c->loops, &c->target, &c->object, &sb);
        break;
    case EMIT_FILE_DEPS:
        render_deps(c, &sb);
        break;
    default:
        ok = render_ir(c, kind, &sb);
    }
    out->data = is_code ? code.data : sb_str(&sb);
    out->size = is_code ? code.size : sb.len;
    return ok;
}

/* 12 KB, 3.4 MB: three digits or so. */
static const char *size_text(Context *cx, double bytes) {
    if (bytes < 10e3)
        return arena_printf(&cx->arena, "%.0f bytes", bytes);
    return bytes < 1e6 ? arena_printf(&cx->arena, "%.0f KB", bytes / 1e3)
                       : arena_printf(&cx->arena, "%.1f MB", bytes / 1e6);
}

/* What the object is made of, and what memory its caller provides. */
static void summary_sizes(const Compile *c) {
    Context *cx = c->cx;
    const LoopModule *m = c->loops;
    const ObjectSizes sizes = backend_object_sizes(c->code);
    fprintf(stderr, ": code %s", size_text(cx, (double)sizes.code));
    if (c->recipe)
        fprintf(stderr, ", initial parameters %s", size_text(cx, (double)sizes.initial));
    const bool raw = c->object.weights == WEIGHTS_RAW, outside = c->object.weights == WEIGHTS_OUTSIDE;
    fprintf(stderr, ", %s%sweights %s", raw ? "raw " : "", c->recipe ? "frozen " : "",
            outside ? "outside" : size_text(cx, (double)sizes.weights));
    if (c->recipe)
        fprintf(stderr, ", state %s", size_text(cx, (double)backend_state_bytes(m)));
    fprintf(stderr, ", workspace %s", size_text(cx, (double)compile_workspace(c)));
}

static void summary_target(const Target *t, const char *before) {
    const char *f = t->features ? t->features : "";
    const char *simd = strstr(f, "+avx512f") ? "avx512f"
                       : strstr(f, "+avx2")  ? "avx2"
                       : strstr(f, "+avx")   ? "avx"
                       : strstr(f, "+neon")  ? "neon"
                                             : "baseline";
    fprintf(stderr, "%s%s (%s%s)", before, t->cpu, simd, t->has_fma ? ", fma" : "");
}

/* One line that says what was made, and for which machines. */
static void summary(const Compile *c, const FileOut *files, uint32_t n) {
    fprintf(stderr, "wrote ");
    for (uint32_t i = 0; i < n; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", files[i].path);
    if (c->code.data) {
        for (uint32_t i = 0; i < c->targets.len; i++)
            summary_target(&c->targets.data[i], i ? ", " : " for ");
        summary_sizes(c);
    }
    fprintf(stderr, "\n");
}

/* Two kinds must not go to one path, as -o model.h would have it; but anything goes to /dev/null. */
static bool check_paths(const Compile *c, const FileOut *files, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(files[i].path, files[k].path) && strcmp(files[i].path, "/dev/null") != 0) {
                diag_error(&c->cx->diag, DIAG_FILE_WRITE, &(Loc){.file = files[i].path},
                           "two output files would have this name");
                return is_device(files[i].path) &&
                       diag_hint(&c->cx->diag, "a device takes one kind: --emit=obj, for example");
            }
    return true;
}

static const char *folder_of(const Compile *c, const char *path) {
    const char *slash = strrchr(path, '/');
    return !slash ? "." : slash == path ? "/" : arena_strndup(&c->cx->arena, path, (size_t)(slash - path));
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && S_ISREG(x.st_mode) && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* Is it in the folder of the training data or below, under a name that data could have? The file need not be
 * there; links are seen through. */
static bool lies_among_data(const Compile *c, const char *path) {
    static const char *const own[] = {".safetensors", ".jsonl"};
    char top[PATH_MAX], at[PATH_MAX];
    if (!c->o->data || !realpath(c->o->data, top))
        return false;
    const char *name = file_target(c->cx, path);
    for (size_t i = 0; i < sizeof own / sizeof *own && name; i++) {
        const size_t n = strlen(name), k = strlen(own[i]);
        if (n > k && !strcmp(name + n - k, own[i]))
            return false;
    }
    const size_t n = strlen(top);
    return name && realpath(folder_of(c, name), at) && !strncmp(at, top, n) &&
           (at[n] == '/' || at[n] == '\0');
}

bool output_is_free(const Compile *c, const char *path) {
    const struct {
        const char *path, *what;
    } inputs[] = {{c->o->model, "model"},
                  {c->o->weights, "weights"},
                  {c->weights.file, "weights"},
                  {c->o->recipe, "recipe"}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (strcmp(path, "-") != 0 && same_file(path, inputs[i].path))
            return diag_error(&c->cx->diag, DIAG_FILE_WRITE, &(Loc){.file = path},
                              "this would overwrite the %s of this run, %s", inputs[i].what, inputs[i].path);
    if (!lies_among_data(c, path))
        return true;
    diag_error(&c->cx->diag, DIAG_FILE_WRITE, &(Loc){.file = path}, "this would lie among the data, in %s",
               c->o->data);
    return diag_hint(&c->cx->diag, "only names in .safetensors and .jsonl are never data");
}

bool output_is_possible(const Compile *c, const char *path) {
    const Loc loc = {.file = path};
    struct stat st;
    const char *target = file_target(c->cx, path);
    if (!target)
        return diag_error(&c->cx->diag, DIAG_FILE_WRITE, &loc, "cannot write the file: %s", strerror(errno));
    const char *folder = folder_of(c, target);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return diag_error(&c->cx->diag, DIAG_FILE_WRITE, &loc, "this is there, and not a regular file");
    if (access(folder, W_OK | X_OK) != 0)
        return diag_error(&c->cx->diag, DIAG_FILE_WRITE, &loc, "cannot write into the folder %s: %s", folder,
                          strerror(errno));
    return output_is_free(c, path);
}

/* Would these two be one file, be it there or not? */
static bool same_output(const Compile *c, const char *a, const char *b) {
    char x[PATH_MAX], y[PATH_MAX];
    if (!a || !b || same_file(a, b))
        return a && b;
    a = file_target(c->cx, a);
    b = file_target(c->cx, b);
    return a && b && realpath(folder_of(c, a), x) && realpath(folder_of(c, b), y) && !strcmp(x, y) &&
           !strcmp(base_name(a), base_name(b));
}

bool outputs_differ(const Compile *c, const char *const *paths, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (same_output(c, paths[i], paths[k]))
                return diag_error(&c->cx->diag, DIAG_FILE_WRITE, &(Loc){.file = paths[i]},
                                  "two output files would have this name");
    return true;
}

static bool check_free(const Compile *c, const FileOut *files, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!output_is_free(c, files[i].path))
            return false;
    return true;
}

bool files_write(Compile *c) {
    FileOut files[EMIT_FILE_COUNT] = {0};
    uint32_t count = 0, n = 0;
    if (c->o->only_looks)
        return true;
    for (int k = 0; k < EMIT_FILE_COUNT; k++)
        count += wanted(c, k);
    for (int k = 0; k < EMIT_FILE_COUNT; k++) {
        if (!wanted(c, k))
            continue;
        files[n].path = file_path(c, k, count);
        if (!render(c, k, &files[n++]))
            return false;
    }
    if (!check_paths(c, files, n) || !check_free(c, files, n) || !files_put(c->cx, files, n))
        return false;
    if (!c->o->quiet && strcmp(files[0].path, "-") != 0)
        summary(c, files, n);
    return true;
}
