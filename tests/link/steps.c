/* Training steps of any net, optimizer and batch: threads change no bit of loss, outputs, gradients,
 * parameters, statistics and slots. Losses, outputs and the state of the run go to argv[1], for comparing
 * objects. */
#include <stdlib.h>

#include "common.h"

#include "net.h"

#define STEPS 4

static float images[NET_BATCH * NET_IMAGE_ELEMS];
static int64_t labels[NET_BATCH];
static const net_hyper hyper = NET_HYPER_INIT;

/* All that a run gives. */
typedef struct Run {
    float loss[STEPS], scores[STEPS][NET_BATCH * NET_LOGITS_ELEMS];
    CNNRT_ALIGNED(64) unsigned char state[NET_STATE_BYTES];
} Run;
static Run want, got;

/* The batch is full, odd, 2 and full. */
static void train(Run *r, cnnrt_pool *pool) {
    static const int64_t sizes[STEPS] = {NET_BATCH, (NET_BATCH + 1) / 2, 2, NET_BATCH};
    const size_t size = NET_WORKSPACE_BYTES(pool ? pool->threads : 1);
    void *work = aligned_alloc(64, (size + 63) / 64 * 64);
    int i;
    CHECK(work != NULL);
    if (!work)
        return;
    memset(r, 0, sizeof *r);
    memset(work, pool ? 0xff : 0, size); /* what was in it does not matter: these are NaN */
    CHECK(net_state_init(r->state, sizeof r->state, 3) == CNNRT_OK);
    for (i = 0; i < STEPS; i++)
        CHECK(net_train_step(sizes[i], images, labels, &r->loss[i], r->scores[i], r->state, &hyper, NULL,
                             work, size, pool) == CNNRT_OK);
    free(work);
}

int main(int argc, char **argv) {
    static const unsigned counts[4] = {1, 2, 5, 16};
    FILE *f = argc > 1 ? fopen(argv[1], "wb") : NULL;
    unsigned i;
    fill_samples(images, sizeof images / sizeof *images, labels, NET_BATCH, NET_LOGITS_ELEMS);
    train(&want, NULL);
    for (i = 0; i < STEPS; i++)
        CHECK(want.loss[i] > 0 && want.loss[i] < 100);
    for (i = 0; i < 4; i++) {
        cnnrt_pool *pool = cnnrt_pool_create(counts[i]);
        CHECK(pool != NULL);
        if (!pool)
            continue;
        train(&got, pool);
        CHECK(memcmp(&want, &got, sizeof want) == 0);
        cnnrt_pool_destroy(pool);
    }
    CHECK(f && fwrite(&want, 1, sizeof want, f) == sizeof want && fclose(f) == 0);
    return failures != 0;
}
