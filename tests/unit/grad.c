/* Gradients against central differences of the double evaluator: of every op by its samples, and of every
 * loss.
 */
#include "ir/grad.h"
#include "gradient.h"
#include <stdio.h>

/* ---- Every op ---- */

/* Counters and the statistics of a batch norm have no gradient; at inference its weight and bias are frozen.
 */
static bool is_trained(OpId op, uint32_t operand, const Type *t, bool training) {
    return t->dtype == DT_F32 && (op != OP_batch_norm || operand == 0 || (training && operand < 3));
}

static ValueId sample_operand(Graph *g, OpId op, uint32_t i, const Type *t, bool training) {
    const char *name = op_desc(op)->operand_names[i];
    if (type_has_n(t))
        return graph_input(g, name, *t, (Loc){0});
    if (is_trained(op, i, t, training))
        return graph_state(g, ROLE_PARAM, name, name, *t, (Loc){0});
    return training ? graph_state(g, ROLE_BUFFER, name, name, *t, (Loc){0})
                    : graph_param(g, VK_BUFFER, name, name, *t, (Loc){0});
}

static Tensor sample_values(const Value *v, int64_t n) {
    Tensor t = random_tensor(&v->type, n);
    for (int64_t i = 0; i < type_elems(&v->type, n); i++)
        if (v->type.dtype == DT_I64)
            t.data[i] = floor(fabs(t.data[i]) * 1000);
        else if (!strcmp(v->name, "running_var") || !strcmp(v->name, "divisor"))
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
        gr.wanted[in[i]] = is_trained(op, i, &s->operands[i], training);
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
        if (!is_trained(op, i, &s->operands[i], training))
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

/* Views that mix the batch with other dimensions: refused, with words. */
static bool is_refused(OpId op, const OpSample *s) {
    Graph *g = graph_new(&cx, "probe");
    ValueId in[MAX_OPERANDS];
    for (uint32_t i = 0; i < s->n; i++)
        in[i] = graph_input(g, "x", s->operands[i], (Loc){0});
    const Type *y = &g->values.data[graph_node(g, op, in, s->n, s->attrs, "y", (Loc){0})].type;
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

/* ---- Every loss ---- */

static bool is_hyper(const Type *t) {
    return t->dtype == DT_F64;
}

/* Labels below the number of classes, the first one of each batch not ignored; weights above 0. */
static Tensor loss_operand(const Value *v, int64_t n, int64_t classes, int64_t ignored) {
    Tensor t = random_tensor(&v->type, n);
    for (int64_t i = 0; i < type_elems(&v->type, n); i++)
        if (v->type.dtype == DT_I64) {
            const int64_t label = (int64_t)(fabs(t.data[i]) * 0.999 * (double)classes);
            t.data[i] = (double)(label == ignored && !i ? (label + 1) % classes : label);
        } else if (strstr(v->name, "weight")) {
            t.data[i] = fabs(t.data[i]) + 0.5;
        }
    return t;
}

static void check_loss(OpId op, OpId back, const OpSample *s, int64_t n) {
    const OpDesc *d = op_desc(op);
    Graph *g = graph_new(&cx, d->name);
    ValueId in[MAX_OPERANDS], of_back[MAX_OPERANDS];
    for (uint32_t i = 0; i < s->n; i++)
        in[i] = graph_input(g, d->operand_names[i], s->operands[i], (Loc){0});
    const ValueId hyper = graph_hyper(g, "hyper", type_make(DT_F64, 1, &(const Dim){5, false}));
    const ValueId loss = graph_node(g, op, in, s->n, s->attrs, "loss", (Loc){0});
    for (uint32_t i = 0; i < s->n; i++)
        of_back[i < 2 ? i : i + 1] = in[i];
    of_back[2] = hyper;
    const ValueId dx = graph_node(g, back, of_back, s->n + 1, s->attrs, "dx", (Loc){0});
    cr_assert(loss != NO_VALUE && dx != NO_VALUE, "%s: %s", d->name, messages());
    Run r = run_begin(g, n);
    const int64_t classes = s->operands[0].rank > 1 ? s->operands[0].dim[1].size : 1;
    const bool by_index = s->operands[1].dtype == DT_I64;
    for (uint32_t i = 0; i < s->n; i++)
        r.leaves[in[i]] = loss_operand(&g->values.data[in[i]], n, classes,
                                       by_index ? ((const ClassLossAttrs *)s->attrs)->ignore_index : -1);
    r.leaves[hyper] = random_tensor(&g->values.data[hyper].type, n);
    run(&r);
    const double *slope =
        arena_copy(&cx.arena, r.values[dx].data, (size_t)type_elems(&s->operands[0], n) * sizeof *slope);
    check_gradient(&r, in[0], loss, r.leaves[hyper].data, slope, d->name);
    arena_free(&r.arena);
}

/* A loss is an op whose gradient, of that name and "_backward", takes the numbers of the step. */
static bool find_loss_backward(const OpDesc *d, OpId *back) {
    char name[64];
    const int length = snprintf(name, sizeof name, "%s_backward", d->name);
    if (!op_by_name(name, (size_t)length, back))
        return false;
    const OpSample *s = op_desc(*back)->samples;
    return s && s->n > 2 && is_hyper(&s->operands[2]);
}

Test(grad, losses) {
    uint32_t losses = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const OpDesc *d = op_desc((OpId)op);
        OpId back;
        if (!find_loss_backward(d, &back))
            continue;
        losses++;
        for (uint32_t i = 0; i < d->n_samples; i++)
            for (int64_t n = 1; n <= d->samples[i].batch;
                 n += d->samples[i].batch > 1 ? d->samples[i].batch - 1 : 1) {
                begin();
                check_loss((OpId)op, back, &d->samples[i], n);
                end();
            }
    }
    cr_assert_eq(losses, 6u);
}
