/* A source through the evaluation entry. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

int cnnrt_score_source(const Call *c, const Batch *b, const cnnrt_source *source, Score *s,
                       int64_t *confusion, bool (*each)(void *arg, int64_t done, int64_t all, const Score *s),
                       void *arg, bool *stopped, Why why) {
    const int64_t all = cnnrt_batches(c->model, b->size, source->count);
    const void *inputs[] = {b->input}, *targets[] = {b->target};
    *s = (Score){0};
    *stopped = false;
    if (c->model->n_fixed && source->count % b->size != 0)
        return cnnrt_why(why, CNNRT_E_BATCH, "%lld samples are no whole number of the model's fixed batches",
                         (long long)source->count);
    int status = source->begin(source->arg, 0, 0);
    if (status != CNNRT_OK)
        return cnnrt_why(why, status, "%s",
                         source->error ? source->error(source->arg) : cnnrt_strerror(status));
    for (int64_t i = 0; i < all && !*stopped; i++) {
        const int64_t left = source->count - i * b->size, n = left < b->size ? left : b->size;
        float loss = 0;
        if ((status = cnnrt_batch_read(b, source, n, why)) != CNNRT_OK)
            return status;
        status = c->model->training->eval(n, inputs, targets, &loss, b->outputs, c->state, c->weights,
                                          c->work, c->work_bytes, c->pool);
        if (status != CNNRT_OK)
            return cnnrt_why(why, status, "validation, batch %lld: %s", (long long)i + 1,
                             cnnrt_strerror(status));
        cnnrt_batch_score(b, n, loss, s, confusion);
        *stopped = each && each(arg, i + 1, all, s);
    }
    return CNNRT_OK;
}

int cnnrt_evaluate(const cnnrt_model *model, const cnnrt_source *source, const void *state,
                   const void *weights, void *work, size_t work_bytes, cnnrt_pool *pool,
                   cnnrt_fit_result *result) {
    const Why why = {result->text, sizeof result->text};
    Call call = {model, NULL, weights, work, work_bytes, pool};
    Batch b;
    Score s = {0};
    bool stopped;
    *result = (cnnrt_fit_result){0};
    memcpy(&call.state, &state, sizeof state); /* which eval only reads */
    int status = cnnrt_check_model(model, why);
    if (status == CNNRT_OK)
        status = cnnrt_batch_open(&b, model, model->batch, why);
    if (status != CNNRT_OK)
        return result->status = status;
    result->classes = b.classes;
    result->confusion = cnnrt_confusion_new(b.classes);
    status = cnnrt_batch_check(model, source, "evaluation", why);
    if (status == CNNRT_OK)
        status = cnnrt_score_source(&call, &b, source, &s, result->confusion, NULL, NULL, &stopped, why);
    result->val_loss = cnnrt_score_loss(&s);
    result->val_accuracy = cnnrt_score_top1(&s);
    result->val_top5 = cnnrt_score_top5(&s);
    cnnrt_batch_close(&b);
    return result->status = status;
}

void cnnrt_fit_result_free(cnnrt_fit_result *result) {
    free(result->confusion);
    result->confusion = NULL;
}
