/* cnnrt's pool with 1, 2 and 5 threads gives the bits of no pool; two threads may share one pool; a pool of
 * the application's own works. */
#include <pthread.h>
#include <stdlib.h>

#include "common.h"

#include "net.h"

static float images[BATCH * PIXELS], want[BATCH * CLASSES];

static void *workspace(unsigned threads, size_t *size) {
    *size = NET_WORKSPACE_BYTES(threads);
    return aligned_alloc(64, (*size + 63) / 64 * 64);
}

/* 50 calls on a pool, into memory of this thread's own. */
static void *call_often(void *arg) {
    cnnrt_pool *pool = (cnnrt_pool *)arg;
    float got[BATCH * CLASSES];
    size_t size;
    void *work = workspace(pool ? pool->threads : 1, &size);
    int i;
    CHECK(work != NULL);
    for (i = 0; work && i < 50; i++) {
        memset(got, 0, sizeof got);
        CHECK(net_infer(BATCH, images, got, NULL, work, size, pool) == CNNRT_OK);
        CHECK(same_bits(want, got, BATCH));
    }
    free(work);
    return NULL;
}

/* The pool of an application: each index on its own, last first, thread numbers going round. */
static void backwards(cnnrt_pool *pool, size_t count, cnnrt_task *task, void *arg) {
    while (count-- > 0)
        task(arg, count, count + 1, (unsigned)(count % pool->threads));
}

int main(void) {
    static const unsigned counts[3] = {1, 2, 5};
    cnnrt_pool own = {CNNRT_ABI_VERSION, 3, backwards};
    size_t size, i;
    void *work = workspace(1, &size);
    fill_images(images, BATCH);
    CHECK(work && net_infer(BATCH, images, want, NULL, work, size, NULL) == CNNRT_OK);
    free(work);
    for (i = 0; i < 3; i++) {
        cnnrt_pool *pool = cnnrt_pool_create(counts[i]);
        pthread_t other;
        CHECK(pool && pool->threads == counts[i]);
        CHECK(pthread_create(&other, NULL, call_often, pool) == 0);
        call_often(pool);
        pthread_join(other, NULL);
        cnnrt_pool_destroy(pool);
    }
    call_often(&own);
    return failures != 0;
}
