/* Classify Fashion-MNIST with the compiled LeNet-5: a few pictures in characters, each with its class and
 * probability, then the accuracy over all 10,000 test images.
 *
 *     cnnc lenet5.json -o lenet5.o
 *     cc classify.c lenet5.o $(pkg-config --cflags --libs cnnrt cnnrt-data) -o classify
 *     ./classify [FOLDER]
 */
#include <stdio.h>

#include <cnnrt_data.h> /* reads the data set, draws pictures */

#include "lenet5.h" /* written by cnnc beside lenet5.o */

enum { PIXELS = 28 * 28, CLASSES = 10, SHOWN = 4 };

/* All the memory the network works in. The caller owns it: an inference allocates nothing. One thread is
 * enough for a net this small. */
static CNNRT_ALIGNED(64) unsigned char work[LENET5_WORKSPACE_BYTES(1)];

/* The class of one image of pixels in [0,1], and its probability; -1 on failure. */
static int classify(const float *image, float *probability) {
    float scores[CLASSES];
    int best = 0, i;
    /* One image; weights NULL: those in the object; pool NULL: on this thread. */
    int status = lenet5_infer(1, image, scores, NULL, work, sizeof work, NULL);
    if (status != CNNRT_OK) {
        fprintf(stderr, "classify: %s\n", cnnrt_strerror(status));
        return -1;
    }
    for (i = 1; i < CLASSES; i++)
        if (scores[i] > scores[best])
            best = i;
    *probability = scores[best];
    return best;
}

static const char *class_name(int class) {
    return class < CLASSES ? lenet5_model.classes[class] : "unknown";
}

static void show(const cnnrt_images *set, size_t i, int class, float probability) {
    char picture[2048];
    cnnrt_draw_u8(picture, sizeof picture, set->pixels + i * PIXELS, set->height, set->width, 40);
    printf("%s%s, probability %.1f%% (it is: %s)\n\n", picture, class_name(class),
           100.0 * (double)probability, class_name(set->labels[i]));
}

/* The number of images classified rightly, or -1. */
static long classify_all(const cnnrt_images *set) {
    long right = 0;
    size_t i;
    for (i = 0; i < set->count; i++) {
        float image[PIXELS], probability;
        int class;
        cnnrt_images_to_f32(set, i, 1, 0.0F, 1.0F,
                            image); /* the model itself subtracts mean, divides by std */
        class = classify(image, &probability);
        if (class < 0)
            return -1;
        right += class == set->labels[i];
        if (i < SHOWN)
            show(set, i, class, probability);
    }
    return right;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist";
    cnnrt_data_error error;
    cnnrt_images set;
    long right;
    if (cnnrt_mnist_read(&set, folder, "test", &error) != CNNRT_OK) {
        fprintf(stderr, "classify: %s\n", error.text);
        return 1;
    }
    if (set.height != 28 || set.width != 28 || set.count == 0) {
        fprintf(stderr, "classify: %s does not hold images of 28 x 28\n", folder);
        return 1;
    }
    right = classify_all(&set);
    if (right >= 0)
        printf("accuracy: %.2f%% of %lu images\n", 100.0 * (double)right / (double)set.count,
               (unsigned long)set.count);
    cnnrt_images_free(&set);
    return right < 0;
}
