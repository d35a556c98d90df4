/* Classify Fashion-MNIST with the compiled SimpleCNN: how often each class is found, and the accuracy.
 *
 *     cnnc train simplecnn.json --recipe quick.json --data FOLDER --save simplecnn.safetensors
 *     cnnc simplecnn.json --weights simplecnn.safetensors -o simplecnn.o
 *     cc classify.c simplecnn.o $(pkg-config --cflags --libs cnnrt cnnrt-data) -o classify
 *     ./classify [FOLDER]
 */
#include <stdio.h>

#include <cnnrt_data.h>

#include "simplecnn.h"

enum { PIXELS = 28 * 28, CLASSES = 10 };

static int largest(const float *scores) {
    int i, best = 0;
    for (i = 1; i < CLASSES; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}

/* right[class], seen[class]; a status of cnnrt. */
static int classify(const cnnrt_images *set, long *right, long *seen) {
    static CNNRT_ALIGNED(64) unsigned char work[SIMPLECNN_WORKSPACE_BYTES(1)];
    float image[PIXELS], logits[CLASSES];
    int status = CNNRT_OK;
    size_t i;
    for (i = 0; i < set->count && status == CNNRT_OK; i++) {
        cnnrt_images_to_f32(set, i, 1, 0.0F, 1.0F, image);
        status = simplecnn_infer(1, image, logits, NULL, work, sizeof work, NULL);
        if (set->labels[i] < CLASSES) {
            seen[set->labels[i]]++;
            right[set->labels[i]] += largest(logits) == set->labels[i];
        }
    }
    return status;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist";
    long right[CLASSES] = {0}, seen[CLASSES] = {0}, all = 0, good = 0;
    cnnrt_data_error error;
    cnnrt_images set;
    int i, status;
    if (cnnrt_mnist_read(&set, folder, "test", &error) != CNNRT_OK) {
        fprintf(stderr, "classify: %s\n", error.text);
        return 1;
    }
    status = set.height == 28 && set.width == 28 ? classify(&set, right, seen) : CNNRT_E_SHAPE;
    cnnrt_images_free(&set);
    if (status != CNNRT_OK) {
        fprintf(stderr, "classify: %s\n", cnnrt_strerror(status));
        return 1;
    }
    for (i = 0; i < CLASSES; i++) {
        printf("%-12s%6ld of %ld\n", simplecnn_model.classes[i], right[i], seen[i]);
        all += seen[i];
        good += right[i];
    }
    printf("accuracy: %.2f%% of %ld images\n", all ? 100.0 * (double)good / (double)all : 0, all);
    return 0;
}
