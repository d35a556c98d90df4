/* A training step allocates nothing, on any number of threads. */
#include "nomalloc.h"

#include "common.h"

#include "net.h"

static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(2)], state[NET_STATE_BYTES];

int main(int argc, char **argv) {
    static float images[BATCH * PIXELS], scores[BATCH * CLASSES];
    static const int64_t labels[BATCH] = {3, 1, 4, 1, 5};
    const net_hyper hyper = NET_HYPER_INIT;
    cnnrt_pool *pool = cnnrt_pool_create(2), *pools[2];
    float loss;
    int i;
    (void)argv;
    CHECK(pool != NULL);
    pools[0] = NULL;
    pools[1] = pool;
    fill_images(images, BATCH);
    armed = 1;
    CHECK(net_state_init(state, sizeof state, 1) == CNNRT_OK);
    for (i = 0; i < 20; i++) {
        cnnrt_pool *p = pools[i % 2];
        CHECK(net_train_step(BATCH, images, labels, &loss, scores, state, &hyper, NULL, work, sizeof work,
                             p) == CNNRT_OK);
        CHECK(net_zero_grad(state) == CNNRT_OK);
        CHECK(net_backward(BATCH, images, labels, &loss, scores, state, &hyper, NULL, work, sizeof work, p) ==
              CNNRT_OK);
        CHECK(net_apply(state, &hyper, work, sizeof work, p) == CNNRT_OK);
        CHECK(net_eval(BATCH, images, labels, &loss, scores, state, NULL, work, sizeof work, p) == CNNRT_OK);
    }
    if (argc > 1)
        provoke();
    armed = 0;
    cnnrt_pool_destroy(pool);
    return failures != 0;
}
