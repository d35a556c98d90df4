/* The run path allocates nothing. */
#include "nomalloc.h"

#include "common.h"

#include "net.h"

int main(int argc, char **argv) {
    static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(2)];
    static float images[BATCH * PIXELS], scores[BATCH * CLASSES];
    cnnrt_pool *pool = cnnrt_pool_create(2);
    int i;
    (void)argv;
    CHECK(pool != NULL);
    fill_images(images, BATCH);
    armed = 1;
    for (i = 0; i < 20; i++) {
        CHECK(net_infer(BATCH, images, scores, NULL, work, sizeof work, NULL) == CNNRT_OK);
        CHECK(net_infer(BATCH, images, scores, NULL, work, sizeof work, pool) == CNNRT_OK);
    }
    if (argc > 1)
        provoke();
    armed = 0;
    cnnrt_pool_destroy(pool);
    return failures != 0;
}
