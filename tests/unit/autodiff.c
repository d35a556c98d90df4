/* The pass autodiff: gradients of whole nets against central differences of the loss, before and after the
 * passes that follow and as loops; what is frozen; what is refused; the optimizers against plain loops. */
#include "gradient.h"
#include "ir/loops/loops.h"
#include "passes/passes.h"

static const char net[] =
    "graph @net(%image: f32[N,3,7,6]) batch 4 {\n"
    "  %c1.weight = param f32[4,3,3,3]\n"
    "  %b1.weight = param f32[4]\n"
    "  %b1.bias = param f32[4]\n"
    "  %b1.running_mean = buffer f32[4]\n"
    "  %b1.running_var = buffer f32[4]\n"
    "  %c2.weight = param f32[4,4,3,3]\n"
    "  %c2.bias = param f32[4]\n"
    "  %fc.weight = param f32[5,24]\n"
    "  %fc.bias = param f32[5]\n"
    "  %c1 = conv2d %image, %c1.weight {padding=[1,1,1,1]} : f32[N,4,7,6] layer \"c1\"\n"
    "  %b1 = batch_norm %c1, %b1.weight, %b1.bias, %b1.running_mean, %b1.running_var : f32[N,4,7,6] layer "
    "\"b1\"\n"
    "  %r1 = relu %b1 : f32[N,4,7,6] layer \"r1\"\n"
    "  %c2 = conv2d %r1, %c2.weight, %c2.bias {padding=[1,1,1,1]} : f32[N,4,7,6] layer \"c2\"\n"
    "  %sum = add %c2, %b1 : f32[N,4,7,6] layer \"sum\"\n"
    "  %r2 = relu %sum : f32[N,4,7,6] layer \"r2\"\n"
    "  %pool = max_pool2d %r2 {kernel_size=[2,2], stride=[3,2]} : f32[N,4,2,3] layer \"pool\"\n"
    "  %drop = dropout %pool {p=0.25} : f32[N,4,2,3] layer \"drop\"\n"
    "  %flat = flatten %drop : f32[N,24] layer \"flat\"\n"
    "  %fc = linear %flat, %fc.weight, %fc.bias : f32[N,5] layer \"fc\"\n"
    "  return %fc as \"logits\"\n"
    "}\n";

/* Everything at PyTorch's defaults, one parameter group. */
static TrainSpec plain_spec(void) {
    TrainSpec s = {.loss = {.kind = LOSS_CROSS_ENTROPY, .ignore_index = -100, .beta = 1}};
    s.optimizer =
        (OptimizerSpec){.kind = OPTIM_SGD, .beta2 = 0.999, .eps = 1e-8, .alpha = 0.99, .n_groups = 1};
    s.optimizer.groups = NEW_ARRAY(&cx.arena, GroupSpec, 4);
    return s;
}

static const Target *target_of(uint32_t vector_bytes) {
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = ""};
    t.vector_bytes = vector_bytes;
    t.vector_regs = 16;
    t.has_fma = vector_bytes > 16;
    t.fma_ports = 2;
    t.l1_bytes = 32 << 10;
    t.l2_bytes = 512 << 10;
    t.l3_bytes = 8 << 20;
    return arena_copy(&cx.arena, &t, sizeof t);
}

static bool pass(Unit *u, const char *text, const TrainSpec *spec, const char *passes,
                 uint32_t vector_bytes) {
    bool stopped = false;
    const PipelineOptions o = {.passes = passes, .verify_each = true};
    *u = (Unit){.cx = &cx, .train = spec, .target = target_of(vector_bytes)};
    u->graph = graph_parse(&cx, "net.cnnir", text, strlen(text));
    cr_assert_not_null(u->graph, "%s", messages());
    return passes_run(u, &o, &stopped);
}

static Graph *chain(const char *text, const TrainSpec *spec, const char *passes) {
    Unit u;
    cr_assert(pass(&u, text, spec, passes, 32), "%s", messages());
    return u.graph;
}

static const Graph *entry_graph(const Graph *g, const char *entry) {
    while (g && strcmp(g->entry, entry) != 0)
        g = g->next;
    cr_assert_not_null(g, "there is no graph %s", entry);
    return g;
}

/* ---- What leaves hold ---- */

/* The same numbers for the same name, whatever the graph. */
static void fill(const char *name, const Type *t, int64_t n, double *data) {
    seed = 1;
    for (const char *c = name; *c; c++)
        seed = seed * 31 + (unsigned char)*c;
    for (int64_t i = 0; i < type_elems(t, n); i++) {
        const double x = noise();
        data[i] = t->dtype == DT_I64            ? floor(fabs(x) * 4.99)
                  : strstr(name, "running_var") ? 0.5 + fabs(x)
                                                : x;
    }
}

static Run filled_run(const Graph *g, int64_t n) {
    Run r = run_begin(g, n);
    for (ValueId v = 0; v < g->values.len; v++) {
        const Value *value = &g->values.data[v];
        if (value->kind == VK_RESULT || value->kind == VK_CONST)
            continue;
        r.leaves[v] = tensor_of(&value->type, n);
        if (value->kind != VK_STATE || value->role <= ROLE_BUFFER)
            fill(value->key ? value->key : value->name, &value->type, n, r.leaves[v].data);
    }
    return r;
}

static ValueId find_state(const Graph *g, StateRole role, const char *key) {
    for (uint32_t i = 0; i < g->states.len; i++)
        if (g->values.data[g->states.data[i]].role == role &&
            !strcmp(g->values.data[g->states.data[i]].key, key))
            return g->states.data[i];
    return NO_VALUE;
}

static uint32_t count_ops(const Graph *g, OpId op) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes.len; i++)
        n += g->nodes.data[i].op == op;
    return n;
}

/* ---- Gradients ---- */

/* Each gradient state after `backward` against differences of its loss; `grads` is how many there are. */
static void check_net(const char *text, const TrainSpec *spec, int64_t n, uint32_t grads,
                      const char *passes) {
    const Graph *g = entry_graph(chain(text, spec, passes), "backward");
    const ValueId loss = g->outputs.data[0].value;
    Run r = filled_run(g, n);
    const double *scale = &r.leaves[g->hyper].data[0];
    uint32_t checked = 0;
    cr_assert_str_eq(g->outputs.data[0].name, "loss");
    for (uint32_t i = 0; i < g->states.len; i++) {
        const Value *v = &g->values.data[g->states.data[i]];
        const ValueId grad = find_state(g, ROLE_GRAD, intern_f(&cx, "grad/%s", v->key));
        if (v->role != ROLE_PARAM || grad == NO_VALUE)
            continue;
        run(&r);
        const size_t bytes = (size_t)type_elems(&v->type, n) * sizeof(double);
        const double *dx = arena_copy(&cx.arena, r.values[grad].data, bytes);
        check_gradient(&r, g->states.data[i], loss, scale, dx, v->key);
        checked++;
    }
    cr_assert_eq(checked, grads);
    cr_assert_eq(r.values[find_state(g, ROLE_COUNTER, "accumulated")].data[0], 1);
    cr_assert_eq(r.values[find_state(g, ROLE_COUNTER, "calls")].data[0], 1);
    arena_free(&r.arena);
}

static const char after[] = "autodiff,canonicalize,fold,fold-bn,fold,cse,dce,fuse";

Test(autodiff, nets) {
    for (int64_t n = 1; n <= 4; n += 3)
        for (int k = 0; k < 2; k++) {
            begin();
            TrainSpec s = plain_spec();
            s.loss.label_smoothing = 0.1;
            check_net(net, &s, n, 7, k ? after : "autodiff");
            end();
        }
}

Test(autodiff, losses) {
    static const float weight[5] = {0.5F, 1, 2, 0.25F, 3};
    for (int kind = LOSS_CROSS_ENTROPY; kind <= LOSS_SMOOTH_L1; kind++)
        for (int reduction = 0; reduction < 2; reduction++) {
            begin();
            TrainSpec s = plain_spec();
            s.loss.kind = (LossKind)kind;
            s.loss.reduction = (Reduction)reduction;
            s.loss.probabilities = reduction == REDUCTION_SUM;
            if (kind <= LOSS_BCE_WITH_LOGITS && reduction) {
                s.loss.weight = weight;
                s.loss.n_weight = 5;
            }
            check_net(net, &s, 3, 7, after);
            end();
        }
}

/* ---- What is frozen ---- */

Test(autodiff, frozen) {
    static const char *const trunk[] = {"c1", "b1"}, *const norm[] = {"b1"},
                             *const part[] = {"b1.bias", "c?.bias"};
    begin();
    TrainSpec s = plain_spec();
    s.freeze = trunk;
    s.n_freeze = 2;
    check_net(net, &s, 3, 4, "autodiff");
    check_net(net, &s, 3, 4, after);
    const Graph *g = chain(net, &s, "autodiff"), *b = entry_graph(g, "backward");
    cr_expect_eq(b->params.len, 5u); /* c1.weight and all of b1: known at load */
    cr_expect_eq(count_ops(b, OP_batch_norm), 1u);
    cr_expect_eq(count_ops(b, OP_conv2d_backward_weight), 1u);
    cr_expect_eq(count_ops(b, OP_conv2d_backward_input), 0u);
    cr_expect_eq(count_ops(b, OP_conv2d), 2u); /* no gradient is a convolution either */
    cr_expect_eq(count_ops(b, OP_relu_backward), 1u);
    cr_expect_eq(count_ops(b, OP_batch_norm_update), 0u);
    cr_expect_eq(count_ops(b, OP_accumulate), 4u);
    cr_expect_eq(count_ops(entry_graph(g, "apply"), OP_sgd), 4u);
    cr_expect_eq(entry_graph(g, "apply")->params.len, 0u);
    s.freeze = norm; /* between what is trained: its inference op, and a gradient through it */
    s.n_freeze = 1;
    check_net(net, &s, 3, 5, "autodiff");
    check_net(net, &s, 3, 5, after);
    s.freeze = part; /* a batch norm with a parameter to train has statistics of the batch */
    s.n_freeze = 2;
    check_net(net, &s, 3, 5, "autodiff");
    cr_expect_eq(count_ops(chain(net, &s, "autodiff"), OP_batch_norm_update), 1u);
    end();
}

Test(autodiff, eval) {
    begin();
    TrainSpec s = plain_spec();
    const Graph *model = graph_parse(&cx, "net.cnnir", net, strlen(net));
    const Graph *g = entry_graph(chain(net, &s, after), "eval");
    Run r = filled_run(g, 4), m = filled_run(model, 4);
    run(&r);
    run(&m);
    const double *out = r.values[g->outputs.data[1].value].data;
    const double *expect = m.values[model->outputs.data[0].value].data;
    for (int i = 0; i < 4 * 5; i++)
        cr_assert_float_eq(out[i], expect[i], 1e-9);
    for (uint32_t i = 0; i < g->nodes.len; i++)
        cr_assert_eq(op_desc(g->nodes.data[i].op)->writes, 0u);
    arena_free(&r.arena);
    arena_free(&m.arena);
    end();
}

/* ---- What is refused ---- */

static void expect_refusal(const char *text, const TrainSpec *s, DiagId id, const char *words) {
    Unit u;
    cr_assert_not(pass(&u, text, s, "autodiff", 32));
    cr_assert_eq(cx.diag.entries.data[0].id, id, "%s", messages());
    cr_assert(strstr(messages(), words), "%s", messages());
    cx.diag.entries.len = cx.diag.errors = 0;
}

Test(autodiff, refusals) {
    static const char *const unknown[] = {"c1", "c3.weight"}, *const all[] = {"*"}, *const twice[] = {"c?.*"};
    static const char *const fc[] = {"c2", "fc"};
    static const char no_gradient[] =
        "graph @g(%x: f32[N,5]) batch 2 { %w = param f32[3,5] %0 = linear %x, %w : "
        "f32[N,3] %1 = rsqrt %0 {eps=9} : f32[N,3] return %1 as \"y\" }";
    static const char unused[] = "graph @g(%x: f32[N,5]) batch 2 { %w = param f32[3,5] %0 = linear %x, %w : "
                                 "f32[N,3] %1 = relu %x : f32[N,5] return %0 as \"y\", %1 as \"z\" }";
    static const char clash[] =
        "graph @g(%label: f32[N,5]) batch 2 { %w = param f32[3,5] %0 = linear %label, %w : "
        "f32[N,3] return %0 as \"y\" }";
    begin();
    TrainSpec s = plain_spec();
    expect_refusal(net, NULL, DIAG_PASS_LIST, "autodiff needs to be told what to train");
    s.freeze = unknown;
    s.n_freeze = 2;
    expect_refusal(net, &s, DIAG_NO_MATCH, "did you mean \"c1.weight\"?");
    s.freeze = all;
    s.n_freeze = 1;
    expect_refusal(net, &s, DIAG_NOTHING_TRAINED, "every parameter is frozen");
    s.n_freeze = 0;
    expect_refusal(no_gradient, &s, DIAG_NO_GRADIENT, "rsqrt has no gradient");
    s.loss.output = "z";
    expect_refusal(unused, &s, DIAG_NOTHING_TRAINED, "the loss depends on no parameter");
    s.loss.output = "logit";
    expect_refusal(net, &s, DIAG_UNKNOWN_NAME, "did you mean \"logits\"?");
    s.loss.output = NULL;
    expect_refusal(clash, &s, DIAG_NAME_CLASH, "\"label\"");
    s.optimizer.groups[1] = (GroupSpec){.patterns = fc, .n_patterns = 2};
    s.optimizer.groups[2] = (GroupSpec){.patterns = twice, .n_patterns = 1};
    s.optimizer.n_groups = 3;
    expect_refusal(net, &s, DIAG_BAD_ARGUMENT, "\"c2.weight\" is in two parameter groups");
    end();
}

/* ---- As loops ---- */

typedef struct Loops {
    const LoopModule *m;
    int64_t n;
    void **memory; /* by buffer of the module; NULL: the interpreter's own */
} Loops;

/* Through the whole pipeline. Memory for what a caller has, filled as the double evaluator's leaves are. */
static Loops loops_of(const char *text, const TrainSpec *spec, int64_t n, uint32_t vector_bytes) {
    Unit u;
    cr_assert(pass(&u, text, spec, pipeline_train, vector_bytes), "%s", messages());
    Loops l = {.m = u.loops, .n = n, .memory = NEW_ARRAY(&cx.arena, void *, u.loops->bufs.len)};
    for (uint32_t b = 0; b < l.m->bufs.len; b++) {
        const ModBuf *buf = &l.m->bufs.data[b];
        const int64_t count = modbuf_elems(buf, n);
        if (buf->kind == MB_WORK)
            continue;
        l.memory[b] = arena_alloc(&cx.arena, (size_t)count * dtype_bytes(buf->type.dtype));
        if (buf->kind == MB_CONST && buf->data)
            memcpy(l.memory[b], buf->data, (size_t)count * dtype_bytes(buf->type.dtype));
        if (!buf->key || (buf->kind == MB_STATE && buf->role > ROLE_BUFFER) || buf->kind == MB_OUT)
            continue;
        double *data = NEW_ARRAY(&cx.arena, double, (size_t)count);
        fill(buf->key, &buf->type, n, data);
        for (int64_t i = 0; i < count; i++)
            if (buf->type.dtype == DT_I64)
                ((int64_t *)l.memory[b])[i] = (int64_t)data[i];
            else
                ((float *)l.memory[b])[i] = (float)data[i];
    }
    return l;
}

static void *buffer_of(const Loops *l, ModBufKind kind, StateRole role, const char *key) {
    void *found = NULL;
    for (uint32_t b = 0; b < l->m->bufs.len && !found; b++) {
        const ModBuf *buf = &l->m->bufs.data[b];
        if (buf->kind == kind && (kind != MB_STATE || buf->role == role) && (!key || !strcmp(buf->key, key)))
            found = l->memory[b];
    }
    cr_assert_not_null(found, "no buffer for %s", key ? key : "hyper");
    return found;
}

static void run_loops(Loops *l, const char *entry) {
    const InterpOptions o = {.contract = true, .check_overlap = true};
    cr_assert(loops_run(l->m, entry, l->n, l->memory, &o), "%s: %s", entry, messages());
}

/* Gradients of calls before, for the evaluator and for loops. */
static void had_calls(const Graph *g, Run *r, const Loops *l, int64_t calls) {
    *(int64_t *)buffer_of(l, MB_STATE, ROLE_COUNTER, "accumulated") = calls;
    r->leaves[find_state(g, ROLE_COUNTER, "accumulated")].data[0] = (double)calls;
    for (uint32_t i = 0; i < g->states.len; i++) {
        const Value *v = &g->values.data[g->states.data[i]];
        double *data = r->leaves[g->states.data[i]].data;
        if (v->role != ROLE_GRAD)
            continue;
        fill(v->key, &v->type, 1, data);
        float *grad = buffer_of(l, MB_STATE, ROLE_GRAD, v->key);
        for (int64_t k = 0; k < type_elems(&v->type, 1); k++)
            grad[k] = (float)data[k];
    }
}

/* The gradients that loops make are those of the evaluator, rounded; after so many calls. */
static void check_loops(const char *text, const TrainSpec *spec, int64_t n, uint32_t vector_bytes,
                        int64_t calls) {
    const Graph *g = entry_graph(chain(text, spec, "autodiff"), "backward");
    Run r = filled_run(g, n);
    Loops l = loops_of(text, spec, n, vector_bytes);
    had_calls(g, &r, &l, calls);
    r.leaves[g->hyper].data[0] = ((double *)buffer_of(&l, MB_HYPER, ROLE_PARAM, NULL))[0] = 0.5;
    for (ValueId v = 0; v < g->values.len; v++) /* as the loops get them */
        for (int64_t i = 0; r.leaves[v].data && i < type_elems(&g->values.data[v].type, n); i++)
            r.leaves[v].data[i] = (double)(float)r.leaves[v].data[i];
    run(&r);
    run_loops(&l, "prepare");
    run_loops(&l, "backward");
    for (uint32_t i = 0; i < g->states.len; i++) {
        const Value *v = &g->values.data[g->states.data[i]];
        const double *expect = r.values[g->states.data[i]].data;
        double largest = 1e-3;
        if (v->role == ROLE_COUNTER)
            continue;
        const float *got = buffer_of(&l, MB_STATE, v->role, v->key);
        for (int64_t k = 0; k < type_elems(&v->type, n); k++)
            largest = fmax(largest, fabs(expect[k]));
        for (int64_t k = 0; k < type_elems(&v->type, n); k++)
            cr_assert_leq(fabs((double)got[k] - expect[k]), 2e-6 * largest, "%s[%lld] is %g, not %g", v->key,
                          (long long)k, (double)got[k], expect[k]);
    }
    arena_free(&r.arena);
}

Test(autodiff, loops) {
    static const char *const trunk[] = {"c1", "b1"};
    for (int64_t n = 2; n <= 4; n++)
        for (uint32_t frozen = 0; frozen <= 2; frozen++) {
            begin();
            TrainSpec s = plain_spec();
            s.freeze = trunk;
            s.n_freeze = frozen;
            check_loops(net, &s, n, 16U << (n - 2), frozen);
            end();
        }
}

/* ---- Optimizers ---- */

/* 40,000 elements are three tasks; 15 are less than a vector. */
static const char learner[] = "graph @learner(%x: f32[N,400]) batch 2 {\n"
                              "  %a.weight = param f32[100,400]\n"
                              "  %b.weight = param f32[15,100]\n"
                              "  %b.bias = param f32[15]\n"
                              "  %a = linear %x, %a.weight : f32[N,100]\n"
                              "  %b = linear %a, %b.weight, %b.bias : f32[N,15]\n"
                              "  return %b as \"y\"\n"
                              "}\n";
static const char *const learned[3] = {"a.weight", "b.weight", "b.bias"};
static const int64_t learned_elems[3] = {40000, 1500, 15};

/* One element and all that is kept for it, in double; torch/optim's formulas. */
typedef struct Plain {
    double p, a, b, c; /* the parameter; slots */
} Plain;

typedef struct Rates {
    double lr, decay, momentum;
} Rates;

static void plain_sgd(const OptimizerSpec *o, Plain *x, double g, const Rates *h, int step) {
    g += h->decay * x->p;
    if (h->momentum != 0) {
        x->a = step == 1 ? g : h->momentum * x->a + (1 - o->dampening) * g;
        g = o->nesterov ? g + h->momentum * x->a : x->a;
    }
    x->p -= h->lr * g;
}

static void plain_adam(const OptimizerSpec *o, Plain *x, double g, const Rates *h, int step) {
    if (o->kind == OPTIM_ADAMW)
        x->p *= 1 - h->lr * h->decay;
    else
        g += h->decay * x->p;
    x->a = h->momentum * x->a + (1 - h->momentum) * g;
    x->b = o->beta2 * x->b + (1 - o->beta2) * g * g;
    x->c = fmax(x->c, x->b);
    const double root = sqrt(o->amsgrad ? x->c : x->b) / sqrt(1 - pow(o->beta2, step));
    x->p -= h->lr / (1 - pow(h->momentum, step)) * x->a / (root + o->eps);
}

static void plain_rmsprop(const OptimizerSpec *o, Plain *x, double g, const Rates *h) {
    g += h->decay * x->p;
    x->a = o->alpha * x->a + (1 - o->alpha) * g * g;
    x->b = o->alpha * x->b + (1 - o->alpha) * g;
    const double avg = sqrt(o->centered ? x->a - x->b * x->b : x->a) + o->eps;
    x->c = h->momentum * x->c + g / avg;
    x->p -= h->lr * x->c;
}

static void plain_step(const OptimizerSpec *o, Plain *x, double g, const Rates *h, int step) {
    switch (o->kind) {
    case OPTIM_SGD:
        plain_sgd(o, x, g, h, step);
        break;
    case OPTIM_ADAM:
    case OPTIM_ADAMW:
        plain_adam(o, x, g, h, step);
        break;
    case OPTIM_RMSPROP:
        plain_rmsprop(o, x, g, h);
        break;
    case OPTIM_ADAGRAD:
        g += h->decay * x->p;
        x->a += g * g;
        x->p -= h->lr / (1 + (step - 1) * o->lr_decay) * g / (sqrt(x->a) + o->eps);
    }
}

/* A gradient of the step: pulls elements to places of their own, with some noise. */
static float pull(double p, int64_t i, int step) {
    return (float)(p - sin((double)i) + 0.3 * sin((double)(i * 7 + step)));
}

static double norm_factor(float *const *grads, double limit) {
    double sum = 0;
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < learned_elems[k]; i++)
            sum += (double)grads[k][i] * (double)grads[k][i];
    return fmin(1, limit / (sqrt(sum) + 1e-6));
}

/* `apply` against the plain loops; b.bias is a group of its own, and the rates fall. */
static void check_optimizer(TrainSpec *s, double momentum, int steps, uint32_t vector_bytes) {
    static const char *const bias[] = {"*.bias"};
    s->loss.kind = LOSS_MSE;
    s->optimizer.groups[1] = (GroupSpec){.patterns = bias, .n_patterns = 1};
    s->optimizer.n_groups = 2;
    Loops l = loops_of(learner, s, 1, vector_bytes);
    double *hyper = buffer_of(&l, MB_HYPER, ROLE_PARAM, NULL);
    const int64_t *step = buffer_of(&l, MB_STATE, ROLE_COUNTER, "step");
    float *param[3], *grad[3];
    Plain *plain[3];
    for (int k = 0; k < 3; k++) {
        param[k] = buffer_of(&l, MB_STATE, ROLE_PARAM, learned[k]);
        grad[k] = buffer_of(&l, MB_STATE, ROLE_GRAD, intern_f(&cx, "grad/%s", learned[k]));
        plain[k] = NEW_ARRAY(&cx.arena, Plain, (size_t)learned_elems[k]);
        for (int64_t i = 0; i < learned_elems[k]; i++)
            plain[k][i].p = (double)param[k][i];
    }
    for (int t = 1; t <= steps; t++) {
        const Rates rates[2] = {{0.01 / (1 + 0.02 * t), 0.05, momentum}, {0.003, 0, momentum}};
        hyper[HYPER_CLIP] = s->clip == CLIP_NORM ? 60 : 0.4;
        for (int group = 0; group < 2; group++)
            memcpy(hyper + HYPER_GROUPS + (ptrdiff_t)HYPER_PER_GROUP * group, &rates[group], sizeof *rates);
        for (int k = 0; k < 3; k++)
            for (int64_t i = 0; i < learned_elems[k]; i++)
                grad[k][i] = pull(plain[k][i].p, i, t);
        const double factor = s->clip == CLIP_NORM ? norm_factor(grad, 60) : 1;
        run_loops(&l, "apply");
        cr_assert_eq(*step, t);
        for (int k = 0; k < 3; k++)
            for (int64_t i = 0; i < learned_elems[k]; i++) {
                double g = (double)grad[k][i] * factor;
                if (s->clip == CLIP_VALUE)
                    g = fmax(fmin(g, 0.4), -0.4);
                plain_step(&s->optimizer, &plain[k][i], g, &rates[k == 2], t);
                cr_assert_leq(fabs((double)param[k][i] - plain[k][i].p), 3e-6,
                              "%s[%lld] at step %d is %.8g, not %.8g", learned[k], (long long)i, t,
                              (double)param[k][i], plain[k][i].p);
            }
    }
}

typedef struct OptimizerCase {
    OptimizerSpec o;
    ClipKind clip;
    double momentum;
} OptimizerCase;

Test(autodiff, optimizers) {
    static const OptimizerCase cases[] = {
        {{.kind = OPTIM_SGD}, CLIP_NONE, 0},
        {{.kind = OPTIM_SGD, .has_momentum = true, .dampening = 0.3}, CLIP_NORM, 0.9},
        {{.kind = OPTIM_SGD, .has_momentum = true, .dampening = 0.3}, CLIP_NONE, 0},
        {{.kind = OPTIM_SGD, .has_momentum = true, .nesterov = true}, CLIP_VALUE, 0.8},
        {{.kind = OPTIM_ADAM}, CLIP_NONE, 0.9},
        {{.kind = OPTIM_ADAM, .amsgrad = true}, CLIP_NORM, 0.9},
        {{.kind = OPTIM_ADAMW}, CLIP_VALUE, 0.85},
        {{.kind = OPTIM_RMSPROP}, CLIP_NONE, 0},
        {{.kind = OPTIM_RMSPROP, .centered = true}, CLIP_NONE, 0},
        {{.kind = OPTIM_RMSPROP, .has_momentum = true}, CLIP_NORM, 0.7},
        {{.kind = OPTIM_RMSPROP, .centered = true, .has_momentum = true}, CLIP_NONE, 0.7},
        {{.kind = OPTIM_ADAGRAD, .lr_decay = 0.01}, CLIP_NONE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t bytes = 16; bytes <= 64; bytes *= 2) {
            begin();
            TrainSpec s = plain_spec();
            GroupSpec *groups = s.optimizer.groups;
            s.optimizer = cases[i].o;
            s.optimizer.groups = groups;
            s.optimizer.beta2 = 0.99;
            s.optimizer.alpha = 0.95;
            s.optimizer.eps = 1e-3;
            s.clip = cases[i].clip;
            check_optimizer(&s, cases[i].momentum, bytes == 32 ? 50 : 3, bytes);
            end();
        }
}
