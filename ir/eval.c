/* Reference evaluation of a graph in double precision, one node after the other, regions included. What
 * compiled code must agree with, and how constants are folded: plain rather than fast. */
#include "ir/eval.h"
#include "ir/ops/common.h"
#include <math.h>
#include <string.h>

int64_t tensor_elems(const Tensor *t) {
    int64_t count = 1; /* cannot overflow: the data exists */
    for (int d = 0; d < t->rank; d++)
        count *= t->dim[d];
    return count;
}

void eval_same(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    memcpy(out->data, in[0].data, (size_t)tensor_elems(out) * sizeof(double));
}

/* The element of t that broadcasting puts at flat position i of out. */
static double broadcast_at(const Tensor *t, const Tensor *out, int64_t i) {
    int64_t at = 0, stride = 1;
    for (int k = 1; k <= t->rank; k++) {
        int64_t extent = t->dim[t->rank - k];
        if (extent != 1)
            at += i % out->dim[out->rank - k] * stride;
        i /= out->dim[out->rank - k];
        stride *= extent;
    }
    return t->data[at];
}

static bool same_dims(const Tensor *a, const Tensor *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

void eval_binary(const Tensor *in, Tensor *out, double (*f)(double, double)) {
    int64_t count = tensor_elems(out);
    bool plain = same_dims(&in[0], out) && same_dims(&in[1], out);
    for (int64_t i = 0; i < count; i++)
        out->data[i] = plain ? f(in[0].data[i], in[1].data[i])
                             : f(broadcast_at(&in[0], out, i), broadcast_at(&in[1], out, i));
}

/* ---- Constants ---- */

static double half_to_double(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double x = exponent == 31  ? (fraction ? NAN : INFINITY)
               : exponent == 0 ? ldexp(fraction, -24)
                               : ldexp(1024 + fraction, exponent - 25);
    return h >> 15 ? -x : x;
}

static double bf16_to_double(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void convert(DType t, const void *data, int64_t count, double *out) {
#define FROM(T, expr)                                                                                        \
    for (int64_t i = 0; i < count; i++) {                                                                    \
        const T *x = (const T *)data + i;                                                                    \
        out[i] = expr;                                                                                       \
    }                                                                                                        \
    break
    switch (t) {
    case DT_F32:
        FROM(float, (double)*x);
    case DT_F64:
        FROM(double, *x);
    case DT_BF16:
        FROM(uint16_t, bf16_to_double(*x));
    case DT_F16:
        FROM(uint16_t, half_to_double(*x));
    case DT_I8:
        FROM(int8_t, *x);
    case DT_U8:
    case DT_BOOL:
        FROM(uint8_t, *x);
    case DT_I32:
        FROM(int32_t, *x);
    case DT_U32:
        FROM(uint32_t, *x);
    case DT_I64:
        FROM(int64_t, (double)*x);
    case DT_COUNT:
        break;
    }
#undef FROM
}

/* ---- The graph ---- */

typedef struct Eval {
    const Graph *g;
    int64_t n;
    Tensor *values;
    Arena *arena;
} Eval;

static bool make_tensor(Eval *e, ValueId v, Tensor *t) {
    const Value *value = &e->g->values.data[v];
    int64_t count = type_elems(&value->type, e->n), bytes;
    if (count < 0 || __builtin_mul_overflow(count, (int64_t)sizeof(double), &bytes))
        return diag_error(&e->g->cx->diag, DIAG_SIZE_OVERFLOW, &value->loc,
                          "%%%s is too large to be evaluated for a batch of %lld", value->name,
                          (long long)e->n);
    t->rank = value->type.rank;
    for (int d = 0; d < t->rank; d++)
        t->dim[d] = dim_at(value->type.dim[d], e->n);
    t->data = NEW_ARRAY(e->arena, double, (size_t)count);
    return true;
}

/* The tensor of a pointwise op of a region, by what its operands really are. */
static Tensor broadcast_tensor(Eval *e, const Tensor *in, uint32_t n) {
    Tensor t = {0};
    for (uint32_t i = 0; i < n; i++)
        if (in[i].rank > t.rank)
            t.rank = in[i].rank;
    for (int k = 1; k <= t.rank; k++) {
        int64_t *extent = &t.dim[t.rank - k];
        *extent = 1;
        for (uint32_t i = 0; i < n; i++)
            if (k <= in[i].rank && in[i].dim[in[i].rank - k] != 1)
                *extent = in[i].dim[in[i].rank - k];
    }
    t.data = NEW_ARRAY(e->arena, double, (size_t)tensor_elems(&t));
    return t;
}

/* The region applied to `first` and the extra operands; its last value. */
static Tensor eval_region(Eval *e, const Graph *region, Tensor first, const ValueId *extra) {
    Tensor *values = NEW_ARRAY(e->arena, Tensor, region->values.len);
    Tensor last = first;
    uint32_t args = 0;
    for (uint32_t v = 0; v < region->values.len; v++) {
        const Value *value = &region->values.data[v];
        if (value->kind != VK_RESULT) {
            last = values[v] = args ? e->values[extra[args - 1]] : first;
            args++;
            continue;
        }
        const Node *node = &region->nodes.data[value->def];
        Tensor *in = NEW_ARRAY(e->arena, Tensor, node->n_operands);
        for (uint32_t i = 0; i < node->n_operands; i++)
            in[i] = values[node->operands[i]];
        values[v] = broadcast_tensor(e, in, node->n_operands);
        op_desc(node->op)->eval(node->attrs, in, node->n_operands, &values[v]);
        last = values[v];
    }
    return last;
}

static bool eval_node(Eval *e, const Node *n) {
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    Tensor *in = NEW_ARRAY(e->arena, Tensor, own ? own : 1), out = {0};
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (!e->values[n->operands[i]].data)
            return diag_error(&e->g->cx->diag, DIAG_IR_INVALID, &n->loc, "%%%s has no value to evaluate with",
                              e->g->values.data[n->operands[i]].name);
    for (uint32_t i = 0; i < own; i++)
        in[i] = e->values[n->operands[i]];
    if (n->prologue)
        in[0] = eval_region(e, n->prologue, in[0], n->operands + own);
    if (!make_tensor(e, n->result, &out))
        return false;
    op_desc(n->op)->eval(n->attrs, in, own, &out);
    if (op_desc(n->op)->writes)
        out = in[0]; /* written in place: the same memory, as for what is compiled */
    if (n->epilogue)
        out = eval_region(e, n->epilogue, out, n->operands + own + n->n_prologue);
    e->values[n->result] = out;
    return true;
}

bool graph_eval(const Graph *g, int64_t n, Tensor *values, Arena *arena) {
    Eval e = {.g = g, .n = n, .values = values, .arena = arena};
    for (ValueId v = 0; v < g->values.len; v++) {
        const Value *value = &g->values.data[v];
        if (value->kind != VK_CONST || values[v].data)
            continue;
        if (!make_tensor(&e, v, &values[v]))
            return false;
        convert(value->type.dtype, value->data, tensor_elems(&values[v]), values[v].data);
    }
    for (NodeId i = 0; i < g->nodes.len; i++)
        if (!eval_node(&e, &g->nodes.data[i]))
            return false;
    return true;
}
