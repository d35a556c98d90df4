/* Accumulated gradients: they are the sum over the calls, bit for bit, with batch norm and dropout too, and
 * statistics move at each call. With WHOLE, for nets without either, two halves are one step on all of it to
 * rounding. A limit of the norm is for the sum. */
#include <math.h>
#include <stdlib.h>

#include "common.h"

#include "net.h"

#define HALF (NET_BATCH / 2)
#define N_STATE (net_model.training->n_state)

static float images[NET_BATCH * NET_IMAGE_ELEMS], scores[NET_BATCH * NET_LOGITS_ELEMS];
static int64_t labels[NET_BATCH];
static CNNRT_ALIGNED(64) unsigned char work[NET_WORKSPACE_BYTES(1)];
typedef struct State {
    CNNRT_ALIGNED(64) unsigned char bytes[NET_STATE_BYTES];
} State;
static State first, second, both;

static const float *values(const State *s, const cnnrt_state_tensor *t) {
    return (const float *)(const void *)(s->bytes + t->offset);
}

/* The half 0 or 1 of the images, or with 2 all of them. */
static void backward(State *s, int half, double scale) {
    const int64_t from = half == 1 ? HALF : 0, n = half == 2 ? 2 * HALF : HALF;
    net_hyper h = NET_HYPER_INIT;
    float loss = 0;
    h.grad_scale = scale;
    CHECK(net_backward(n, images + from * NET_IMAGE_ELEMS, labels + from, &loss, scores, s->bytes, &h, NULL,
                       work, sizeof work, NULL) == CNNRT_OK);
}

/* second: after a call of its own, so that dropout draws for it what it draws for the second call of both. */
static void sums(void) {
    uint32_t i;
    CHECK(net_state_init(first.bytes, sizeof first, 1) == CNNRT_OK);
    CHECK(net_zero_grad(first.bytes) == CNNRT_OK);
    backward(&first, 0, 0.5);
    both = second = first;
    backward(&both, 1, 0.5);
    CHECK(net_zero_grad(second.bytes) == CNNRT_OK);
    backward(&second, 1, 0.5);
    for (i = 0; i < N_STATE; i++) {
        const cnnrt_state_tensor *t = &net_model.training->state[i];
        size_t k, n = t->tensor.bytes / sizeof(float), wrong = 0;
        if (t->role == CNNRT_PARAM || t->role == CNNRT_BUFFER)
            CHECK(memcmp(values(&both, t), values(&second, t), t->tensor.bytes) == 0);
        if (t->role == CNNRT_BUFFER)
            CHECK(memcmp(values(&both, t), values(&first, t), t->tensor.bytes) != 0);
        for (k = 0; t->role == CNNRT_GRAD && k < n; k++) {
            const float sum = values(&first, t)[k] + values(&second, t)[k];
            wrong += memcmp(&sum, &values(&both, t)[k], sizeof sum) != 0;
        }
        if (wrong)
            fprintf(stderr, "%s: %zu of %zu are no sum\n", t->tensor.name, wrong, n);
        CHECK(wrong == 0);
    }
}

/* The norm of what `apply` changed. */
static double moved(const State *now, const State *before) {
    double sum = 0;
    uint32_t i;
    size_t k;
    for (i = 0; i < N_STATE; i++) {
        const cnnrt_state_tensor *t = &net_model.training->state[i];
        for (k = 0; t->role == CNNRT_PARAM && k < t->tensor.bytes / sizeof(float); k++)
            sum += pow((double)values(now, t)[k] - (double)values(before, t)[k], 2);
    }
    return sqrt(sum);
}

/* SGD without momentum moves by lr times the gradient, which is longer than the limit: by lr * clip, once. */
static void clipped(void) {
    const net_hyper h = NET_HYPER_INIT;
    const State before = both;
    CHECK(net_apply(both.bytes, &h, work, sizeof work, NULL) == CNNRT_OK);
    CHECK(fabs(moved(&both, &before) / (h.group[0].lr * h.clip) - 1) < 1e-3);
}

#ifdef WHOLE
static State whole;

static void halves(void) {
    uint32_t i;
    size_t k;
    CHECK(net_state_init(whole.bytes, sizeof whole, 1) == CNNRT_OK);
    CHECK(net_zero_grad(whole.bytes) == CNNRT_OK);
    backward(&whole, 2, 1);
    for (i = 0; i < N_STATE; i++) {
        const cnnrt_state_tensor *t = &net_model.training->state[i];
        double most = 0, off = 0;
        for (k = 0; t->role == CNNRT_GRAD && k < t->tensor.bytes / sizeof(float); k++) {
            const double a = (double)values(&whole, t)[k], b = (double)values(&both, t)[k];
            most = fmax(most, fabs(a));
            off = fmax(off, fabs(a - b));
        }
        CHECK(off <= 2e-6 * most);
        CHECK(t->role != CNNRT_GRAD || most > 0);
    }
}
#endif

int main(void) {
    fill_samples(images, sizeof images / sizeof *images, labels, NET_BATCH, NET_LOGITS_ELEMS);
    sums();
#ifdef WHOLE
    halves();
#endif
    clipped();
    return failures != 0;
}
