/* cnnc train: compile a model for training, train it in this process, write the weights. The loop itself is
 * cnnrt_fit; here are its options, the state and how it ends. With --evaluate the loop is cnnrt_evaluate. */
#include "driver/commands.h"
#include "driver/progress.h"
#include "driver/samples.h"
#include <math.h>
#include <signal.h>
#include <string.h>

typedef struct Train {
    Compile c;
    Process p;
    Samples samples;
    void *state;
    Progress progress;
    cnnrt_fit_result result;
} Train;

static volatile int stopped_by; /* a signal, or 0; handlers can reach nothing else */

/* The first ends the run in order; the second kills, as soon as this returns. */
static void on_signal(int number) {
    if (stopped_by) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
    stopped_by = number;
}

/* For good: what comes after the last step, while results are written, must not cost them. What we were
 * started to ignore, as by nohup or in the background, we ignore. */
static void watch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction watched = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction old;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &watched, NULL);
}

static bool fault(const Train *t, const char *why) {
    return diag_error(&t->c.cx->diag, DIAG_TRAINING, &(Loc){.file = t->c.o->model}, "%s", why);
}

/* Better now than after hours of training. */
static bool check_outputs(const Train *t) {
    const Options *o = t->c.o;
    return (!o->save || output_is_possible(&t->c, o->save)) &&
           (!o->checkpoint || output_is_possible(&t->c, o->checkpoint)) &&
           (!o->log || output_is_free(&t->c, o->log)) &&
           outputs_differ(&t->c, (const char *const[]){o->save, o->checkpoint, o->log}, 3);
}

static bool compile(Train *t) {
    if (!compile_passes(&t->c))
        return false;
    if (!t->c.loops || !t->c.loops->planned)
        return fault(t, "training needs the passes up to \"plan\"");
    if (!compile_object(&t->c) || !process_open(&t->c, t->c.o->threads, &t->p))
        return false;
    const cnnrt_training *training = t->p.model->training;
    t->state = aligned_bytes(t->c.cx, training->state_bytes);
    const int status = training->state_init(t->state, training->state_bytes, t->c.recipe->fit.seed);
    return status == CNNRT_OK || fault(t, cnnrt_strerror(status));
}

/* Has the checkpoint all weights of the model? It lacks those that its run had frozen. */
static bool checkpoint_is_weights(const Train *t) {
    Context own; /* its faults are nobody's */
    Weights weights;
    context_init(&own, t->c.cx->arena.oom);
    own.arena.limit = t->c.cx->arena.limit;
    const bool is = import_weights(&own, t->c.source, t->c.o->checkpoint, &weights);
    context_free(&own);
    return is;
}

/* For a checkpoint of another run than this. */
static bool hint_resume(const Train *t) {
    Diag *d = &t->c.cx->diag;
    if (t->result.status == CNNRT_E_FROZEN)
        return diag_hint(d, "give the same --weights as that run");
    if (checkpoint_is_weights(t))
        return diag_hint(
            d,
            "resume with the recipe and options of that run; or begin a new one from its weights: "
            "--weights %s and another --checkpoint",
            t->c.o->checkpoint);
    if (t->result.status == CNNRT_E_MISSING || t->p.model->n_params)
        return diag_hint(d,
                         "resume with the recipe, options and --weights of that run; or begin a new one from "
                         "the weights that it saved with --save, and with another --checkpoint");
    return diag_hint(d,
                     "resume with the model, recipe and options of that run; or give another --checkpoint");
}

/* What ended the run or the evaluation. */
static bool run_fault(const Train *t) {
    if (samples_failed(&t->samples, t->result.text))
        return diag_error(&t->c.cx->diag, DIAG_TRAINING_DATA, NULL, "%s", t->result.text);
    const char *checkpoint = t->c.o->checkpoint;
    const int status = t->result.status;
    fault(t, t->result.text);
    return t->c.o->resume && strncmp(t->result.text, checkpoint, strlen(checkpoint)) == 0 &&
           (status == CNNRT_E_OPTIONS || status == CNNRT_E_SHAPE || status == CNNRT_E_MISSING ||
            status == CNNRT_E_FROZEN) &&
           hint_resume(t);
}

/* What is not trained, in the order of the model's parameters. */
static const void *const *frozen_weights(const Train *t) {
    const cnnrt_model *m = t->p.model;
    const void **frozen = NEW_ARRAY(&t->c.cx->arena, const void *, m->n_params + 1);
    for (uint32_t i = 0; i < m->n_params; i++)
        frozen[i] = weights_find(&t->c, m->params[i].name);
    return frozen;
}

/* Checkpoints do not have them, so a run that is resumed must be given the same. FNV-1a over words. */
static uint64_t frozen_hash(const Train *t) {
    const cnnrt_model *m = t->p.model;
    const void *const *frozen = frozen_weights(t);
    uint64_t h = 0;
    for (uint32_t i = 0; i < m->n_params; i++) {
        const uint32_t *words = frozen[i];
        for (uint64_t k = 0; k < m->params[i].bytes / sizeof *words; k++)
            h = (h ^ words[k]) * 0x100000001b3u;
    }
    return h >> 11; /* 53 bits */
}

static cnnrt_fit_options fit_options(Train *t) {
    const Recipe *r = t->c.recipe;
    cnnrt_fit_options o = r->fit;
    if (r->warmup_epochs > 0) {
        const int64_t samples = cnnrt_loader_source(t->samples.train_loader).count;
        const double batches = ceil((double)samples / (double)o.batch);
        o.schedule.warmup_steps = (int64_t)ceil(r->warmup_epochs * ceil(batches / (double)o.accumulate));
    }
    o.checkpoint = t->c.o->checkpoint;
    o.resume = t->c.o->resume;
    o.frozen = frozen_hash(t);
    o.log = t->c.o->log;
    o.stop = &stopped_by;
    o.on_event = progress_event;
    o.user = &t->progress;
    return o;
}

static bool fit(Train *t) {
    const cnnrt_fit_options options = fit_options(t);
    const cnnrt_source train = cnnrt_loader_source(t->samples.train_loader);
    const bool validates = t->samples.valid_loader != NULL;
    const cnnrt_source valid = validates ? cnnrt_loader_source(t->samples.valid_loader) : (cnnrt_source){0};
    t->progress = progress_new(&t->c);
    watch_signals();
    const int status = cnnrt_fit(t->p.model, &train, validates ? &valid : NULL, t->state, NULL, t->p.work,
                                 t->p.work_bytes, t->p.pool, &options, &t->result);
    progress_end(&t->progress);
    return status == CNNRT_OK || run_fault(t);
}

static bool save(Train *t) {
    char why[400];
    if (!t->c.o->save)
        return true;
    return cnnrt_state_export(t->p.model, t->state, frozen_weights(t), t->c.o->save, why, sizeof why) ==
               CNNRT_OK ||
           diag_error(&t->c.cx->diag, DIAG_FILE_WRITE, NULL, "%s", why);
}

static bool evaluate(Train *t) {
    const cnnrt_source valid = cnnrt_loader_source(t->samples.valid_loader);
    const double start = watch_now();
    watch_progress(&t->c.watch, "evaluation");
    const int status =
        cnnrt_evaluate(t->p.model, &valid, t->state, NULL, t->p.work, t->p.work_bytes, t->p.pool, &t->result);
    watch_progress(&t->c.watch, NULL);
    t->result.seconds = watch_now() - start;
    return status == CNNRT_OK || run_fault(t);
}

static void report(const Train *t) {
    cnnrt_dataset_info info = {0};
    const Options *o = t->c.o;
    if (t->samples.valid)
        cnnrt_dataset_describe(t->samples.valid, &info);
    if (o->json)
        (o->evaluate ? progress_evaluation_json : progress_json)(&t->c, &t->result, &info);
    else if (!o->quiet)
        (o->evaluate ? progress_evaluation : progress_report)(&t->c, &t->result, &info);
}

static void warn_not_saved(const Train *t) {
    const Options *o = t->c.o;
    if (o->evaluate || o->save || o->checkpoint)
        return;
    diag_warning(&t->c.cx->diag, DIAG_NOT_SAVED, NULL, "the trained weights will not be kept");
    diag_hint(&t->c.cx->diag, "--save W.safetensors or --checkpoint C.safetensors keeps them");
}

static bool train(Train *t) {
    if (!compile_import(&t->c) || !check_outputs(t) || !samples_open(&t->c, &t->samples))
        return false;
    warn_not_saved(t);
    print_diagnostics(t->c.cx); /* not after hours of training */
    return compile(t) && samples_load(&t->c, t->p.model, &t->samples) &&
           (t->c.o->evaluate ? evaluate(t) : fit(t) && save(t));
}

int train_main(Context *cx, const Options *o) {
    Train t = {.c = {.cx = cx,
                     .o = o,
                     .needs_loops = true,
                     .needs_object = true,
                     .needs_code = true,
                     .needs_weights = true}};
    const bool ok = train(&t);
    if (ok)
        report(&t);
    if (ok && o->time_passes)
        watch_print_times(&t.c.watch);
    samples_close(&t.samples);
    cnnrt_fit_result_free(&t.result);
    process_close(&t.p);
    return !ok ? compile_fault(&t.c) : t.result.stopped == 2 ? STATUS_SIGNAL + stopped_by : STATUS_OK;
}
