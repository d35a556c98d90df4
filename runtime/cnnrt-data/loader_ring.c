/* Batches made ahead: threads claim the epoch's batches in order and fill the slots of a ring, and one
 * consumer empties them in order. Which thread makes a batch changes nothing in it. */
#include "internal.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct Slot {
    float *input;
    char *target;
    int64_t n;              /* samples made */
    bool ready;             /* for the consumer */
    cnnrt_data_error error; /* why n is less than the batch; status CNNRT_OK: it is not */
} Slot;

struct Ring {
    RingOptions o;
    pthread_t *threads;
    uint32_t n_threads; /* made so far */
    Slot *slots;
    int64_t taken;         /* samples that the consumer has of slot `eaten`; the consumer's own */
    pthread_mutex_t mutex; /* of all below, and of `ready` */
    pthread_cond_t work, done;
    int64_t first, end;     /* samples of this epoch; end == first: nothing to do */
    int64_t claimed, eaten; /* batches */
    uint32_t busy;          /* threads that are making one */
    bool quit;
};

static int64_t batches(const Ring *r) {
    return (r->end - r->first + r->o.batch - 1) / r->o.batch;
}

/* Batch number `b` into its slot, up to the first sample that fails. */
static void fill(const Ring *r, Slot *s, int64_t b, Canvas *v) {
    int64_t begin = r->first + b * r->o.batch, end = begin + r->o.batch;
    end = end < r->end ? end : r->end;
    s->error.status = CNNRT_OK;
    for (s->n = 0; begin + s->n < end; s->n++) {
        size_t k = (size_t)s->n;
        if (r->o.make(r->o.arg, begin + s->n, v, s->input + k * r->o.input_elements,
                      s->target + k * r->o.target_bytes, &s->error) != CNNRT_OK)
            return;
    }
}

static void *work(void *arg) {
    Ring *r = arg;
    Canvas v = {0};
    pthread_mutex_lock(&r->mutex);
    while (!r->quit) {
        if (r->claimed == batches(r) || r->claimed - r->eaten == r->o.depth) {
            pthread_cond_wait(&r->work, &r->mutex);
            continue;
        }
        int64_t b = r->claimed++;
        Slot *s = &r->slots[b % r->o.depth];
        r->busy++;
        pthread_mutex_unlock(&r->mutex);
        fill(r, s, b, &v);
        pthread_mutex_lock(&r->mutex);
        s->ready = true;
        r->busy--;
        pthread_cond_signal(&r->done);
    }
    pthread_mutex_unlock(&r->mutex);
    cnnrt_canvas_free(&v);
    return NULL;
}

void cnnrt_ring_stop(Ring *r) {
    pthread_mutex_lock(&r->mutex);
    r->claimed = batches(r); /* none is left to claim */
    while (r->busy > 0)
        pthread_cond_wait(&r->done, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
}

void cnnrt_ring_start(Ring *r, int64_t first, int64_t end) {
    pthread_mutex_lock(&r->mutex);
    for (uint32_t i = 0; i < r->o.depth; i++)
        r->slots[i].ready = false;
    r->first = first;
    r->end = end;
    r->claimed = r->eaten = r->taken = 0;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->mutex);
}

/* The slot that is next, when it is ready; NULL at the end of the epoch. */
static Slot *wait_for_slot(Ring *r) {
    pthread_mutex_lock(&r->mutex);
    Slot *s = r->eaten == batches(r) ? NULL : &r->slots[r->eaten % r->o.depth];
    while (s && !s->ready)
        pthread_cond_wait(&r->done, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
    return s;
}

static void give_back(Ring *r, Slot *s) {
    pthread_mutex_lock(&r->mutex);
    s->ready = false;
    r->eaten++;
    r->taken = 0;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->mutex);
}

int64_t cnnrt_ring_next(Ring *r, int64_t most, float *input, void *target, cnnrt_data_error *error) {
    int64_t n = 0;
    Slot *s;
    while (n < most && (s = wait_for_slot(r))) {
        int64_t k = s->n - r->taken < most - n ? s->n - r->taken : most - n;
        size_t from = (size_t)r->taken, to = (size_t)n, many = (size_t)k;
        memcpy(input + to * r->o.input_elements, s->input + from * r->o.input_elements,
               many * r->o.input_elements * sizeof *input);
        memcpy((char *)target + to * r->o.target_bytes, s->target + from * r->o.target_bytes,
               many * r->o.target_bytes);
        n += k;
        r->taken += k;
        if (r->taken == s->n && s->error.status != CNNRT_OK) { /* the slot stays: later calls fail again */
            *error = s->error;
            return n > 0 ? n : -error->status;
        }
        if (r->taken == s->n)
            give_back(r, s);
    }
    return n;
}

static bool make_slots(Ring *r) {
    const RingOptions *o = &r->o;
    r->slots = calloc(o->depth, sizeof *r->slots);
    r->threads = calloc(o->threads, sizeof *r->threads);
    bool ok = r->slots && r->threads;
    for (uint32_t i = 0; ok && i < o->depth; i++) {
        r->slots[i].input = calloc(o->batch, o->input_elements * sizeof(float));
        r->slots[i].target = calloc(o->batch, o->target_bytes);
        ok = r->slots[i].input && r->slots[i].target;
    }
    return ok;
}

/* The threads take no signals: those are the program's. */
static bool make_threads(Ring *r) {
    sigset_t all, old;
    bool ok = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (ok && r->n_threads < r->o.threads) {
        ok = pthread_create(&r->threads[r->n_threads], NULL, work, r) == 0;
        r->n_threads += ok;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

Ring *cnnrt_ring_create(const RingOptions *o) {
    Ring *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->o = *o;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->done, NULL);
    if (make_slots(r) && make_threads(r))
        return r;
    cnnrt_ring_free(r);
    return NULL;
}

void cnnrt_ring_free(Ring *r) {
    if (!r)
        return;
    pthread_mutex_lock(&r->mutex);
    r->quit = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->mutex);
    for (uint32_t i = 0; i < r->n_threads; i++)
        pthread_join(r->threads[i], NULL);
    for (uint32_t i = 0; r->slots && i < r->o.depth; i++) {
        free(r->slots[i].input);
        free(r->slots[i].target);
    }
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->done);
    pthread_mutex_destroy(&r->mutex);
    free(r->slots);
    free(r->threads);
    free(r);
}
