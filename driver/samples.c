/* Data sets for cnnc train: opening, splitting and narrowing them as the recipe says, and loaders that fit
 * the model. What does not fit is found before the first step. */
#include "driver/classes.h"
#include "frontend/advice.h"
#include <string.h>
#include <unistd.h>

static bool fault(const Compile *c, const Loc *loc, const cnnrt_data_error *e) {
    return diag_error(&c->cx->diag, DIAG_TRAINING_DATA, loc, "%s", e->text);
}

static cnnrt_dataset_info describe(const cnnrt_dataset *a) {
    cnnrt_dataset_info info;
    cnnrt_dataset_describe(a, &info);
    return info;
}

/* ---- Opening ---- */

/* DIR/train or the like, else DIR itself as a folder of classes. */
static bool open_train(const Compile *c, cnnrt_dataset **out) {
    const Options *o = c->o;
    cnnrt_data_error error, plain;
    int status = cnnrt_dataset_open(out, o->data, "train", o->data_kind, &error);
    if (status != CNNRT_E_FILE)
        return status == CNNRT_OK || fault(c, NULL, &error);
    status = cnnrt_dataset_open(out, o->data, NULL, o->data_kind, &plain);
    if (status == CNNRT_OK)
        return true;
    fault(c, NULL, &error);
    return status == CNNRT_E_FORMAT &&
           diag_hint(&c->cx->diag, "nor is it a folder of classes: %s", plain.text);
}

/* The test set, or DIR itself as a folder of classes. A test set of folders numbers its classes as the
 * training set beside it does, if there is one. */
static bool open_evaluated(const Compile *c, Samples *s) {
    const Options *o = c->o;
    cnnrt_data_error error, plain;
    int status = cnnrt_dataset_open(&s->valid, o->data, "test", o->data_kind, &error);
    if (status == CNNRT_OK && strcmp(describe(s->valid).kind, "folder") == 0)
        cnnrt_dataset_open(&s->train, o->data, "train", o->data_kind, &plain);
    if (status != CNNRT_E_FILE)
        return status == CNNRT_OK || fault(c, NULL, &error);
    if (cnnrt_dataset_open(&s->valid, o->data, NULL, o->data_kind, &plain) == CNNRT_OK)
        return true;
    fault(c, NULL, &error);
    return access(o->data, F_OK) == 0 &&
           diag_hint(&c->cx->diag, "\"validation\" in the recipe evaluates what training held back");
}

/* The test set. That there is none is no fault; that it is damaged is one. */
static bool open_test(const Compile *c, cnnrt_dataset **out) {
    cnnrt_data_error error;
    const int status = cnnrt_dataset_open(out, c->o->data, "test", c->o->data_kind, &error);
    if (status != CNNRT_E_FILE)
        return status == CNNRT_OK || fault(c, NULL, &error);
    diag_warning(&c->cx->diag, DIAG_TRAINING_DATA, NULL, "no validation: %s", error.text);
    diag_hint(&c->cx->diag, "\"validation\": 0.1 in the recipe holds back a tenth of the training data");
    return true;
}

static bool hold_back(const Compile *c, Samples *s) {
    cnnrt_dataset *rest;
    cnnrt_data_error error;
    const Recipe *r = c->recipe;
    if (cnnrt_dataset_split(s->train, r->validation, r->fit.seed, &rest, &s->valid, &error) != CNNRT_OK)
        return fault(c, &r->validation_loc, &error);
    cnnrt_dataset_close(s->train);
    s->train = rest;
    return true;
}

static bool check_count(const Compile *c, const cnnrt_dataset *set, const char *what) {
    return describe(set).count > 0 ||
           diag_error(&c->cx->diag, DIAG_TRAINING_DATA, &(Loc){.file = c->recipe->file},
                      "the recipe leaves no samples for %s", what);
}

static bool open_sets(const Compile *c, Samples *s) {
    const bool holds_back = c->recipe->validation > 0;
    if (c->o->evaluate && !holds_back)
        return open_evaluated(c, s);
    return open_train(c, &s->train) && (holds_back ? hold_back(c, s) : open_test(c, &s->valid));
}

bool samples_open(const Compile *c, Samples *s) {
    const char *valid = c->o->evaluate ? "evaluation" : "validation";
    return open_sets(c, s) && classes_settle(c, s) && (!s->train || check_count(c, s->train, "training")) &&
           (!s->valid || check_count(c, s->valid, valid));
}

/* ---- Loading ---- */

/* One picture in, one target: what a loader can feed. */
static bool check_model(const Compile *c, const cnnrt_model *m) {
    const cnnrt_tensor *in = m->inputs, *target = m->training->targets;
    if (m->n_inputs != 1)
        diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL,
                   "cnnc train feeds models with one input, and this one has %u", m->n_inputs);
    else if (in->dtype != CNNRT_F32 || m->pixels->layout || m->pixels->color)
        diag_error(
            &c->cx->diag, DIAG_TRAINING_DATA, NULL,
            "cnnc train feeds f32 in planes with red first, and input \"%s\" takes other pixels: train "
            "the model's JSON file",
            in->name);
    else if (in->rank < 2 || in->rank > 4)
        diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL,
                   "cnnc train feeds pictures or features, and input \"%s\" has %u dimensions", in->name,
                   in->rank);
    else if (target->dtype == CNNRT_I64 && target->rank != 1)
        diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL,
                   "cnnc train feeds one label a sample, and this loss takes one a pixel");
    else
        return true;
    return diag_hint(&c->cx->diag, "compile it with --train and write the loop: docs/training.md");
}

/* The output that the loss looks at. */
static const cnnrt_tensor *scores(const Compile *c, const cnnrt_model *m) {
    const char *name = c->recipe->train.loss.output;
    for (uint32_t i = 0; name && i < m->n_outputs; i++)
        if (!strcmp(m->outputs[i].name, name))
            return &m->outputs[i];
    return m->outputs;
}

/* More scores than classes can be meant where files have mere numbers, but hardly where they have names. */
static void warn_of_more(const Compile *c, const cnnrt_dataset *set, const cnnrt_tensor *out) {
    const cnnrt_dataset_info info = describe(set);
    const bool named = strcmp(info.kind, "folder") == 0 || strcmp(info.kind, "cifar10") == 0;
    if (named && out->dim[1] > (int64_t)info.n_classes)
        diag_warning(&c->cx->diag, DIAG_TRAINING_DATA, NULL,
                     "the data have %u classes, and output \"%s\" of the model has %lld", info.n_classes,
                     out->name, (long long)out->dim[1]);
}

/* All labels, also of what was held back, are classes of the output. */
static bool check_labels(const Compile *c, const Samples *s, const cnnrt_tensor *out) {
    const char *but = arena_printf(&c->cx->arena, "output \"%s\" of the model has %lld classes", out->name,
                                   (long long)out->dim[1]);
    return (!s->train || classes_below(c, s->train, out->dim[1], but)) &&
           (!s->valid || classes_below(c, s->valid, out->dim[1], but));
}

/* There is a score for each class. */
static bool check_scores(const Compile *c, const cnnrt_model *m, const Samples *s) {
    const cnnrt_tensor *out = scores(c, m), *target = m->training->targets;
    const cnnrt_dataset *set = s->train ? s->train : s->valid;
    const uint32_t classes = describe(set).n_classes;
    if (target->dtype != CNNRT_I64 || out->rank < 2)
        return true;
    if (s->train && !c->o->evaluate)
        warn_of_more(c, s->train, out);
    if (out->dim[1] >= (int64_t)classes)
        return true;
    if (!classes_numbered(c, set))
        diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL,
                   "the data have %u classes, but output \"%s\" of the model has %lld", classes, out->name,
                   (long long)out->dim[1]);
    else if (check_labels(c, s, out))
        return true;
    return diag_hint(&c->cx->diag, "\"classes\" in the recipe takes some of them");
}

static bool is_random(uint32_t kind) {
    return kind != CNNRT_RESIZE && kind != CNNRT_CENTER_CROP && kind != CNNRT_NORMALIZE;
}

static bool take_transforms(const Compile *c, bool training, cnnrt_loader_options *o) {
    const Recipe *r = c->recipe;
    cnnrt_transform *transforms = NEW_ARRAY(&c->cx->arena, cnnrt_transform, r->n_augmentation + 1);
    cnnrt_data_error error;
    for (uint32_t i = 0; i < r->n_augmentation; i++) {
        if (cnnrt_transform_check(&r->augmentation[i], o->channels, &error) != CNNRT_OK)
            return fault(c, &r->augmentation_locs[i], &error);
        if (training || !is_random(r->augmentation[i].kind))
            transforms[o->n_transforms++] = r->augmentation[i];
    }
    o->transforms = transforms;
    return true;
}

/* What is random is left out of validation: its pictures may be of another size. */
static bool unfit(const Compile *c, bool training, const char *text) {
    const char *what = training ? "training" : c->o->evaluate ? "evaluation" : "validation";
    diag_error(&c->cx->diag, DIAG_TRAINING_DATA, NULL, "%s: %s", what, text);
    return !training && c->recipe->n_augmentation &&
           diag_hint(&c->cx->diag, "%s goes through Resize, CenterCrop and Normalize only", what);
}

/* One sample all the way, so that a wrong size is not found after the first epoch. */
static bool try_sample(const Compile *c, const cnnrt_model *m, cnnrt_loader *loader, bool training) {
    const cnnrt_source source = cnnrt_loader_source(loader);
    float *input = NEW_ARRAY(&c->cx->arena, float, tensor_elems_for(&m->inputs[0], 1));
    int64_t *target = NEW_ARRAY(&c->cx->arena, int64_t, tensor_elems_for(&m->training->targets[0], 1));
    if (source.begin(source.arg, 0, 0) == CNNRT_OK && source.next(source.arg, 1, input, target) == 1)
        return true;
    return unfit(c, training, source.error(source.arg));
}

static uint32_t extent(const cnnrt_tensor *t, uint32_t d) {
    return d < t->rank ? (uint32_t)t->dim[d] : 1;
}

static bool open_loader(const Compile *c, const cnnrt_model *m, const cnnrt_dataset *set, bool training,
                        cnnrt_loader **out) {
    const cnnrt_tensor *in = &m->inputs[0], *target = &m->training->targets[0];
    cnnrt_loader_options o = {.channels = extent(in, 1),
                              .height = extent(in, 2),
                              .width = extent(in, 3),
                              .seed = c->recipe->fit.seed,
                              .shuffle = training,
                              .resize = strcmp(describe(set).kind, "folder") == 0,
                              .batch = (uint32_t)c->recipe->fit.batch,
                              .threads = 1};
    cnnrt_data_error error;
    if (target->dtype != CNNRT_I64)
        o.target_elements = (uint32_t)tensor_elems_for(target, 1);
    if (!take_transforms(c, training, &o))
        return false;
    if (cnnrt_loader_open(out, set, &o, &error) != CNNRT_OK)
        return unfit(c, training, error.text);
    return try_sample(c, m, *out, training);
}

/* The end of each epoch would be an error. */
static bool check_last_batch(const Compile *c, const cnnrt_model *m, const Samples *s) {
    const int64_t count = describe(s->train).count, batch = c->recipe->fit.batch;
    const Node *norm = advise_single_norm(c->source, c->recipe);
    if (!norm || m->n_fixed || batch == 1 || count % batch != 1)
        return true;
    diag_error(
        &c->cx->diag, DIAG_BATCH_NORM, &norm->loc,
        "the last of %lld samples is a batch of its own, and this batch norm has one value a channel there",
        (long long)count);
    return diag_hint(&c->cx->diag, "another batch_size, or a frozen batch norm");
}

bool samples_load(const Compile *c, const cnnrt_model *m, Samples *s) {
    return check_model(c, m) && check_scores(c, m, s) && (c->o->evaluate || check_last_batch(c, m, s)) &&
           (c->o->evaluate || open_loader(c, m, s->train, true, &s->train_loader)) &&
           (!s->valid || open_loader(c, m, s->valid, false, &s->valid_loader));
}

static bool failed(cnnrt_loader *loader, const char *text) {
    if (!loader)
        return false;
    const cnnrt_source source = cnnrt_loader_source(loader);
    return strcmp(source.error(source.arg), text) == 0;
}

bool samples_failed(const Samples *s, const char *text) {
    return failed(s->train_loader, text) || failed(s->valid_loader, text);
}

void samples_close(Samples *s) {
    cnnrt_loader_close(s->train_loader);
    cnnrt_loader_close(s->valid_loader);
    cnnrt_dataset_close(s->train);
    cnnrt_dataset_close(s->valid);
}
