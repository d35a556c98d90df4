/* Watching a pipeline: printing, dumping, timing and stopping, behind the pass manager's hook. */
#include "driver/watch.h"
#include "ir/base/file.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double watch_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Watch watch_new(Context *cx, const Options *o, bool needs_loops) {
    return (Watch){.cx = cx,
                   .o = o,
                   .needs_loops = needs_loops,
                   .seen = NEW_ARRAY(&cx->arena, bool, pass_count),
                   .progress = !o->quiet && !options_print(o) && isatty(STDERR_FILENO)};
}

void watch_progress(const Watch *w, const char *what) {
    if (!w->progress)
        return;
    fputs("\r\033[K", stderr);
    if (what)
        fprintf(stderr, "cnnc: %s ...", what);
    fflush(stderr);
}

void watch_time(Watch *w, const char *what, double seconds) {
    vec_push(&w->cx->arena, &w->times, (Timing){what, seconds});
}

void watch_print_times(const Watch *w) {
    double total = 0;
    for (uint32_t i = 0; i < w->times.len; i++)
        total += w->times.data[i].seconds;
    fprintf(stderr, "        ms     %%  what\n");
    for (uint32_t i = 0; i < w->times.len; i++)
        fprintf(stderr, "%10.3f %5.1f  %s\n", w->times.data[i].seconds * 1e3,
                total > 0 ? 100 * w->times.data[i].seconds / total : 0, w->times.data[i].what);
    fprintf(stderr, "%10.3f 100.0  total\n", total * 1e3);
}

static bool in_list(Context *cx, const TextList *list, const char *name) {
    for (uint32_t i = 0; i < list->len; i++)
        for (const char *p = list->data[i]; *p; p += *p == ',') {
            const size_t n = strcspn(p, ",");
            if (intern_n(cx, p, n) == intern(cx, name))
                return true;
            p += n;
        }
    return false;
}

static void unit_print(const Watch *w, const Unit *u, StrBuf *sb) {
    const PrintOptions options = {.filter = w->o->print_filter};
    if (u->graph)
        graph_print(sb, u->graph, &options);
    else
        loops_print(sb, u->loops, &options);
}

/* A comment says which pass, so that what was printed parses as it is. */
static void print_unit(const Watch *w, const Unit *u, const char *when, const char *pass) {
    Arena a;
    arena_init(&a, w->cx->arena.oom);
    StrBuf sb = sb_new(&a);
    sb_printf(&sb, "# %s %s\n", when, pass);
    unit_print(w, u, &sb);
    fputs(sb_str(&sb), stderr);
    arena_free(&a);
}

static void dump_unit(Watch *w, const Unit *u, const char *pass) {
    if (!w->o->dump_dir)
        return;
    Arena a;
    arena_init(&a, w->cx->arena.oom);
    StrBuf sb = sb_new(&a);
    unit_print(w, u, &sb);
    const char *path = arena_printf(&a, "%s/%02u-%s.cnnir", w->o->dump_dir, w->done, pass);
    w->failed |= !file_write(w->cx, path, sb_str(&sb), sb.len);
    arena_free(&a);
}

/* As mkdir -p does: the folders above it first. */
static bool make_folder(Context *cx, const char *path) {
    char *part = arena_strndup(&cx->arena, path, strlen(path));
    for (size_t i = 1;; i++) {
        if (part[i] != '/' && part[i])
            continue;
        part[i] = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return diag_error(&cx->diag, DIAG_FILE_WRITE, &(Loc){.file = path},
                              "cannot make the folder %s: %s", part, strerror(errno));
        if (!path[i])
            return true;
        part[i] = '/';
    }
}

/* The graphs of training, when they are seen for the first time. Passes make new graphs but link them anew.
 */
static void keep_chain(Watch *w, const Graph *g) {
    if (w->chain || !g || strcmp(g->entry, "backward") != 0)
        return;
    for (Graph **link = &w->chain; g; g = g->next, link = &(*link)->next)
        *link = arena_copy(&w->cx->arena, g, sizeof *g);
}

bool watch_start(Watch *w, const Unit *u) {
    keep_chain(w, u->graph);
    if (w->o->dump_dir && !make_folder(w->cx, w->o->dump_dir))
        return false;
    dump_unit(w, u, "import");
    return !w->failed;
}

void watch_end(const Watch *w) {
    for (uint32_t i = 0; i < pass_count; i++) {
        const char *name = pass_table[i].name;
        if (!w->seen[i] &&
            (in_list(w->cx, &w->o->print_before, name) || in_list(w->cx, &w->o->print_after, name)))
            diag_warning(&w->cx->diag, DIAG_PASS_LIST, NULL,
                         "nothing to print: the pass \"%s\" does not run here", name);
    }
}

bool watch_pass(void *arg, const Unit *u, const Pass *p, bool before, bool changed, double seconds) {
    Watch *w = arg;
    w->seen[p - pass_table] = true;
    if (before) {
        if (in_list(w->cx, &w->o->print_before, p->name))
            print_unit(w, u, "before", p->name);
        if (p->level == PASS_LOWER)
            w->graph = u->graph;
        if (p->level == PASS_LOWER && !w->needs_loops)
            return false;
        watch_progress(w, p->name);
        return true;
    }
    keep_chain(w, u->graph);
    w->done++;
    watch_time(w, p->name, seconds);
    watch_progress(w, NULL);
    if (w->o->print_after_all || in_list(w->cx, &w->o->print_after, p->name) ||
        (w->o->print_changed && changed))
        print_unit(w, u, "after", p->name);
    else if (w->o->print_changed)
        fprintf(stderr, "# after %s: no change\n", p->name);
    dump_unit(w, u, p->name);
    w->stopped = w->o->stop_after && !strcmp(w->o->stop_after, p->name);
    return !w->stopped && !w->failed;
}
