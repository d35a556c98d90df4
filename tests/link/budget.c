/* Three training steps; prints the loss of each, and writes the state to argv[1]. */
#include "common.h"

#include "net.h"

static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(1)], state[NET_STATE_BYTES];
static float images[NET_BATCH * NET_IMAGE_ELEMS], scores[NET_BATCH * NET_LOGITS_ELEMS];

int main(int argc, char **argv) {
    static int64_t labels[NET_BATCH];
    const net_hyper hyper = NET_HYPER_INIT;
    float loss;
    FILE *f = argc > 1 ? fopen(argv[1], "wb") : NULL;
    size_t i;
    CHECK(f != NULL);
    for (i = 0; i < sizeof images / sizeof *images; i++)
        images[i] = (float)(i * 37 % 101) / 101.0f;
    for (i = 0; i < NET_BATCH; i++)
        labels[i] = (int64_t)(i % 10);
    CHECK(net_state_init(state, sizeof state, 1) == CNNRT_OK);
    for (i = 0; i < 3; i++) {
        CHECK(net_train_step(NET_BATCH, images, labels, &loss, scores, state, &hyper, NULL, work, sizeof work,
                             NULL) == CNNRT_OK);
        printf("%.9g\n", (double)loss);
    }
    CHECK(f && fwrite(state, 1, sizeof state, f) == sizeof state && fclose(f) == 0);
    return failures != 0;
}
