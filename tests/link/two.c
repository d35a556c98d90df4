/* Two models, and two copies of one, in one program. */
#include "common.h"

#include "net.h"
#include "net_copy.h"
#include "other.h"

static float images[PIXELS], a[CLASSES], b[CLASSES], c[CLASSES];
static CNNRT_ALIGNED(64) unsigned char work_a[NET_WORKSPACE_BYTES(1)];
static CNNRT_ALIGNED(64) unsigned char work_b[NET_COPY_WORKSPACE_BYTES(1)];
static CNNRT_ALIGNED(64) unsigned char work_c[OTHER_WORKSPACE_BYTES(1)];

int main(void) {
    fill_images(images, 1);
    CHECK(net_infer(1, images, a, NULL, work_a, sizeof work_a, NULL) == CNNRT_OK);
    CHECK(net_copy_infer(1, images, b, NULL, work_b, sizeof work_b, NULL) == CNNRT_OK);
    CHECK(other_infer(1, images, c, NULL, work_c, sizeof work_c, NULL) == CNNRT_OK);
    CHECK(same_bits(a, b, 1));
    CHECK(!same_bits(a, c, 1));
    CHECK(net_model.hash == net_copy_model.hash && net_model.hash != other_model.hash);
    return failures != 0;
}
