/* Entry points without the runtime library: every n, every error code, the descriptor. C99, C11 and C++. */
#include "common.h"

#include "net.h"

static float images[BATCH * PIXELS], together[BATCH * CLASSES], alone[BATCH * CLASSES];
static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(1) + 64];
static const size_t size = NET_WORKSPACE_BYTES(1);

/* One image gives the same bits alone, and in a batch of any size. */
static void every_n(void) {
    unsigned i, n;
    CHECK(net_infer(BATCH, images, together, NULL, work, size, NULL) == CNNRT_OK);
    for (i = 0; i < BATCH; i++)
        CHECK(net_infer(1, images + i * PIXELS, alone + i * CLASSES, NULL, work, size, NULL) == CNNRT_OK);
    CHECK(same_bits(together, alone, BATCH));
    for (n = 1; n <= BATCH; n++) {
        memset(alone, 0, sizeof alone);
        memset(work, 0x5a, sizeof work); /* what is left in the workspace does not matter */
        CHECK(net_infer(n, images, alone, NULL, work, size, NULL) == CNNRT_OK);
        CHECK(same_bits(together, alone, n));
        for (i = n * CLASSES; i < BATCH * CLASSES; i++)
            CHECK(alone[i] == 0.0F); /* rows beyond n are not written */
    }
}

static void errors(void) {
    CHECK(net_infer(0, images, alone, NULL, work, size, NULL) == CNNRT_E_BATCH);
    CHECK(net_infer(-1, images, alone, NULL, work, size, NULL) == CNNRT_E_BATCH);
    CHECK(net_infer(BATCH + 1, images, alone, NULL, work, size, NULL) == CNNRT_E_BATCH);
    CHECK(net_infer(1, NULL, alone, NULL, work, size, NULL) == CNNRT_E_NULL);
    CHECK(net_infer(1, images, NULL, NULL, work, size, NULL) == CNNRT_E_NULL);
    CHECK(net_infer(1, images, alone, NULL, NULL, size, NULL) == CNNRT_E_NULL);
    CHECK(net_infer(1, images, alone, NULL, work, size - 1, NULL) == CNNRT_E_WORKSPACE_SIZE);
    CHECK(net_infer(1, images, alone, NULL, work, 0, NULL) == CNNRT_E_WORKSPACE_SIZE);
    CHECK(net_infer(1, images, alone, NULL, work + 4, size, NULL) == CNNRT_E_WORKSPACE_ALIGN);
}

static void descriptor(void) {
    const cnnrt_model *m = &net_model;
    const void *inputs[1];
    void *outputs[1];
    inputs[0] = images;
    outputs[0] = alone;
    CHECK(m->abi_version == CNNRT_ABI_VERSION);
    CHECK(m->struct_size == sizeof *m);
    CHECK(strcmp(m->name, "net") == 0);
    CHECK(m->batch == BATCH && m->n_fixed == 0);
    CHECK(m->n_inputs == 1 && m->n_outputs == 1 && m->n_classes == CLASSES && m->n_params == 10);
    CHECK(strcmp(m->inputs[0].name, "image") == 0 && m->inputs[0].rank == 4);
    CHECK(m->inputs[0].dim[0] == -1 && m->inputs[0].dim[1] == 1 && m->inputs[0].dim[2] == 28);
    CHECK(m->inputs[0].bytes == sizeof images);
    CHECK(strcmp(m->outputs[0].name, "probability") == 0 && m->outputs[0].dim[1] == CLASSES);
    CHECK(strcmp(m->classes[9], "ankle boot") == 0);
    CHECK(m->workspace_shared + m->workspace_per_thread == size);
    CHECK(m->has_weights == 1);
    CHECK(m->infer(BATCH, inputs, outputs, NULL, work, size, NULL) == CNNRT_OK);
    CHECK(same_bits(together, alone, BATCH));
}

int main(void) {
    fill_images(images, BATCH);
    every_n();
    errors();
    descriptor();
    return failures != 0;
}
