/* Every op of the table, by its samples: shapes, text, the evaluator, and the lowered loops in the
 * interpreter at several vector widths and layouts against the evaluator. Then what ops refuse. */
#include "ir/eval.h"
#include "ir/loops/verify.h"
#include "ir/ops/philox.h"
#include "passes/passes.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static Context cx;

static void begin(void) {
    context_init(&cx, NULL);
}
static void end(void) {
    context_free(&cx);
}

static const char *messages(void) {
    StrBuf sb = sb_new(&cx.arena);
    diag_print_all(&sb, &cx.diag);
    return sb_str(&sb);
}

static uint32_t seed; /* each case begins anew: its numbers do not depend on the ops before it */

static float noise(void) { /* quarters in [-4, 4]: exact in any order for short sums */
    seed = seed * 1664525u + 1013904223u;
    return (float)((int)(seed >> 24) % 33 - 16) / 4;
}

/* ---- One sample as a graph ---- */

/* Channel blocks of `block` for images, with a border of one pixel; other types stay dense. */
static Type blocked(Type t, uint32_t block, uint16_t border) {
    if (!block || t.rank != 4)
        return t;
    t.layout = (Layout){.nparts = 5, .part = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1, block}}};
    for (int d = 2; d < 4; d++)
        t.layout.lo[d] = t.layout.hi[d] = border;
    return t;
}

static ValueId reordered(Graph *g, ValueId v, Type to) {
    ReorderAttrs a = {.to = to};
    if (type_equal(&g->values.data[v].type, &to))
        return v;
    return graph_node(g, OP_reorder, &v, 1, &a, NULL, (Loc){0});
}

/* Is operand i of rank 4 put in blocks, and the result? Ops that look at types themselves want dense ones. */
static bool lies_blocked(const OpDesc *d, uint32_t i) {
    return d->flags & (OP_POINTWISE | OP_FOLLOWS) || (i == 0 && !(d->flags & OP_ANY_DTYPE));
}

static bool result_blocked(const OpDesc *d) {
    return d->flags & (OP_POINTWISE | OP_FOLLOWS) || !(d->flags & (OP_VIEW | OP_INTERNAL));
}

/* A graph of training, when the op has operands that only such graphs have: labels are targets, other i64 are
 * counters, f64 are the numbers of a step. */
static ValueId sample_operand(Graph *g, const OpSample *s, uint32_t i) {
    const Type *t = &s->operands[i];
    const char *name = intern_f(&cx, "in%u", i), *key = intern_f(&cx, "p.%s", name);
    if (t->dtype != DT_F32 && t->dtype != DT_U8)
        g->entry = intern(&cx, "backward");
    if (t->dtype == DT_F64)
        return graph_hyper(g, name, *t);
    if (t->dtype == DT_I64 && !type_has_n(t))
        return graph_state(g, ROLE_COUNTER, name, key, *t, (Loc){0});
    if (i && !type_has_n(t))
        return graph_param(g, VK_PARAM, name, key, *t, (Loc){0});
    ValueId v = graph_input(g, name, *t, (Loc){0});
    g->values.data[v].target = t->dtype == DT_I64;
    return v;
}

/* input(s) -> op -> output; images in blocks where `block` says so. */
static Graph *sample_graph(OpId op, const OpSample *s, uint32_t block) {
    const OpDesc *d = op_desc(op);
    Graph *g = graph_new(&cx, d->name);
    ValueId in[5];
    g->batch = s->batch;
    for (uint32_t i = 0; i < s->n; i++) {
        in[i] = sample_operand(g, s, i);
        if (lies_blocked(d, i))
            in[i] = reordered(g, in[i], blocked(s->operands[i], block, (uint16_t)(i + 1)));
    }
    ValueId v = graph_node(g, op, in, s->n, s->attrs, "y", (Loc){0});
    cr_assert_neq(v, NO_VALUE, "%s: %s", d->name, messages());
    Type dense = g->values.data[v].type;
    if (result_blocked(d))
        g->values.data[v].type = blocked(dense, block, 1);
    if (d->flags & OP_CHECK) /* its result ends the call */
        g->entry = intern(&cx, "backward");
    else
        graph_output(g, "y", reordered(g, v, type_dense(&dense)));
    cr_assert(graph_verify(g), "%s: %s", d->name, messages());
    return g;
}

static void check_text(const Graph *g) {
    StrBuf a = sb_new(&cx.arena), b = sb_new(&cx.arena);
    graph_print(&a, g, NULL);
    Graph *again = graph_parse(&cx, "again.cnnir", sb_str(&a), a.len);
    cr_assert_not_null(again, "%s\n%s", messages(), sb_str(&a));
    graph_print(&b, again, NULL);
    cr_assert_str_eq(sb_str(&a), sb_str(&b));
}

/* ---- Compiled to loops, interpreted, compared ---- */

typedef struct Data {
    void *in[5];
    double *expect; /* of the output, dense */
    int64_t count;
} Data;

/* Operands that are no arbitrary numbers: variances, and counts and weights that are divided by. */
static bool is_positive(const OpDesc *d, uint32_t i) {
    const char *name = d->operand_names[i];
    return !strcmp(name, "running_var") || !strcmp(name, "stats") || !strcmp(name, "count") ||
           !strcmp(name, "divisor") || ((d->flags & OP_ANY_DTYPE) && strstr(name, "weight"));
}

/* Operand i: quarters; labels below the classes of operand 0 (else 10); step numbers around 1. */
static void fill_operand(const OpDesc *d, const OpSample *s, uint32_t i, int64_t count, Data *data,
                         double *wide) {
    const Type *t = &s->operands[i], *first = &s->operands[0];
    const int classes = i && first->rank > 1 ? (int)first->dim[1].size : 10;
    data->in[i] = arena_alloc(&cx.arena, (size_t)count * dtype_bytes(t->dtype));
    for (int64_t k = 0; k < count; k++) {
        double x = (double)noise();
        if (t->dtype == DT_F32 && is_positive(d, i))
            x = fabs(x) + 0.25;
        if (t->dtype == DT_I64)
            x = (int)(x * 4 + 16) % classes;
        if (!strcmp(d->operand_names[i], "seed")) /* both words matter */
            x = -0x1p58 * (x + 1) + 0x12345400;
        if (t->dtype == DT_F64)
            x = 0.5 + (double)k / 4;
        if (t->dtype == DT_U8) /* 0 to 255 */
            x = (double)((int)(x * 64 + 256 * 4) & 255);
        wide[k] = x;
        if (t->dtype == DT_I64)
            ((int64_t *)data->in[i])[k] = (int64_t)x;
        else if (t->dtype == DT_F64)
            ((double *)data->in[i])[k] = x;
        else if (t->dtype == DT_U8)
            ((unsigned char *)data->in[i])[k] = (unsigned char)x;
        else
            ((float *)data->in[i])[k] = (float)x;
    }
}

static Data evaluate(const Graph *g, OpId op, const OpSample *s, int64_t n) {
    Data d = {0};
    Tensor *values = NEW_ARRAY(&cx.arena, Tensor, g->values.len);
    seed = 1;
    for (uint32_t i = 0; i < s->n; i++) {
        ValueId v = graph_find(g, intern_f(&cx, "in%u", i));
        int64_t count = type_elems(&s->operands[i], n);
        values[v] =
            (Tensor){.rank = s->operands[i].rank, .data = NEW_ARRAY(&cx.arena, double, (size_t)count)};
        fill_operand(op_desc(op), s, i, count, &d, values[v].data);
        for (int k = 0; k < s->operands[i].rank; k++)
            values[v].dim[k] = dim_at(s->operands[i].dim[k], n);
    }
    cr_assert(graph_eval(g, n, values, &cx.arena), "%s", messages());
    ValueId out = g->outputs.len ? g->outputs.data[0].value : graph_find(g, "y");
    d.expect = values[out].data;
    d.count = type_elems(&g->values.data[out].type, n);
    return d;
}

static LoopModule *compile(Graph *g, uint32_t vector_bytes, const char *passes) {
    static const char *const features = "";
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = features};
    t.vector_bytes = vector_bytes;
    t.vector_regs = 16;
    t.has_fma = vector_bytes > 16;
    t.fma_ports = 2;
    t.l1_bytes = 32 << 10;
    t.l2_bytes = 512 << 10;
    t.l3_bytes = 8 << 20;
    Unit u = {.cx = &cx, .target = &t, .graph = g};
    PipelineOptions o = {.passes = passes, .verify_each = true};
    bool stopped = false;
    cr_assert(passes_run(&u, &o, &stopped), "%s: %s", g->name, messages());
    if (strcmp(g->entry, "infer") == 0) /* its text may be given to us */
        cr_assert(loops_verify_file(u.loops), "%s: %s", g->name, messages());
    for (uint32_t k = 0; k < u.loops->kernels.len; k++) /* of training there is one entry only */
        cr_assert(prove_bounds(u.loops, u.loops->kernels.data[k]), "%s: %s", g->name, messages());
    return u.loops;
}

/* Memory of the module's buffers, those of the sample filled in. */
static void **module_memory(const LoopModule *m, const Data *d, int64_t n, float **out) {
    void **memory = NEW_ARRAY(&cx.arena, void *, m->bufs.len);
    for (uint32_t b = 0; b < m->bufs.len; b++) {
        const ModBuf *buf = &m->bufs.data[b];
        size_t bytes = (size_t)modbuf_elems(buf, n) * dtype_bytes(buf->type.dtype);
        unsigned operand;
        bool given = buf->kind == MB_IN || buf->kind == MB_HYPER, keyed = buf->kind == MB_PARAM;
        if ((given && sscanf(buf->name, "in%u", &operand) == 1) ||
            ((keyed || buf->kind == MB_STATE) && sscanf(buf->key, "p.in%u", &operand) == 1))
            memory[b] = d->in[operand];
        else if (buf->kind == MB_OUT)
            memory[b] = *out = arena_alloc(&cx.arena, bytes);
        else if (buf->kind == MB_CONST && buf->data)
            memory[b] = arena_copy(&cx.arena, buf->data, bytes);
        else if (buf->kind == MB_CONST)
            memory[b] = arena_alloc(&cx.arena, bytes);
    }
    return memory;
}

static void check_loops(OpId op, uint32_t number, const OpSample *s, uint32_t block, uint32_t vector_bytes,
                        const char *passes) {
    Graph *g = sample_graph(op, s, block);
    for (int64_t n = 1; n <= s->batch; n += s->batch > 1 ? s->batch - 1 : 1) {
        Data d = evaluate(g, op, s, n);
        LoopModule *m = compile(g, vector_bytes, passes);
        float *out = NULL;
        void **memory = module_memory(m, &d, n, &out);
        int32_t status = 0;
        InterpOptions o = {.contract = vector_bytes > 16, .check_overlap = true, .status = &status};
        cr_assert(loops_run(m, "prepare", n, memory, &o), "%s: %s", g->name, messages());
        cr_assert(loops_run(m, g->entry, n, memory, &o), "%s %u, blocks of %u, %u-byte vectors: %s", g->name,
                  number, block, vector_bytes, messages());
        double largest = 1e-30;
        for (int64_t i = 0; i < d.count; i++)
            largest = fmax(largest, fabs(d.expect[i]));
        for (int64_t i = 0; i < d.count; i++) {
            double got = out ? (double)out[i] : status, want = d.expect[i];
            cr_assert((isnan(want) && isnan(got)) || fabs(got - want) <= 1e-5 * largest,
                      "%s %u, blocks of %u, %u-byte vectors, batch %lld: element %lld is %g, not %g", g->name,
                      number, block, vector_bytes, (long long)n, (long long)i, got, want);
        }
    }
}

/* Works on state: tests/unit/grad.c looks at those. */
static bool is_special(const OpDesc *d) {
    return d->writes;
}

Test(ops, samples) {
    for (int op = 0; op < OP_COUNT; op++) {
        const OpDesc *desc = op_desc((OpId)op);
        if (is_special(desc))
            continue;
        cr_expect(desc->n_samples || (desc->flags & OP_ANY_DTYPE), "%s", desc->name);
        for (uint32_t i = 0; i < desc->n_samples; i++) {
            begin();
            const OpSample *s = &desc->samples[i];
            Graph *g = sample_graph((OpId)op, s, 0);
            check_text(g);
            OpId found;
            cr_assert(op_by_name(g->name, strlen(g->name), &found) && found == (OpId)op);
            evaluate(g, (OpId)op, s, s->batch);
            end();
        }
    }
}

/* Lowered as they stand, dense and in blocks; then through the whole pipeline, which chooses layouts itself.
 */
Test(ops, lowered) {
    static const uint32_t blocks[] = {0, 8, 16}, bytes[] = {16, 32, 64};
    for (int op = 0; op < OP_COUNT; op++)
        for (uint32_t i = 0; i < op_desc((OpId)op)->n_samples; i++)
            for (int v = 0; v < 3; v++) {
                const OpDesc *d = op_desc((OpId)op);
                begin();
                for (int b = 0; b < 3 && d->lower && !is_special(d); b++)
                    check_loops((OpId)op, i, &d->samples[i], op == OP_reorder ? 0 : blocks[b], bytes[v],
                                "lower,expand,tidy,merge,plan");
                if (!is_special(d) && (!(d->flags & OP_INTERNAL) || (d->flags & (OP_POINTWISE | OP_FOLLOWS))))
                    check_loops((OpId)op, i, &d->samples[i], 0, bytes[v], NULL);
                end();
            }
}

Test(ops, linear_plain) {
    for (uint32_t i = 0; i < op_linear.n_samples; i++)
        for (uint32_t bytes = 16; bytes <= 64; bytes *= 2) {
            begin();
            Choice plain = {.algorithm = ALGO_PLAIN};
            const OpSample *s = &op_linear.samples[i];
            Graph *g = sample_graph(OP_linear, s, 0);
            g->nodes.data[0].choice = &plain;
            Data d = evaluate(g, OP_linear, s, s->batch);
            LoopModule *m = compile(g, bytes, "lower,expand,tidy,merge,plan");
            float *out = NULL;
            void **memory = module_memory(m, &d, s->batch, &out);
            InterpOptions o = {.contract = true, .check_overlap = true};
            cr_assert(loops_run(m, "prepare", s->batch, memory, &o), "%s", messages());
            cr_assert(loops_run(m, "infer", s->batch, memory, &o), "%s", messages());
            for (int64_t k = 0; k < d.count; k++)
                cr_assert_float_eq((double)out[k], d.expect[k], 1e-3);
            end();
        }
}

/* ---- What is refused, and in which words ---- */

#define D(n) {n, false}
#define IMAGE(c, h, w)                                                                                       \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 4, .dim = { {1, true}, D(c), D(h), D(w) }                                   \
    }
#define VOLUME(c, d, h, w)                                                                                   \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 5, .dim = { {1, true}, D(c), D(d), D(h), D(w) }                             \
    }
#define FIXED4(a, b, c, d)                                                                                   \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 4, .dim = { D(a), D(b), D(c), D(d) }                                        \
    }
#define FIXED2(a, b)                                                                                         \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 2, .dim = { D(a), D(b) }                                                    \
    }
#define FIXED1(a)                                                                                            \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 1, .dim = { D(a) }                                                          \
    }
#define BATCH_OF(b)                                                                                          \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 2, .dim = { {1, true}, D(b) }                                               \
    }
#define CONV(p, d, g)                                                                                        \
    &(const Conv2dAttrs) {                                                                                   \
        {2, {1, 1}}, {4, {p, p, p, p}}, {2, {d, d}}, g                                                       \
    }
#define POOL(k, s, p, ceil)                                                                                  \
    &(const Pool2dAttrs) {                                                                                   \
        {2, {k, k}}, {2, {s, s}}, {4, {p, p, p, p}}, {2, {1, 1}}, ceil, true                                 \
    }

typedef struct Refusal {
    OpId op;
    const void *attrs;
    uint32_t n;
    Type operands[5];
    DiagId id;
    const char *words;
} Refusal;

static const Refusal refusals[] = {
    {OP_cross_entropy,
     &(const ClassLossAttrs){.ignore_index = -100},
     2,
     {BATCH_OF(10), {.dtype = DT_I64, .rank = 2, .dim = {{1, true}, D(10)}}},
     DIAG_SHAPE_MISMATCH,
     "wants the same without the classes"},
    {OP_cross_entropy,
     &(const ClassLossAttrs){.ignore_index = -100},
     2,
     {BATCH_OF(10), BATCH_OF(10)},
     DIAG_DTYPE_MISMATCH,
     "cross_entropy needs i64"},
    {OP_nll_loss,
     &(const ClassLossAttrs){.ignore_index = -100},
     3,
     {BATCH_OF(10), {.dtype = DT_I64, .rank = 1, .dim = {{1, true}}}, FIXED1(9)},
     DIAG_SHAPE_MISMATCH,
     "the number of classes is 10"},
    {OP_bce_with_logits,
     &(const ElementLossAttrs){.weight = true},
     3,
     {BATCH_OF(10), BATCH_OF(10), FIXED1(9)},
     DIAG_SHAPE_MISMATCH,
     "as many elements as a sample"},
    {OP_bce_with_logits,
     &(const ElementLossAttrs){.weight = true},
     2,
     {BATCH_OF(10), BATCH_OF(10)},
     DIAG_OPERAND_COUNT,
     "takes 3 operands"},
    {OP_dropout_train,
     &(const DropoutTrainAttrs){.p = 0.5},
     3,
     {BATCH_OF(10), FIXED1(1), FIXED1(1)},
     DIAG_DTYPE_MISMATCH,
     "needs i64[1]"},
    {OP_conv2d,
     CONV(0, 1, 1),
     2,
     {IMAGE(16, 28, 28), FIXED4(4, 8, 3, 3)},
     DIAG_SHAPE_MISMATCH,
     "in_channels is 8, but its input has 16 channels"},
    {OP_conv2d,
     CONV(0, 1, 3),
     2,
     {IMAGE(6, 9, 9), FIXED4(4, 2, 3, 3)},
     DIAG_SHAPE_MISMATCH,
     "out_channels is 4, which 3 groups do not divide"},
    {OP_conv2d,
     CONV(0, 1, 1),
     3,
     {IMAGE(6, 9, 9), FIXED4(4, 6, 3, 3), FIXED1(5)},
     DIAG_SHAPE_MISMATCH,
     "out_channels is 4, which \"x.2\" f32[5] does not match"},
    {OP_conv2d,
     CONV(1, 3, 1),
     2,
     {IMAGE(6, 4, 9), FIXED4(4, 6, 3, 3)},
     DIAG_SHAPE_MISMATCH,
     "the kernel covers 7 rows, but its padded input has 6"},
    {OP_conv2d,
     CONV(0, 1, 1),
     2,
     {BATCH_OF(6), FIXED4(4, 6, 3, 3)},
     DIAG_SHAPE_MISMATCH,
     "conv2d needs 4 dimensions (batch, channels, height, width), but got 2: \"x\" f32[N,6]"},
    {OP_conv2d,
     CONV(0, 1, 1),
     2,
     {IMAGE(6, 9, 9), IMAGE(6, 3, 3)},
     DIAG_SHAPE_MISMATCH,
     "must not depend on the batch"},
    {OP_conv2d, CONV(0, 1, 0), 2, {IMAGE(6, 9, 9), FIXED4(4, 6, 3, 3)}, DIAG_ATTR_RANGE, "groups"},
    {OP_conv2d,
     CONV(0, 1, 1),
     1,
     {IMAGE(6, 9, 9)},
     DIAG_OPERAND_COUNT,
     "conv2d takes 2 to 3 operands, not 1"},
    {OP_linear,
     NULL,
     2,
     {BATCH_OF(12), FIXED2(3, 10)},
     DIAG_SHAPE_MISMATCH,
     "in_features is 10, which is not the last dimension of"},
    {OP_linear, NULL, 2, {IMAGE(3, 4, 5), FIXED2(3, 60)}, DIAG_SHAPE_MISMATCH, "a Flatten layer"},
    {OP_batch_norm,
     &(const BatchNormAttrs){1e-5, 0.1},
     5,
     {IMAGE(6, 9, 9), FIXED1(6), FIXED1(6), FIXED1(7), FIXED1(6)},
     DIAG_SHAPE_MISMATCH,
     "num_features is 7, but its input has 6 channels"},
    {OP_batch_norm,
     &(const BatchNormAttrs){-1, 0.1},
     5,
     {IMAGE(6, 9, 9), FIXED1(6), FIXED1(6), FIXED1(6), FIXED1(6)},
     DIAG_ATTR_RANGE,
     "eps"},
    {OP_max_pool2d,
     POOL(2, 2, 2, false),
     1,
     {IMAGE(6, 9, 9)},
     DIAG_ATTR_RANGE,
     "padding is 2, but may be at most half the kernel_size, which is 2"},
    {OP_max_pool2d,
     POOL(5, 2, 0, false),
     1,
     {IMAGE(6, 3, 9)},
     DIAG_SHAPE_MISMATCH,
     "kernel_size 5 does not fit in the height 3 of its input"},
    {OP_max_pool2d_backward,
     POOL(2, 2, 0, false),
     3,
     {IMAGE(6, 4, 4), IMAGE(6, 9, 9), IMAGE(6, 3, 4)},
     DIAG_SHAPE_MISMATCH,
     "must have the same dimensions"},
    {OP_max_pool2d_backward,
     POOL(2, 2, 0, false),
     3,
     {IMAGE(6, 3, 4), IMAGE(6, 9, 9), IMAGE(6, 3, 4)},
     DIAG_SHAPE_MISMATCH,
     "the pool's result is f32[N,6,4,4], but"},
    {OP_avg_pool2d_backward,
     &(const PoolBackwardAttrs){{{2, {2, 2}}, {2, {2, 2}}, {4, {0}}, {0}, false, true}, {2, {9, 9}}},
     1,
     {IMAGE(6, 4, 5)},
     DIAG_SHAPE_MISMATCH,
     "the pool's result is f32[N,6,4,4], but"},
    {OP_batch_norm_train,
     &(const BatchNormAttrs){1e-5, 0},
     4,
     {IMAGE(6, 9, 9), FIXED1(6), FIXED1(6), FIXED2(6, 2)},
     DIAG_SHAPE_MISMATCH,
     "does not have two rows for the channels of"},
    {OP_channel_sum, NULL, 1, {FIXED1(6)}, DIAG_SHAPE_MISMATCH, "needs a batch and channels"},
    {OP_select, &(const SelectAttrs){2}, 1, {FIXED2(2, 6)}, DIAG_SHAPE_MISMATCH, "has no slice 2"},
    {OP_softmax, &(const SoftmaxAttrs){0}, 1, {BATCH_OF(9)}, DIAG_SHAPE_MISMATCH, "is the batch"},
    {OP_softmax, &(const SoftmaxAttrs){2}, 1, {BATCH_OF(9)}, DIAG_SHAPE_MISMATCH, "is not a dimension"},
    {OP_sum, &(const ReduceAttrs){{1, {0}}}, 1, {BATCH_OF(9)}, DIAG_SHAPE_MISMATCH, "dim 0 is the batch of"},
    {OP_mean,
     &(const ReduceAttrs){{1, {-3}}},
     1,
     {BATCH_OF(9)},
     DIAG_SHAPE_MISMATCH,
     "is not a dimension of"},
    {OP_amax, &(const ReduceAttrs){{2, {1, -1}}}, 1, {BATCH_OF(9)}, DIAG_SHAPE_MISMATCH, "is there twice"},
    {OP_instance_norm,
     &(const BatchNormAttrs){.eps = 1},
     1,
     {BATCH_OF(9)},
     DIAG_SHAPE_MISMATCH,
     "what is normalised"},
    {OP_expand,
     &(const ExpandAttrs){{1, {7}}, 1},
     1,
     {BATCH_OF(9)},
     DIAG_SHAPE_MISMATCH,
     "cannot be expanded"},
    {OP_log_softmax,
     &(const SoftmaxAttrs){0},
     1,
     {BATCH_OF(9)},
     DIAG_SHAPE_MISMATCH,
     "over which log_softmax"},
    {OP_prelu,
     &(const PreluAttrs){0.25},
     2,
     {IMAGE(6, 9, 9), FIXED4(6, 1, 1, 9)},
     DIAG_SHAPE_MISMATCH,
     "do not fit together"},
    {OP_prelu,
     &(const PreluAttrs){0.25},
     2,
     {IMAGE(1, 9, 9), {.dtype = DT_F32, .rank = 3, .dim = {D(6), D(1), D(1)}}},
     DIAG_SHAPE_MISMATCH,
     "is larger than"},
    {OP_flatten,
     &(const FlattenAttrs){3, 1},
     1,
     {IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "start_dim 3 and end_dim 1 do not fit"},
    {OP_flatten,
     &(const FlattenAttrs){1, -1},
     1,
     {{.dtype = DT_F32,
       .rank = 4,
       .dim = {{1, true}, D(16), D(9), D(9)},
       .layout = {.nparts = 5, .part = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1, 8}}}}},
     DIAG_IR_INVALID,
     "flatten is a view and needs a dense operand"},
    {OP_reshape,
     &(const ReshapeAttrs){{1, {7}}},
     1,
     {BATCH_OF(9)},
     DIAG_SHAPE_MISMATCH,
     "\"x\" f32[N,9] has 9 elements, the new shape f32[N,7] has 7"},
    {OP_permute,
     &(const PermuteAttrs){{4, {0, 1, 3, 3}}},
     1,
     {IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "dims must name each dimension of"},
    {OP_permute,
     &(const PermuteAttrs){{4, {1, 0, 2, 3}}},
     1,
     {IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "is the batch and stays in front"},
    {OP_concat,
     &(const ConcatAttrs){1},
     2,
     {IMAGE(6, 9, 9), IMAGE(4, 9, 8)},
     DIAG_SHAPE_MISMATCH,
     "all but dimension 1 must be equal"},
    {OP_concat,
     &(const ConcatAttrs){1},
     2,
     {IMAGE(6, 9, 9), BATCH_OF(9)},
     DIAG_SHAPE_MISMATCH,
     "do not fit side by side"},
    {OP_concat,
     &(const ConcatAttrs){0},
     2,
     {IMAGE(6, 9, 9), IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "dim 0 is the batch, which concat keeps whole"},
    {OP_concat,
     &(const ConcatAttrs){4},
     2,
     {IMAGE(6, 9, 9), IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "dim 4 is not a dimension of"},
    {OP_slice,
     &(const SliceAttrs){1, 2, 7, 1},
     1,
     {IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "elements 2 to 7 of dimension 1 are no slice of"},
    {OP_slice_backward,
     &(const SliceBackwardAttrs){{1, 2, 6, 1}, 9},
     1,
     {IMAGE(6, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "is not elements 2 to 6 of the 9 of dimension 1"},
    {OP_unfold_depth,
     &(const UnfoldDepthAttrs){.kernel_size = 3, .stride = 1, .padding.n = 2, .dilation = 1, .rows.n = 2},
     1,
     {VOLUME(6, 2, 9, 9)},
     DIAG_SHAPE_MISMATCH,
     "kernel_size 3 does not fit in the depth 2 of its input"},
    {OP_fold_depth,
     &(const FoldDepthAttrs){
         {.kernel_size = 3, .stride = 1, .padding.n = 2, .dilation = 1, .rows = {2, {1, 0}}}, {2, {5, 2}}},
     1,
     {IMAGE(6, 8, 9)},
     DIAG_SHAPE_MISMATCH,
     "is not 3 planes of 3 rows with channels for 3 taps"},
    {OP_add,
     NULL,
     2,
     {IMAGE(6, 9, 9), IMAGE(6, 9, 8)},
     DIAG_SHAPE_MISMATCH,
     "\"x\" f32[N,6,9,9] and \"x.1\" f32[N,6,9,8] do not fit together"},
    {OP_add,
     NULL,
     2,
     {IMAGE(6, 9, 9), {.dtype = DT_I32, .rank = 1, .dim = {D(9)}}},
     DIAG_DTYPE_MISMATCH,
     "floating-point"},
    {OP_add, NULL, 2, {IMAGE(6, 9, 9), BATCH_OF(9)}, DIAG_SHAPE_MISMATCH, "do not fit together"},
    {OP_add,
     NULL,
     2,
     {FIXED2(2147483647, 1), FIXED4(4, 2147483647, 1, 2147483647)},
     DIAG_SIZE_OVERFLOW,
     "the sizes of this add"},
};

Test(ops, refusals) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const Refusal *r = &refusals[i];
        begin();
        Graph *g = graph_new(&cx, "g");
        ValueId in[5];
        for (uint32_t k = 0; k < r->n; k++)
            in[k] = graph_input(g, "x", r->operands[k], (Loc){0});
        cr_expect_eq(graph_node(g, r->op, in, r->n, r->attrs, "y", (Loc){0}), NO_VALUE, "case %zu", i);
        cr_assert_gt(cx.diag.errors, 0u, "case %zu", i);
        cr_expect_eq(cx.diag.entries.data[0].id, r->id, "case %zu: %s", i, messages());
        cr_expect(strstr(messages(), r->words) != NULL, "case %zu: %s", i, messages());
        end();
    }
}

/* Pools as PyTorch counts them; NaN as PyTorch keeps it. */
Test(ops, corners) {
    static const int64_t cases[][6] = {
        /* in, kernel, stride, padding, ceil, out */
        {7, 2, 2, 0, 0, 3}, {7, 2, 2, 0, 1, 4}, {7, 3, 2, 1, 0, 4}, {6, 3, 2, 1, 1, 4},
        {5, 2, 3, 1, 1, 2}, {3, 2, 4, 1, 1, 1}, {1, 2, 2, 0, 1, 1}, {13, 3, 5, 0, 1, 3},
    };
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t *c = cases[i];
        Graph *g = graph_new(&cx, "g");
        ValueId x = graph_input(g, "x", (Type)IMAGE(1, c[0], c[0]), (Loc){0});
        ValueId y = graph_node(g, OP_max_pool2d, &x, 1, POOL(c[1], c[2], c[3], c[4] != 0), "y", (Loc){0});
        cr_assert_neq(y, NO_VALUE, "%s", messages());
        cr_expect_eq(g->values.data[y].type.dim[3].size, c[5], "case %zu", i);
    }
    double data[4] = {-1, NAN, 3, -INFINITY}, out[4] = {0};
    Tensor in = {.rank = 4, .dim = {1, 1, 2, 2}, .data = data},
           t = {.rank = 4, .dim = {1, 1, 2, 2}, .data = out};
    op_relu.eval(NULL, &in, 1, &t);
    cr_expect(out[0] == 0 && isnan(out[1]) && out[2] == 3 && out[3] == 0);
    t.dim[2] = t.dim[3] = 1;
    op_max_pool2d.eval(POOL(2, 2, 0, false), &in, 1, &t);
    cr_expect(isnan(out[0]));
    end();
}

/* Known answers of Philox4x32-10, from the tests that came with its authors' library. */
Test(ops, philox) {
    static const uint32_t known[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
         0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t counter[4];
        memcpy(counter, known[i], sizeof counter);
        philox4x32(counter, known[i][4], known[i][5]);
        cr_expect_eq(memcmp(counter, known[i] + 6, sizeof counter), 0, "case %d", i);
    }
}

/* Seed and calls are whole words, and the mask of an image does not depend on who stands beside it. */
Test(ops, dropout_words) {
    double x[12], key = -0x1p62, calls = 7, out[12], one[6];
    for (int i = 0; i < 12; i++)
        x[i] = 1;
    Tensor in[3] = {{.rank = 2, .dim = {2, 6}, .data = x},
                    {.rank = 1, .dim = {1}, .data = &key},
                    {.rank = 1, .dim = {1}, .data = &calls}};
    Tensor t = {.rank = 2, .dim = {2, 6}, .data = out};
    const DropoutTrainAttrs a = {.p = 0.5, .layer = 3};
    op_dropout_train.eval(&a, in, 3, &t);
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t counter[4] = {i / 6, i % 6 / 4, 7, 3};
        philox4x32(counter, 0, 0xc0000000);
        cr_expect_eq(out[i], counter[i % 6 % 4] >> 31 ? 2 : 0, "element %u", i);
    }
    in[0].dim[0] = t.dim[0] = 1;
    t.data = one;
    op_dropout_train.eval(&a, in, 3, &t);
    cr_expect_eq(memcmp(one, out, sizeof one), 0);
}
