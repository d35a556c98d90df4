/* The loader's threads, for the thread sanitizer, which ends the program with a status when it finds a race:
 * whole epochs, epochs left in the middle, and loaders closed while their threads work. */
#include "cnnrt_data.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SAMPLES = 300, SIDE = 8, ELEMENTS = SIDE * SIDE };

static cnnrt_dataset *make(void) {
    static unsigned char u8[SAMPLES * ELEMENTS], labels[SAMPLES];
    char folder[] = "/tmp/cnnrt-threads-XXXXXX", images[64], targets[64];
    cnnrt_dataset *a = NULL;
    if (!mkdtemp(folder))
        return NULL;
    snprintf(images, sizeof images, "%s/images.npy", folder);
    snprintf(targets, sizeof targets, "%s/labels.npy", folder);
    for (int i = 0; i < SAMPLES * ELEMENTS; i++)
        u8[i] = (unsigned char)(i * 7);
    cnnrt_npy_write(images, CNNRT_U8, 3, (const int64_t[]){SAMPLES, SIDE, SIDE}, u8, NULL);
    cnnrt_npy_write(targets, CNNRT_U8, 1, (const int64_t[]){SAMPLES}, labels, NULL);
    cnnrt_dataset_open(&a, folder, NULL, NULL, NULL);
    remove(images);
    remove(targets);
    rmdir(folder);
    return a;
}

/* `epochs` of them, each left after `most` samples; the sum of all pixels, or a negative number. */
static double run(const cnnrt_dataset *a, uint32_t threads, int epochs, int64_t most) {
    static float x[32 * ELEMENTS];
    int64_t y[32];
    cnnrt_transform t;
    cnnrt_loader *l;
    double sum = 0;
    cnnrt_transform_init(&t, CNNRT_RANDOM_HORIZONTAL_FLIP);
    const cnnrt_loader_options o = {
        .shuffle = 1, .batch = 16, .prefetch = 3, .threads = threads, .transforms = &t, .n_transforms = 1};
    if (cnnrt_loader_open(&l, a, &o, NULL) != CNNRT_OK)
        return -1;
    cnnrt_source s = cnnrt_loader_source(l);
    for (int epoch = 0; epoch < epochs; epoch++) {
        int64_t n, all = 0;
        s.begin(s.arg, (uint64_t)epoch, 0);
        while (all < most && (n = s.next(s.arg, 32, x, y)) > 0) {
            for (int64_t i = 0; i < n * ELEMENTS; i++)
                sum += (double)x[i];
            all += n;
        }
    }
    cnnrt_loader_close(l);
    return sum;
}

int main(void) {
    cnnrt_dataset *a = make();
    int status = !a;
    for (int64_t most = 0; a && most <= SAMPLES; most += 60) {
        double want = run(a, 0, 3, most);
        for (uint32_t threads = 1; threads <= 4; threads++)
            status |= run(a, threads, 3, most) != want;
    }
    cnnrt_dataset_close(a);
    if (status)
        fprintf(stderr, "the loader's threads change what is loaded\n");
    return status;
}
