/* A batch norm in training as the pipeline makes it, in the interpreter: the check that ends a call before
 * any state is written, running statistics in place, and epilogues on the ops around it, from text. */
#include "ir/loops/loops.h"
#include "ir/op.h"
#include "passes/passes.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static Context cx;

static const char *messages(void) {
    StrBuf sb = sb_new(&cx.arena);
    diag_print_all(&sb, &cx.diag);
    return sb_str(&sb);
}

static LoopModule *compile(const char *text, uint32_t vector_bytes) {
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = ""};
    t.vector_bytes = vector_bytes;
    t.vector_regs = 16;
    t.fma_ports = 2;
    t.l1_bytes = 32 << 10;
    t.l2_bytes = 512 << 10;
    t.l3_bytes = 8 << 20;
    Unit u = {.cx = &cx, .target = &t};
    u.graph = graph_parse(&cx, "test.cnnir", text, strlen(text));
    cr_assert(u.graph && graph_verify(u.graph), "%s", messages());
    PipelineOptions o = {.verify_each = true};
    bool stopped = false;
    cr_assert(passes_run(&u, &o, &stopped), "%s", messages());
    return u.loops;
}

static uint32_t buffer(const LoopModule *m, const char *name) {
    for (uint32_t b = 0; b < m->bufs.len; b++)
        if (!strcmp(m->bufs.data[b].name, name) ||
            (m->bufs.data[b].key && !strcmp(m->bufs.data[b].key, name)))
            return b;
    cr_assert_fail("no buffer %s", name);
    return 0;
}

/* ---- State ---- */

static const char *const update_text =
    "graph @bn:backward(%x: f32[N,2,1,1]) batch 4 {\n"
    "  %mean = state f32[2] buffer @\"bn.running_mean\"\n"
    "  %var = state f32[2] buffer @\"bn.running_var\"\n"
    "  %check = check_batch_norm %x : i32[1]\n"
    "  %stats = batch_norm_stats %x : f32[2,2]\n"
    "  %new = batch_norm_update %mean, %var, %stats, %x {momentum=0.25} : f32[2]\n"
    "  %flat = select %stats {index=0} : f32[2]\n"
    "  return %flat as \"loss\"\n"
    "}\n";

static int32_t update(int64_t n, float *x, float *mean, float *var) {
    context_init(&cx, NULL);
    LoopModule *m = compile(update_text, 32);
    void **memory = NEW_ARRAY(&cx.arena, void *, m->bufs.len);
    float loss[2];
    int32_t status = 0;
    memory[buffer(m, "x")] = x;
    memory[buffer(m, "loss")] = loss;
    memory[buffer(m, "bn.running_mean")] = mean;
    memory[buffer(m, "bn.running_var")] = var;
    const InterpOptions o = {.check_overlap = true, .status = &status};
    cr_assert(loops_run(m, "backward", n, memory, &o), "%s", messages());
    context_free(&cx);
    return status;
}

/* Channel 0 is 1, 2, 3; channel 1 is 5, 5, 11. */
Test(batch_norm, running_statistics) {
    float x[] = {1, 5, 2, 5, 3, 11}, mean[] = {4, 8}, var[] = {2, 4};
    cr_assert_eq(update(3, x, mean, var), 0);
    cr_assert_float_eq(mean[0], 3.5, 1e-6);
    cr_assert_float_eq(mean[1], 7.75, 1e-6);
    cr_assert_float_eq(var[0], 0.75 * 2 + 0.25 * 1, 1e-6);
    cr_assert_float_eq(var[1], 0.75 * 4 + 0.25 * 12, 1e-6);
}

Test(batch_norm, one_value_is_an_error) {
    float x[] = {1, 5}, mean[] = {4, 8}, var[] = {2, 4};
    cr_assert_eq(update(1, x, mean, var), STATUS_BATCH_NORM);
    cr_assert_eq(mean[0], 4);
    cr_assert_eq(var[1], 4);
}

/* ---- Epilogues ---- */

enum { COUNT = 2 * 5 * 6 * 4, POOLED = 2 * 5 * 3 * 2 };

/* What follows %a becomes its epilogue, unless %a is an output too. */
static const char *epilogue_text(const char *node, bool output) {
    StrBuf sb = sb_new(&cx.arena);
    sb_puts(&sb, "graph @g(%x: f32[N,5,6,4], %y: f32[N,5,6,4], %d: f32[N,5,3,2]) batch 2 {\n"
                 "  %one = const f32[5] [1, 2, 3, 4, 5]\n"
                 "  %rows = const f32[2,5] [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]\n"
                 "  %bx = reorder %x : f32[N,5,6,4]:aBcd8b\n"
                 "  %by = reorder %y : f32[N,5,6,4]:aBcd8b\n"
                 "  %bd = reorder %d : f32[N,5,3,2]:aBcd8b\n"
                 "  %p = max_pool2d %bx {kernel_size=[2,2], stride=[2,2]} : f32[N,5,3,2]\n");
    sb_printf(&sb,
              "  %%a = %s : f32[N,5,6,4]\n"
              "  %%s = add %%a, %%by : f32[N,5,6,4]\n"
              "  %%r = relu_backward %%s, %%bx : f32[N,5,6,4]\n"
              "  return %%r as \"r\"%s\n}\n",
              node, output ? ", %a as \"a\"" : "");
    return sb_str(&sb);
}

/* How many kernels there are. */
static uint32_t run(const char *node, bool output, float *r) {
    float x[COUNT], y[COUNT], d[POOLED];
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)(i * 37 % 19 - 9);
        y[i] = (float)(i * 11 % 23 - 11) / 4;
        d[i % POOLED] = (float)(i * 5 % 17 - 8) / 2;
    }
    context_init(&cx, NULL);
    LoopModule *m = compile(epilogue_text(node, output), 32);
    const uint32_t kernels = m->kernels.len;
    void **memory = NEW_ARRAY(&cx.arena, void *, m->bufs.len);
    memory[buffer(m, "x")] = x;
    memory[buffer(m, "y")] = y;
    memory[buffer(m, "d")] = d;
    memory[buffer(m, "r")] = r;
    const InterpOptions o = {.check_overlap = true};
    cr_assert(loops_run(m, "infer", 2, memory, &o), "%s: %s", node, messages());
    context_free(&cx);
    return kernels;
}

Test(batch_norm, epilogues) {
    static const char *const nodes[] = {
        "batch_norm_train %bx, %one, %one, %rows",
        "batch_norm_backward %by, %bx, %one, %rows, %rows",
        "max_pool2d_backward %bd, %bx, %p {kernel_size=[2,2], stride=[2,2]}",
        "avg_pool2d_backward %bd {kernel_size=[3,3], stride=[2,2], padding=[1,1,1,1], input_size=[6,4]}",
        "adaptive_avg_pool2d_backward %bd {input_size=[6,4]}",
    };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        float fused[COUNT], apart[COUNT];
        cr_assert_lt(run(nodes[i], false, fused), run(nodes[i], true, apart), "%s", nodes[i]);
        for (int k = 0; k < COUNT; k++)
            cr_assert_eq(fused[k], apart[k], "%s: element %d is %g, not %g", nodes[i], k, (double)fused[k],
                         (double)apart[k]);
    }
}
