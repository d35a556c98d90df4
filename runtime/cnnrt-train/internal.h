/* What the files of cnnrt-train share; not installed. */
#ifndef CNNRT_TRAIN_INTERNAL_H
#define CNNRT_TRAIN_INTERNAL_H

#include "cnnrt_train.h"
#include <stdbool.h>

/* Where a failure is explained: `size` bytes at `text`, which may be NULL. */
typedef struct Why {
    char *text;
    size_t size;
} Why;
/* Writes the sentence and returns `status`. */
int cnnrt_why(Why why, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- text.c: numbers as text, whatever the locale ---- */

enum { REAL_TEXT = 40 };
/* "0.25" with 9 digits; "null" for what is not finite. Returns `out`. */
const char *cnnrt_real_text(char out[REAL_TEXT], double v);

/* ---- writer.c: files that are written whole or not at all ---- */

typedef struct Writer {
    int fd;    /* -1: only count and hash */
    int error; /* errno of the first failure */
    uint64_t bytes, hash;
    size_t used;
    unsigned char buffer[16384];
} Writer;
void cnnrt_write(Writer *w, const void *data, size_t n);
void cnnrt_write_text(Writer *w, const char *text);
/* In quotes, with JSON's escapes. */
void cnnrt_write_quoted(Writer *w, const char *prefix, const char *text);
void cnnrt_write_flush(Writer *w);
/* To a file that is open. False: errno says why. */
bool cnnrt_write_all(int fd, const void *data, size_t n);
/* Replace the file `path` by what `emit` writes: beside it first, then renamed; nothing is allocated. After a
 * failure the old file is as it was. */
int cnnrt_replace_file(const char *path, void (*emit)(Writer *w, void *arg), void *arg, Why why);
/* The whole of a file of at most `most` bytes, malloced. */
int cnnrt_load_file(const char *path, uint64_t most, unsigned char **data, size_t *size, Why why);
/* Of a file in memory, as Writer.hash has it. */
uint64_t cnnrt_hash(const void *data, size_t n);

/* ---- st_write.c: safetensors ---- */

typedef struct StEntry {
    const char *prefix; /* before the tensor's name */
    const cnnrt_tensor *tensor;
    const void *data;
} StEntry;
typedef struct StText { /* a pair of __metadata__ */
    const char *key;
    char value[64];
} StText;
typedef struct StFile {
    const void *arg;
    uint32_t n_tensors, n_texts;
    StEntry (*tensor)(const void *arg, uint32_t i);
    StText (*text)(const void *arg, uint32_t i);
    bool checksum; /* a last pair "checksum": 16 digits over the whole file, which are 0 meanwhile */
} StFile;
int cnnrt_st_save(const StFile *f, const char *path, Why why);
/* The value of a key of __metadata__, escapes not resolved, in a file that cnnrt_st_open has checked. */
bool cnnrt_st_text(const cnnrt_safetensors *st, const char *key, const char **value, size_t *size);

/* ---- The state block ---- */

static inline bool cnnrt_is_weight(const cnnrt_state_tensor *t) {
    return t->role == CNNRT_PARAM || t->role == CNNRT_BUFFER;
}
static inline void *cnnrt_state_at(void *state, const cnnrt_state_tensor *t) {
    return (unsigned char *)state + t->offset;
}
/* Whether the model trains and this library knows its structs; CNNRT_OK or what is wrong. */
int cnnrt_check_model(const cnnrt_model *m, Why why);
/* Bytes of parameters and statistics together. */
uint64_t cnnrt_weights_size(const cnnrt_training *t);
/* The first tensor that is not finite, of the first of these three roles that has one; NULL: none has. */
const cnnrt_state_tensor *cnnrt_not_finite(const cnnrt_training *t, const void *state,
                                           const uint32_t roles[3]);

/* ---- Where a run stands ---- */

/* Sums over samples. */
typedef struct Score {
    double loss; /* each batch's times its samples */
    int64_t samples, labelled, top1, top5;
} Score;
double cnnrt_score_loss(const Score *s);
double cnnrt_score_top1(const Score *s); /* NaN without labels, as the next */
double cnnrt_score_top5(const Score *s);

/* All of it is saved in checkpoints. */
typedef struct Place {
    /* What resuming must not change. */
    int64_t batch, accumulate, samples;
    uint64_t seed, frozen;
    int64_t epoch;          /* finished */
    int64_t batches, steps; /* of the epoch that runs */
    int64_t total_steps;
    cnnrt_schedule_state schedule;
    Score score; /* of the epoch that runs */
    int64_t best_epoch, bad_epochs;
    double best_metric, best_val_loss, best_val_accuracy, best_val_top5; /* of the best epoch */
    double train_loss, train_accuracy, val_loss, val_accuracy, val_top5; /* of the last epoch */
} Place;

/* `best`: copies of all parameters and statistics, one after the other; may be NULL. */
int cnnrt_place_save(const cnnrt_model *m, const void *state, const Place *place, const void *best,
                     const char *path, Why why);
/* Into the state, `place` and `best`, which may be NULL, or nothing is changed. The settings of `want` must
 * be those of the file, and its batches and steps are the most that the file's may be. A file without the
 * best weights leaves `best`, and place->best_epoch is 0. */
int cnnrt_place_load(const cnnrt_model *m, void *state, const Place *want, Place *place, void *best,
                     const char *path, Why why);

/* ---- batch.c: room for one call of an entry ---- */

typedef struct Batch {
    void *memory;
    float *input;
    void *target;
    void **outputs;     /* model->n_outputs */
    const float *score; /* of each class, among the outputs; NULL: no class labels */
    int64_t classes;
    int64_t size;                       /* samples of a full one */
    uint64_t input_bytes, target_bytes; /* of a sample */
} Batch;
int cnnrt_batch_open(Batch *b, const cnnrt_model *m, int64_t size, Why why);
void cnnrt_batch_close(Batch *b);
/* Whether a batch of the model has room for the samples of `source`, "training" or the like, and they fill
 * it. */
int cnnrt_batch_check(const cnnrt_model *m, const cnnrt_source *source, const char *what, Why why);
/* Exactly n samples. */
int cnnrt_batch_read(const Batch *b, const cnnrt_source *source, int64_t n, Why why);
/* Add a batch that went through an entry. `confusion` may be NULL. */
void cnnrt_batch_score(const Batch *b, int64_t n, float loss, Score *s, int64_t *confusion);
/* Batches of an epoch of `count` samples. */
int64_t cnnrt_batches(const cnnrt_model *m, int64_t size, int64_t count);
int64_t *cnnrt_confusion_new(int64_t classes); /* NULL: out of memory, or too many */

/* What calls of an entry have in common. */
typedef struct Call {
    const cnnrt_model *model;
    void *state; /* eval only reads it */
    const void *weights;
    void *work;
    size_t work_bytes;
    cnnrt_pool *pool;
} Call;
/* All of a source through eval. After each batch `each` is asked whether to stop: *stopped tells. */
int cnnrt_score_source(const Call *c, const Batch *b, const cnnrt_source *source, Score *s,
                       int64_t *confusion, bool (*each)(void *arg, int64_t done, int64_t all, const Score *s),
                       void *arg, bool *stopped, Why why);

/* ---- log.c: JSON lines ---- */

typedef struct Log {
    int fd; /* -1: none */
    size_t used;
    char line[1024];
} Log;
int cnnrt_log_open(Log *log, const char *path, Why why); /* NULL: no log */
void cnnrt_log_close(Log *log);
void cnnrt_log_begin(Log *log, const char *event);
void cnnrt_log_text(Log *log, const char *key, const char *value);
void cnnrt_log_int(Log *log, const char *key, int64_t value);
void cnnrt_log_real(Log *log, const char *key, double value);
int cnnrt_log_end(Log *log, Why why);

#endif
