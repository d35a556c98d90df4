/* The pass recompute: what runs twice under a memory budget, and what must not. */
#include "passes/recompute.h"
#include "gradient.h"
#include "passes/plan.h"
#include <inttypes.h>
#include <stdio.h>

static const char deep[] = /* two convolutions with batch norms, dropout, a pool; %r1 has three users */
    "graph @net(%image: f32[N,3,12,12]) batch 6 {\n"
    "  %c1.weight = param f32[8,3,3,3]\n"
    "  %b1.weight = param f32[8]\n"
    "  %b1.bias = param f32[8]\n"
    "  %b1.running_mean = buffer f32[8]\n"
    "  %b1.running_var = buffer f32[8]\n"
    "  %c2.weight = param f32[8,8,3,3]\n"
    "  %b2.weight = param f32[8]\n"
    "  %b2.bias = param f32[8]\n"
    "  %b2.running_mean = buffer f32[8]\n"
    "  %b2.running_var = buffer f32[8]\n"
    "  %fc.weight = param f32[5,288]\n"
    "  %c1 = conv2d %image, %c1.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c1\"\n"
    "  %b1 = batch_norm %c1, %b1.weight, %b1.bias, %b1.running_mean, %b1.running_var : f32[N,8,12,12] layer "
    "\"b1\"\n"
    "  %r1 = relu %b1 : f32[N,8,12,12] layer \"r1\"\n"
    "  %c2 = conv2d %r1, %c2.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c2\"\n"
    "  %b2 = batch_norm %c2, %b2.weight, %b2.bias, %b2.running_mean, %b2.running_var : f32[N,8,12,12] layer "
    "\"b2\"\n"
    "  %sum = add %b2, %r1 : f32[N,8,12,12] layer \"sum\"\n"
    "  %r2 = relu %sum : f32[N,8,12,12] layer \"r2\"\n"
    "  %drop = dropout %r2 {p=0.25} : f32[N,8,12,12] layer \"drop\"\n"
    "  %pool = max_pool2d %drop {kernel_size=[2,2], stride=[2,2]} : f32[N,8,6,6] layer \"pool\"\n"
    "  %flat = flatten %pool : f32[N,288] layer \"flat\"\n"
    "  %fc = linear %flat, %fc.weight : f32[N,5] layer \"fc\"\n"
    "  return %fc as \"logits\"\n"
    "}\n";

/* The loops for a budget, 0: none. NULL after a diagnostic. */
static LoopModule *loops_for(const char *text, int64_t budget) {
    static GroupSpec group[1];
    TrainSpec spec = {.loss = {.kind = LOSS_CROSS_ENTROPY, .ignore_index = -100, .beta = 1},
                      .memory_budget = budget};
    spec.optimizer = (OptimizerSpec){.kind = OPTIM_SGD, .n_groups = 1, .groups = group};
    Target target = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = ""};
    target.vector_bytes = 32;
    target.vector_regs = 16;
    target.has_fma = true;
    target.fma_ports = 2;
    target.l1_bytes = 32 << 10;
    target.l2_bytes = 512 << 10;
    target.l3_bytes = 8 << 20;
    bool stopped = false;
    const PipelineOptions o = {.passes = "autodiff,canonicalize,fold,fold-bn,fold,cse,dce,fuse,choose,layout,"
                                         "cse,dce,lower,merge,expand,tidy,grain,recompute",
                               .verify_each = true};
    Unit u = {.cx = &cx, .train = &spec, .target = &target};
    u.graph = graph_parse(&cx, "net.cnnir", text, strlen(text));
    cr_assert_not_null(u.graph, "%s", messages());
    return passes_run(&u, &o, &stopped) ? u.loops : NULL;
}

static const char *printed(LoopModule *m) {
    StrBuf sb = sb_new(&cx.arena);
    loops_print(&sb, m, &(PrintOptions){0});
    return sb_str(&sb);
}

/* ---- Two modules, without a budget and with one ---- */

typedef struct Pair {
    LoopModule *plain, *m;
    const Entry *before, *after; /* their backward */
    uint32_t turn;               /* the step that writes the loss, of both */
    uint32_t *times;             /* by step of `before`: how often it runs */
    StrBuf again;                /* what is computed again, in order: "a b " */
} Pair;

/* The buffer of the plain module that a buffer stands for. */
static uint32_t original(const Pair *p, uint32_t buf) {
    if (buf < p->plain->bufs.len)
        return buf;
    const char *name = p->m->bufs.data[buf].name, *end = strstr(name, ".again");
    cr_assert_not_null(end, "%s", name);
    const char *want = arena_strndup(&cx.arena, name, (size_t)(end - name));
    uint32_t b = 0;
    while (b < p->plain->bufs.len && strcmp(p->plain->bufs.data[b].name, want) != 0)
        b++;
    cr_assert_lt(b, p->plain->bufs.len, "%s is a copy of nothing", name);
    return b;
}

static bool same_step(const Pair *p, const Step *a, const Step *b) {
    bool same = a->kernel == b->kernel;
    for (uint32_t i = 0; same && i < p->plain->kernels.data[a->kernel]->n_params; i++)
        same = a->args[i].buf == original(p, b->args[i].buf) && a->args[i].offset == b->args[i].offset;
    return same;
}

static bool writes(LoopModule *m, const Step *s, uint32_t i) {
    return m->kernels.data[s->kernel]->bufs.data[i].kind != LB_IN;
}

/* Is it a step that the pass put there? Then it writes copies alone: no state, no output. */
static bool is_extra(Pair *p, const Step *s) {
    uint32_t copies = 0, all = 0;
    for (uint32_t i = 0; i < p->m->kernels.data[s->kernel]->n_params; i++) {
        const uint32_t b = s->args[i].buf;
        all += writes(p->m, s, i);
        copies += writes(p->m, s, i) && b >= p->plain->bufs.len;
        if (writes(p->m, s, i) && b >= p->plain->bufs.len)
            sb_printf(&p->again, "%s ", p->plain->bufs.data[original(p, b)].name);
    }
    cr_assert(copies == 0 || copies == all, "a step writes copies and other things");
    return copies > 0;
}

static void find_turn(Pair *p) {
    Recompute r;
    cr_assert(recompute_look(&r, p->plain));
    p->turn = r.turn;
}

/* All steps stand as they did; between those behind the turn are copies of steps before it, each at most
 * once. */
static Pair compare(LoopModule *plain, LoopModule *m) {
    Pair p = {.plain = plain,
              .m = m,
              .before = loops_entry(plain, "backward"),
              .after = loops_entry(m, "backward")};
    const uint32_t n = p.before->steps.len;
    uint32_t at = 0;
    find_turn(&p);
    p.again = sb_new(&cx.arena);
    p.times = NEW_ARRAY(&cx.arena, uint32_t, n + 1);
    for (uint32_t s = 0; s < p.after->steps.len; s++) {
        const Step *step = &p.after->steps.data[s];
        uint32_t k = at;
        if (is_extra(&p, step)) {
            cr_assert_gt(at, p.turn, "step %u of the forward part is a copy", s);
            for (k = 0; k <= p.turn && !same_step(&p, &p.before->steps.data[k], step); k++)
                ;
            cr_assert_leq(k, p.turn, "step %u is no copy of one before the turn", s);
            cr_assert_not(step->checks);
            cr_assert_null(step->origin);
        } else {
            cr_assert_lt(at, n);
            cr_assert(same_step(&p, &p.before->steps.data[at], step), "step %u is another", s);
            at++;
        }
        cr_assert_leq(++p.times[k], 2, "step %u runs more than twice", k);
    }
    cr_assert_eq(at, n);
    return p;
}

/* Budgets, of the least that can be met up to all. */
static int64_t least_of(const char *text, int64_t *most) {
    LoopModule *plain = loops_for(text, 0);
    int64_t least = 0, lacks = 0, budget = 0, said;
    *most = plan_workspace(&cx.arena, plain);
    cr_assert_null(loops_for(text, 1));
    const char *m = strstr(messages(), "has ");
    cr_assert_not_null(m, "%s", messages());
    cr_assert_eq(sscanf(m,
                        "has %" SCNd64 " bytes, and %" SCNd64
                        " when all is computed again that can be: %" SCNd64
                        " more than the budget of %" SCNd64,
                        &said, &least, &lacks, &budget),
                 4, "%s", m);
    cr_assert(said == *most && budget == 1 && lacks == least - 1, "%s", m);
    cx.diag.entries.len = 0;
    return least;
}

/* With `visit` on each, and how much is computed again at the least. */
static const char *sweep(const char *text, void (*visit)(const Pair *p)) {
    int64_t most;
    const int64_t least = least_of(text, &most), step = (most - least) / 12;
    LoopModule *plain = loops_for(text, 0);
    Pair p = {0};
    cr_assert_gt(step, 0, "nothing can be saved");
    for (int64_t budget = least + 12 * step; budget >= least; budget -= step) {
        LoopModule *m = loops_for(text, budget);
        cr_assert_not_null(m, "%s", messages());
        cr_assert_leq(plan_workspace(&cx.arena, m), budget);
        p = compare(plain, m);
        if (visit)
            visit(&p);
    }
    return sb_str(&p.again);
}

static bool has(const Pair *p, const char *name) {
    return strstr(sb_str((StrBuf *)&p->again), arena_printf(&cx.arena, "%s ", name));
}

TestSuite(recompute, .init = begin, .fini = end);

/* A budget that holds all changes nothing. */
Test(recompute, room_enough) {
    int64_t most;
    (void)least_of(deep, &most);
    const char *plain = printed(loops_for(deep, 0));
    cr_assert_str_eq(printed(loops_for(deep, most)), plain);
    cr_assert_str_eq(printed(loops_for(deep, INT64_MAX)), plain);
    cr_assert_str_neq(printed(loops_for(deep, most - 1)), plain);
}

/* What the way back needs first, and statistics, whose steps write state. */
static void is_kept(const Pair *p) {
    static const char *const kept[] = {"pool.reorder", "loss.grad", "b1.running_mean", "b2.running_var"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        cr_assert_not(has(p, kept[i]), "%s", kept[i]);
    for (uint32_t s = 0; s < p->before->steps.len; s++)
        for (uint32_t i = 0; i < p->plain->kernels.data[p->before->steps.data[s].kernel]->n_params; i++)
            if (p->plain->bufs.data[p->before->steps.data[s].args[i].buf].kind == MB_STATE &&
                writes(p->plain, &p->before->steps.data[s], i))
                cr_assert_eq(p->times[s], 1, "a step that writes state runs again");
}

Test(recompute, what_is_kept) {
    (void)sweep(deep, is_kept);
}

/* No more than must be: a copy of the images suffices at first. %r1 is one pointwise step on %c1 and what is
 * known of it, run once for both who need it (compare sees to that); the convolutions are kept. */
Test(recompute, cheap_ones) {
    int64_t most;
    (void)least_of(deep, &most);
    const Pair p = compare(loops_for(deep, 0), loops_for(deep, most - 1));
    cr_assert_str_eq(sb_str((StrBuf *)&p.again), "image.reorder ");
    const char *again = sweep(deep, NULL);
    cr_assert(strstr(again, "r1 ") && !strstr(again, "c1 ") && !strstr(again, "c2 "), "%s", again);
}

/* Each value is that of a convolution with its relu: when nothing cheap is left, these run again. */
static const char dear[] =
    "graph @net(%image: f32[N,8,12,12]) batch 6 {\n"
    "  %c1.weight = param f32[8,8,3,3]\n"
    "  %c2.weight = param f32[8,8,3,3]\n"
    "  %c3.weight = param f32[8,8,3,3]\n"
    "  %c4.weight = param f32[8,8,3,3]\n"
    "  %fc.weight = param f32[5,8]\n"
    "  %c1 = conv2d %image, %c1.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c1\"\n"
    "  %r1 = relu %c1 : f32[N,8,12,12] layer \"r1\"\n"
    "  %c2 = conv2d %r1, %c2.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c2\"\n"
    "  %r2 = relu %c2 : f32[N,8,12,12] layer \"r2\"\n"
    "  %c3 = conv2d %r2, %c3.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c3\"\n"
    "  %r3 = relu %c3 : f32[N,8,12,12] layer \"r3\"\n"
    "  %c4 = conv2d %r3, %c4.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c4\"\n"
    "  %r4 = relu %c4 : f32[N,8,12,12] layer \"r4\"\n"
    "  %a = adaptive_avg_pool2d %r4 {output_size=[1,1]} : f32[N,8,1,1] layer \"a\"\n"
    "  %flat = flatten %a : f32[N,8] layer \"flat\"\n"
    "  %fc = linear %flat, %fc.weight : f32[N,5] layer \"fc\"\n"
    "  return %fc as \"logits\"\n"
    "}\n";

Test(recompute, dear_ones) {
    const char *again = sweep(dear, NULL);
    cr_assert(strstr(again, "r1 ") || strstr(again, "r2 "), "%s", again);
    cr_assert_not(strstr(again, "r4 "), "%s is needed at once", again);
}

/* The mask is a function of the seed and of `calls`, which is counted when all is done. */
static const char masked[] =
    "graph @net(%image: f32[N,8,12,12]) batch 6 {\n"
    "  %c1.weight = param f32[8,8,3,3]\n"
    "  %c2.weight = param f32[8,8,3,3]\n"
    "  %c3.weight = param f32[8,8,3,3]\n"
    "  %fc.weight = param f32[5,8]\n"
    "  %c1 = conv2d %image, %c1.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c1\"\n"
    "  %r1 = relu %c1 : f32[N,8,12,12] layer \"r1\"\n"
    "  %drop = dropout %r1 {p=0.25} : f32[N,8,12,12] layer \"drop\"\n"
    "  %c2 = conv2d %drop, %c2.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c2\"\n"
    "  %c3 = conv2d %c2, %c3.weight {padding=[1,1,1,1]} : f32[N,8,12,12] layer \"c3\"\n"
    "  %a = adaptive_avg_pool2d %c3 {output_size=[1,1]} : f32[N,8,1,1] layer \"a\"\n"
    "  %flat = flatten %a : f32[N,8] layer \"flat\"\n"
    "  %fc = linear %flat, %fc.weight : f32[N,5] layer \"fc\"\n"
    "  return %fc as \"logits\"\n"
    "}\n";

static void draws_the_same(const Pair *p) {
    bool counted = false;
    for (uint32_t s = 0; s < p->after->steps.len; s++) {
        const Step *step = &p->after->steps.data[s];
        for (uint32_t i = 0; i < p->m->kernels.data[step->kernel]->n_params; i++) {
            const ModBuf *b = &p->m->bufs.data[step->args[i].buf];
            const bool calls = b->kind == MB_STATE && !strcmp(b->name, "calls");
            cr_assert_not(calls && counted, "step %u reads or writes calls after it was counted", s);
            counted |= calls && writes(p->m, step, i);
        }
    }
    cr_assert(counted);
}

Test(recompute, dropout) {
    const char *again = sweep(masked, draws_the_same);
    cr_assert(strstr(again, "drop "), "%s", again);
}

/* The hint names the least budget that works. */
Test(recompute, least) {
    static const char *const nets[] = {deep, masked, dear};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        int64_t most;
        const int64_t least = least_of(nets[i], &most);
        const LoopModule *m = loops_for(nets[i], least);
        cr_assert_not_null(m, "net %zu: %s", i, messages());
        cr_assert_eq(plan_workspace(&cx.arena, m), least, "net %zu", i);
        cr_assert_null(loops_for(nets[i], least - 1), "net %zu", i);
        cx.diag.entries.len = 0;
    }
}

/* What is refused is out of reach indeed; the hint names what is not. */
Test(recompute, impossible) {
    int64_t most;
    const int64_t least = least_of(dear, &most), budget = least - least / 100;
    cr_assert_null(loops_for(dear, budget));
    const char *text = messages();
    cr_assert(strstr(text, arena_printf(&cx.arena, ": %" PRId64 " more than the budget of %" PRId64,
                                        least - budget, budget)),
              "%s", text);
    cr_assert(
        strstr(text, arena_printf(&cx.arena,
                                  "a budget of %" PRId64 " bytes can be met; or, with this one, a batch of 5",
                                  least)),
        "%s", text);
}
