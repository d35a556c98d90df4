/* MNIST and its relatives as a data set. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cnnrt_idx_found(const char *folder, const char *split) {
    static const char *const ends[] = {"", ".gz"};
    bool found = false;
    if (!split || strlen(split) > 40)
        return false;
    for (size_t i = 0; i < 2; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", strcmp(split, "test") == 0 ? "t10k" : split,
                 ends[i]);
        char *path = cnnrt_data_path(folder, name, NULL);
        found = found || (path && access(path, F_OK) == 0);
        free(path);
    }
    return found;
}

int cnnrt_idx_open(Store *s, const char *folder, const char *split, cnnrt_data_error *error) {
    cnnrt_images images;
    int status = cnnrt_mnist_read(&images, folder, split ? split : "", error);
    if (status != CNNRT_OK)
        return status;
    s->owned[0] = images.pixels;
    s->owned[1] = images.labels;
    s->count = (int64_t)images.count;
    if (images.height == 0 || images.width == 0)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, folder, "the images of %.40s are empty", split);
    s->reading[0] = (Reading){
        1,
        images.height,
        images.width,
        {images.pixels, NULL, (size_t)images.height * images.width, {0, images.width, 1}},
    };
    s->target_file = cnnrt_idx_path(folder, split, "labels-idx1-ubyte");
    return s->target_file
               ? cnnrt_store_labels(s, images.labels, CNNRT_U8, images.count, s->target_file, error)
               : cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
}
