/* The graph `apply`: one optimizer node a parameter, its slots beside it. */
#include "ir/rewrite.h"
#include "passes/autodiff.h"

enum { MAX_SLOTS = 3 };
enum { PARAM, GRAD, HYPER, STEP, SLOTS, OPERANDS = SLOTS + MAX_SLOTS };

/* A parameter, and what is kept for it: the operands of its node. */
typedef struct Learned {
    const Value *param; /* of `backward` */
    ValueId operands[OPERANDS];
} Learned;

/* The slots of an optimizer, in the order of its op's operands. */
static uint32_t slot_names(const OptimizerSpec *o, const char *names[MAX_SLOTS]) {
    uint32_t n = 0;
    switch (o->kind) {
    case OPTIM_SGD:
        break;
    case OPTIM_ADAM:
    case OPTIM_ADAMW:
        names[n++] = "exp_avg";
        names[n++] = "exp_avg_sq";
        if (o->amsgrad)
            names[n++] = "max_exp_avg_sq";
        break;
    case OPTIM_RMSPROP:
        names[n++] = "square_avg";
        if (o->centered)
            names[n++] = "grad_avg";
        break;
    case OPTIM_ADAGRAD:
        names[n++] = "sum";
        break;
    }
    if (o->has_momentum && (o->kind == OPTIM_SGD || o->kind == OPTIM_RMSPROP))
        names[n++] = "momentum_buffer";
    return n;
}

static ValueId update(Graph *g, const TrainSpec *spec, const Learned *l, uint32_t slots) {
    const OptimizerSpec *o = &spec->optimizer;
    const UpdateAttrs u = {.group = train_group(o, l->param->key), .clip = (int32_t)spec->clip};
    const SgdAttrs sgd = {.update = u, .dampening = o->dampening, .nesterov = o->nesterov};
    const AdamAttrs adam = {u, .beta2 = o->beta2, .eps = o->eps, .decoupled = o->kind == OPTIM_ADAMW};
    const RmspropAttrs rmsprop = {u, .alpha = o->alpha, .eps = o->eps, .centered = o->centered};
    const AdagradAttrs adagrad = {u, .lr_decay = o->lr_decay, .eps = o->eps};
    static const OpId ops[] = {[OPTIM_SGD] = OP_sgd,
                               [OPTIM_ADAM] = OP_adam,
                               [OPTIM_ADAMW] = OP_adam,
                               [OPTIM_RMSPROP] = OP_rmsprop,
                               [OPTIM_ADAGRAD] = OP_adagrad};
    const void *attrs[] = {[OPTIM_SGD] = &sgd,
                           [OPTIM_ADAM] = &adam,
                           [OPTIM_ADAMW] = &adam,
                           [OPTIM_RMSPROP] = &rmsprop,
                           [OPTIM_ADAGRAD] = &adagrad};
    const char *name = intern_f(g->cx, "%s.updated", l->param->name);
    return graph_node(g, ops[o->kind], l->operands, SLOTS + slots, attrs[o->kind], name, l->param->loc);
}

/* The numbers of the step, with the factor that keeps the norm of all gradients below its limit. */
static ValueId clip_by_norm(Graph *g, const Learned *l, uint32_t n, ValueId hyper) {
    ValueId operands[2] = {NO_VALUE, NO_VALUE};
    for (uint32_t i = 0; i < n; i++) {
        operands[0] = l[i].operands[GRAD];
        const char *name = intern_f(g->cx, "%s.grad_norm_sq", l[i].param->name);
        operands[1] = graph_node(g, OP_grad_norm_sq, operands, i ? 2 : 1, NULL, name, l[i].param->loc);
        if (operands[1] == NO_VALUE)
            return NO_VALUE;
    }
    operands[0] = hyper;
    return graph_node(g, OP_clip_scale, operands, 2, NULL, "clipped", (Loc){0});
}

/* The parameters of `backward` that have a gradient; returns how many. Declares their states, by role. */
static uint32_t declare(Graph *g, const Graph *backward, const char *const *slots, uint32_t n_slots,
                        Learned *l) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < backward->states.len; i++) {
        const Value *v = &backward->values.data[backward->states.data[i]];
        if (v->role != ROLE_PARAM ||
            autodiff_find_state(backward, ROLE_GRAD, intern_f(g->cx, "grad/%s", v->key)) == NO_VALUE)
            continue;
        l[n].param = v;
        l[n++].operands[PARAM] = graph_state(g, ROLE_PARAM, v->name, v->key, v->type, v->loc);
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n_slots; k++) {
            const Value *v = l[i].param;
            l[i].operands[SLOTS + k] =
                graph_state(g, ROLE_SLOT, intern_f(g->cx, "%s.%s", v->name, slots[k]),
                            intern_f(g->cx, "%s/%s", slots[k], v->key), v->type, v->loc);
        }
    for (uint32_t i = 0; i < n; i++) {
        const Value *v = l[i].param;
        l[i].operands[GRAD] = graph_state(g, ROLE_GRAD, intern_f(g->cx, "%s.grad", v->name),
                                          intern_f(g->cx, "grad/%s", v->key), v->type, v->loc);
    }
    return n;
}

Graph *autodiff_apply(const Autodiff *ad, const Graph *backward) {
    Graph *g = autodiff_graph(ad, "apply");
    const char *slots[MAX_SLOTS];
    const uint32_t n_slots = slot_names(&ad->spec->optimizer, slots);
    Learned *l = NEW_ARRAY(&ad->cx->arena, Learned, backward->states.len);
    const uint32_t n = declare(g, backward, slots, n_slots, l);
    const ValueId counter = autodiff_counter(g, "step");
    ValueId hyper = autodiff_hyper(g, ad->spec);
    const ValueId step = graph_node(g, OP_advance, &counter, 1, NULL, "step", (Loc){0});
    if (ad->spec->clip == CLIP_NORM)
        hyper = clip_by_norm(g, l, n, hyper);
    if (step == NO_VALUE || hyper == NO_VALUE)
        return NULL;
    for (uint32_t i = 0; i < n; i++) {
        l[i].operands[HYPER] = hyper;
        l[i].operands[STEP] = step;
        if (update(g, ad->spec, &l[i], n_slots) == NO_VALUE)
            return NULL;
    }
    Rewrite rw = rw_begin(g); /* values that passes make from here on have no origin */
    for (uint32_t i = 0; i < g->nodes.len; i++)
        rw_copy(&rw, &g->nodes.data[i]);
    return rw_finish(&rw);
}
