/* A shared library made of a generated object, opened at run time and called through its descriptor. */
#include <dlfcn.h>
#include <stdlib.h>

#include "common.h"

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    const cnnrt_model *m = library ? (const cnnrt_model *)dlsym(library, "net_model") : NULL;
    static float images[PIXELS];
    const void *inputs[1] = {images};
    float scores[CLASSES], sum = 0.0F;
    void *outputs[1] = {scores}, *work;
    size_t size;
    int i;
    if (!m) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    size = (size_t)(m->workspace_shared + m->workspace_per_thread);
    work = aligned_alloc(64, (size + 63) / 64 * 64);
    fill_images(images, 1);
    CHECK(work && m->infer(1, inputs, outputs, NULL, work, size, NULL) == CNNRT_OK);
    for (i = 0; i < CLASSES; i++)
        sum += scores[i];
    CHECK(sum > 0.999F && sum < 1.001F);
    free(work);
    dlclose(library);
    return failures != 0;
}
