/* Two models in a program of many threads: request threads on one pool, two pools, both after fork. Every
 * answer has the bits of one thread. Also under the thread sanitizer, with a task of this file's own, which
 * it sees into. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#include "net.h"
#include "other.h"

enum { REQUESTS = 4, CALLS = 40, CELLS = 257, WAVES = 200 };

static float images[BATCH * PIXELS], want[2][BATCH * CLASSES];

/* One model's call; the caller owns `work` for it. */
static int infer(int model, float *out, void *work, size_t size, cnnrt_pool *pool) {
    return model == 0 ? net_infer(BATCH, images, out, NULL, work, size, pool)
                      : other_infer(BATCH, images, out, NULL, work, size, pool);
}

static size_t workspace(int model, const cnnrt_pool *pool) {
    const unsigned threads = pool ? pool->threads : 1;
    return model == 0 ? NET_WORKSPACE_BYTES(threads) : OTHER_WORKSPACE_BYTES(threads);
}

/* A thread that answers requests for both models in turn. Returns what went wrong, as a count. */
static void *serve(void *arg) {
    cnnrt_pool *pool = (cnnrt_pool *)arg;
    size_t wrong = 0, k;
    for (k = 0; k < CALLS; k++) {
        const int model = (int)(k % 2);
        const size_t size = workspace(model, pool);
        void *work = aligned_alloc(64, (size + 63) / 64 * 64);
        float got[BATCH * CLASSES] = {0};
        wrong +=
            !work || infer(model, got, work, size, pool) != CNNRT_OK || !same_bits(want[model], got, BATCH);
        free(work);
    }
    return (void *)wrong;
}

/* REQUESTS threads, thread i on pool i modulo `n`. */
static size_t serve_on(cnnrt_pool *const *pools, size_t n) {
    pthread_t thread[REQUESTS];
    size_t wrong = 0, i;
    for (i = 0; i < REQUESTS; i++)
        wrong += pthread_create(&thread[i], NULL, serve, pools[i % n]) != 0;
    for (i = 0; i < REQUESTS; i++) {
        void *result = NULL;
        pthread_join(thread[i], &result);
        wrong += (size_t)result;
    }
    return wrong;
}

/* The child has no workers: the old pools work on the calling thread, and a new one has workers of its own.
 */
static int after_fork(cnnrt_pool *const *pools) {
#ifdef __SANITIZE_THREAD__
    return pools != NULL;
#endif
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        cnnrt_pool *own = cnnrt_pool_create(2);
        size_t wrong = (size_t)serve(pools[0]) + (size_t)serve(pools[1]) + (own ? (size_t)serve(own) : 1);
        cnnrt_pool_destroy(own);
        cnnrt_pool_destroy(pools[0]);
        cnnrt_pool_destroy(pools[1]);
        _exit(wrong == 0 ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Each wave reads what other threads wrote in the wave before, as a layer does. */
typedef struct Waves {
    unsigned from[CELLS], to[CELLS];
} Waves;

static void wave(void *arg, size_t begin, size_t end, unsigned thread) {
    Waves *w = (Waves *)arg;
    (void)thread;
    for (; begin < end; begin++)
        w->to[begin] = w->from[CELLS - 1 - begin] + 1;
}

static void *waves(void *arg) {
    cnnrt_pool *pool = (cnnrt_pool *)arg;
    Waves w = {0};
    size_t wrong = 0, i;
    for (i = 0; i < WAVES; i++) {
        pool->parallel_for(pool, CELLS, wave, &w);
        memcpy(w.from, w.to, sizeof w.from);
    }
    for (i = 0; i < CELLS; i++)
        wrong += w.from[i] != WAVES;
    return (void *)wrong;
}

static size_t waves_on(cnnrt_pool *pool) {
    pthread_t thread;
    void *result = NULL;
    size_t wrong = pthread_create(&thread, NULL, waves, pool) != 0;
    wrong += (size_t)waves(pool);
    pthread_join(thread, &result);
    return wrong + (size_t)result;
}

int main(void) {
    cnnrt_pool *pools[2];
    int model, i;
    fill_images(images, BATCH);
    for (model = 0; model < 2; model++) {
        const size_t size = workspace(model, NULL);
        void *work = aligned_alloc(64, (size + 63) / 64 * 64);
        CHECK(work && infer(model, want[model], work, size, NULL) == CNNRT_OK);
        free(work);
    }
    for (i = 0; i < 2; i++)
        CHECK((pools[i] = cnnrt_pool_create(2 + (unsigned)i)) != NULL);
    CHECK(waves_on(pools[0]) == 0 && waves_on(pools[1]) == 0);
    CHECK(serve_on(pools, 1) == 0);
    CHECK(serve_on(pools, 2) == 0);
    CHECK(after_fork(pools));
    CHECK(serve_on(pools, 2) == 0);
    for (i = 0; i < 2; i++)
        cnnrt_pool_destroy(pools[i]);
    return failures != 0;
}
