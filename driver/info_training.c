/* cnnc info of a training: what is trained, the state, arithmetic and workspace of a step, and what freezing
 * saves against the same recipe without `freeze`, which goes through the passes for that. */
#include "driver/info.h"
#include "driver/sizes.h"
#include "passes/plan.h"
#include <stdio.h>
#include <string.h>

static const char *const roles[ROLE_COUNT] = {
    [ROLE_PARAM] = "weights",  [ROLE_BUFFER] = "statistics", [ROLE_SLOT] = "optimizer",
    [ROLE_GRAD] = "gradients", [ROLE_COUNTER] = "counters",
};

/* ---- Layers ---- */

static bool is_trained(const Graph *chain, const Value *v) {
    for (const Graph *g = chain; g && v->kind != VK_STATE; g = g->next)
        for (uint32_t i = 0; i < g->states.len; i++) {
            const Value *s = &g->values.data[g->states.data[i]];
            if (s->role <= ROLE_BUFFER && !strcmp(s->key, v->key))
                return true;
        }
    return v->kind == VK_STATE;
}

const char *info_status(const Graph *chain, const Graph *g, const Node *n) {
    uint32_t count[2][2] = {{0}}; /* [is a statistic][is trained] */
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Value *v = &g->values.data[n->operands[i]];
        const bool state = v->kind == VK_STATE && v->role <= ROLE_BUFFER;
        if (state || v->kind == VK_PARAM || v->kind == VK_BUFFER)
            count[v->kind == VK_BUFFER || (state && v->role == ROLE_BUFFER)][is_trained(chain, v)]++;
    }
    const uint32_t *c = count[!count[0][0] && !count[0][1]]; /* statistics, where they are all there is */
    return c[0] && c[1] ? "in part" : c[0] ? "frozen" : c[1] ? "trained" : "";
}

/* ---- What there is to say ---- */

typedef struct Report {
    TrainingSizes sizes; /* of loop IR only state_bytes */
    bool has_graphs;
    int64_t state; /* bytes of the whole, where the module is planned */
} Report;

/* The difference that `freeze` makes. */
typedef struct Saved {
    bool known;
    int64_t optimizer, gradients,
        workspace; /* bytes; workspace for one thread, of whatever call needs most */
    double flops;  /* of a step */
} Saved;

static int64_t entry_bytes(const LoopModule *m, const char *name) {
    for (uint32_t e = 0; e < m->entries.len; e++)
        if (!strcmp(m->entries.data[e].name, name))
            return plan_entry_bytes(m, e);
    return 0;
}

/* Of a call of train_step, which runs two entries. */
static int64_t step_bytes(const LoopModule *m) {
    const int64_t backward = entry_bytes(m, "backward"), apply = entry_bytes(m, "apply");
    return backward > apply ? backward : apply;
}

static int64_t workspace(const LoopModule *m) {
    return m->work_bytes + m->scratch_bytes;
}

static Report report(const Compile *c) {
    Report r = {.has_graphs = c->chain != NULL};
    const LoopModule *m = c->loops;
    if (c->chain)
        r.sizes = training_sizes(c->chain);
    if (!m || !m->planned)
        return r;
    for (uint32_t b = 0; b < m->bufs.len && !c->chain; b++)
        if (m->bufs.data[b].kind == MB_STATE)
            r.sizes.state_bytes[m->bufs.data[b].role] += type_physical_bytes(&m->bufs.data[b].type, m->batch);
    r.state = (int64_t)backend_state_bytes(m);
    return r;
}

static Saved saved(const Compile *c, const Report *r) {
    Unit u;
    if (!c->chain || !c->loops || !c->loops->planned || !training_unfrozen(c, "autodiff", &u))
        return (Saved){0};
    const TrainingSizes was = training_sizes(u.graph);
    if (!training_unfrozen(c, c->o->passes ? c->o->passes : pipeline_train, &u) || !u.loops)
        return (Saved){0};
    return (Saved){.known = true,
                   .optimizer = was.state_bytes[ROLE_SLOT] - r->sizes.state_bytes[ROLE_SLOT],
                   .gradients = was.state_bytes[ROLE_GRAD] - r->sizes.state_bytes[ROLE_GRAD],
                   .workspace = workspace(u.loops) - workspace(c->loops),
                   .flops = training_step_flops(&was) - training_step_flops(&r->sizes)};
}

static int64_t alignment(const Report *r) {
    int64_t rest = r->state;
    for (int i = 0; i < ROLE_COUNT; i++)
        rest -= r->sizes.state_bytes[i];
    return rest;
}

/* ---- Text ---- */

static void print_bytes(Arena *a, const char *what, int64_t bytes) {
    printf("%-12s %11s bytes\n", what, info_grouped(a, bytes));
}

static const char *flops_text(Arena *a, double v) {
    return v > 0 ? info_scaled(a, v) : "0";
}

void info_training_saved(const Compile *c) {
    Arena *a = &c->cx->arena;
    if (!c->recipe || !c->recipe->train.n_freeze || !c->loops || !c->loops->planned)
        return;
    const Report r = report(c);
    const Saved s = saved(c, &r);
    const double step = training_step_flops(&r.sizes);
    if (!s.known) {
        printf("\nwhat freezing saves is not known: without it the recipe does not compile\n");
        return;
    }
    printf("\nfreezing saves, against the recipe without \"freeze\":\n");
    print_bytes(a, "  optimizer", s.optimizer);
    print_bytes(a, "  gradients", s.gradients);
    print_bytes(a, "  workspace", s.workspace);
    printf("%-12s %11s a step, %.1f%%\n", "  FLOPs", flops_text(a, s.flops),
           100 * s.flops / (step + s.flops));
}

void info_training_workspace(const LoopModule *m, Arena *a) {
    print_bytes(a, "  step", step_bytes(m));
    print_bytes(a, "  evaluation", entry_bytes(m, "eval"));
}

static void print_state(const Report *r, Arena *a) {
    print_bytes(a, "state", r->state);
    for (int i = 0; i < ROLE_COUNT; i++)
        print_bytes(a, arena_printf(a, "  %s", roles[i]), r->sizes.state_bytes[i]);
    print_bytes(a, "  alignment", alignment(r));
}

void info_training_print(const Compile *c) {
    Arena *a = &c->cx->arena;
    const Report r = report(c);
    const TrainingSizes *s = &r.sizes;
    if (r.has_graphs) {
        printf("\ntrained     %12s parameters, %s bytes\n", info_grouped(a, s->trained),
               info_grouped(a, s->trained * 4));
        printf("frozen      %12s parameters, %s bytes\n", info_grouped(a, s->frozen),
               info_grouped(a, s->frozen * 4));
        printf("FLOPs       %12s a step of %lld: forward %s, backward %s, update %s; %s an evaluation\n",
               flops_text(a, training_step_flops(s)), (long long)c->chain->batch, flops_text(a, s->forward),
               flops_text(a, s->backward), flops_text(a, s->update), flops_text(a, s->evaluation));
    } else {
        printf("training, as loop IR: it does not tell layers, FLOPs and what is frozen\n");
    }
    if (!c->loops || !c->loops->planned)
        return;
    print_state(&r, a);
}

/* ---- JSON ---- */

static void json_saved(const Compile *c, const Report *r, JsonOut *j) {
    const Saved s = saved(c, r);
    if (!s.known)
        return;
    json_open(j, "saved", '{');
    json_int(j, "optimizer_bytes", s.optimizer);
    json_int(j, "gradient_bytes", s.gradients);
    json_int(j, "workspace_bytes", s.workspace);
    json_real(j, "flops", s.flops);
    json_close(j, '}');
}

static void json_memory(const Report *r, const LoopModule *m, JsonOut *j) {
    json_int(j, "state_bytes", r->state);
    json_open(j, "state", '{');
    for (int i = 0; i < ROLE_COUNT; i++)
        json_int(j, roles[i], r->sizes.state_bytes[i]);
    json_int(j, "alignment", alignment(r));
    json_close(j, '}');
    json_open(j, "workspace", '{');
    json_int(j, "step", step_bytes(m));
    json_int(j, "evaluation", entry_bytes(m, "eval"));
    json_close(j, '}');
}

void info_training_json(const Compile *c, JsonOut *j) {
    const Report r = report(c);
    const TrainingSizes *s = &r.sizes;
    json_open(j, "training", '{');
    if (r.has_graphs) {
        json_int(j, "trained_parameters", s->trained);
        json_int(j, "trained_bytes", s->trained * 4);
        json_int(j, "frozen_parameters", s->frozen);
        json_int(j, "frozen_bytes", s->frozen * 4);
        json_open(j, "flops", '{');
        json_real(j, "forward", s->forward);
        json_real(j, "backward", s->backward);
        json_real(j, "update", s->update);
        json_real(j, "step", training_step_flops(s));
        json_real(j, "evaluation", s->evaluation);
        json_close(j, '}');
    }
    if (c->loops && c->loops->planned) {
        json_memory(&r, c->loops, j);
        json_saved(c, &r, j);
    }
    json_close(j, '}');
}
