/* cnnc train: compile a model for training, train it in this process, write the weights. The loop itself is
 * cnnrt_fit; here are the data, the state and what the user sees. */
#include "driver/commands.h"
#include "driver/process.h"
#include "driver/progress.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Train {
    Compile c;
    Process p;
    const cnnrt_training *t;
    cnnrt_dataset *train_set, *valid_set;
    cnnrt_loader *train_loader, *valid_loader;
    void *state;
    Progress progress;
    cnnrt_fit_result result;
} Train;

static volatile int interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

static bool data_fault(const Train *t, const cnnrt_data_error *e) {
    return diag_error(&t->c.cx->diag, DIAG_TRAINING_DATA, NULL, "%s", e->text);
}

/* ---- Data ---- */

/* The classes that the recipe asks for, in its order, in place of all. */
static bool take_classes(Train *t, cnnrt_dataset **set) {
    const Recipe *r = t->c.recipe;
    Context *cx = t->c.cx;
    if (!r->classes || !*set)
        return true;
    cnnrt_dataset_info info;
    cnnrt_dataset_describe(*set, &info);
    uint32_t *index = NEW_ARRAY(&cx->arena, uint32_t, r->n_classes + 1);
    for (uint32_t i = 0; i < r->n_classes; i++) {
        uint32_t k = 0;
        while (k < info.n_classes && strcmp(info.classes[k], r->classes[i]) != 0)
            k++;
        if (k == info.n_classes) {
            diag_error(&cx->diag, DIAG_TRAINING_DATA, &(Loc){.file = r->file},
                       "classes: the data have no class \"%s\"", r->classes[i]);
            const char *near = diag_nearest(r->classes[i], info.classes, info.n_classes);
            return near && diag_hint(&cx->diag, "did you mean \"%s\"?", near);
        }
        index[i] = k;
    }
    cnnrt_dataset *part;
    cnnrt_data_error error;
    if (cnnrt_dataset_subset(*set, index, r->n_classes, &part, &error) != CNNRT_OK)
        return data_fault(t, &error);
    cnnrt_dataset_close(*set);
    *set = part;
    return true;
}

/* Training samples, and those of validation: a share of them when the recipe says so, else the test set. */
static bool open_data(Train *t) {
    const Options *o = t->c.o;
    const Recipe *r = t->c.recipe;
    cnnrt_data_error error, other;
    if (cnnrt_dataset_open(&t->train_set, o->data, "train", o->data_kind, &error) != CNNRT_OK &&
        cnnrt_dataset_open(&t->train_set, o->data, NULL, o->data_kind, &other) != CNNRT_OK)
        return data_fault(t, &error);
    if (r->validation > 0) {
        cnnrt_dataset *rest;
        if (cnnrt_dataset_split(t->train_set, r->validation, r->fit.seed, &rest, &t->valid_set, &error) !=
            CNNRT_OK)
            return data_fault(t, &error);
        cnnrt_dataset_close(t->train_set);
        t->train_set = rest;
    } else if (cnnrt_dataset_open(&t->valid_set, o->data, "test", o->data_kind, &error) != CNNRT_OK) {
        diag_warning(&t->c.cx->diag, DIAG_TRAINING_DATA, NULL, "no validation: %s", error.text);
        diag_hint(&t->c.cx->diag,
                  "\"validation\": 0.1 in the recipe holds back a tenth of the training data");
    }
    return take_classes(t, &t->train_set) && take_classes(t, &t->valid_set);
}

/* One picture in, one target: what the loader can feed. */
static bool check_model(const Train *t) {
    const cnnrt_model *m = t->p.model;
    if (m->n_inputs == 1 && t->t->n_targets == 1 && m->inputs[0].rank >= 2 && m->inputs[0].rank <= 4)
        return true;
    diag_error(&t->c.cx->diag, DIAG_TRAINING_DATA, NULL,
               "cnnc train feeds models with one input of pictures or features; this one has %u inputs",
               m->n_inputs);
    return diag_hint(&t->c.cx->diag, "compile it with --train and write the loop: docs/training.md");
}

static bool check_classes(const Train *t) {
    const cnnrt_tensor *out = &t->p.model->outputs[0], *target = &t->t->targets[0];
    cnnrt_dataset_info info;
    cnnrt_dataset_describe(t->train_set, &info);
    if (target->dtype != CNNRT_I64 || out->rank < 2 || !info.n_classes || out->dim[1] >= info.n_classes)
        return true;
    return diag_error(&t->c.cx->diag, DIAG_TRAINING_DATA, NULL,
                      "the data have %u classes, but the model's output \"%s\" has %lld", info.n_classes,
                      out->name, (long long)out->dim[1]);
}

static uint32_t extent(const cnnrt_tensor *t, uint32_t d) {
    return d < t->rank ? (uint32_t)t->dim[d] : 1;
}

static bool is_random(uint32_t kind) {
    return kind != CNNRT_RESIZE && kind != CNNRT_CENTER_CROP && kind != CNNRT_NORMALIZE;
}

static bool open_loader(Train *t, const cnnrt_dataset *set, bool training, cnnrt_loader **out) {
    const Recipe *r = t->c.recipe;
    const cnnrt_tensor *in = &t->p.model->inputs[0], *target = &t->t->targets[0];
    cnnrt_loader_options o = {.seed = r->fit.seed, .shuffle = training, .resize = 1, .threads = 1};
    o.channels = extent(in, 1);
    o.height = extent(in, 2);
    o.width = extent(in, 3);
    o.batch = (uint32_t)r->fit.batch;
    if (target->dtype != CNNRT_I64)
        o.target_elements = (uint32_t)tensor_elems_for(target, 1);
    cnnrt_transform *transforms = NEW_ARRAY(&t->c.cx->arena, cnnrt_transform, r->n_augmentation + 1);
    for (uint32_t i = 0; i < r->n_augmentation; i++)
        if (training || !is_random(r->augmentation[i].kind))
            transforms[o.n_transforms++] = r->augmentation[i];
    o.transforms = transforms;
    cnnrt_data_error error;
    return cnnrt_loader_open(out, set, &o, &error) == CNNRT_OK || data_fault(t, &error);
}

/* ---- The run ---- */

static bool compile(Train *t) {
    if (!compile_passes(&t->c) || !compile_object(&t->c) || !process_open(&t->c, t->c.o->threads, &t->p))
        return false;
    t->t = t->p.model->training;
    t->state = arena_alloc(&t->c.cx->arena, (size_t)t->t->state_bytes + 4096);
    const int status = t->t->state_init(t->state, t->t->state_bytes, t->c.recipe->fit.seed);
    return status == CNNRT_OK ||
           diag_error(&t->c.cx->diag, DIAG_TRAINING, NULL, "making the state: %s", cnnrt_strerror(status));
}

static cnnrt_fit_options fit_options(Train *t) {
    const Recipe *r = t->c.recipe;
    cnnrt_fit_options o = r->fit;
    cnnrt_dataset_info info;
    cnnrt_dataset_describe(t->train_set, &info);
    const double samples = (double)o.batch * (double)(o.accumulate > 1 ? o.accumulate : 1);
    if (r->warmup_epochs > 0)
        o.schedule.warmup_steps = (int64_t)ceil(r->warmup_epochs * ceil((double)info.count / samples));
    o.checkpoint = t->c.o->checkpoint;
    o.resume = t->c.o->resume;
    o.log = t->c.o->log;
    o.stop = &interrupted;
    o.on_event = progress_event;
    o.user = &t->progress;
    return o;
}

static bool fit(Train *t) {
    const cnnrt_fit_options options = fit_options(t);
    const cnnrt_source train = cnnrt_loader_source(t->train_loader);
    const cnnrt_source valid = t->valid_loader ? cnnrt_loader_source(t->valid_loader) : (cnnrt_source){0};
    t->progress = progress_new(t->c.o);
    struct sigaction old, now = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &now, &old);
    const int status = cnnrt_fit(t->p.model, &train, t->valid_loader ? &valid : NULL, t->state, NULL,
                                 t->p.work, t->p.work_bytes, t->p.pool, &options, &t->result);
    sigaction(SIGINT, &old, NULL);
    progress_end(&t->progress);
    return status == CNNRT_OK ||
           diag_error(&t->c.cx->diag, DIAG_TRAINING, &(Loc){.file = t->c.o->model}, "%s", t->result.text);
}

static bool save(Train *t) {
    const cnnrt_model *m = t->p.model;
    const void **frozen = NEW_ARRAY(&t->c.cx->arena, const void *, m->n_params + 1);
    char why[400];
    if (!t->c.o->save)
        return true;
    for (uint32_t i = 0; i < m->n_params; i++)
        frozen[i] = weights_find(&t->c, m->params[i].name);
    return cnnrt_state_export(m, t->state, frozen, t->c.o->save, why, sizeof why) == CNNRT_OK ||
           diag_error(&t->c.cx->diag, DIAG_FILE_WRITE, NULL, "%s", why);
}

static void report(const Train *t) {
    const cnnrt_dataset_info *info = &(cnnrt_dataset_info){0};
    cnnrt_dataset_info found;
    if (t->valid_set) {
        cnnrt_dataset_describe(t->valid_set, &found);
        info = &found;
    }
    if (t->c.o->json)
        progress_json(&t->c, &t->result);
    else if (!t->c.o->quiet)
        progress_report(&t->c, &t->result, info->classes, info->n_classes);
}

static bool train(Train *t) {
    if (!compile_import(&t->c) || (t->c.o->save && !output_is_free(&t->c, t->c.o->save)))
        return false;
    if (!t->c.source)
        return diag_error(&t->c.cx->diag, DIAG_TRAINING, &(Loc){.file = t->c.o->model},
                          "training starts from a model or a graph, not from loop IR");
    return open_data(t) && compile(t) && check_model(t) && check_classes(t) &&
           open_loader(t, t->train_set, true, &t->train_loader) &&
           (!t->valid_set || open_loader(t, t->valid_set, false, &t->valid_loader)) && fit(t) && save(t);
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
    cnnrt_loader_close(t.train_loader);
    cnnrt_loader_close(t.valid_loader);
    cnnrt_dataset_close(t.train_set);
    cnnrt_dataset_close(t.valid_set);
    cnnrt_fit_result_free(&t.result);
    process_close(&t.p);
    if (ok && o->time_passes)
        watch_print_times(&t.c.watch);
    return ok ? STATUS_OK : compile_fault(&t.c);
}
