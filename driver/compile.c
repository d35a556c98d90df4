/* The way through the house, in one screen: import, passes, packed weights, object, files. */
#include "driver/compile.h"
#include "frontend/advice.h"
#include "ir/base/file.h"
#include "ir/base/lexer.h"
#include <stdio.h>
#include <string.h>

static bool runs_code(const Options *o);
static bool is_loop_module(Context *cx, const char *path);
static bool import_graph(Compile *c);
static bool import_loops(Compile *c);
static bool check_batch(const Compile *c);
static const char *resume_at(const Compile *c);
static uint64_t model_hash(const Compile *c);

bool compile_all(Compile *c) {
    return compile_import(c) && compile_passes(c) && compile_object(c);
}

bool compile_import(Compile *c) {
    const Options *o = c->o;
    const double start = watch_now();
    c->watch = watch_new(c->cx, o, c->needs_loops);
    if (!backend_targets(c->cx, o->target, o->cpu ? o->cpu : "native", o->features, &c->targets))
        return false;
    c->target = c->targets.data[0];
    if (runs_code(o) && !backend_runs_here(c->cx, &c->target))
        return false;
    const bool ok = (is_loop_module(c->cx, o->model) ? import_loops(c) : import_graph(c)) && check_batch(c);
    watch_time(&c->watch, "(import)", watch_now() - start);
    return ok;
}

/* The pipeline for one target. */
static bool run_passes(Compile *c, const Target *t) {
    c->unit = (Unit){.cx = c->cx, .target = t, .graph = c->source, .loops = c->loaded};
    c->unit.keep_all = c->keep_all;
    c->unit.exact = c->o->math && !strcmp(c->o->math, "exact");
    c->unit.train = c->recipe ? &c->recipe->train : NULL;
    const PipelineOptions options = {.passes = c->o->passes ? c->o->passes
                                               : c->recipe  ? pipeline_train
                                                            : resume_at(c),
                                     .verify_each = c->o->verify_each,
                                     .watch_changes = c->o->print_changed,
                                     .hook = watch_pass,
                                     .hook_arg = &c->watch};
    bool stopped;
    return watch_start(&c->watch, &c->unit) && passes_run(&c->unit, &options, &stopped) && !c->watch.failed;
}

int64_t compile_workspace(const Compile *c) {
    int64_t work = c->loops->work_bytes, scratch = c->loops->scratch_bytes;
    for (uint32_t i = 0; i + 1 < c->targets.len; i++) {
        const LoopModule *m = c->others[i].m;
        work = m->work_bytes > work ? m->work_bytes : work;
        scratch = m->scratch_bytes > scratch ? m->scratch_bytes : scratch;
    }
    return work + scratch;
}

/* What holds for all CPUs may be more than any one of them needs. */
static bool check_budget(const Compile *c) {
    const int64_t budget = c->recipe ? c->recipe->train.memory_budget : 0, needed = compile_workspace(c);
    return !budget || needed <= budget ||
           diag_error(&c->cx->diag, DIAG_MEMORY_BUDGET, NULL,
                      "a workspace for all CPUs takes %lld bytes, more than the budget of %lld",
                      (long long)needed, (long long)budget);
}

/* The other targets of a list, for which an object is wanted, or what it would be. */
static bool other_passes(Compile *c) {
    for (uint32_t i = 1; i < c->targets.len; i++) {
        if (!run_passes(c, &c->targets.data[i]))
            return false;
        c->others[i - 1] = (ObjectCpu){c->unit.loops, &c->targets.data[i]};
    }
    return c->targets.len == 1 || !c->loops || check_budget(c);
}

bool compile_passes(Compile *c) {
    if (!run_passes(c, &c->target))
        return false;
    if (c->o->stop_after && !c->watch.stopped)
        return diag_error(&c->cx->diag, DIAG_PASS_LIST, NULL,
                          "--stop-after: the pass \"%s\" does not run here", c->o->stop_after);
    watch_end(&c->watch);
    c->graph = c->unit.graph ? c->unit.graph : c->watch.graph;
    c->chain = c->watch.chain;
    c->loops = c->unit.loops;
    return other_passes(c);
}

bool compile_object(Compile *c) {
    if (!c->needs_object)
        return true;
    if (!c->loops || !c->loops->planned)
        return diag_error(&c->cx->diag, DIAG_PASS_LIST, NULL, "an object needs the passes up to \"plan\"");
    const WeightsPlace place = c->o->external_weights                      ? WEIGHTS_OUTSIDE
                               : c->o->pack && !strcmp(c->o->pack, "load") ? WEIGHTS_RAW
                                                                           : WEIGHTS_PACKED;
    c->object = (ObjectOptions){.name = c->name,
                                .hash = model_hash(c),
                                .weights = place,
                                .with_prepare = place != WEIGHTS_PACKED,
                                .others = c->others,
                                .n_others = c->targets.len - 1};
    if (c->recipe)
        c->object.training = training_options(c);
    if (!c->needs_code)
        return true;
    const double start = watch_now();
    watch_progress(&c->watch, "code");
    bool ok = backend_emit(c->cx, c->loops, &c->target, EMIT_OBJECT, &c->object, &c->code);
    const double emitted = watch_now();
    watch_progress(&c->watch, "weights");
    ok = ok && weights_embed(c);
    watch_progress(&c->watch, NULL);
    watch_time(&c->watch, "(code)", emitted - start);
    watch_time(&c->watch, "(weights)", watch_now() - emitted);
    return ok;
}

/* ---- The parts ---- */

static bool runs_code(const Options *o) {
    return o->command == CMD_RUN || o->command == CMD_TRAIN || o->command == CMD_BENCH ||
           o->command == CMD_VERIFY;
}

enum { TEXT_LIMIT = 1 << 28 }; /* bytes of a .cnnir file */

/* Is MODEL loop IR? Anything else, also what cannot be read, is the front end's to judge. */
static bool is_loop_module(Context *cx, const char *path) {
    const char *dot = strrchr(path, '.');
    if (!dot || strcmp(dot, ".cnnir") != 0)
        return false;
    Context own; /* its faults are nobody's */
    context_init(&own, cx->arena.oom);
    FileData file;
    bool is = false;
    if (file_read(&own, path, TEXT_LIMIT, &file)) {
        Lexer lx;
        lex_init(&lx, &own, path, file.data, file.size);
        is = lex_is(&lx, "module");
    }
    context_free(&own);
    return is;
}

/* The recipe as the file has it, with what the command line says in its place. */
static bool read_recipe(Compile *c) {
    const Options *o = c->o;
    const Recipe *read = o->recipe ? recipe_read(c->cx, o->recipe) : recipe_default(c->cx);
    if (!read)
        return false;
    Recipe *r = arena_copy(&c->cx->arena, read, sizeof *read);
    if (o->epochs)
        r->fit.epochs = o->epochs;
    if (o->seed >= 0)
        r->fit.seed = (uint64_t)o->seed;
    if (o->batch)
        r->fit.batch = o->batch;
    if (o->memory_budget || o->evaluate) /* no step is taken in an evaluation */
        r->train.memory_budget = o->memory_budget;
    c->recipe = r;
    return true;
}

static FreshStart fresh_start(const Compile *c) {
    if (!c->recipe)
        return (FreshStart){0};
    return (FreshStart){.patterns = c->recipe->init,
                        .n_patterns = c->recipe->n_init,
                        .loc = c->recipe->init_loc,
                        .seed = c->recipe->fit.seed};
}

/* Is more asked for than to look at IR, to count it, or to make one IR of another? */
static bool is_whole(const Compile *c) {
    const bool looks = c->o->command == CMD_COMPILE || c->o->command == CMD_INFO;
    return !looks || c->needs_object || c->o->train;
}

static void advise(const Compile *c) {
    advise_loss(c->cx, c->source, c->recipe);
    if (c->o->evaluate)
        return;
    advise_batch_norm(c->cx, c->source, c->recipe);
    if (c->needs_weights)
        advise_frozen(c->cx, c->source, c->recipe, c->weights.file != NULL);
}

static bool import_graph(Compile *c) {
    const Options *o = c->o;
    if (o->train && !read_recipe(c))
        return false;
    const FreshStart fresh = fresh_start(c);
    const ImportOptions options = {.weights = o->weights,
                                   .init_seed = o->init_seed,
                                   .whole = is_whole(c),
                                   .weights_optional = !c->needs_weights,
                                   .trains = c->recipe != NULL,
                                   .fresh = c->recipe && !o->evaluate ? &fresh : NULL,
                                   .batch = o->batch || !c->recipe ? o->batch : c->recipe->fit.batch,
                                   .shapes = o->shapes.data,
                                   .n_shapes = o->shapes.len};
    c->source = import_model(c->cx, o->model, &options, &c->weights);
    if (!c->source)
        return false;
    c->name = backend_c_name(c->cx, o->name ? o->name : c->source->name);
    if (c->recipe)
        advise(c);
    return true;
}

/* The raw parameters of a loop module as a graph that has nothing else: what the front end finds weights for.
 */
static Graph *parameters_of(Context *cx, const LoopModule *m) {
    Graph *g = graph_new(cx, m->name);
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind == MB_PARAM)
            graph_param(g, VK_PARAM, b->name, b->key ? b->key : b->name, type_dense(&b->type), (Loc){0});
    }
    return g;
}

static bool import_loops(Compile *c) {
    const Options *o = c->o;
    FileData file;
    if (c->targets.len > 1)
        return diag_error(&c->cx->diag, DIAG_TARGET, &(Loc){.file = o->model},
                          "loop IR has been made for one CPU: --cpu takes no list here");
    if (!file_read(c->cx, o->model, TEXT_LIMIT, &file))
        return false;
    c->loaded = loops_parse(c->cx, o->model, file.data, file.size);
    if (!c->loaded || !loops_verify(c->loaded, c->loaded->planned) || !loops_verify_file(c->loaded))
        return false;
    if (is_whole(c) && loops_entry(c->loaded, "backward"))
        return import_training_dump(c->cx, o->model);
    if (o->train)
        return diag_error(&c->cx->diag, DIAG_TRAINING, &(Loc){.file = o->model},
                          "training starts from a model or a graph, not from loop IR");
    c->name = backend_c_name(c->cx, o->name ? o->name : c->loaded->name);
    c->parameters = parameters_of(c->cx, c->loaded);
    if (!c->needs_weights || !c->parameters->params.len)
        return true;
    if (!o->weights)
        return diag_error(&c->cx->diag, DIAG_INPUT_DATA, &(Loc){.file = o->model},
                          "loop IR with parameters needs --weights W.safetensors");
    return import_weights(c->cx, c->parameters, o->weights, &c->weights);
}

/* In loops the batch and the shapes are numbers everywhere, and so they may be in a graph. */
static bool check_batch(const Compile *c) {
    const int64_t is = c->source ? c->source->batch : c->loaded->batch;
    const Loc loc = {.file = c->o->model};
    if (c->o->batch && c->o->batch != is)
        return diag_error(&c->cx->diag, DIAG_OUT_OF_RANGE, &loc,
                          "--batch %lld: this file has been made for a batch of %lld, and no other",
                          (long long)c->o->batch, (long long)is);
    if (c->loaded && c->o->shapes.len)
        return diag_error(&c->cx->diag, DIAG_INPUT_SHAPE, &loc,
                          "--input-shape %s: the shapes of loop IR cannot be changed", c->o->shapes.data[0]);
    return true;
}

/* Where the pipeline starts. What was chosen is not chosen again, nor laid out what has layouts: where
 * `layout` has nothing to do it may have run before. A planned module is done. */
static const char *resume_at(const Compile *c) {
    const Graph *g = c->source;
    if (!g)
        return c->loaded->planned ? "" : NULL;
    bool chosen = false, laid_out = false;
    for (uint32_t i = 0; i < g->nodes.len; i++)
        chosen |= g->nodes.data[i].choice != NULL;
    for (uint32_t v = 0; v < g->values.len; v++)
        laid_out |= !layout_is_dense(&g->values.data[v].type.layout);
    const char *layout = strstr(pipeline_infer, "layout,");
    return laid_out ? layout + strlen("layout,") : chosen ? layout : NULL;
}

/* A hash of the model's structure, for the descriptor: of its text, so equal models agree on every machine.
 */
static uint64_t model_hash(const Compile *c) {
    Arena a;
    arena_init(&a, c->cx->arena.oom);
    StrBuf sb = sb_new(&a);
    const PrintOptions options = {0};
    if (c->source)
        graph_print(&sb, c->source, &options);
    else
        loops_print(&sb, c->loaded, &options);
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < sb.len; i++)
        h = (h ^ (uint8_t)sb.data[i]) * 0x100000001b3u;
    arena_free(&a);
    return h;
}

/* ---- The command ---- */

const char *compile_model_name(const Compile *c) {
    return c->source ? c->source->name : c->loaded->name;
}

int compile_fault(const Compile *c) {
    return c->internal || c->unit.internal ? STATUS_INTERNAL : STATUS_INPUT;
}

int compile_main(Context *cx, const Options *o) {
    const bool *e = o->emits;
    const bool only_ir = o->only_looks || (o->stop_after && !o->emit);
    Compile c = {.cx = cx, .o = o};
    c.needs_code = e[EMIT_FILE_OBJ] && !only_ir;
    c.needs_object =
        (e[EMIT_FILE_OBJ] || e[EMIT_FILE_HEADER] || e[EMIT_FILE_ASM] || e[EMIT_FILE_LLVM]) && !only_ir;
    c.needs_loops = c.needs_object || e[EMIT_FILE_LOOPS] || only_ir;
    c.needs_weights = c.needs_object && !o->external_weights;
    const bool ok = compile_all(&c) && files_write(&c);
    watch_progress(&c.watch, NULL);
    if (ok && o->time_passes)
        watch_print_times(&c.watch);
    return ok ? STATUS_OK : compile_fault(&c);
}
