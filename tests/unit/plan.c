/* The loop passes plan, merge and tidy, over small modules made by hand. */
#include "passes/plan.h"
#include "ir/loops/build.h"
#include "passes/passes.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- plan_offsets ---- */

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void check_offsets(const PlanItem *it, uint32_t n, int64_t total) {
    for (uint32_t i = 0; i < n; i++) {
        cr_assert(it[i].offset >= 0 && it[i].offset % PLAN_ALIGN == 0 && it[i].offset + it[i].bytes <= total);
        for (uint32_t j = 0; j < i; j++) {
            const bool meet = it[i].first <= it[j].last && it[j].first <= it[i].last;
            const bool apart =
                it[i].offset + it[i].bytes <= it[j].offset || it[j].offset + it[j].bytes <= it[i].offset;
            cr_assert(!meet || apart || !it[i].bytes || !it[j].bytes, "items %u and %u overlap", i, j);
        }
    }
}

Test(plan, offsets) {
    Context cx;
    context_init(&cx, NULL);
    uint32_t random = 7;
    int64_t total, again;
    for (int round = 0; round < 300; round++) {
        PlanItem it[40], copy[40];
        const uint32_t n = next_random(&random) % 41, steps = 1 + next_random(&random) % 20;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t a = next_random(&random) % steps, b = next_random(&random) % steps;
            it[i] = (PlanItem){
                .bytes = next_random(&random) % 5000, .first = a < b ? a : b, .last = a < b ? b : a};
        }
        memcpy(copy, it, sizeof it);
        cr_assert(plan_offsets(&cx.arena, it, n, &total));
        check_offsets(it, n, total);
        cr_assert_geq(total, plan_live_bytes(&cx.arena, it, n));
        cr_assert(plan_offsets(&cx.arena, copy, n, &again) && again == total);
        for (uint32_t i = 0; i < n; i++)
            cr_assert_eq(copy[i].offset, it[i].offset);
    }
    /* A chain, each step reading one and writing the next: no more than the largest pair. */
    PlanItem chain[] = {{6400, 0, 1, 0}, {3200, 1, 2, 0}, {6400, 2, 3, 0}, {640, 3, 4, 0}, {6400, 4, 5, 0}};
    cr_assert(plan_offsets(&cx.arena, chain, 5, &total));
    cr_expect_eq(total, 9600);
    cr_expect_eq(plan_live_bytes(&cx.arena, chain, 5), 9600);
    PlanItem huge[] = {{INT64_MAX - 100, 0, 1, 0}, {200, 1, 2, 0}};
    cr_expect_not(plan_offsets(&cx.arena, huge, 2, &total));
    cr_expect_eq(plan_live_bytes(&cx.arena, huge, 2), -1);
    huge[0].bytes = INT64_MAX;
    cr_expect_not(plan_offsets(&cx.arena, huge, 1, &total));
    context_free(&cx);
}

/* ---- Modules ---- */

typedef struct Made {
    Context cx;
    LoopModule *m;
} Made;

static void make(Made *t) {
    context_init(&t->cx, NULL);
    t->m = loops_new(&t->cx, "test");
    t->m->batch = 2;
    loops_add_entry(t->m, "infer");
    loops_add_entry(t->m, "prepare");
}

static uint32_t buf(Made *t, ModBufKind kind, const char *name, int64_t elems) {
    const Dim d = {elems, kind != MB_CONST && kind != MB_PARAM};
    ModBuf b = {.name = intern(&t->cx, name),
                .kind = kind,
                .type = type_make(DT_F32, 1, &d),
                .key = name,
                .offset = -1,
                .alias = -1};
    return loops_buf(t->m, b);
}

/* out[i] = in[i] + c, or the sum of two inputs, for `elems` * n elements. */
static uint32_t kernel(Made *t, const char *name, int inputs, int64_t elems, bool by_n, int inplace) {
    LBuild b = lb_begin(&t->cx, name);
    const Dim d = {elems, by_n};
    uint32_t in[2], out;
    for (int i = 0; i < inputs; i++)
        in[i] = lb_param(&b, i ? "b" : "a", LB_IN, DT_F32, d);
    out = lb_param(&b, "out", LB_OUT, DT_F32, d);
    b.k->bufs.data[out].inplace = inplace;
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_dim(&b, d), 1);
    const LType f = {DT_F32, 1};
    LVal x = lb_load(&b, f, in[0], i), y = inputs > 1 ? lb_load(&b, f, in[1], i) : lb_const(&b, f, 1);
    lb_store(&b, out, i, lb_op2(&b, LOP_ADD, x, y));
    lb_end(&b);
    vec_push(&t->cx.arena, &t->m->kernels, b.k);
    return t->m->kernels.len - 1;
}

static void call(Made *t, const char *entry, uint32_t k, uint32_t a, uint32_t b, uint32_t c) {
    const uint32_t arg[] = {a, b, c};
    Step s = {.kernel = k, .args = NEW_ARRAY(&t->cx.arena, StepArg, 3)};
    for (int i = 0; i < 3; i++)
        s.args[i].buf = arg[i];
    vec_push(&t->cx.arena, &loops_entry(t->m, entry)->steps, s);
}

static bool run(Made *t, bool (*pass)(Unit *), bool keep_all) {
    Unit u = {.cx = &t->cx, .loops = t->m, .keep_all = keep_all};
    cr_assert(loops_verify(t->m, true), "%s", t->cx.diag.entries.data[0].message);
    if (!pass(&u))
        return false;
    cr_assert(loops_verify(t->m, true), "%s", t->cx.diag.entries.data[0].message);
    return true;
}

/* x + 1 + 1 + x + 1 and so on in the interpreter, which checks that no element is lost to a wrong plan. */
static float interpret(Made *t, int64_t n) {
    static float in[64], out[64];
    void *memory[16] = {in, out};
    const InterpOptions o = {.check_overlap = true};
    for (int i = 0; i < 64; i++)
        in[i] = (float)i;
    cr_assert(loops_run(t->m, "infer", n, memory, &o), "%s", t->cx.diag.entries.data[0].message);
    return out[3];
}

static void make_chain(Made *t, int inplace) {
    make(t);
    const uint32_t x = buf(t, MB_IN, "x", 16), y = buf(t, MB_OUT, "y", 16);
    const uint32_t a = buf(t, MB_WORK, "a", 16), b = buf(t, MB_WORK, "b", 16), c = buf(t, MB_WORK, "c", 16);
    const uint32_t inc = kernel(t, "inc_7", 1, 16, true, inplace),
                   sum = kernel(t, "sum", 2, 16, true, inplace);
    call(t, "infer", inc, x, a, 0);
    call(t, "infer", inc, a, b, 0);
    call(t, "infer", sum, b, a, c);
    call(t, "infer", inc, c, y, 0);
}

Test(plan, in_place) {
    Made t;
    make_chain(&t, -1);
    cr_assert(run(&t, pass_plan, false));
    const ModBuf *b = t.m->bufs.data;
    cr_expect(t.m->planned && t.m->work_bytes == 3 * 128 && t.m->live_bytes == 3 * 128 &&
              t.m->prepare_bytes == 0);
    cr_expect(t.m->kernels.data[0]->bufs.data[0].noalias && t.m->kernels.data[1]->bufs.data[2].noalias);
    cr_expect_eq(interpret(&t, 2), 10.0f);
    context_free(&t.cx);

    make_chain(&t, 0); /* a is read again: b has its own memory; c takes that of b */
    cr_assert(run(&t, pass_plan, false));
    b = t.m->bufs.data;
    cr_expect(b[3].alias == -1 && b[4].alias == 3 && b[4].offset == b[3].offset);
    cr_expect(t.m->work_bytes == 2 * 128 && t.m->live_bytes == 2 * 128);
    cr_expect(t.m->kernels.data[0]->bufs.data[0].noalias); /* inc never runs in place here */
    cr_expect_not(t.m->kernels.data[1]->bufs.data[0].noalias);
    cr_expect(t.m->kernels.data[1]->bufs.data[1].noalias);
    cr_expect_not(t.m->kernels.data[1]->bufs.data[2].noalias);
    cr_expect_eq(interpret(&t, 1), 10.0f);
    const int64_t before = t.m->work_bytes;
    cr_assert(run(&t, pass_plan, false)); /* planning again changes nothing */
    cr_expect_eq(t.m->work_bytes, before);
    context_free(&t.cx);

    make_chain(&t, 0);
    cr_assert(run(&t, pass_plan, true)); /* verify wants to see every value */
    b = t.m->bufs.data;
    cr_expect(t.m->work_bytes == 3 * 128 && b[4].alias == -1);
    cr_expect_eq(interpret(&t, 2), 10.0f);
    context_free(&t.cx);
}

Test(plan, views_blocks_and_scratch) {
    Made t;
    make(&t);
    const uint32_t x = buf(&t, MB_IN, "x", 16), y = buf(&t, MB_OUT, "y", 16), p = buf(&t, MB_PARAM, "p", 3);
    const uint32_t c1 = buf(&t, MB_CONST, "c1", 3), c2 = buf(&t, MB_CONST, "c2", 3);
    const uint32_t w = buf(&t, MB_WORK, "w", 16), view = buf(&t, MB_WORK, "view", 16),
                   z = buf(&t, MB_WORK, "z", 16);
    const uint32_t of_x = buf(&t, MB_WORK, "of_x", 16), own = buf(&t, MB_WORK, "own", 1),
                   unused = buf(&t, MB_WORK, "unused", 1);
    t.m->bufs.data[view].alias = (int32_t)w;
    t.m->bufs.data[of_x].alias = (int32_t)x;
    t.m->bufs.data[own].type.dim[0] = (Dim){3, false};
    const uint32_t inc = kernel(&t, "inc", 1, 16, true, 0), pack = kernel(&t, "pack", 1, 3, false, 0);
    call(&t, "prepare", pack, p, own, 0);
    call(&t, "prepare", pack, own, c1, 0);
    call(&t, "prepare", pack, p, c2, 0);
    call(&t, "infer", inc, of_x, w, 0);
    call(&t, "infer", inc, view, z, 0); /* w is read once more, so z is not in its place */
    call(&t, "infer", inc, w, y, 0);
    Kernel *k = t.m->kernels.data[inc];
    LBuild b = lb_at(&t.cx, k, &k->body);
    lb_alloc(&b, LB_SCRATCH, "s", (LType){DT_F32, 1}, 5);
    lb_alloc(&b, LB_SCRATCH, "u", (LType){DT_F32, 1}, 5);
    cr_assert(run(&t, pass_plan, false));
    const ModBuf *m = t.m->bufs.data;
    cr_expect(m[c1].offset == 0 && m[c2].offset == 64 && t.m->const_bytes == 128);
    cr_expect(m[view].offset == m[w].offset && m[z].alias == -1 && m[z].offset != m[w].offset);
    cr_expect(m[of_x].offset == -1 && t.m->work_bytes >= 256 && m[unused].offset >= 0);
    cr_expect_eq(t.m->prepare_bytes, m[own].offset + 64);
    cr_expect_eq(t.m->scratch_bytes, 128);
    cr_expect_eq(k->bufs.data[k->bufs.len - 1].offset, 64);
    cr_expect_eq(interpret(&t, 2), 5.0f);
    context_free(&t.cx);
}

Test(plan, refuses) {
    static const struct {
        int64_t elems;
        uint32_t align;
        DiagId id;
    } cases[] = {{INT64_C(1) << 58, 64, DIAG_SIZE_OVERFLOW}, {4, 128, DIAG_IR_INVALID}};
    for (int c = 0; c < 2; c++)
        for (int kind = MB_CONST; kind <= MB_WORK; kind++) {
            Made t;
            make(&t);
            for (int i = 0; i < 20; i++) {
                const uint32_t b = buf(&t, (ModBufKind)kind, intern_f(&t.cx, "w%d", i), cases[c].elems);
                t.m->bufs.data[b].align = cases[c].align;
            }
            Unit u = {.cx = &t.cx, .loops = t.m}; /* not verified before: a size like that is refused there */
            cr_expect_not(pass_plan(&u));
            cr_expect_eq(t.cx.diag.entries.data[0].id, cases[c].id);
            context_free(&t.cx);
        }
}

/* ---- merge ---- */

Test(plan, merge) {
    Made t;
    make(&t);
    const uint32_t x = buf(&t, MB_IN, "x", 16), y = buf(&t, MB_OUT, "y", 16), w = buf(&t, MB_WORK, "w", 16);
    kernel(&t, "unused_0", 1, 16, true, -1);
    const uint32_t a = kernel(&t, "inc_1", 1, 16, true, -1), other = kernel(&t, "inc_2", 1, 8, true, -1);
    const uint32_t same = kernel(&t, "more_3", 1, 16, true, -1), in_place = kernel(&t, "inc", 1, 16, true, 0);
    call(&t, "infer", same, x, w, 0);
    call(&t, "infer", in_place, w, w, 0);
    call(&t, "infer", other, w, w, 0);
    call(&t, "infer", a, w, y, 0);
    Unit u = {.cx = &t.cx, .loops = t.m};
    for (int again = 0; again < 2; again++) {
        cr_assert(pass_merge(&u));
        cr_assert_eq(t.m->kernels.len, 3);
        const Step *s = t.m->entries.data[0].steps.data;
        cr_expect(s[0].kernel == s[3].kernel && s[0].kernel != s[1].kernel && s[1].kernel != s[2].kernel);
        static const char *const names[] = {"unused_0", "inc_2", "inc"}; /* of the first of each kind */
        for (uint32_t i = 0; i < 3; i++)
            cr_expect_str_eq(t.m->kernels.data[i]->name, names[i]);
    }
    context_free(&t.cx);
}

/* ---- tidy ---- */

static const LType F = {DT_F32, 1}, V = {DT_F32, 8};

static void expect_text(LBuild *b, int inplace, const char *want) {
    LoopModule *m = loops_new(b->cx, "test");
    m->batch = 4;
    vec_push(&b->cx->arena, &m->kernels, b->k);
    if (inplace >= 0)
        b->k->bufs.data[b->k->n_params - 1].inplace = inplace;
    Unit u = {.cx = b->cx, .loops = m};
    cr_assert(loops_verify(m, true), "%s", b->cx->diag.entries.data[0].message);
    cr_assert(pass_tidy(&u));
    StrBuf sb = sb_new(&b->cx->arena);
    kernel_print(&sb, b->k);
    const char *body = strchr(sb_str(&sb), '\n') + 1;
    cr_expect(!strcmp(body, want), "%s\ninstead of\n%s", body, want);
    cr_assert(loops_verify(m, true), "%s", b->cx->diag.entries.data[0].message);
}

static LBuild begin(Context *cx, uint32_t *in, uint32_t *out) {
    context_init(cx, NULL);
    LBuild b = lb_begin(cx, "k");
    *in = lb_param(&b, "in", LB_IN, DT_F32, (Dim){64, true});
    *out = lb_param(&b, "out", LB_OUT, DT_F32, (Dim){64, true});
    return b;
}

Test(plan, tidy_common_values) {
    Context cx;
    uint32_t in, out;
    for (int inplace = -1; inplace < 1; inplace++) {
        LBuild b = begin(&cx, &in, &out);
        for (int i = 0; i < 2; i++) {
            LVal x = lb_load(&b, F, in, lb_c(&b, 0)), one = lb_const(&b, F, 1);
            lb_store(&b, out, lb_c(&b, i), lb_op2(&b, LOP_ADD, x, one));
        }
        lb_const(&b, F, -0.0); /* dead */
        expect_text(&b, inplace,
                    inplace < 0 ? "  %0 = load f32 %in[0]\n  %1 = const f32 0x1p+0\n  %2 = add %0, %1\n"
                                  "  store %out[0], %2\n  store %out[1], %2\n}\n"
                                : "  %0 = load f32 %in[0]\n  %1 = const f32 0x1p+0\n  %2 = add %0, %1\n"
                                  "  store %out[0], %2\n  %3 = load f32 %in[0]\n  %4 = add %3, %1\n"
                                  "  store %out[1], %4\n}\n");
        context_free(&cx);
    }
}

Test(plan, tidy_invariant_values) {
    Context cx;
    uint32_t in, out;
    LBuild b = begin(&cx, &in, &out);
    Idx t = lb_for(&b, FOR_PARALLEL, "t", lb_c(&b, 0), lb_n(&b), 1);
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_c(&b, 4), 1);
    Idx j = lb_for(&b, FOR_NOUNROLL, "j", lb_c(&b, 0), lb_add(&b, t, lb_c(&b, -1)), 1); /* may not run */
    LVal one = lb_splat(&b, lb_const(&b, F, 1), 8);
    LVal by_t = lb_load(&b, V, in, lb_mulc(&b, t, 64));
    LVal by_i = lb_load(&b, V, in, lb_mulc(&b, i, 8));
    by_i = lb_op2(&b, LOP_ADD, by_i, one);
    lb_store(&b, out, lb_add(&b, lb_mulc(&b, t, 64), lb_add(&b, lb_mulc(&b, i, 8), lb_mulc(&b, j, 0))),
             lb_op2(&b, LOP_MUL, by_i, by_t));
    lb_end(&b);
    LVal again = lb_load(&b, V, in, lb_mulc(&b, t, 64));
    lb_store(&b, out, lb_addc(&b, lb_mulc(&b, t, 64), 32),
             lb_op2(&b, LOP_MUL, again, lb_splat(&b, lb_const(&b, F, 1), 8)));
    lb_end(&b);
    lb_end(&b);
    expect_text(&b, -1,
                "  for parallel %t = 0 to n {\n"
                "    %0 = const f32 0x1p+0\n"
                "    %1 = splat f32x8 %0\n"
                "    %2 = load f32x8 %in[%t*64]\n"
                "    %3 = mul %2, %1\n"
                "    for %i = 0 to 4 {\n"
                "      for nounroll %j = 0 to %t - 1 {\n"
                "        %4 = load f32x8 %in[%t*64]\n"
                "        %5 = load f32x8 %in[%i*8]\n"
                "        %6 = add %5, %1\n"
                "        %7 = mul %6, %4\n"
                "        store %out[%t*64 + %i*8], %7\n"
                "      }\n"
                "      store %out[%t*64 + 32], %3\n"
                "    }\n"
                "  }\n"
                "}\n");
    context_free(&cx);
}

Test(plan, tidy_control) {
    Context cx;
    uint32_t in, out;
    LBuild b = begin(&cx, &in, &out);
    Idx t = lb_for(&b, FOR_PARALLEL, "t", lb_c(&b, 0), lb_n(&b), 1);
    lb_for(&b, FOR_SERIAL, "empty", lb_c(&b, 0), lb_n(&b), 1);
    lb_op2(&b, LOP_ADD, lb_const(&b, F, 1), lb_const(&b, F, 2));
    lb_if(&b, IF_LT, t, lb_c(&b, 1));
    lb_const(&b, F, 3);
    lb_else(&b);
    lb_end(&b);
    lb_end(&b);
    uint32_t reg = lb_alloc(&b, LB_REG, "r", F, 2); /* stored but never loaded */
    lb_store(&b, reg, lb_c(&b, 0), lb_load(&b, F, in, t));
    lb_if(&b, IF_LT, t, lb_c(&b, 2));
    lb_store(&b, out, lb_mulc(&b, t, 64), lb_const(&b, F, 1));
    lb_else(&b);
    lb_store(&b, out, lb_mulc(&b, t, 64), lb_const(&b, F, 1));
    lb_end(&b);
    lb_end(&b);
    expect_text(&b, -1,
                "  for parallel %t = 0 to n {\n"
                "    %0 = const f32 0x1p+0\n" /* from the loop that is no more */
                "    if %t < 2 {\n"
                "      store %out[%t*64], %0\n"
                "    } else {\n"
                "      store %out[%t*64], %0\n"
                "    }\n"
                "  }\n"
                "}\n");
    context_free(&cx);
}

/* Thousands of statements must not take quadratic time. */
Test(plan, tidy_large) {
    Context cx;
    uint32_t in, out;
    LBuild b = begin(&cx, &in, &out);
    Idx t = lb_for(&b, FOR_NOUNROLL, "t", lb_c(&b, 0), lb_n(&b), 1);
    for (int i = 0; i < 50000; i++) {
        LVal x = lb_load(&b, F, in, lb_addc(&b, t, i % 60));
        lb_store(&b, out, lb_addc(&b, t, i % 60), lb_op2(&b, LOP_MUL, x, lb_const(&b, F, i % 100)));
    }
    lb_end(&b);
    LoopModule *m = loops_new(&cx, "test");
    vec_push(&cx.arena, &m->kernels, b.k);
    Unit u = {.cx = &cx, .loops = m};
    cr_assert(pass_tidy(&u));
    const Block *body = &b.k->body;
    cr_expect_eq(body->stmts.len, 101); /* the constants moved out */
    cr_expect_eq(body->stmts.data[100]->body.stmts.len, 60 + 300 + 50000);
    context_free(&cx);
}

Test(plan, tidy_registers) {
    Context cx;
    uint32_t in, out;
    LBuild b = begin(&cx, &in, &out);
    uint32_t acc = lb_alloc(&b, LB_REG, "acc", V, 1), w = lb_alloc(&b, LB_REG, "w", V, 1);
    lb_store(&b, acc, lb_c(&b, 0), lb_load(&b, V, in, lb_c(&b, 0)));
    lb_for(&b, FOR_NOUNROLL, "k", lb_c(&b, 0), lb_n(&b), 1);
    for (int i = 0; i < 2; i++) {
        lb_store(&b, w, lb_c(&b, 0), lb_load(&b, V, in, lb_c(&b, 8 * i)));
        LVal x = lb_load(&b, V, w, lb_c(&b, 0)), y = lb_load(&b, V, acc, lb_c(&b, 0));
        lb_store(&b, acc, lb_c(&b, 0), lb_op2(&b, LOP_ADD, x, y));
    }
    lb_end(&b);
    lb_store(&b, out, lb_c(&b, 0), lb_load(&b, V, acc, lb_c(&b, 0)));
    expect_text(&b, -1,
                "  alloc reg %acc: f32x8[1]\n"
                "  %0 = load f32x8 %in[0]\n"
                "  store %acc[0], %0\n"
                "  %1 = load f32x8 %in[8]\n"
                "  for nounroll %k = 0 to n {\n"
                "    %2 = load f32x8 %acc[0]\n"
                "    %3 = add %0, %2\n"
                "    %4 = add %1, %3\n"
                "    store %acc[0], %4\n"
                "  }\n"
                "  %5 = load f32x8 %acc[0]\n"
                "  store %out[0], %5\n"
                "}\n");
    context_free(&cx);
}

/* ---- tidy changes no result: random kernels, before and after, in the interpreter ---- */

typedef struct Random {
    LBuild b;
    uint32_t state, in, out, reg, budget;
    LVal known[64]; /* values that may be used here */
    Idx var[8];
    uint32_t n_known, n_vars;
} Random;

static uint32_t pick(Random *r, uint32_t n) {
    return next_random(&r->state) % n;
}

static Idx random_index(Random *r, uint32_t extent) {
    const Idx c = lb_c(&r->b, pick(r, extent / 2));
    return r->n_vars && pick(r, 2) ? lb_add(&r->b, r->var[pick(r, r->n_vars)], c) : c;
}

static void know(Random *r, LVal v) {
    r->known[r->n_known < 64 ? r->n_known++ : pick(r, 64)] = v;
}

static void random_block(Random *r, int depth) {
    LBuild *b = &r->b;
    const uint32_t known = r->n_known, vars = r->n_vars;
    LVal saved[64];
    memcpy(saved, r->known, sizeof saved);
    for (uint32_t i = 2 + pick(r, 8); i > 0 && r->budget > 0; i--, r->budget--) {
        const uint32_t what = pick(r, depth < 3 ? 9 : 7);
        const LVal x = r->known[pick(r, r->n_known)], y = r->known[pick(r, r->n_known)];
        if (what == 0)
            know(r, lb_load(b, F, r->in, random_index(r, 16)));
        else if (what == 1)
            know(r, lb_load(b, F, r->reg, lb_c(b, pick(r, 3))));
        else if (what == 2)
            lb_store(b, r->reg, lb_c(b, pick(r, 3)), x);
        else if (what == 3)
            lb_store(b, r->out, random_index(r, 16), x);
        else if (what == 4)
            know(r, lb_const(b, F, pick(r, 3)));
        else if (what < 7)
            know(r, lb_op2(b, what == 5 ? LOP_ADD : LOP_MAX, x, y));
        else if (what == 7) {
            const Idx hi = pick(r, 2) ? lb_n(b) : lb_c(b, pick(r, 4));
            r->var[r->n_vars++] = lb_for(b, pick(r, 2) ? FOR_SERIAL : FOR_NOUNROLL, "i", lb_c(b, 0), hi, 1);
            random_block(r, depth + 1);
            r->n_vars = vars;
            lb_end(b);
        } else {
            lb_if(b, IF_LT, random_index(r, 4), lb_n(b));
            random_block(r, depth + 1);
            lb_else(b);
            random_block(r, depth + 1);
            lb_end(b);
        }
    }
    memcpy(r->known, saved, sizeof saved);
    r->n_known = known;
}

static Kernel *random_kernel(Context *cx, uint32_t seed) {
    Random r = {.b = lb_begin(cx, "random"), .state = seed * 7919 + 1, .budget = 60};
    LBuild *b = &r.b;
    r.in = lb_param(b, "in", LB_IN, DT_F32, (Dim){16, false});
    r.out = lb_param(b, "out", LB_OUT, DT_F32, (Dim){16, false});
    r.reg = lb_alloc(b, LB_REG, "r", F, 3);
    know(&r, lb_const(b, F, 7));
    for (int i = 0; i < 16; i++)
        lb_store(b, r.out, lb_c(b, i), r.known[0]);
    for (int i = 0; i < 3; i++)
        lb_store(b, r.reg, lb_c(b, i), r.known[0]);
    random_block(&r, 0);
    for (int i = 0; i < 3; i++)
        lb_store(b, r.out, lb_c(b, i), lb_load(b, F, r.reg, lb_c(b, i)));
    return b->k;
}

Test(plan, tidy_keeps_results) {
    for (uint32_t seed = 0; seed < 400; seed++) {
        static float in[16], out[2][16];
        void *memory[2] = {in, NULL};
        const InterpOptions o = {.contract = true};
        Made t;
        make(&t);
        t.m->batch = 3;
        const Dim d = {16, false};
        ModBuf buffer = {
            .name = "x", .kind = MB_IN, .type = type_make(DT_F32, 1, &d), .alias = -1, .offset = -1};
        const uint32_t x = loops_buf(t.m, buffer);
        buffer.name = "y";
        buffer.kind = MB_OUT;
        const uint32_t y = loops_buf(t.m, buffer);
        vec_push(&t.cx.arena, &t.m->kernels, random_kernel(&t.cx, seed));
        call(&t, "infer", 0, x, y, 0);
        for (int i = 0; i < 16; i++)
            in[i] = (float)((i * 37 + (int)seed) % 11);
        for (int after = 0; after < 2; after++) {
            memory[1] = out[after];
            cr_assert(loops_verify(t.m, true), "seed %u: %s", seed, t.cx.diag.entries.data[0].message);
            cr_assert(loops_run(t.m, "infer", 1 + seed % 3, memory, &o), "seed %u: %s", seed,
                      t.cx.diag.entries.data[0].message);
            cr_assert(after || run(&t, pass_tidy, false));
        }
        cr_assert(!memcmp(out[0], out[1], sizeof out[0]), "seed %u", seed);
        context_free(&t.cx);
    }
}
