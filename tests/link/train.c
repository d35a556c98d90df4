/* A training object without the runtime library: it learns, its parts are its step, errors leave the state,
 * and threads change no bit. C99, C11 and C++. */
#include "common.h"

#include "net.h"

#define STEPS 30

static float images[BATCH * PIXELS], scores[BATCH * CLASSES], again[BATCH * CLASSES];
static int64_t labels[BATCH] = {3, 1, 4, 1, 5};
static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(3) + 64];
static CNNRT_ALIGNED(64) unsigned char state[NET_STATE_BYTES], other[NET_STATE_BYTES];
static const net_hyper hyper = NET_HYPER_INIT;
static const size_t size = NET_WORKSPACE_BYTES(3);

/* Three "threads" in turn, the last piece first. */
static void backwards(cnnrt_pool *pool, size_t count, cnnrt_task *task, void *arg) {
    size_t i;
    for (i = count; i > 0; i--)
        task(arg, i - 1, i, (unsigned)((i - 1) % pool->threads));
}

static cnnrt_pool three = {CNNRT_ABI_VERSION, 3, backwards};

static int step(void *block, cnnrt_pool *pool, float *loss) {
    return net_train_step(BATCH, images, labels, loss, scores, block, &hyper, NULL, work, size, pool);
}

static void learns(void) {
    float first = 0, loss = 0, evaluated = 0;
    int i;
    CHECK(net_state_init(state, sizeof state, 1) == CNNRT_OK);
    for (i = 0; i < STEPS; i++) {
        CHECK(step(state, NULL, &loss) == CNNRT_OK);
        if (i == 0)
            first = loss;
    }
    CHECK(first > 1.0F && first < 10.0F);
    CHECK(loss < first / 4);
    CHECK(net_eval(BATCH, images, labels, &evaluated, again, state, NULL, work, size, NULL) == CNNRT_OK);
    CHECK(evaluated < loss);
    for (i = 0; i < BATCH; i++) {
        int best = 0, j;
        for (j = 1; j < CLASSES; j++)
            best = again[i * CLASSES + j] > again[i * CLASSES + best] ? j : best;
        CHECK(best == (int)labels[i]);
    }
}

static void parts(void) {
    float loss = 0, other_loss = 0;
    int i;
    CHECK(net_state_init(state, sizeof state, 1) == CNNRT_OK);
    CHECK(net_state_init(other, sizeof other, 1) == CNNRT_OK);
    CHECK(memcmp(state, other, sizeof state) == 0);
    for (i = 0; i < 3; i++) {
        CHECK(step(state, NULL, &loss) == CNNRT_OK);
        memset(work, 0x5a, sizeof work); /* what is left in the workspace does not matter */
        CHECK(net_zero_grad(other) == CNNRT_OK);
        CHECK(net_backward(BATCH, images, labels, &other_loss, again, other, &hyper, NULL, work, size,
                           &three) == CNNRT_OK);
        CHECK(net_apply(other, &hyper, work, size, &three) == CNNRT_OK);
        CHECK(memcmp(&loss, &other_loss, sizeof loss) == 0);
        CHECK(same_bits(scores, again, BATCH));
        CHECK(memcmp(state, other, sizeof state) == 0);
    }
}

static void errors(void) {
    float loss = 0;
    CHECK(net_state_init(state, sizeof state - 1, 1) == CNNRT_E_WORKSPACE_SIZE);
    CHECK(net_state_init(NULL, sizeof state, 1) == CNNRT_E_STATE);
    memset(other, 0, sizeof other);
    CHECK(step(other, NULL, &loss) == CNNRT_E_STATE);
    CHECK(step(NULL, NULL, &loss) == CNNRT_E_STATE);
    CHECK(net_state_init(state, sizeof state, 1) == CNNRT_OK);
    CHECK(step(state, NULL, &loss) == CNNRT_OK);
    memcpy(other, state, sizeof state);
    labels[2] = CLASSES;
    CHECK(step(state, NULL, &loss) == CNNRT_E_LABEL);
    CHECK(net_eval(BATCH, images, labels, &loss, scores, state, NULL, work, size, NULL) == CNNRT_E_LABEL);
    labels[2] = 4;
    CHECK(net_train_step(0, images, labels, &loss, scores, state, &hyper, NULL, work, size, NULL) ==
          CNNRT_E_BATCH);
    CHECK(net_train_step(1, images, NULL, &loss, scores, state, &hyper, NULL, work, size, NULL) ==
          CNNRT_E_NULL);
    CHECK(net_train_step(1, images, labels, &loss, scores, state, NULL, NULL, work, size, NULL) ==
          CNNRT_E_NULL);
    CHECK(net_train_step(1, images, labels, &loss, scores, state, &hyper, NULL, work + 4, size, NULL) ==
          CNNRT_E_WORKSPACE_ALIGN);
    CHECK(memcmp(state, other, sizeof state) == 0);
}

static void descriptor(void) {
    const cnnrt_training *t = net_model.training;
    int64_t elements = 0;
    uint32_t i;
    CHECK(t != NULL && net_model.infer == NULL);
    CHECK(t->struct_size == sizeof *t && t->state_bytes == sizeof state && t->n_targets == 1);
    CHECK(net_model.n_inputs == 1 && net_model.n_outputs == 1 && strcmp(t->targets[0].name, "label") == 0);
    CHECK(t->n_hyper == CNNRT_HYPER_GROUPS + CNNRT_HYPER_PER_GROUP &&
          sizeof hyper == t->n_hyper * sizeof(double));
    CHECK(memcmp(t->hyper, &hyper, sizeof hyper) == 0);
    for (i = 0; i < t->n_state; i++) {
        const cnnrt_state_tensor *s = &t->state[i];
        CHECK(s->offset % 64 == 0 && s->offset >= 64 && s->offset + s->tensor.bytes <= sizeof state);
        CHECK(i == 0 || s->role >= t->state[i - 1].role);
        elements += s->role == CNNRT_PARAM ? (int64_t)(s->tensor.bytes / sizeof(float)) : 0;
        if (strcmp(s->tensor.name, "fc.bias") == 0 && s->role == CNNRT_PARAM)
            CHECK(s->offset == NET_STATE_FC_BIAS && s->tensor.bytes == CLASSES * sizeof(float));
    }
    CHECK(elements == NET_TRAINED && t->n_trained == NET_TRAINED && t->n_frozen == NET_FROZEN);
}

int main(void) {
    fill_images(images, BATCH);
    learns();
    parts();
    errors();
    descriptor();
    return failures != 0;
}
