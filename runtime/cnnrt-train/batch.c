/* Batches: memory for one call of an entry, filled from a source, and how well the model did on it. */
#include "internal.h"
#include <math.h>
#include <stdlib.h>

enum { ALIGN = 64, MAX_CONFUSION = 4096 /* classes: 128 MB */ };

static uint64_t round_up(uint64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static bool is_labels(const cnnrt_tensor *t) {
    return t->dtype == CNNRT_I64 && t->rank == 1;
}

/* The first output that has a number for each class. */
static const cnnrt_tensor *class_scores(const cnnrt_model *m) {
    for (uint32_t i = 0; i < m->n_outputs; i++)
        if (m->outputs[i].rank == 2 && m->outputs[i].dtype == CNNRT_F32)
            return &m->outputs[i];
    return NULL;
}

int cnnrt_batch_open(Batch *b, const cnnrt_model *m, int64_t size, Why why) {
    const cnnrt_training *t = m->training;
    if (m->n_inputs != 1 || m->inputs[0].dtype != CNNRT_F32 || t->n_targets != 1)
        return cnnrt_why(why, CNNRT_E_OPTIONS, "a source gives one f32 input and one target; %s has others",
                         m->name);
    *b = (Batch){.size = size,
                 .input_bytes = m->inputs[0].bytes / (uint64_t)m->batch,
                 .target_bytes = t->targets[0].bytes / (uint64_t)m->batch};
    const uint64_t input = round_up(m->inputs[0].bytes), target = round_up(t->targets[0].bytes);
    uint64_t bytes = input + target + round_up(m->n_outputs * sizeof(void *));
    for (uint32_t i = 0; i < m->n_outputs; i++)
        bytes += round_up(m->outputs[i].bytes);
    unsigned char *p = aligned_alloc(ALIGN, bytes);
    if (!p)
        return cnnrt_why(why, CNNRT_E_SYSTEM, "out of memory");
    const cnnrt_tensor *scores = is_labels(&t->targets[0]) ? class_scores(m) : NULL;
    b->memory = p;
    b->input = (float *)p;
    b->target = p + input;
    b->outputs = (void **)(p + input + target);
    p += input + target + round_up(m->n_outputs * sizeof(void *));
    for (uint32_t i = 0; i < m->n_outputs; i++) {
        b->outputs[i] = p;
        if (&m->outputs[i] == scores)
            b->score = (const float *)p;
        p += round_up(m->outputs[i].bytes);
    }
    b->classes = scores ? scores->dim[1] : 0;
    return CNNRT_OK;
}

void cnnrt_batch_close(Batch *b) {
    free(b->memory);
    b->memory = NULL;
}

/* ---- Whether a source fits ---- */

static int64_t sample_elements(const cnnrt_tensor *t) {
    int64_t n = 1;
    for (uint32_t d = 1; d < t->rank; d++)
        n *= t->dim[d];
    return n;
}

static const char *dtype_name(uint32_t dtype) {
    return dtype == CNNRT_I64 ? "i64" : dtype == CNNRT_F32 ? "f32" : "another type";
}

int cnnrt_batch_check(const cnnrt_model *m, const cnnrt_source *s, const char *what, Why why) {
    const cnnrt_tensor *target = &m->training->targets[0];
    const int64_t input = sample_elements(&m->inputs[0]), wanted = sample_elements(target);
    if (s->input_elements != input)
        return cnnrt_why(why, CNNRT_E_OPTIONS,
                         "the %s source gives %lld numbers of input a sample, and %s takes %lld: set "
                         ".channels, .height and .width of the loader's options to the model's, or "
                         ".input_elements of a source of your own",
                         what, (long long)s->input_elements, m->name, (long long)input);
    if (s->target_elements != wanted || s->target_dtype != target->dtype)
        return cnnrt_why(why, CNNRT_E_OPTIONS,
                         "the %s source gives %lld x %s as target a sample, and %s takes %lld x %s: set "
                         ".target_elements of the loader's options to %lld, or .target_elements and "
                         ".target_dtype of a source of your own",
                         what, (long long)s->target_elements, dtype_name(s->target_dtype), m->name,
                         (long long)wanted, dtype_name(target->dtype),
                         (long long)(is_labels(target) ? 0 : wanted));
    return CNNRT_OK;
}

/* ---- Filling and scoring ---- */

int64_t cnnrt_batches(const cnnrt_model *m, int64_t size, int64_t count) {
    return m->n_fixed ? count / size : (count + size - 1) / size;
}

int cnnrt_batch_read(const Batch *b, const cnnrt_source *source, int64_t n, Why why) {
    for (int64_t have = 0; have < n;) {
        const uint64_t done = (uint64_t)have;
        int64_t got = source->next(source->arg, n - have, b->input + done * b->input_bytes / sizeof(float),
                                   (unsigned char *)b->target + done * b->target_bytes);
        if (got < 0)
            return cnnrt_why(why, (int)-got, "%s",
                             source->error ? source->error(source->arg) : cnnrt_strerror((int)-got));
        if (got == 0 || got > n - have)
            return cnnrt_why(why, CNNRT_E_OPTIONS, "the source ended before its %lld samples",
                             (long long)source->count);
        have += got;
    }
    return CNNRT_OK;
}

/* How many classes come before `label`; of equal scores the first does, and what is no number does. */
static int64_t rank_of(const float *score, int64_t classes, int64_t label) {
    int64_t rank = 0;
    for (int64_t c = 0; c < classes; c++)
        if (c != label && !(c < label ? score[c] < score[label] : score[c] <= score[label]))
            rank++;
    return rank;
}

static int64_t first_of(const float *score, int64_t classes) {
    int64_t best = 0;
    for (int64_t c = 1; c < classes; c++)
        if (score[c] > score[best])
            best = c;
    return best;
}

void cnnrt_batch_score(const Batch *b, int64_t n, float loss, Score *s, int64_t *confusion) {
    s->loss += (double)loss * (double)n;
    s->samples += n;
    for (int64_t i = 0; i < n && b->score; i++) {
        const int64_t label = ((const int64_t *)b->target)[i];
        const float *score = b->score + i * b->classes;
        if (label < 0 || label >= b->classes) /* ignore_index */
            continue;
        const int64_t rank = rank_of(score, b->classes, label);
        s->labelled++;
        s->top1 += rank == 0;
        s->top5 += rank < 5;
        if (confusion)
            confusion[label * b->classes + first_of(score, b->classes)]++;
    }
}

double cnnrt_score_loss(const Score *s) {
    return s->samples > 0 ? s->loss / (double)s->samples : (double)NAN;
}
double cnnrt_score_top1(const Score *s) {
    return s->labelled > 0 ? (double)s->top1 / (double)s->labelled : (double)NAN;
}
double cnnrt_score_top5(const Score *s) {
    return s->labelled > 0 ? (double)s->top5 / (double)s->labelled : (double)NAN;
}

int64_t *cnnrt_confusion_new(int64_t classes) {
    if (classes < 1 || classes > MAX_CONFUSION)
        return NULL;
    return calloc((size_t)(classes * classes), sizeof(int64_t));
}
