/* External weights: NULL is refused; two files are packed into blocks of the program's; weights are swapped
 * while another thread infers, and every result is that of one file or of the other. Against embedded ones,
 * and raw ones in the object that the program packs, the same bits. */
#include <pthread.h>
#include <stdlib.h>

#include "common.h"

#include "loaded.h"
#include "net.h"
#include "outside.h"

static float images[PIXELS], scores[2][CLASSES];
static void *blocks[2];
static const void *volatile current;
static volatile int done = 0;

static void *take(size_t size) {
    return aligned_alloc(64, (size + 63) / 64 * 64);
}

static unsigned char *read_all(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    unsigned char *data = NULL;
    long end = -1;
    if (f && fseek(f, 0, SEEK_END) == 0 && (end = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0)
        data = (unsigned char *)malloc((size_t)end);
    if (data && fread(data, 1, (size_t)end, f) != (size_t)end)
        CHECK(0 && "short read");
    if (f)
        fclose(f);
    CHECK(data != NULL);
    *size = data ? (size_t)end : 0;
    return data;
}

static void pack(const char *path, void *block) {
    const cnnrt_model *m = &outside_model;
    size_t file_size, work_size;
    unsigned char *file = read_all(path, &file_size);
    char which[200] = "";
    void *work;
    int status;
    work_size = cnnrt_prepare_bytes(m, file, file_size);
    work = take(work_size);
    status = cnnrt_prepare(m, file, file_size, block, (size_t)m->weights_bytes, work, work_size, which,
                           sizeof which);
    if (status != CNNRT_OK)
        fprintf(stderr, "%s: %s: %s\n", path, cnnrt_strerror(status), which);
    CHECK(status == CNNRT_OK);
    CHECK(cnnrt_prepare(m, file, file_size, block, (size_t)m->weights_bytes - 1, work, work_size, which,
                        sizeof which) != CNNRT_OK);
    CHECK(cnnrt_prepare(m, file, file_size / 2, block, (size_t)m->weights_bytes, work, work_size, which,
                        sizeof which) == CNNRT_E_FORMAT);
    free(work);
    free(file);
}

static int infer(const void *weights, float *out, void *work) {
    return outside_infer(1, images, out, weights, work, OUTSIDE_WORKSPACE_BYTES(1), NULL);
}

static void *keep_inferring(void *arg) {
    void *work = take(OUTSIDE_WORKSPACE_BYTES(1));
    float got[CLASSES];
    (void)arg;
    while (!done) {
        CHECK(infer(current, got, work) == CNNRT_OK);
        CHECK(same_bits(got, scores[0], 1) || same_bits(got, scores[1], 1));
    }
    free(work);
    return NULL;
}

/* Raw weights in the object, packed by the program: the bits that the compiler packs. */
static void pack_at_load(const float *embedded) {
    void *block = take(LOADED_WEIGHTS_BYTES), *work = take(LOADED_WORKSPACE_BYTES(1));
    void *prepare_work = take(LOADED_PREPARE_BYTES);
    float got[CLASSES];
    const int before = loaded_infer(1, images, got, NULL, work, LOADED_WORKSPACE_BYTES(1), NULL);
    CHECK(before == CNNRT_E_NO_WEIGHTS && loaded_model.has_weights == CNNRT_WEIGHTS_RAW);
    CHECK(loaded_prepare_raw(NULL, block, LOADED_WEIGHTS_BYTES - 1, prepare_work, LOADED_PREPARE_BYTES) ==
          CNNRT_E_WORKSPACE_SIZE);
    CHECK(loaded_model.prepare(NULL, block, LOADED_WEIGHTS_BYTES, prepare_work, LOADED_PREPARE_BYTES) ==
          CNNRT_OK);
    CHECK(loaded_infer(1, images, got, block, work, LOADED_WORKSPACE_BYTES(1), NULL) == CNNRT_OK);
    CHECK(same_bits(embedded, got, 1));
    free(block);
    free(work);
    free(prepare_work);
}

int main(int argc, char **argv) {
    void *work = take(OUTSIDE_WORKSPACE_BYTES(1)), *net_work = take(NET_WORKSPACE_BYTES(1));
    float embedded[CLASSES];
    pthread_t other;
    int i;
    if (argc != 3)
        return 2;
    fill_images(images, 1);
    CHECK(outside_model.has_weights == 0);
    CHECK(infer(NULL, embedded, work) == CNNRT_E_NO_WEIGHTS);
    for (i = 0; i < 2; i++) {
        blocks[i] = take((size_t)outside_model.weights_bytes);
        pack(argv[1 + i], blocks[i]);
        CHECK(infer(blocks[i], scores[i], work) == CNNRT_OK);
    }
    CHECK(!same_bits(scores[0], scores[1], 1));
    CHECK(net_infer(1, images, embedded, NULL, net_work, NET_WORKSPACE_BYTES(1), NULL) == CNNRT_OK);
    CHECK(same_bits(embedded, scores[0], 1));
    pack_at_load(embedded);
    CHECK(infer((const char *)blocks[0] + 4, embedded, work) == CNNRT_E_WORKSPACE_ALIGN);

    current = blocks[0];
    CHECK(pthread_create(&other, NULL, keep_inferring, NULL) == 0);
    for (i = 0; i < 2000; i++)
        current = blocks[i % 2];
    done = 1;
    pthread_join(other, NULL);
    return failures != 0;
}
