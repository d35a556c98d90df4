/* Training by one call: cnnrt_fit has the epochs, the schedule, validation, early stopping, checkpoints and
 * the log; this program says what it wants and shows how it goes.
 *
 *     cnnc simplecnn.json --train --recipe adam.json -o simplecnn.o
 *     cc train_fit.c simplecnn.o $(pkg-config --cflags --libs cnnrt-train cnnrt-data) -o train_fit
 *     ./train_fit [FOLDER]        # run it again after Ctrl-C or a crash: it goes on where it was
 */
#include <stdio.h>
#include <stdlib.h>

#include <cnnrt_data.h>
#include <cnnrt_train.h>

#include "simplecnn.h"

static int show(void *user, const cnnrt_fit_event *e) {
    (void)user;
    if (e->kind == CNNRT_FIT_EPOCH)
        printf("epoch %ld of %ld: loss %.4f, validation accuracy %.2f%%, rate %.2g\n", (long)e->epoch,
               (long)e->epochs, e->loss, 100 * e->val_accuracy, e->lr);
    fflush(stdout);
    return 0; /* anything else stops the run */
}

static int train(const cnnrt_source *source, const cnnrt_source *valid) {
    const cnnrt_model *model = &simplecnn_model;
    cnnrt_pool *pool = cnnrt_pool_create(0);
    size_t work_bytes =
        (size_t)(model->workspace_shared + (pool ? pool->threads : 1) * model->workspace_per_thread);
    void *state = aligned_alloc(64, (size_t)(model->training->state_bytes + 63) / 64 * 64);
    void *work = aligned_alloc(64, (work_bytes + 63) / 64 * 64);
    cnnrt_fit_options options = {0};
    cnnrt_fit_result result = {0};
    char why[300];
    options.epochs = 3;
    options.checkpoint = "simplecnn.checkpoint.safetensors";
    options.resume = 1;
    options.log = "simplecnn.log.jsonl";
    options.on_event = show;
    cnnrt_schedule_defaults(&options.schedule, CNNRT_ONE_CYCLE_LR);
    options.schedule.max_lr = 4e-3;
    options.early_stopping.patience = 2;
    if (!state || !work ||
        model->training->state_init(state, (size_t)model->training->state_bytes, 1) != CNNRT_OK)
        return 1;
    if (cnnrt_fit(model, source, valid, state, NULL, work, work_bytes, pool, &options, &result) != CNNRT_OK)
        fprintf(stderr, "train_fit: %s\n", result.text);
    else if (cnnrt_state_export(model, state, NULL, "simplecnn.safetensors", why, sizeof why) != CNNRT_OK)
        fprintf(stderr, "train_fit: %s\n", why);
    else
        printf("accuracy: %.2f%%; the weights are in simplecnn.safetensors\n", 100 * result.val_accuracy);
    cnnrt_fit_result_free(&result);
    cnnrt_pool_destroy(pool);
    free(state);
    free(work);
    return result.status != CNNRT_OK;
}

/* A loader over one split of the data set: pictures that a second thread makes ready. */
static cnnrt_loader *open_split(const char *folder, const char *split, int training) {
    static const cnnrt_transform none;
    const cnnrt_tensor *image = &simplecnn_model.inputs[0]; /* [N, channels, height, width] */
    cnnrt_transform flip = none;
    cnnrt_loader_options options = {0};
    cnnrt_data_error error;
    cnnrt_dataset *set;
    cnnrt_loader *loader = NULL;
    cnnrt_transform_init(&flip, CNNRT_RANDOM_HORIZONTAL_FLIP);
    options.channels = (uint32_t)image->dim[1];
    options.height = (uint32_t)image->dim[2];
    options.width = (uint32_t)image->dim[3];
    options.seed = 1;
    options.shuffle = training != 0;
    options.threads = 1;
    options.transforms = &flip;
    options.n_transforms = training ? 1 : 0;
    if (cnnrt_dataset_open(&set, folder, split, NULL, &error) != CNNRT_OK ||
        cnnrt_loader_open(&loader, set, &options, &error) != CNNRT_OK)
        fprintf(stderr, "train_fit: %s\n", error.text);
    cnnrt_dataset_close(set);
    return loader;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist";
    cnnrt_loader *train_set = open_split(folder, "train", 1), *test_set = open_split(folder, "test", 0);
    int status = 1;
    if (train_set && test_set) {
        cnnrt_source source = cnnrt_loader_source(train_set), valid = cnnrt_loader_source(test_set);
        status = train(&source, &valid);
    }
    cnnrt_loader_close(train_set);
    cnnrt_loader_close(test_set);
    return status;
}
