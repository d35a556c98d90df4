/* A training loop of one's own around the bare step: SimpleCNN on Fashion-MNIST, one epoch, then the accuracy
 * on the test images. Nothing but the object is needed for training; cnnrt-data reads the pictures.
 *
 *     cnnc simplecnn.json --train --recipe adam.json -o simplecnn.o
 *     cc train_step.c simplecnn.o $(pkg-config --cflags --libs cnnrt cnnrt-data) -o train_step
 *     ./train_step [FOLDER]
 */
#include <stdio.h>

#include <cnnrt_data.h>

#include "simplecnn.h" /* written by cnnc beside simplecnn.o */

enum { BATCH = 64, PIXELS = 28 * 28, CLASSES = 10 };

/* All memory is the caller's: the state (parameters, Adam's moments, gradients) and the workspace of a step.
 */
static CNNRT_ALIGNED(64) unsigned char state[SIMPLECNN_STATE_BYTES];
static CNNRT_ALIGNED(64) unsigned char work[SIMPLECNN_WORKSPACE_BYTES(1)];

static float image[BATCH * PIXELS], logits[BATCH * CLASSES];
static int64_t label[BATCH];

/* Samples `first` and so on of the data set in the order of `order` (NULL: as they stand); their number. */
static int64_t load(const cnnrt_images *set, const uint32_t *order, size_t first) {
    int64_t n = 0;
    for (; n < BATCH && first + (size_t)n < set->count; n++) {
        size_t at = order ? order[first + (size_t)n] : first + (size_t)n;
        cnnrt_images_to_f32(set, at, 1, 0.0F, 1.0F, image + n * PIXELS);
        label[n] = set->labels[at];
    }
    return n;
}

/* A random order of the samples, the same every time (Fisher and Yates). */
static void shuffle(uint32_t *order, size_t count) {
    uint64_t x = 1;
    size_t i;
    for (i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (i = count; i > 1; i--) {
        size_t k;
        uint32_t other;
        x = x * 6364136223846793005U + 1442695040888963407U;
        k = (size_t)(x >> 33) % i;
        other = order[k];
        order[k] = order[i - 1];
        order[i - 1] = other;
    }
}

static int train(const cnnrt_images *set) {
    static uint32_t order[60000];
    simplecnn_hyper hyper = SIMPLECNN_HYPER_INIT; /* the recipe's numbers; change them whenever you like */
    float loss, mean = 0;
    size_t first;
    int status = simplecnn_state_init(state, sizeof state, 1);
    shuffle(order, set->count);
    for (first = 0; first < set->count && status == CNNRT_OK; first += BATCH) {
        int64_t n = load(set, order, first);
        status = simplecnn_train_step(n, image, label, &loss, logits, state, &hyper, NULL, work, sizeof work,
                                      NULL);
        mean += (loss - mean) / 100;
        if (first / BATCH % 100 == 99)
            printf("step %lu: loss about %.3f\n", (unsigned long)(first / BATCH + 1), (double)mean);
    }
    return status;
}

static int test(const cnnrt_images *set) {
    size_t first, right = 0;
    float loss;
    int status = CNNRT_OK;
    for (first = 0; first < set->count && status == CNNRT_OK; first += BATCH) {
        int64_t i, n = load(set, NULL, first);
        status = simplecnn_eval(n, image, label, &loss, logits, state, NULL, work, sizeof work, NULL);
        for (i = 0; i < n; i++) {
            int k, best = 0;
            for (k = 1; k < CLASSES; k++)
                if (logits[i * CLASSES + k] > logits[i * CLASSES + best])
                    best = k;
            right += best == label[i];
        }
    }
    if (status == CNNRT_OK)
        printf("accuracy: %.2f%% of %lu images\n", 100.0 * (double)right / (double)set->count,
               (unsigned long)set->count);
    return status;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist";
    cnnrt_data_error error;
    cnnrt_images set;
    int status;
    if (cnnrt_mnist_read(&set, folder, "train", &error) != CNNRT_OK) {
        fprintf(stderr, "train_step: %s\n", error.text);
        return 1;
    }
    status = set.count <= 60000 ? train(&set) : CNNRT_E_SHAPE;
    cnnrt_images_free(&set);
    if (status == CNNRT_OK && cnnrt_mnist_read(&set, folder, "test", &error) == CNNRT_OK) {
        status = test(&set);
        cnnrt_images_free(&set);
    }
    if (status != CNNRT_OK)
        fprintf(stderr, "train_step: %s\n", cnnrt_strerror(status));
    return status != CNNRT_OK;
}
