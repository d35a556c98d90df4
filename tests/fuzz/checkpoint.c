/* A model of a few numbers, whose runs are resumed from damaged checkpoints. */
#define _GNU_SOURCE /* memmem */
#include "checkpoint.h"
#include "runtime/cnnrt-train/internal.h"
#include <stdio.h>
#include <string.h>

typedef struct State {
    uint64_t head[8];
    float w[4], slot[4];
    int64_t step, seed;
} State;

#define TENSOR(role, name, member, dtype, n, bytes)                                                          \
    {{name, dtype, 1, {n}, bytes}, role, 0, offsetof(State, member)}
static const cnnrt_state_tensor tensors[] = {
    TENSOR(CNNRT_PARAM, "w", w, CNNRT_F32, 4, 16),
    TENSOR(CNNRT_SLOT, "momentum_buffer/w", slot, CNNRT_F32, 4, 16),
    TENSOR(CNNRT_COUNTER, "step", step, CNNRT_I64, 1, 8),
    TENSOR(CNNRT_COUNTER, "seed", seed, CNNRT_I64, 1, 8),
};

static int state_init(void *state, size_t bytes, uint64_t seed) {
    memset(state, 0, bytes);
    ((State *)state)->seed = (int64_t)seed;
    return CNNRT_OK;
}

static int train_step(int64_t n, const void *const *inputs, const void *const *targets, float *loss,
                      void *const *outputs, void *state, const double *hyper, const void *weights, void *work,
                      size_t work_bytes, cnnrt_pool *pool) {
    State *s = state;
    (void)targets, (void)hyper, (void)weights, (void)work, (void)work_bytes, (void)pool;
    memcpy(outputs[0], inputs[0], (size_t)n * sizeof(float));
    s->w[s->step++ % 4] = *loss = ((const float *)inputs[0])[n - 1];
    return CNNRT_OK;
}

static int begin(void *arg, uint64_t epoch, int64_t first) {
    (void)arg, (void)epoch;
    return first < 0 || first > 5 ? CNNRT_E_OPTIONS : CNNRT_OK;
}

static int64_t next(void *arg, int64_t most, float *input, void *target) {
    (void)arg;
    memset(input, 0, (size_t)most * sizeof *input);
    memset(target, 0, (size_t)most * sizeof(float));
    return most;
}

static const cnnrt_tensor input = {"x", CNNRT_F32, 1, {-1}, 8};
static const double hyper[] = {1, 0, 0.1, 0, 0.9};
static const cnnrt_training training = {
    .struct_size = sizeof training,
    .n_state = sizeof tensors / sizeof *tensors,
    .n_targets = 1,
    .n_groups = 1,
    .n_hyper = 5,
    .state = tensors,
    .targets = &input,
    .hyper = hyper,
    .loss = "MSELoss",
    .optimizer = "SGD",
    .state_bytes = sizeof(State),
    .state_init = state_init,
    .train_step = train_step,
};
static const cnnrt_model model = {
    .abi_version = CNNRT_ABI_VERSION,
    .struct_size = sizeof model,
    .name = "small",
    .hash = 0x5eed,
    .batch = 2,
    .n_inputs = 1,
    .n_outputs = 1,
    .inputs = &input,
    .outputs = &input,
    .training = &training,
};

enum { DATA_BYTES = 3 * 16 + 2 * 8 }; /* of a checkpoint with the best weights */

void checkpoint_mend(unsigned char *file, size_t size) {
    static const char key[] = "\"checksum\":\"";
    unsigned char *at = memmem(file, size, key, sizeof key - 1);
    char digits[24];
    const uint64_t header = size - 8 - DATA_BYTES;
    if (size > 8 + DATA_BYTES)
        memcpy(file, &header, sizeof header);
    if (!at || (size_t)(file + size - at) < sizeof key - 1 + 16)
        return;
    at += sizeof key - 1;
    memset(at, '0', 16);
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)cnnrt_hash(file, size));
    memcpy(at, digits, 16);
}

int checkpoint_resume(const char *path, char *why, size_t why_size, const char **fault) {
    const cnnrt_source source = {
        .count = 5, .input_elements = 1, .target_elements = 1, .begin = begin, .next = next};
    static _Alignas(64) State s;
    State before;
    cnnrt_fit_result r;
    cnnrt_fit_options o = {.epochs = 2, .checkpoint = path, .resume = 1, .seed = 9};
    cnnrt_schedule_defaults(&o.schedule, CNNRT_REDUCE_LR_ON_PLATEAU);
    o.schedule.monitor = o.early_stopping.monitor = CNNRT_TRAIN_LOSS;
    o.early_stopping.restore_best = 1;
    state_init(&s, sizeof s, 9);
    s.w[0] = 42;
    before = s;
    int status = cnnrt_fit(&model, &source, NULL, &s, NULL, NULL, 0, NULL, &o, &r);
    snprintf(why, why_size, "%s", r.text);
    /* What was loaded may be no number, which the first checkpoint sees. */
    if (status != CNNRT_OK && status != CNNRT_E_NOT_FINITE && memcmp(&before, &s, sizeof s) != 0)
        *fault = "a state is half loaded";
    cnnrt_fit_result_free(&r);
    return status;
}
