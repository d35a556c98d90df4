/* The loss of a training graph: its target among the inputs, the nodes that check and compute it, and its
 * gradient. */
#include "passes/autodiff.h"

#include <string.h>

bool autodiff_find_scored(Autodiff *ad) {
    const Graph *g = ad->g;
    const LossSpec *loss = &ad->spec->loss;
    const char **names = NEW_ARRAY(&ad->cx->arena, const char *, g->outputs.len);
    for (uint32_t i = 0; i < g->outputs.len; i++) {
        names[i] = g->outputs.data[i].name;
        if (!strcmp(names[i], "loss")) {
            diag_error(&ad->cx->diag, DIAG_NAME_CLASH, &g->values.data[g->outputs.data[i].value].loc,
                       "in training the first output is called \"loss\", so no output of the model may be");
            return diag_hint(&ad->cx->diag, "give that output another name");
        }
    }
    for (uint32_t i = 0; i < g->outputs.len; i++)
        if (!loss->output || !strcmp(names[i], loss->output)) {
            ad->scored = i;
            return true;
        }
    const char *near = diag_nearest(loss->output, names, g->outputs.len);
    diag_error(&ad->cx->diag, DIAG_UNKNOWN_NAME, &loss->loc, "the model has no output called \"%s\"",
               loss->output);
    return near && diag_hint(&ad->cx->diag, "did you mean \"%s\"?", near);
}

/* Class indices are i64, one a pixel: the shape of the scores without its classes. All else is compared
 * element by element. */
static bool is_by_index(const LossSpec *loss) {
    return loss->kind == LOSS_NLL || (loss->kind == LOSS_CROSS_ENTROPY && !loss->probabilities);
}

static bool is_by_class(const LossSpec *loss) {
    return loss->kind == LOSS_NLL || loss->kind == LOSS_CROSS_ENTROPY;
}

static const Value *scored(const Emit *e) {
    const Graph *g = e->ad->g;
    return &g->values.data[g->outputs.data[e->ad->scored].value];
}

bool autodiff_target(Emit *e) {
    const LossSpec *loss = &e->ad->spec->loss;
    Graph *g = e->gr.g;
    Type t = type_dense(&scored(e)->type);
    const char *name = is_by_index(loss) ? "label" : "target";
    if (!type_has_n(&t) || t.dim[0].size != 1 || (is_by_class(loss) && t.rank < 2)) {
        StrBuf sb = sb_new(&g->cx->arena);
        type_print(&sb, &t);
        return diag_error(&g->cx->diag, DIAG_SHAPE_MISMATCH, &loss->loc,
                          "the loss needs %s for each sample, but the output is %s",
                          is_by_class(loss) ? "a score a class" : "a result", sb_str(&sb));
    }
    if (graph_find(g, name) != NO_VALUE) {
        diag_error(&g->cx->diag, DIAG_NAME_CLASH, &graph_value(g, graph_find(g, name))->loc,
                   "in training the last input is called \"%s\", so no input of the model may be", name);
        return diag_hint(&g->cx->diag, "give that input another name");
    }
    if (is_by_index(loss)) {
        for (int d = 1; d + 1 < t.rank; d++)
            t.dim[d] = t.dim[d + 1];
        t = type_make(DT_I64, (uint8_t)(t.rank - 1), t.dim);
    }
    e->target = graph_input(g, name, t, loss->loc);
    graph_value(g, e->target)->target = true;
    return true;
}

/* The attributes of a loss, as its op has them. */
typedef struct LossAttrs {
    ClassLossAttrs by_class;
    ElementLossAttrs by_element;
} LossAttrs;

static const void *loss_attrs(const LossSpec *s, LossAttrs *a) {
    a->by_class = (ClassLossAttrs){.reduction = (int32_t)s->reduction,
                                   .ignore_index = s->ignore_index,
                                   .label_smoothing = s->kind == LOSS_NLL ? 0 : s->label_smoothing,
                                   .probabilities = !is_by_index(s)};
    a->by_element = (ElementLossAttrs){.reduction = (int32_t)s->reduction,
                                       .beta = s->beta,
                                       .weight = s->kind == LOSS_BCE_WITH_LOGITS && s->weight,
                                       .pos_weight = s->kind == LOSS_BCE_WITH_LOGITS && s->pos_weight};
    return is_by_class(s) ? (const void *)&a->by_class : &a->by_element;
}

/* Weights as a constant: one a class, or one an element of a sample's output. */
static bool add_weights(Emit *e, const char *name, const float *data, uint32_t n, ValueId *operands,
                        uint32_t *count) {
    const LossSpec *loss = &e->ad->spec->loss;
    const Type *scores = &scored(e)->type;
    const Type t = is_by_class(loss) ? type_make(DT_F32, 1, scores->dim + 1)
                                     : type_make(DT_F32, (uint8_t)(scores->rank - 1), scores->dim + 1);
    if (!data)
        return true;
    if (type_elems(&t, 1) != n)
        return diag_error(&e->ad->cx->diag, DIAG_SHAPE_MISMATCH, &loss->loc,
                          "the loss has %u numbers in \"%s\", but the output needs %lld", n, name,
                          (long long)type_elems(&t, 1));
    operands[(*count)++] = graph_const(e->gr.g, intern_f(e->ad->cx, "loss.%s", name), t, data, loss->loc);
    return true;
}

static bool all_weights(Emit *e, ValueId *operands, uint32_t *count) {
    const LossSpec *s = &e->ad->spec->loss;
    const bool bce = s->kind == LOSS_BCE_WITH_LOGITS;
    if ((is_by_class(s) || bce) && !add_weights(e, "weight", s->weight, s->n_weight, operands, count))
        return false;
    return !bce || add_weights(e, "pos_weight", s->pos_weight, s->n_pos_weight, operands, count);
}

/* A node that profiles and messages call "loss". */
static ValueId loss_node(Emit *e, OpId op, const ValueId *operands, uint32_t n, const void *attrs,
                         const char *name) {
    Loc loc = e->ad->spec->loss.loc;
    loc.name = "loss";
    return graph_node(e->gr.g, op, operands, n, attrs, name, loc);
}

ValueId autodiff_loss(Emit *e) {
    static const OpId ops[] = {
        [LOSS_CROSS_ENTROPY] = OP_cross_entropy,
        [LOSS_NLL] = OP_nll_loss,
        [LOSS_BCE_WITH_LOGITS] = OP_bce_with_logits,
        [LOSS_MSE] = OP_mse_loss,
        [LOSS_L1] = OP_l1_loss,
        [LOSS_SMOOTH_L1] = OP_smooth_l1_loss,
    };
    const LossSpec *s = &e->ad->spec->loss;
    const ValueId scores = e->map[e->ad->g->outputs.data[e->ad->scored].value];
    const CheckLabelAttrs labels = {.classes = scored(e)->type.dim[1].size, .ignore_index = s->ignore_index};
    ValueId operands[4] = {scores, e->target};
    uint32_t n = 2;
    LossAttrs attrs;
    if (is_by_index(s) && loss_node(e, OP_check_label, &e->target, 1, &labels, "label.check") == NO_VALUE)
        return NO_VALUE;
    if (!all_weights(e, operands, &n))
        return NO_VALUE;
    return loss_node(e, ops[s->kind], operands, n, loss_attrs(s, &attrs), "loss");
}

/* Its operands are those of the loss, with the numbers of the step in third place. */
ValueId autodiff_loss_backward(Emit *e, ValueId loss) {
    static const OpId ops[] = {
        [LOSS_CROSS_ENTROPY] = OP_cross_entropy_backward,
        [LOSS_NLL] = OP_nll_loss_backward,
        [LOSS_BCE_WITH_LOGITS] = OP_bce_with_logits_backward,
        [LOSS_MSE] = OP_mse_loss_backward,
        [LOSS_L1] = OP_l1_loss_backward,
        [LOSS_SMOOTH_L1] = OP_smooth_l1_loss_backward,
    };
    const LossSpec *s = &e->ad->spec->loss;
    Graph *g = e->gr.g;
    const Node *n = graph_def(g, loss);
    ValueId operands[5] = {n->operands[0], n->operands[1], autodiff_hyper(g, e->ad->spec)};
    LossAttrs attrs;
    for (uint32_t i = 2; i < n->n_operands; i++)
        operands[i + 1] = n->operands[i];
    return loss_node(e, ops[s->kind], operands, n->n_operands + 1, loss_attrs(s, &attrs), "loss.grad");
}
