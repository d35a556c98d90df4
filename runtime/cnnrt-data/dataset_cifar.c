/* CIFAR-10, binary version: records of a label and 3 planes of 32 by 32 bytes. */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE, CLASSES = 10, MOST = 1 << 28 };

static const char *const train_files[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                          "data_batch_4.bin", "data_batch_5.bin", NULL};
static const char *const test_files[] = {"test_batch.bin", NULL};

static const char *const *files_of(const char *split) {
    return !split                        ? NULL
           : strcmp(split, "train") == 0 ? train_files
           : strcmp(split, "test") == 0  ? test_files
                                         : NULL;
}

bool cnnrt_cifar_found(const char *folder, const char *split) {
    const char *const *files = files_of(split);
    char *path = files ? cnnrt_data_path(folder, files[0], NULL) : NULL;
    bool found = path && access(path, F_OK) == 0;
    free(path);
    return found;
}

/* Labels are 0 to 9 and every record is whole. */
static int check(const unsigned char *data, size_t size, const char *path, cnnrt_data_error *error) {
    if (size == 0 || size % RECORD != 0)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path,
                               "%zu bytes are not a whole number of records of %d", size, RECORD);
    for (size_t i = 0; i < size / RECORD; i++)
        if (data[i * RECORD] >= CLASSES)
            return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "the label of record %zu is %u, not 0 to 9",
                                   i, data[i * RECORD]);
    return CNNRT_OK;
}

/* Appends one file to *all. */
static int append(unsigned char **all, size_t *have, const char *path, cnnrt_data_error *error) {
    size_t size;
    int status = cnnrt_data_check_file(path, error);
    if (status != CNNRT_OK)
        return status;
    unsigned char *data = cnnrt_data_read_file(path, MOST, &size, error);
    if (!data)
        return error->status;
    status = check(data, size, path, error);
    if (status == CNNRT_OK) {
        unsigned char *more = realloc(*all, *have + size);
        if (more) {
            memcpy(more + *have, data, size);
            *all = more;
            *have += size;
        } else {
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
        }
    }
    free(data);
    return status;
}

static int name_classes(Store *s, const char *folder, cnnrt_data_error *error) {
    static const char *const names[CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                               "dog",      "frog",       "horse", "ship", "truck"};
    int status = cnnrt_store_classes(s, CLASSES, folder, error);
    for (uint32_t i = 0; status == CNNRT_OK && i < CLASSES; i++) {
        s->classes[i] = strdup(names[i]);
        if (!s->classes[i])
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
    }
    return status;
}

int cnnrt_cifar_open(Store *s, const char *folder, const char *split, cnnrt_data_error *error) {
    const char *const *files = files_of(split);
    unsigned char *all = NULL;
    size_t have = 0;
    int status = files ? CNNRT_OK
                       : cnnrt_data_fail(error, CNNRT_E_FILE, folder,
                                         "no split \"%.40s\"; there are train and test", split ? split : "");
    for (size_t i = 0; status == CNNRT_OK && files[i]; i++) {
        char *path = cnnrt_data_path(folder, files[i], NULL);
        status = path ? append(&all, &have, path, error)
                      : cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
        free(path);
    }
    s->owned[0] = all;
    if (status != CNNRT_OK)
        return status;
    s->labels = malloc(have / RECORD * sizeof *s->labels);
    if (!s->labels)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
    for (size_t i = 0; i < have / RECORD; i++)
        s->labels[i] = all[i * RECORD];
    s->count = (int64_t)(have / RECORD);
    s->reading[0] = (Reading){3, SIDE, SIDE, {all + 1, NULL, RECORD, {PLANE, SIDE, 1}}};
    return name_classes(s, folder, error);
}
