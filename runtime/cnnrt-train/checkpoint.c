/* Checkpoints: a safetensors file of the whole state block. Parameters and statistics have PyTorch's names,
 * slots and gradients have theirs ("exp_avg/conv1.weight"), counters "counter/", the weights of the best
 * epoch "best/". Where the run stands is text in __metadata__; a checksum covers the whole file. */
#include "internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "cnnc-checkpoint/1";

/* ---- Place as text: whole numbers in decimal, doubles as the 16 digits of their bits ---- */

typedef struct Field {
    const char *name;
    size_t at;
    bool real;
} Field;
#define INT(name, member) {name, offsetof(Place, member), false}
#define REAL(name, member) {name, offsetof(Place, member), true}
static const Field fields[] = {
    INT("batch", batch),
    INT("accumulate", accumulate),
    INT("samples", samples),
    INT("seed", seed),
    INT("frozen", frozen),
    INT("epoch", epoch),
    INT("batches", batches),
    INT("epoch_step", steps),
    INT("step", total_steps),
    INT("schedule.epoch", schedule.epoch),
    INT("schedule.step", schedule.step),
    INT("schedule.reductions", schedule.reductions),
    INT("schedule.bad_epochs", schedule.bad_epochs),
    INT("schedule.cooldown_left", schedule.cooldown_left),
    REAL("schedule.best", schedule.best),
    REAL("score.loss", score.loss),
    INT("score.samples", score.samples),
    INT("score.labelled", score.labelled),
    INT("score.top1", score.top1),
    INT("score.top5", score.top5),
    INT("best_epoch", best_epoch),
    INT("bad_epochs", bad_epochs),
    REAL("best_metric", best_metric),
    REAL("best_val_loss", best_val_loss),
    REAL("best_val_accuracy", best_val_accuracy),
    REAL("best_val_top5", best_val_top5),
    REAL("train_loss", train_loss),
    REAL("train_accuracy", train_accuracy),
    REAL("val_loss", val_loss),
    REAL("val_accuracy", val_accuracy),
    REAL("val_top5", val_top5),
};
enum {
    N_FIELDS = sizeof fields / sizeof *fields,
    N_SETTINGS = 4 /* the first: what resuming must not change */
};

static void field_text(const Place *place, const Field *f, char *out, size_t size) {
    int64_t v;
    memcpy(&v, (const unsigned char *)place + f->at, sizeof v);
    snprintf(out, size, f->real ? "%016" PRIx64 : "%" PRId64, v);
}

/* False when the text is not exactly what field_text writes, or a count (all but the seed) not below 2^53. */
static bool field_read(Place *place, const Field *f, const char *text, size_t size) {
    char copy[32], again[32];
    if (size >= sizeof copy)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    const int64_t v = f->real ? (int64_t)strtoull(copy, NULL, 16) : (int64_t)strtoll(copy, NULL, 10);
    memcpy((unsigned char *)place + f->at, &v, sizeof v);
    field_text(place, f, again, sizeof again);
    const bool count = !f->real && f->at != offsetof(Place, seed);
    return strcmp(copy, again) == 0 && (!count || (v >= 0 && v < (int64_t)1 << 53));
}

/* ---- Tensors ---- */

typedef struct Checkpoint {
    const cnnrt_model *model;
    const unsigned char *state;
    const Place *place; /* NULL: none */
    const unsigned char *best;
} Checkpoint;

static uint32_t count_weights(const cnnrt_training *t) {
    uint32_t n = 0;
    while (n < t->n_state && cnnrt_is_weight(&t->state[n])) /* they stand first */
        n++;
    return n;
}

/* Bytes before weight i in a copy of all weights. */
static uint64_t best_offset(const cnnrt_training *t, uint32_t i) {
    uint64_t bytes = 0;
    while (i-- > 0)
        bytes += t->state[i].tensor.bytes;
    return bytes;
}

/* Tensor i of the file; those from n_state on are the best weights. */
static StEntry tensor(const void *arg, uint32_t i) {
    const Checkpoint *c = arg;
    const cnnrt_training *t = c->model->training;
    if (i >= t->n_state)
        return (StEntry){"best/", &t->state[i - t->n_state].tensor,
                         c->best ? c->best + best_offset(t, i - t->n_state) : NULL};
    return (StEntry){t->state[i].role == CNNRT_COUNTER ? "counter/" : "", &t->state[i].tensor,
                     c->state + t->state[i].offset};
}

/* Pairs of __metadata__ before those of the place. */
enum { TEXT_FORMAT, TEXT_HASH, TEXT_MODEL, TEXT_LOSS, TEXT_OPTIMIZER, N_TEXTS };
static const char *const text_keys[N_TEXTS] = {"format", "hash", "model", "loss", "optimizer"};

static StText text(const void *arg, uint32_t i) {
    const Checkpoint *c = arg;
    const cnnrt_training *training = c->model->training;
    const char *const values[N_TEXTS] = {format, "", c->model->name, training->loss, training->optimizer};
    StText t = {i < N_TEXTS ? text_keys[i] : fields[i - N_TEXTS].name, ""};
    if (i >= N_TEXTS)
        field_text(c->place, &fields[i - N_TEXTS], t.value, sizeof t.value);
    else if (i == TEXT_HASH)
        snprintf(t.value, sizeof t.value, "%016" PRIx64, c->model->hash);
    else
        snprintf(t.value, sizeof t.value, "%s", values[i]);
    return t;
}

int cnnrt_place_save(const cnnrt_model *m, const void *state, const Place *place, const void *best,
                     const char *path, Why why) {
    const Checkpoint c = {m, state, place, best};
    const cnnrt_training *t = m->training;
    const StFile f = {
        &c, t->n_state + (best ? count_weights(t) : 0), N_TEXTS + (place ? N_FIELDS : 0), tensor, text, true};
    return cnnrt_st_save(&f, path, why);
}

/* ---- Loading ---- */

/* A checkpoint in memory. */
typedef struct Loaded {
    const cnnrt_model *model;
    const char *path;
    cnnrt_safetensors st;
    bool has_best;
} Loaded;

static bool text_is(const Loaded *l, const char *key, const char *want) {
    const char *value;
    size_t size;
    return cnnrt_st_text(&l->st, key, &value, &size) && size == strlen(want) && !memcmp(value, want, size);
}

/* The checksum stands in the file that it covers as zeros. */
static bool checksum_is_right(const Loaded *l, unsigned char *file, size_t size) {
    const char *value;
    char digits[24];
    size_t n;
    if (!cnnrt_st_text(&l->st, "checksum", &value, &n) || n != 16)
        return false;
    char stored[17] = {0};
    memcpy(stored, value, n);
    memset(file + (value - (const char *)file), '0', n);
    snprintf(digits, sizeof digits, "%016" PRIx64, cnnrt_hash(file, size));
    return strcmp(digits, stored) == 0;
}

static int check_file(Loaded *l, unsigned char *file, size_t size, Why why) {
    char fault[128];
    size_t at;
    if (cnnrt_st_open(&l->st, file, size, fault, sizeof fault, &at) != CNNRT_OK)
        return cnnrt_why(why, CNNRT_E_FORMAT, "%s: byte %zu: %s", l->path, at, fault);
    if (!text_is(l, "format", format))
        return cnnrt_why(why, CNNRT_E_FORMAT, "%s is no checkpoint of the format %s", l->path, format);
    if (!checksum_is_right(l, file, size))
        return cnnrt_why(why, CNNRT_E_FORMAT, "%s is damaged: its checksum is wrong", l->path);
    return CNNRT_OK;
}

static int check_model(const Loaded *l, Why why) {
    char hash[24];
    snprintf(hash, sizeof hash, "%016" PRIx64, l->model->hash);
    if (!text_is(l, text_keys[TEXT_HASH], hash))
        return cnnrt_why(why, CNNRT_E_SHAPE, "%s is a checkpoint of another model", l->path);
    return CNNRT_OK;
}

/* A tensor that only one of two runs has: of the checkpoint (`its`) or of the model. Slots and gradients have
 * the parameter's name behind a slash. */
static int differs(const Loaded *l, const char *name, bool its, int status, Why why) {
    const char *slash = strchr(name, '/');
    const bool slot = slash && strncmp(name, "grad/", 5) != 0;
    const char *what = slash && !slot ? slash + 1 : name;
    if (its)
        return cnnrt_why(why, status, "%s: its run %s %s, and this one does not", l->path,
                         slot ? "kept" : "trained", what);
    return cnnrt_why(why, status, "%s: its run did not %s %s, and this one does", l->path,
                     slot ? "keep" : "train", what);
}

static int find(const Loaded *l, uint32_t i, cnnrt_st_tensor *t, Why why) {
    const Checkpoint none = {.model = l->model};
    char name[512];
    const StEntry e = tensor(&none, i);
    if (snprintf(name, sizeof name, "%s%s", e.prefix, e.tensor->name) >= (int)sizeof name)
        return cnnrt_why(why, CNNRT_E_MISSING, "%s: a name of the model is too long", l->path);
    if (!cnnrt_st_find(&l->st, name, t))
        return differs(l, name, false, CNNRT_E_MISSING, why);
    bool same = t->rank == e.tensor->rank && t->dtype == e.tensor->dtype && t->bytes == e.tensor->bytes;
    for (uint32_t d = 0; same && d < t->rank; d++)
        same = t->dim[d] == e.tensor->dim[d];
    if (!same)
        return cnnrt_why(why, CNNRT_E_SHAPE, "%s: %s has another shape or type than the model's", l->path,
                         name);
    return CNNRT_OK;
}

static int read_place(const Loaded *l, Place *place, Why why) {
    const char *value;
    size_t size;
    for (uint32_t i = 0; i < N_FIELDS; i++)
        if (!cnnrt_st_text(&l->st, fields[i].name, &value, &size) ||
            !field_read(place, &fields[i], value, size))
            return cnnrt_why(why, CNNRT_E_FORMAT, "%s does not say where its run was (%s)", l->path,
                             fields[i].name);
    return CNNRT_OK;
}

/* A run that would go another way does not continue this one. */
static int check_settings(const Loaded *l, const Place *read, const Place *want, Why why) {
    const cnnrt_training *t = l->model->training;
    const struct {
        const char *key, *is;
    } names[] = {{text_keys[TEXT_LOSS], t->loss}, {text_keys[TEXT_OPTIMIZER], t->optimizer}};
    const char *had;
    size_t size;
    for (uint32_t i = 0; i < N_SETTINGS; i++) {
        char was[32], is[32];
        field_text(read, &fields[i], was, sizeof was);
        field_text(want, &fields[i], is, sizeof is);
        if (strcmp(was, is) != 0)
            return cnnrt_why(why, CNNRT_E_OPTIONS, "%s is of a run with %s %s; now it is %s", l->path,
                             fields[i].name, was, is);
    }
    for (int i = 0; i < 2; i++)
        if (!text_is(l, names[i].key, names[i].is) && cnnrt_st_text(&l->st, names[i].key, &had, &size))
            return cnnrt_why(why, CNNRT_E_OPTIONS, "%s is of a run with %s %.*s; now it is %s", l->path,
                             names[i].key, (int)(size < 64 ? size : 64), had, names[i].is);
    if (read->batches > want->batches || read->steps > want->steps)
        return cnnrt_why(why, CNNRT_E_FORMAT, "%s stands beyond the end of an epoch", l->path);
    return CNNRT_OK;
}

/* The first tensor that the file has and the state has not. */
static int check_others(const Loaded *l, uint32_t all, Why why) {
    const Checkpoint none = {.model = l->model};
    char name[512], own[512];
    size_t cursor = 0;
    for (cnnrt_st_tensor t; cnnrt_st_next(&l->st, &cursor, &t);) {
        uint32_t i = 0;
        if (t.name_bytes >= sizeof name)
            break;
        name[cnnrt_st_name(&t, name)] = '\0';
        for (; i < all; i++) {
            const StEntry e = tensor(&none, i);
            snprintf(own, sizeof own, "%s%s", e.prefix, e.tensor->name);
            if (strcmp(name, own) == 0)
                break;
        }
        if (i == all)
            return differs(l, name, true, CNNRT_E_SHAPE, why);
    }
    return cnnrt_why(why, CNNRT_E_SHAPE, "%s has other tensors than the model's state", l->path);
}

/* Everything is looked at before anything is changed. */
static int check_tensors(Loaded *l, Why why) {
    const cnnrt_training *t = l->model->training;
    const uint32_t weights = count_weights(t);
    cnnrt_st_tensor found;
    int status = CNNRT_OK;
    l->has_best = weights > 0 && find(l, t->n_state, &found, (Why){0}) == CNNRT_OK;
    const uint32_t all = t->n_state + (l->has_best ? weights : 0);
    for (uint32_t i = 0; i < all && status == CNNRT_OK; i++)
        status = find(l, i, &found, why);
    return status == CNNRT_OK && l->st.count != all ? check_others(l, all, why) : status;
}

static int take(const Loaded *l, void *state, uint64_t seed, void *best, Why why) {
    const cnnrt_training *t = l->model->training;
    const uint32_t all = t->n_state + (l->has_best ? count_weights(t) : 0);
    cnnrt_st_tensor found;
    int status = t->state_init(state, (size_t)t->state_bytes, seed);
    if (status != CNNRT_OK)
        return cnnrt_why(why, status, "%s", cnnrt_strerror(status));
    for (uint32_t i = 0; i < all && status == CNNRT_OK; i++) {
        status = find(l, i, &found, why);
        if (i < t->n_state)
            memcpy(cnnrt_state_at(state, &t->state[i]), found.data, found.bytes);
        else if (best)
            memcpy((unsigned char *)best + best_offset(t, i - t->n_state), found.data, found.bytes);
    }
    return status;
}

int cnnrt_place_load(const cnnrt_model *m, void *state, const Place *want, Place *place, void *best,
                     const char *path, Why why) {
    enum { HEADER = 100000008 }; /* the longest of the format */
    Loaded l = {.model = m, .path = path};
    Place read = {0};
    unsigned char *file;
    size_t size;
    int status = cnnrt_load_file(path, 2 * m->training->state_bytes + HEADER, &file, &size, why);
    if (status != CNNRT_OK)
        return status;
    status = check_file(&l, file, size, why);
    if (status == CNNRT_OK && place)
        status = read_place(&l, &read, why);
    if (status == CNNRT_OK && want) /* before the hash, which has the batch in it too */
        status = check_settings(&l, &read, want, why);
    if (status == CNNRT_OK && (status = check_model(&l, why)) == CNNRT_OK)
        status = check_tensors(&l, why);
    if (status == CNNRT_OK && want && read.frozen != want->frozen)
        status =
            cnnrt_why(why, CNNRT_E_FROZEN, "%s is of a run with other weights in its frozen layers", path);
    if (status == CNNRT_OK)
        status = take(&l, state, read.seed, best, why);
    if (best && !l.has_best) /* of a run that did not keep them: the next epoch is the best so far */
        read.best_epoch = 0;
    if (status == CNNRT_OK && place)
        *place = read;
    free(file);
    return status;
}

int cnnrt_checkpoint_save(const cnnrt_model *model, const void *state, const char *path, char *why,
                          size_t why_size) {
    const Why y = {why, why_size};
    int status = cnnrt_check_model(model, y);
    return status == CNNRT_OK ? cnnrt_place_save(model, state, NULL, NULL, path, y) : status;
}

int cnnrt_checkpoint_load(const cnnrt_model *model, void *state, const char *path, char *why,
                          size_t why_size) {
    const Why y = {why, why_size};
    int status = cnnrt_check_model(model, y);
    return status == CNNRT_OK ? cnnrt_place_load(model, state, NULL, NULL, NULL, path, y) : status;
}
