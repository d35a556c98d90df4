/* Gradients against central differences of the double evaluator: of every op by its samples, of every loss,
 * and of whole nets as the pass autodiff makes them. Then what is frozen, and the optimizers against plain
 * loops. */
#include "ir/grad.h"
#include "ir/eval.h"
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

static uint64_t seed = 1;

static double noise(void) { /* in [-1, 1) */
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-52 - 1;
}

static Tensor tensor_of(const Type *t, int64_t n) {
    Tensor x = {.rank = t->rank, .data = NEW_ARRAY(&cx.arena, double, (size_t)type_elems(t, n))};
    for (int d = 0; d < t->rank; d++)
        x.dim[d] = dim_at(t->dim[d], n);
    return x;
}

static Tensor random_tensor(const Type *t, int64_t n) {
    Tensor x = tensor_of(t, n);
    for (int64_t i = 0; i < type_elems(t, n); i++)
        x.data[i] = noise();
    return x;
}

/* ---- A graph evaluated ---- */

/* What the leaves of a graph hold; nodes may write into copies of it. */
typedef struct Run {
    const Graph *g;
    int64_t n;
    Tensor *leaves;
    Tensor *values; /* after the last run */
    Arena arena;    /* of that run */
} Run;

static Run run_begin(const Graph *g, int64_t n) {
    Run r = {.g = g, .n = n, .leaves = NEW_ARRAY(&cx.arena, Tensor, g->values.len)};
    arena_init(&r.arena, NULL);
    return r;
}

static void run(Run *r) {
    arena_free(&r->arena);
    arena_init(&r->arena, NULL);
    r->values = NEW_ARRAY(&r->arena, Tensor, r->g->values.len);
    for (ValueId v = 0; v < r->g->values.len; v++) {
        r->values[v] = r->leaves[v];
        if (r->leaves[v].data)
            r->values[v].data =
                arena_copy(&r->arena, r->leaves[v].data,
                           (size_t)type_elems(&r->g->values.data[v].type, r->n) * sizeof(double));
    }
    cr_assert(graph_eval(r->g, r->n, r->values, &r->arena), "%s", messages());
}

/* sum(y * weight), weight NULL: all 1. */
static double total(const Run *r, ValueId y, const double *weight) {
    double sum = 0;
    for (int64_t i = 0; i < type_elems(&r->g->values.data[y].type, r->n); i++)
        sum += r->values[y].data[i] * (weight ? weight[i] : 1);
    return sum;
}

enum { PROBES = 40 };

/* The gradient `dx` of leaf x of sum(y * weight) against central differences at up to PROBES elements. */
static void check_gradient(Run *r, ValueId x, ValueId y, const double *weight, const double *dx,
                           const char *what) {
    const double h = 1e-5;
    const int64_t count = type_elems(&r->g->values.data[x].type, r->n), step = count / PROBES + 1;
    double largest = 1e-3;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(dx[i]));
    for (int64_t i = count > 1 ? (int64_t)(seed % (uint64_t)step) : 0; i < count; i += step) {
        double *at = &r->leaves[x].data[i], old = *at;
        *at = old + h;
        run(r);
        const double above = total(r, y, weight);
        *at = old - h;
        run(r);
        const double slope = (above - total(r, y, weight)) / (2 * h);
        *at = old;
        cr_assert_leq(fabs(slope - dx[i]), 1e-6 * largest, "%s, n %lld, %%%s[%lld]: %g, by differences %g",
                      what, (long long)r->n, r->g->values.data[x].name, (long long)i, dx[i], slope);
    }
}

/* ---- Every op ---- */

/* Statistics of a batch norm have no gradient; at inference its weight and bias are frozen. */
static bool is_trained(OpId op, uint32_t operand, bool training) {
    return op != OP_batch_norm || operand == 0 || (training && operand < 3);
}

static ValueId sample_operand(Graph *g, OpId op, uint32_t i, const Type *t, bool training) {
    const char *name = op_desc(op)->operand_names[i];
    if (type_has_n(t))
        return graph_input(g, name, *t, (Loc){0});
    if (is_trained(op, i, training))
        return graph_state(g, ROLE_PARAM, name, name, *t, (Loc){0});
    return training ? graph_state(g, ROLE_BUFFER, name, name, *t, (Loc){0})
                    : graph_param(g, VK_BUFFER, name, name, *t, (Loc){0});
}

static Tensor sample_values(const Value *v, int64_t n) {
    Tensor t = random_tensor(&v->type, n);
    for (int64_t i = 0; !strcmp(v->name, "running_var") && i < type_elems(&v->type, n); i++)
        t.data[i] = fabs(t.data[i]) + 0.5;
    return t;
}

/* The sample's op, in training mode or not, and from dy the gradients of its operands. */
static void check_op(OpId op, const OpSample *s, int64_t n, bool training) {
    const OpDesc *d = op_desc(op);
    Graph *g = graph_new(&cx, d->name);
    Grad gr = {.g = g, .training = training};
    ValueId in[MAX_OPERANDS];
    const Type counter = type_make(DT_I64, 1, &(const Dim){1, false});
    for (uint32_t i = 0; i < s->n; i++)
        in[i] = sample_operand(g, op, i, &s->operands[i], training);
    gr.seed = graph_state(g, ROLE_COUNTER, "seed", "seed", counter, (Loc){0});
    gr.calls = graph_state(g, ROLE_COUNTER, "calls", "calls", counter, (Loc){0});
    ValueId y = graph_node(g, op, in, s->n, s->attrs, "y", (Loc){0});
    cr_assert_neq(y, NO_VALUE, "%s: %s", d->name, messages());
    const Node like = *graph_def(g, y);
    if (training)
        y = d->train(&gr, &like, in);
    cr_assert_neq(y, NO_VALUE, "%s: %s", d->name, messages());
    const uint32_t forward = g->nodes.len;
    grad_begin(&gr);
    for (uint32_t i = 0; i < s->n; i++)
        gr.wanted[in[i]] = is_trained(op, i, training);
    grad_spread(&gr);
    const ValueId dy = graph_input(g, "dy", g->values.data[y].type, (Loc){0});
    gr.of[y] = dy;
    for (uint32_t i = forward; i-- > 0;) {
        const Node node = g->nodes.data[i];
        if (node.result == y || !training) /* what it stands for at inference has no gradient */
            cr_assert(grad_through(&gr, &node), "%s: %s", d->name, messages());
    }
    Run r = run_begin(g, n);
    for (ValueId v = 0; v < g->values.len; v++)
        if (g->values.data[v].kind != VK_RESULT && g->values.data[v].kind != VK_CONST)
            r.leaves[v] = sample_values(&g->values.data[v], n);
    run(&r);
    for (uint32_t i = 0; i < s->n; i++) {
        if (!is_trained(op, i, training))
            continue;
        cr_assert_neq(gr.of[in[i]], NO_VALUE, "%s has no gradient for operand %u", d->name, i);
        const Tensor *t = &r.values[gr.of[in[i]]];
        const double *dx =
            arena_copy(&cx.arena, t->data, (size_t)type_elems(&g->values.data[in[i]].type, n) * sizeof *dx);
        cr_assert(type_same_shape(&g->values.data[gr.of[in[i]]].type, &g->values.data[in[i]].type), "%s",
                  d->name);
        check_gradient(&r, in[i], y, r.leaves[dy].data, dx, d->name);
        run(&r);
    }
    arena_free(&r.arena);
}

/* Operands repeated by broadcasting, and views that mix the batch with other dimensions: refused, with words.
 */
static bool is_refused(OpId op, const OpSample *s) {
    Graph *g = graph_new(&cx, "probe");
    ValueId in[MAX_OPERANDS];
    for (uint32_t i = 0; i < s->n; i++)
        in[i] = graph_input(g, "x", s->operands[i], (Loc){0});
    const Type *y = &g->values.data[graph_node(g, op, in, s->n, s->attrs, "y", (Loc){0})].type;
    for (uint32_t i = 0; i < s->n && op_desc(op)->flags & OP_POINTWISE; i++)
        if (!type_same_shape(&s->operands[i], y))
            return true;
    return op_desc(op)->flags & OP_VIEW &&
           (type_has_n(y) != type_has_n(&s->operands[0]) || y->dim[0].size != s->operands[0].dim[0].size) &&
           type_has_n(y);
}

Test(grad, ops) {
    uint32_t checked = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const OpDesc *d = op_desc((OpId)op);
        if (op ==
            OP_batch_norm_train) /* its statistics are of its input: checked where batch_norm makes it */
            continue;
        for (uint32_t i = 0; i < d->n_samples; i++) {
            const OpSample *s = &d->samples[i];
            for (int64_t n = 1; n <= s->batch && (d->grad || d->train);
                 n += s->batch > 1 ? s->batch - 1 : 1) {
                begin();
                if (!is_refused((OpId)op, s)) {
                    if (d->grad)
                        check_op((OpId)op, s, n, false);
                    if (d->train)
                        check_op((OpId)op, s, n, true);
                    checked++;
                }
                end();
            }
        }
    }
    cr_assert_gt(checked, 20u);
}
