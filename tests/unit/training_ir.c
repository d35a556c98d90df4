/* Training in both IRs: graphs of several entries with state, text and rules; the module that becomes of
 * them, its plan, its checks, and what it computes against the evaluator. */
#include "ir/eval.h"
#include "ir/op.h"
#include "ir/rewrite.h"
#include "passes/passes.h"
#include "passes/plan.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define BACKWARD                                                                                             \
    "graph @net:backward(%image: f32[N,4], %label: i64[N] target) batch 8 {\n"                               \
    "  classes \"a\", \"b\", \"c\"\n"                                                                        \
    "  %w = state f32[3,4] param @\"fc.weight\"\n"                                                           \
    "  %g = state f32[3,4] grad @\"grad/fc.weight\"\n"                                                       \
    "  %calls = state i64[1] counter\n"                                                                      \
    "  %accumulated = state i64[1] counter\n"                                                                \
    "  %hyper = hyper f64[8]\n"                                                                              \
    "  %bias = param f32[3] @\"fc.bias\"\n"                                                                  \
    "  %ok = check_label %label {classes=3} : i32[1] layer \"loss\"\n"                                       \
    "  %y = linear %image, %w, %bias : f32[N,3] layer \"fc\"\n"                                              \
    "  %loss = cross_entropy %y, %label : f32[1] layer \"loss\"\n"                                           \
    "  %dy = cross_entropy_backward %y, %label, %hyper : f32[N,3] layer \"loss\"\n"                          \
    "  %dw = linear_backward_weight %dy, %image : f32[3,4] layer \"fc\"\n"                                   \
    "  %g.1 = accumulate %g, %dw, %accumulated : f32[3,4] layer \"fc\"\n"                                    \
    "  %accumulated.1 = advance %accumulated : i64[1]\n"                                                     \
    "  %calls.1 = advance %calls : i64[1]\n"                                                                 \
    "  return %loss as \"loss\", %y as \"logits\"\n"                                                         \
    "}\n"
#define APPLY                                                                                                \
    "graph @net:apply() batch 8 {\n"                                                                         \
    "  classes \"a\", \"b\", \"c\"\n"                                                                        \
    "  %w = state f32[3,4] param @\"fc.weight\"\n"                                                           \
    "  %momentum_buffer = state f32[3,4] slot @\"momentum_buffer/fc.weight\"\n"                              \
    "  %g = state f32[3,4] grad @\"grad/fc.weight\"\n"                                                       \
    "  %step = state i64[1] counter\n"                                                                       \
    "  %hyper = hyper f64[8]\n"                                                                              \
    "  %step.1 = advance %step : i64[1]\n"                                                                   \
    "  %w.1 = sgd %w, %g, %hyper, %step.1, %momentum_buffer {group=1} : f32[3,4] layer \"fc\"\n"             \
    "  return\n"                                                                                             \
    "}\n"
#define EVAL                                                                                                 \
    "graph @net:eval(%image: f32[N,4], %label: i64[N] target) batch 8 {\n"                                   \
    "  classes \"a\", \"b\", \"c\"\n"                                                                        \
    "  %w = state f32[3,4] param @\"fc.weight\"\n"                                                           \
    "  %bias = param f32[3] @\"fc.bias\"\n"                                                                  \
    "  %y = linear %image, %w, %bias : f32[N,3] layer \"fc\"\n"                                              \
    "  %loss = cross_entropy %y, %label : f32[1] layer \"loss\"\n"                                           \
    "  return %loss as \"loss\", %y as \"logits\"\n"                                                         \
    "}\n"

static const char chain[] = BACKWARD "\n" APPLY "\n" EVAL;

static Context cx;

static Graph *parse(const char *text) {
    return graph_parse(&cx, "t.cnnir", text, strlen(text));
}

static const char *messages(void) {
    StrBuf sb = sb_new(&cx.arena);
    diag_print_all(&sb, &cx.diag);
    return sb_str(&sb);
}

static const char *graph_text(const Graph *g) {
    StrBuf sb = sb_new(&cx.arena);
    graph_print(&sb, g, NULL);
    return sb_str(&sb);
}

static const char *module_text(const LoopModule *m) {
    StrBuf sb = sb_new(&cx.arena);
    loops_print(&sb, m, NULL);
    return sb_str(&sb);
}

/* `text` with the first `good` replaced by `bad`. */
static const char *spoilt(const char *text, const char *good, const char *bad) {
    const char *at = strstr(text, good);
    cr_assert(at, "\"%s\" is not in the text", good);
    return arena_printf(&cx.arena, "%.*s%s%s", (int)(at - text), text, bad, at + strlen(good));
}

/* ---- Graphs ---- */

Test(training_ir, graphs_as_text) {
    context_init(&cx, NULL);
    Graph *g = parse(chain);
    cr_assert(g, "%s", messages());
    cr_assert_str_eq(graph_text(g), chain);
    cr_assert_str_eq(g->entry, "backward");
    cr_assert_str_eq(g->next->next->entry, "eval");
    cr_assert(!g->next->next->next && g->states.len == 4 && g->next->inputs.len == 0 &&
              !g->next->outputs.len);
    const Value *label = graph_value(g, g->inputs.data[1]);
    cr_assert(label->target && label->type.dtype == DT_I64 && !graph_value(g, g->inputs.data[0])->target);
    cr_assert_eq(graph_value(g->next, graph_find(g->next, "momentum_buffer"))->role, ROLE_SLOT);
    cr_assert_eq(graph_bind_times(g)[graph_find(g, "g.1")], BIND_CALL);
    cr_assert_eq(graph_bind_times(g->next)[graph_find(g->next, "w.1")], BIND_STEP);
    StrBuf dot = sb_new(&cx.arena);
    graph_dot(&dot, g);
    cr_assert(strstr(sb_str(&dot), "digraph \"net:apply\"") && strstr(sb_str(&dot), "shape=cylinder"));
    context_free(&cx);
}

static const struct {
    const char *good, *bad, *says;
} graph_faults[] = {
    {"@net:backward", "@net:train", "there is no entry 'train'"},
    {"@net:apply", "@net:backward", "backward and backward cannot be together"},
    {"@net:apply", "@other:apply", "backward and apply differ in name, batch or classes"},
    {"@net:apply() batch 8", "@net:apply() batch 4", "differ in name, batch or classes"},
    {"@net:apply()", "@net:apply(%x: f32[3])", "apply has inputs or outputs"},
    {"i64[N] target", "i64[N]", "a graph takes f32 only"},
    {"i64[N] target", "i32[N] target", "a graph takes f32 only"},
    {"%image: f32[N,4]", "%image: f32[N,4] target, %more: f32[1]",
     "%more is no target, but stands behind one"},
    {"@net:eval(%image: f32[N,4]", "@net:eval(%picture: f32[N,4]", "%image is not defined"},
    {"@net:eval(%image: f32[N,4],", "@net:eval(%image: f32[N,4], %x: f32[N],",
     "backward and eval do not have the same inputs and outputs"},
    {"as \"loss\", %y as \"logits\"", "as \"loss\"", "do not have the same inputs and outputs"},
    {"f32[3,4] param", "f32[3,4] weight", "expected what the state is, such as 'param', found 'weight'"},
    {"f32[3,4] param", "f32[3,4]:ba param", "needs a dense layout"},
    {"state f32[3,4] slot", "state f32[N,4] slot", "dimensions without N"},
    {"%step = state i64[1]", "%step = state i64[2]", "a counter is i64[1]"},
    {"state f32[3,4] slot", "state f64[3,4] slot", "state is f32"},
    {"hyper f64[8]", "hyper f32[8]", "hyper values are a vector of f64"},
    {"hyper f64[8]", "hyper f64[5]", "%hyper is f64[5] in backward and f64[8] in apply"},
    {"%bias = param", "%h = hyper f64[2]\n  %bias = param", "a graph has one hyper value"},
    {"%accumulated = state i64[1] counter", "%accumulated = state i64[1] counter @\"calls\"",
     "are the same state, @calls"},
    {"%calls = state", "%m = state f32[4] slot @\"momentum_buffer/fc.weight\"\n  %calls = state",
     "@momentum_buffer/fc.weight is f32[4] in backward and f32[3,4] in apply"},
    {"%step = state", "%z = param f32[2] @\"fc.bias\"\n  %step = state",
     "@fc.bias is f32[3] in backward and f32[2] in apply"},
    {"accumulate %g, %dw", "accumulate %dw, %g", "%g.1 writes %dw, which is no state"},
    {"accumulate %g, %dw", "accumulate %g, %g", "%g.1 writes %g and has it as another operand too"},
    {"advance %calls", "advance %accumulated", "%calls.1 uses %accumulated, which was written before"},
    {"%y as \"logits\"\n}\n\ngraph @net:apply", "%g as \"logits\"\n}\n\ngraph @net:apply",
     "the output \"logits\" is %g, which was written"},
    {"  %ok = check_label %label {classes=3} : i32[1] layer \"loss\"\n",
     "  %c = advance %calls : i64[1]\n  %ok = "
     "check_label %label {classes=3} : i32[1]\n",
     "the check %ok stands behind a node that writes state"},
    {"%dw, %accumulated : f32[3,4]", "%dw, %accumulated : f32[3,4]:ba", "is to lie where %g does"},
    {"return\n}", "return\n} graf", "expected the end of the file, found 'graf'"},
};

Test(training_ir, faults_of_graphs) {
    for (size_t i = 0; i < sizeof graph_faults / sizeof *graph_faults; i++) {
        context_init(&cx, NULL);
        const char *text = spoilt(chain, graph_faults[i].good, graph_faults[i].bad);
        cr_expect_null(parse(text), "case %zu passed: %s", i, graph_faults[i].bad);
        cr_expect(strstr(messages(), graph_faults[i].says), "case %zu: %s", i, messages());
        context_free(&cx);
    }
}

/* Inference has nothing of training, and apply nothing of the batch. */
Test(training_ir, faults_of_single_graphs) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"graph @a(%x: f32[N,3]) batch 1 { %w = state f32[3] param return %x as \"y\" }",
         "%w is of training, but the entry is infer"},
        {"graph @a(%x: f32[N,3] target) batch 1 { return %x as \"y\" }", "%x is a target"},
        {"graph @a(%x: f32[N,3]) batch 1 { return }", "returns 0 values instead of 1"},
        {"graph @a(%x: f32[N,3]) batch 1 { return %x as \"y\" } graph @a(%x: f32[N,3]) batch 1 { return %x "
         "as \"y\" }",
         "infer and infer cannot be together"},
        {"graph @a:apply(%x: f32[N,3]) batch 1 { return }", "%x depends on the batch"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        context_init(&cx, NULL);
        cr_expect_null(parse(cases[i].text), "case %zu passed", i);
        cr_expect(strstr(messages(), cases[i].says), "case %zu: %s", i, messages());
        context_free(&cx);
    }
}

/* Passes see each graph, keep what has effects, and drop the rest. */
Test(training_ir, passes_on_chains) {
    context_init(&cx, NULL);
    const char *text = spoilt(chain, "  %calls.1 =", "  %dead = mul %y, %y : f32[N,3]\n  %calls.1 =");
    Unit u = {.cx = &cx,
              .graph = parse(spoilt(text, "  %w.1 =", "  %dead = mul %w, %w : f32[3,4]\n  %w.1 ="))};
    cr_assert(u.graph, "%s", messages());
    const PipelineOptions o = {.passes = "canonicalize,fold,cse,dce", .verify_each = true};
    bool stopped;
    cr_assert(passes_run(&u, &o, &stopped), "%s", messages());
    cr_assert_str_eq(graph_text(u.graph), chain);
    context_free(&cx);
}

/* What is written is written in the tensor of the state. */
Test(training_ir, evaluation_writes_states) {
    context_init(&cx, NULL);
    Graph *g =
        parse("graph @g:apply() batch 1 {\n  %step = state i64[1] counter\n  %a = advance %step : i64[1]\n"
              "  %b = advance %a : i64[1]\n  return\n}\n");
    cr_assert(g, "%s", messages());
    Tensor *values = NEW_ARRAY(&cx.arena, Tensor, g->values.len);
    double step = 41;
    const ValueId v = graph_find(g, "step");
    cr_expect_not(graph_eval(g, 1, values, &cx.arena), "there is no step to count");
    values[v] = (Tensor){.rank = 1, .dim = {1}, .data = &step};
    cr_assert(graph_eval(g, 1, values, &cx.arena));
    cr_expect(step == 43 && values[graph_find(g, "b")].data == &step);
    context_free(&cx);
}

/* ---- The module ---- */

static LoopModule *compile(Graph *g, uint32_t vector_bytes) {
    static const char *const features = "";
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = features};
    t.vector_bytes = vector_bytes;
    t.vector_regs = 16;
    t.fma_ports = 2;
    t.l1_bytes = 32 << 10;
    t.l2_bytes = 512 << 10;
    t.l3_bytes = 8 << 20;
    Unit u = {.cx = &cx, .target = &t, .graph = g};
    const PipelineOptions o = {.verify_each = true};
    bool stopped = false;
    cr_assert(passes_run(&u, &o, &stopped), "%s", messages());
    cr_assert(loops_verify_file(u.loops), "%s", messages());
    return u.loops;
}

static const ModBuf *buffer(const LoopModule *m, const char *name) {
    for (uint32_t b = 0; b < m->bufs.len; b++)
        if (!strcmp(m->bufs.data[b].name, name))
            return &m->bufs.data[b];
    cr_assert(false, "there is no buffer %s", name);
    return NULL;
}

/* One module for three graphs: each tensor once, states by role, what prepare packs shared. */
Test(training_ir, lowered_and_planned) {
    context_init(&cx, NULL);
    const LoopModule *m = compile(parse(chain), 32);
    const char *text = module_text(m);
    LoopModule *again = loops_parse(&cx, "again", text, strlen(text));
    cr_assert(again, "%s", messages());
    cr_assert_str_eq(module_text(again), text);
    cr_assert(m->entries.len == 4 && !strcmp(m->entries.data[3].name, "prepare"));
    uint32_t kinds[MB_HYPER + 1] = {0};
    for (uint32_t b = 0; b < m->bufs.len; b++)
        kinds[m->bufs.data[b].kind]++;
    cr_expect(kinds[MB_IN] == 2 && kinds[MB_OUT] == 2 && kinds[MB_PARAM] == 1 && kinds[MB_STATE] == 6 &&
                  kinds[MB_HYPER] == 1 && kinds[MB_CONST] == 1,
              "%s", text);
    static const char *const in_order[] = {"w", "momentum_buffer", "g", "calls", "accumulated", "step"};
    for (uint32_t i = 0; i < 6; i++)
        cr_expect_eq(buffer(m, in_order[i])->offset, i * PLAN_ALIGN, "%s", in_order[i]);
    cr_expect_eq(m->state_bytes, 6 * PLAN_ALIGN);
    cr_expect(m->work_bytes >= m->live_bytes && m->live_bytes > 0);
    cr_expect(buffer(m, "w")->group == 1 && buffer(m, "g")->group == 0);
    cr_expect(buffer(m, "label")->target && buffer(m, "label")->align == 8);
    const Entry *apply = &m->entries.data[1];
    const Kernel *sgd = m->kernels.data[apply->steps.data[apply->steps.len - 1].kernel];
    cr_expect(sgd->n_params == 5 && sgd->bufs.data[0].kind == LB_INOUT && sgd->bufs.data[0].noalias);
    cr_expect(m->entries.data[0].steps.data[0].checks || m->entries.data[0].steps.data[1].checks, "%s", text);
    context_free(&cx);
}

/* ---- What it computes ---- */

typedef struct Kept {
    const char *key;
    int64_t count;
    double want[12];
    float f[12];
    int64_t i;
} Kept;

typedef struct Run {
    const LoopModule *m;
    const Graph *graphs;
    Kept kept[6];
    double hyper[8], bias[3];
    float image[32], biases[3], packed[64];
    float out[24], loss;
    int64_t label[8];
    int32_t status;
} Run;

static Kept *kept(Run *r, const char *key) {
    for (int i = 0; i < 6; i++)
        if (!strcmp(r->kept[i].key, key))
            return &r->kept[i];
    cr_assert(false, "no state %s", key);
    return NULL;
}

static void begin(Run *r) {
    static const Kept none[] = {{"fc.weight", 12, {0}, {0}, 0},
                                {"grad/fc.weight", 12, {0}, {0}, 0},
                                {"momentum_buffer/fc.weight", 12, {0}, {0}, 0},
                                {"calls", 1, {0}, {0}, 0},
                                {"accumulated", 1, {0}, {0}, 0},
                                {"step", 1, {0}, {0}, 0}};
    static const double hyper[8] = {1, 0, 0.5, 0.25, 0.875, 0.25, 0.125, 0.5};
    memcpy(r->kept, none, sizeof none);
    memcpy(r->hyper, hyper, sizeof hyper);
    for (int i = 0; i < 12; i++)
        r->kept[0].want[i] = (double)(r->kept[0].f[i] = (float)(i % 5 - 2) / 4);
    for (int i = 0; i < 32; i++)
        r->image[i] = (float)(i * 7 % 9 - 4) / 8;
    for (int i = 0; i < 8; i++)
        r->label[i] = i % 3;
    for (int i = 0; i < 3; i++)
        r->bias[i] = (double)(r->biases[i] = (float)i / 8);
}

static void *memory_of(Run *r, const ModBuf *b) {
    switch (b->kind) {
    case MB_IN:
        return b->target ? (void *)r->label : r->image;
    case MB_OUT:
        return strcmp(b->key, "loss") != 0 ? r->out : &r->loss;
    case MB_PARAM:
        return r->biases;
    case MB_CONST:
        return r->packed;
    case MB_HYPER:
        return r->hyper;
    case MB_STATE:
        return b->role == ROLE_COUNTER ? (void *)&kept(r, b->key)->i : kept(r, b->key)->f;
    case MB_WORK:
        break;
    }
    return NULL;
}

static bool run(Run *r, const char *entry, int64_t n) {
    void **memory = NEW_ARRAY(&cx.arena, void *, r->m->bufs.len);
    for (uint32_t b = 0; b < r->m->bufs.len; b++)
        memory[b] = memory_of(r, &r->m->bufs.data[b]);
    const InterpOptions o = {.check_overlap = true, .status = &r->status};
    return loops_run(r->m, entry, n, memory, &o);
}

static Tensor tensor(const Value *v, double *data, int64_t n) {
    Tensor t = {.rank = v->type.rank, .data = data};
    for (int d = 0; d < t.rank; d++)
        t.dim[d] = dim_at(v->type.dim[d], n);
    return t;
}

/* The graph in double, on the states that the one before left; its loss, or 0. */
static double evaluate(Run *r, const Graph *g, int64_t n) {
    Tensor *values = NEW_ARRAY(&cx.arena, Tensor, g->values.len);
    double image[32], label[8];
    for (int i = 0; i < 32; i++)
        image[i] = (double)r->image[i];
    for (int i = 0; i < 8; i++)
        label[i] = (double)r->label[i];
    for (ValueId v = 0; v < g->values.len; v++) {
        const Value *x = &g->values.data[v];
        if (x->kind == VK_STATE || x->kind == VK_PARAM)
            values[v] = tensor(x, x->kind == VK_PARAM ? r->bias : kept(r, x->key)->want, n);
        else if (x->kind == VK_INPUT || x->kind == VK_HYPER)
            values[v] = tensor(x, x->kind == VK_HYPER ? r->hyper : x->target ? label : image, n);
    }
    cr_assert(graph_eval(g, n, values, &cx.arena), "%s", messages());
    return g->outputs.len ? values[g->outputs.data[0].value].data[0] : 0;
}

static void step(Run *r, const Graph *g, int64_t n) {
    const double loss = evaluate(r, g, n);
    cr_assert(run(r, g->entry, n) && !r->status, "%s: %s", g->entry, messages());
    cr_assert(!g->outputs.len || fabs((double)r->loss - loss) < 1e-6, "%s: loss %g, not %g", g->entry,
              (double)r->loss, loss);
    for (int k = 0; k < 6; k++)
        for (int i = 0; i < r->kept[k].count; i++) {
            const double got = r->kept[k].count == 1 ? (double)r->kept[k].i : (double)r->kept[k].f[i];
            cr_assert_float_eq(got, r->kept[k].want[i], 1e-6, "%s: %s[%d] is %g, not %g", g->entry,
                               r->kept[k].key, i, got, r->kept[k].want[i]);
        }
}

Test(training_ir, trains_as_the_evaluator) {
    for (uint32_t bytes = 16; bytes <= 64; bytes *= 2) {
        context_init(&cx, NULL);
        Run r = {.graphs = parse(chain)};
        begin(&r);
        r.m = compile(parse(chain), bytes);
        cr_assert(run(&r, "prepare", 8), "%s", messages());
        for (int i = 0; i < 3; i++) {
            step(&r, r.graphs, 8);
            step(&r, r.graphs, 3);
            step(&r, r.graphs->next, 8);
            step(&r, r.graphs->next->next, 5);
        }
        cr_expect(kept(&r, "calls")->i == 6 && kept(&r, "step")->i == 3 &&
                  kept(&r, "fc.weight")->f[0] != -0.5F);
        context_free(&cx);
    }
}

/* A check ends the call with its status, and nothing has changed. */
Test(training_ir, checks_come_first) {
    context_init(&cx, NULL);
    Run r = {.graphs = parse(chain)};
    begin(&r);
    r.m = compile(parse(chain), 16);
    r.label[2] = 3;
    cr_assert(run(&r, "prepare", 8) && run(&r, "backward", 2) && !r.status, "%s", messages());
    const Run before = r;
    cr_assert(run(&r, "backward", 3), "%s", messages());
    cr_expect_neq(r.status, 0);
    cr_expect(!memcmp(before.kept, r.kept, sizeof r.kept) && before.loss == r.loss);
    context_free(&cx);
}

/* ---- Rules of modules ---- */

static const char module[] = "module @m batch 2 {\n"
                             "  in @x: f32[N,4]\n"
                             "  in @label: i64[N] target\n"
                             "  out @loss: f32[1]\n"
                             "  param @p: f32[4]\n"
                             "  const @c: f32[4]\n"
                             "  state @w: f32[4] param key \"fc.weight\" group 1\n"
                             "  state @step: i64[1] counter\n"
                             "  hyper @hyper: f64[5]\n"
                             "  work @status: i32[1]\n"
                             "  work @v: f32[4] alias @w\n"
                             "\n"
                             "  kernel @check(in %label: i64[N], out %status: i32[1]) {\n"
                             "    %0 = load i64 %label[0]\n"
                             "    %1 = convert i32 %0\n"
                             "    store %status[0], %1\n"
                             "  }\n"
                             "\n"
                             "  kernel @count(inout %step: i64[1]) {\n"
                             "    %0 = load i64 %step[0]\n"
                             "    %1 = const i64 1\n"
                             "    %2 = add %0, %1\n"
                             "    store %step[0], %2\n"
                             "  }\n"
                             "\n"
                             "  kernel @first(in %a: f32[4], in %b: f32[4], out %y: f32[1]) {\n"
                             "    %0 = load f32 %a[0]\n"
                             "    %1 = load f32 %b[0]\n"
                             "    %2 = add %0, %1\n"
                             "    store %y[0], %2\n"
                             "  }\n"
                             "\n"
                             "  kernel @pack(in %p: f32[4], out %c: f32[4]) {\n"
                             "    for %i = 0 to 4 {\n"
                             "      %0 = load f32 %p[%i]\n"
                             "      store %c[%i], %0\n"
                             "    }\n"
                             "  }\n"
                             "\n"
                             "  entry @backward {\n"
                             "    call @check(@label, @status) checks layer \"loss\"\n"
                             "    call @first(@v, @c, @loss)\n"
                             "    call @count(@step)\n"
                             "  }\n"
                             "\n"
                             "  entry @apply {\n"
                             "    call @count(@step)\n"
                             "  }\n"
                             "\n"
                             "  entry @eval {\n"
                             "    call @first(@w, @c, @loss)\n"
                             "  }\n"
                             "\n"
                             "  entry @prepare {\n"
                             "    call @pack(@p, @c)\n"
                             "  }\n"
                             "}\n";

static const struct {
    const char *good, *bad, *says;
} module_faults[] = {
    {"f32[4] param", "f32[4] weight", "expected what the state is"},
    {"state @w: f32[4]", "state @w: f32[4N]", "dimensions without N"},
    {"alias @w", "alias @hyper", "only work shares memory"},
    {"@eval {\n", "@eval {\n    call @count(@step)\n", "@step is state, which cannot be the inout parameter"},
    {"@apply {\n", "@apply {\n    call @pack(@c, @w)\n",
     "@c is packed weights, which cannot be the in parameter"},
    {"@apply {\n", "@apply {\n    call @pack(@v, @loss)\n", "@loss is an output"},
    {"@pack(@p, @c)", "@pack(@w, @c)", "@w is state, which cannot be the in parameter"},
    {"@pack(@p, @c)", "@pack(@p, @v)", "@v is state, which cannot be the out parameter"},
    {"@first(@v, @c, @loss)", "@first(@v, @c, @loss) checks", "the last argument of a check is an i32[1]"},
    {"    call @check(@label, @status) checks layer \"loss\"\n    call @first(@v, @c, @loss)\n    call "
     "@count(@step)\n",
     "    call @count(@step)\n    call @check(@label, @status) checks\n    call @first(@v, @c, @loss)\n",
     "a check stands before calls that write state"},
    {"@apply", "@update", "entry @update is never called"},
};

static const struct {
    const char *good, *bad, *says;
} file_faults[] = {
    {"  entry @apply {\n    call @count(@step)\n  }\n\n", "", "module @m has no entry @apply"},
    {"@prepare {", "@infer {\n  }\n\n  entry @prepare {", "has entries of training beside @infer"},
    {"    call @first(@w, @c, @loss)\n", "", "no step of @eval writes the output @loss"},
    {"    call @pack(@p, @c)\n", "", "@backward reads @c, which has no contents"},
    {"out @loss: f32[1]", "out @loss: f32[1] key \"cost\"", "the first output of @m is not the loss"},
    {"load f32 %p[%i]", "load f32 %p[%i*3 % 5]", "it cannot be proved"},
};

Test(training_ir, faults_of_modules) {
    context_init(&cx, NULL);
    LoopModule *m = loops_parse(&cx, "t", module, strlen(module));
    cr_assert(m && loops_verify_file(m), "%s", messages());
    cr_assert_str_eq(module_text(m), module);
    context_free(&cx);
    for (size_t i = 0; i < sizeof module_faults / sizeof *module_faults; i++) {
        context_init(&cx, NULL);
        const char *text = spoilt(module, module_faults[i].good, module_faults[i].bad);
        cr_expect_null(loops_parse(&cx, "t", text, strlen(text)), "case %zu passed", i);
        cr_expect(strstr(messages(), module_faults[i].says), "case %zu: %s", i, messages());
        context_free(&cx);
    }
    for (size_t i = 0; i < sizeof file_faults / sizeof *file_faults; i++) {
        context_init(&cx, NULL);
        const char *text = spoilt(module, file_faults[i].good, file_faults[i].bad);
        m = loops_parse(&cx, "t", text, strlen(text));
        cr_assert(m, "case %zu: %s", i, messages());
        cr_expect_not(loops_verify_file(m), "case %zu passed", i);
        cr_expect(strstr(messages(), file_faults[i].says), "case %zu: %s", i, messages());
        context_free(&cx);
    }
}
