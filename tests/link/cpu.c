/* Prints what an inference returns: run under qemu-user with CPUs that lack what the object was compiled for.
 */
#include "common.h"

#include "net.h"

int main(void) {
    static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(1)];
    static float images[PIXELS], scores[CLASSES];
    fill_images(images, 1);
    printf("%d\n", net_infer(1, images, scores, NULL, work, sizeof work, NULL));
    return failures;
}
