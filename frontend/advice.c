/* Warnings about what a model and a recipe do together that can hardly be meant. */
#include "frontend/advice.h"

#include <string.h>

static bool is_frozen(const Recipe *r, const Value *v) {
    return train_matches_any(r->train.freeze, r->train.n_freeze, v->key);
}

/* ---- The loss ---- */

/* The node that makes what the loss looks at, behind views; NULL: none does. */
static const Node *scored_node(const Graph *g, const LossSpec *loss) {
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        if (loss->output && strcmp(g->outputs.data[i].name, loss->output) != 0)
            continue;
        const Value *v = &g->values.data[g->outputs.data[i].value];
        const Node *n = v->kind == VK_RESULT ? &g->nodes.data[v->def] : NULL;
        while (n && (n->op == OP_flatten || n->op == OP_reshape || n->op == OP_dropout)) {
            v = &g->values.data[n->operands[0]];
            n = v->kind == VK_RESULT ? &g->nodes.data[v->def] : NULL;
        }
        return n;
    }
    return NULL;
}

void advise_loss(Context *cx, const Graph *g, const Recipe *r) {
    static const char leave_out[] =
        "leave the Softmax out (the largest logit is the same class), or make its input "
        "an output and name that as the loss' \"output\"";
    static const char use_logits[] = "CrossEntropyLoss takes what a Linear or Conv2d gives as it is";
    static const struct {
        LossKind loss;
        OpId op;
        const char *says, *hint;
    } rows[] = {
        {LOSS_CROSS_ENTROPY, OP_softmax,
         "CrossEntropyLoss has a softmax of its own and here gets another's result: training is slow and "
         "ends early",
         leave_out},
        {LOSS_BCE_WITH_LOGITS, OP_softmax,
         "BCEWithLogitsLoss has a sigmoid of its own and here gets a softmax's result", leave_out},
        {LOSS_BCE_WITH_LOGITS, OP_sigmoid,
         "BCEWithLogitsLoss has a sigmoid of its own and here gets another's result",
         "leave the Sigmoid out, or make its input an output and name that as the loss' \"output\""},
        {LOSS_NLL, OP_softmax, "NLLLoss needs logarithms of probabilities, and here gets probabilities",
         "make the Softmax a LogSoftmax, or take CrossEntropyLoss without it"},
        {LOSS_NLL, OP_linear, "NLLLoss needs logarithms of probabilities, and here gets logits", use_logits},
        {LOSS_NLL, OP_conv2d, "NLLLoss needs logarithms of probabilities, and here gets logits", use_logits},
    };
    const Node *n = scored_node(g, &r->train.loss);
    for (size_t i = 0; n && i < sizeof rows / sizeof *rows; i++)
        if (rows[i].loss == r->train.loss.kind && rows[i].op == n->op) {
            diag_warning(&cx->diag, DIAG_LOSS_INPUT, &n->loc, "%s", rows[i].says);
            diag_hint(&cx->diag, "%s", rows[i].hint);
        }
}

/* ---- Frozen layers ---- */

void advise_frozen(Context *cx, const Graph *g, const Recipe *r, bool pretrained) {
    const char *first = NULL;
    uint32_t count = 0;
    bool all = true;
    for (uint32_t i = 0; i < g->params.len; i++) {
        const Value *v = &g->values.data[g->params.data[i]];
        all &= v->kind != VK_PARAM || is_frozen(r, v);
        if (v->kind != VK_PARAM || !is_frozen(r, v) ||
            (pretrained && !train_matches_any(r->init, r->n_init, v->key)))
            continue;
        first = first ? first : v->key;
        count++;
    }
    if (!count || all) /* that nothing is trained is an error of its own */
        return;
    diag_warning(&cx->diag, DIAG_FROZEN_RANDOM, &r->train.freeze_loc,
                 "%u parameter%s frozen at random initial values: \"%s\"%s", count,
                 count > 1 ? "s are" : " is", first, count > 1 ? " and so on" : "");
    diag_hint(&cx->diag, pretrained ? "\"init\" names what is frozen" : "--weights names pretrained ones");
}

/* ---- Batch norms ---- */

/* Does it take the statistics of the batch? As the pass autodiff decides it. */
static bool is_trained(const Graph *g, const Recipe *r, const Node *n) {
    enum { WEIGHT = 1, BIAS, MEAN }; /* operands, as in ir/ops/batch_norm.c */
    const Value *weight = &g->values.data[n->operands[WEIGHT]], *bias = &g->values.data[n->operands[BIAS]];
    const Value *mean = &g->values.data[n->operands[MEAN]];
    if (weight->kind != VK_PARAM && bias->kind != VK_PARAM)
        return mean->kind == VK_BUFFER && !is_frozen(r, mean);
    return (weight->kind == VK_PARAM && !is_frozen(r, weight)) ||
           (bias->kind == VK_PARAM && !is_frozen(r, bias));
}

static bool is_single(const Graph *g, const Node *n) {
    const Type *x = &g->values.data[n->operands[0]].type;
    int64_t values = 1;
    for (int d = 2; d < x->rank; d++)
        values *= x->dim[d].size;
    return values == 1;
}

const Node *advise_single_norm(const Graph *g, const Recipe *r) {
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (n->op == OP_batch_norm && is_trained(g, r, n) && is_single(g, n))
            return n;
    }
    return NULL;
}

void advise_batch_norm(Context *cx, const Graph *g, const Recipe *r) {
    const Node *single = advise_single_norm(g, r), *n = single;
    for (uint32_t i = 0; i < g->nodes.len && !n; i++)
        if (g->nodes.data[i].op == OP_batch_norm && is_trained(g, r, &g->nodes.data[i]))
            n = &g->nodes.data[i];
    if (!n || g->batch > 1)
        return;
    diag_warning(&cx->diag, DIAG_BATCH_NORM, &n->loc,
                 single
                     ? "with a batch of 1 this batch norm has one value a channel, and every step will fail"
                     : "with a batch of 1 batch norms take the statistics of one sample, as InstanceNorm "
                       "does, and inference, which takes the running ones, gives other results");
    diag_hint(&cx->diag,
              "train with a larger batch_size (\"accumulate\" does not help), or freeze the batch norms");
}
