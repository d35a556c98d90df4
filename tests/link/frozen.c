/* Training on a frozen trunk whose weights come from a file at run time: argv[1] has the trunk's tensors
 * alone. What is trained lies in the state as ever; losses, outputs and state are those of the object that
 * embeds the trunk, bit for bit; another trunk, argv[2], gives other losses. */
#include <stdlib.h>

#include "common.h"

#include "net.h"
#include "outside.h"

#define STEPS 40

static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(1)], other_work[OUTSIDE_WORKSPACE_BYTES(1)];
static CNNRT_ALIGNED(64) unsigned char state[NET_STATE_BYTES], other[OUTSIDE_STATE_BYTES];
static CNNRT_ALIGNED(64) unsigned char before[OUTSIDE_STATE_BYTES];
static CNNRT_ALIGNED(64) unsigned char trunk[OUTSIDE_WEIGHTS_BYTES];
static float images[BATCH * PIXELS], scores[BATCH * CLASSES], other_scores[BATCH * CLASSES];
static const int64_t labels[BATCH] = {3, 1, 4, 1, 5};
static const net_hyper hyper = NET_HYPER_INIT;
static const outside_hyper other_hyper = OUTSIDE_HYPER_INIT;

static void pack(const char *path) {
    FILE *f = fopen(path, "rb");
    unsigned char *file = NULL, *room = NULL;
    long end = 0;
    size_t size = 0, need;
    CHECK(f && fseek(f, 0, SEEK_END) == 0 && (end = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0);
    if (f && end > 0)
        file = (unsigned char *)malloc(size = (size_t)end);
    CHECK(file && fread(file, 1, size, f) == size);
    if (f)
        fclose(f);
    need = file ? outside_prepare_bytes(file, size) : 0;
    room = (unsigned char *)aligned_alloc(64, (need + 63) / 64 * 64 + 64);
    CHECK(file && room && outside_prepare(file, size, trunk, sizeof trunk, room, need) == CNNRT_OK);
    free(room);
    free(file);
}

static int other_step(const void *weights, float *loss) {
    return outside_train_step(BATCH, images, labels, loss, other_scores, other, &other_hyper, weights,
                              other_work, sizeof other_work, NULL);
}

static int other_eval(const void *weights, float *loss) {
    return outside_eval(BATCH, images, labels, loss, other_scores, other, weights, other_work,
                        sizeof other_work, NULL);
}

static void begin(void) {
    CHECK(net_state_init(state, sizeof state, 1) == CNNRT_OK);
    CHECK(outside_state_init(other, sizeof other, 1) == CNNRT_OK);
    CHECK(sizeof state == sizeof other && memcmp(state, other, sizeof state) == 0);
}

static void same_as_embedded(void) {
    float loss = 0, other_loss = 0, first = 0;
    int i;
    begin();
    for (i = 0; i < STEPS; i++) {
        CHECK(net_train_step(BATCH, images, labels, &loss, scores, state, &hyper, NULL, work, sizeof work,
                             NULL) == CNNRT_OK);
        CHECK(other_step(trunk, &other_loss) == CNNRT_OK);
        CHECK(memcmp(&loss, &other_loss, sizeof loss) == 0 && same_bits(scores, other_scores, BATCH));
        CHECK(memcmp(state, other, sizeof state) == 0);
        first = i == 0 ? loss : first;
    }
    CHECK(first > 1.0F && loss < first / 4);
    CHECK(net_eval(BATCH, images, labels, &loss, scores, state, NULL, work, sizeof work, NULL) == CNNRT_OK);
    CHECK(other_eval(trunk, &other_loss) == CNNRT_OK);
    CHECK(memcmp(&loss, &other_loss, sizeof loss) == 0 && same_bits(scores, other_scores, BATCH));
}

static void no_trunk(void) {
    float loss = 0;
    memcpy(before, other, sizeof other);
    CHECK(other_step(NULL, &loss) == CNNRT_E_NO_WEIGHTS);
    CHECK(other_eval(NULL, &loss) == CNNRT_E_NO_WEIGHTS);
    CHECK(other_step(trunk + 4, &loss) == CNNRT_E_WORKSPACE_ALIGN);
    CHECK(memcmp(before, other, sizeof other) == 0);
}

/* No tensor is both in the state and in the file. */
static void split(void) {
    const cnnrt_training *t = outside_model.training;
    int64_t frozen = 0;
    uint32_t i, k;
    CHECK(outside_model.n_params > 0 && t->n_trained == OUTSIDE_TRAINED && t->n_frozen == OUTSIDE_FROZEN);
    for (i = 0; i < outside_model.n_params; i++) {
        const cnnrt_tensor *p = &outside_model.params[i];
        if (!strstr(p->name, "running_"))
            frozen += (int64_t)(p->bytes / sizeof(float));
        for (k = 0; k < t->n_state; k++)
            CHECK(strcmp(p->name, t->state[k].tensor.name) != 0);
    }
    CHECK(frozen == OUTSIDE_FROZEN);
}

static void another_trunk(const char *path) {
    float loss = 0, other_loss = 0;
    begin();
    pack(path);
    CHECK(net_eval(BATCH, images, labels, &loss, scores, state, NULL, work, sizeof work, NULL) == CNNRT_OK);
    CHECK(other_eval(trunk, &other_loss) == CNNRT_OK);
    CHECK(loss - other_loss > 1e-3F || other_loss - loss > 1e-3F);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    if (failures)
        return 1;
    fill_images(images, BATCH);
    pack(argv[1]);
    same_as_embedded();
    no_trunk();
    split();
    another_trunk(argv[2]);
    return failures != 0;
}
