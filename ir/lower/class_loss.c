/* Losses of classes, input seen as [outer, classes, inner]. Lanes are places: neighbours along `inner`, or
 * samples where a sample has one place. So each place is added up by itself, in the order of its classes, in
 * f64, and its bits depend neither on the lanes nor on its neighbours. The target's class is found by
 * comparison: a label is never an address. */
#include "ir/lower/loss.h"
#include "ir/lower/lower.h"
#include <math.h>

static const LType f32 = {DT_F32, 1}, f64 = {DT_F64, 1}, i64 = {DT_I64, 1};

typedef struct Classes {
    LossKernel k;
    const ClassLossAttrs *a;
    bool log_softmax; /* of the input: cross_entropy */
    uint32_t in[4];   /* kernel buffers of the operands */
    uint32_t weight;  /* the operand that is the weight; there if below n_operands */
    int64_t classes;
    Lines rows;
    LVal label, valid; /* of the row where targets are indices; an ignored one has label -1 */
    LVal max, log_sum; /* of the row: log(sum(exp(x - max))) */
} Classes;

static Classes begin(Lower *lw, const Node *n, const char *what, bool backward) {
    const Type *x = &lw->g->values.data[n->operands[0]].type;
    Classes c = {.k = loss_kernel(lw, n, what),
                 .a = n->attrs,
                 .weight = backward ? 3 : 2,
                 .rows = {.outer = x->dim[0]}};
    c.log_softmax = n->op == OP_cross_entropy || n->op == OP_cross_entropy_backward;
    c.classes = x->dim[1].size;
    c.rows.inner = type_elems(x, 1) / x->dim[0].size / c.classes;
    return c;
}

static void take_operands(Classes *c) {
    for (uint32_t i = 0; i < c->k.n->n_operands; i++)
        c->in[i] = loss_operand(&c->k, i);
}

/* ---- A row ---- */

static void each_class(Classes *c, Idx *k) {
    LBuild *b = &c->k.b;
    *k = lb_for(b, FOR_SERIAL, "c", lb_c(b, 0), lb_c(b, c->classes), 1);
}

/* Element of input, result or probabilities. */
static Idx class_index(Classes *c, Idx k) {
    LBuild *b = &c->k.b;
    Idx at = lb_add(b, lb_mulc(b, c->rows.sample, c->classes * c->rows.inner), lb_mulc(b, k, c->rows.inner));
    return lb_add(b, at, c->rows.place);
}

static LVal input_at(Classes *c, Idx k) {
    return lb_load(&c->k.b, f32, c->in[0], class_index(c, k));
}

static void load_label(Classes *c) {
    LBuild *b = &c->k.b;
    if (c->a->probabilities)
        return;
    Idx at = lb_add(b, lb_mulc(b, c->rows.sample, c->rows.inner), c->rows.place);
    LVal t = lb_load(b, i64, c->in[1], at);
    c->valid = lb_op2(b, LOP_CMPNE, t, lb_const_int(b, i64, c->a->ignore_index));
    c->label = lb_select(b, c->valid, t, lb_const_int(b, i64, -1));
}

static LVal class_weight(Classes *c, Idx k) {
    LBuild *b = &c->k.b;
    return c->weight < c->k.n->n_operands ? lb_load(b, f32, c->in[c->weight], k) : lb_const(b, f32, 1);
}

/* The weight of class k where it is the row's label, else 0. */
static LVal label_weight(Classes *c, Idx k) {
    LBuild *b = &c->k.b;
    LVal hit = lb_op2(b, LOP_CMPEQ, c->label, lb_index(b, i64, k));
    return lb_select(b, hit, class_weight(c, k), lb_const(b, f32, 0));
}

/* What class k counts: the loss of the row is -sum(share * log_probability). */
static LVal class_share(Classes *c, Idx k) {
    LBuild *b = &c->k.b;
    const double smoothing = c->a->label_smoothing;
    LVal w = class_weight(c, k), keep = lb_const(b, f32, 1 - smoothing);
    LVal even = lb_const(b, f32, smoothing / (double)c->classes);
    if (c->a->probabilities) {
        LVal p = lb_load(b, f32, c->in[1], class_index(c, k));
        return lb_op2(b, LOP_MUL, w, smoothing != 0 ? lb_mad(b, keep, p, even) : p);
    }
    LVal own = label_weight(c, k);
    if (smoothing == 0)
        return own;
    LVal part = lb_select(b, c->valid, lb_op2(b, LOP_MUL, even, w), lb_const(b, f32, 0));
    return lb_mad(b, keep, own, part);
}

/* c->max and the sum of exp(x - max). */
static LVal sum_exps(Classes *c) {
    LBuild *b = &c->k.b;
    Idx k;
    uint32_t max = loss_cell(b, "max", f32, -INFINITY), sum = loss_cell(b, "sum", f64, 0);
    each_class(c, &k);
    LVal old = loss_get(b, max, f32);
    lb_store(b, max, lb_c(b, 0), lb_op2(b, LOP_MAX, old, input_at(c, k)));
    lb_end(b);
    c->max = loss_get(b, max, f32);
    each_class(c, &k);
    LVal e = lb_exp(b, lb_op2(b, LOP_SUB, input_at(c, k), c->max));
    loss_add(b, sum, lb_convert(b, DT_F64, e));
    lb_end(b);
    return loss_get(b, sum, f64);
}

/* The logarithm of an f64 that f32 nearly holds: what rounding loses is added to first order. */
static LVal log_f64(LBuild *b, LVal x) {
    LVal near = lb_convert(b, DT_F32, x);
    LVal lost = lb_convert(b, DT_F32, lb_op2(b, LOP_SUB, x, lb_convert(b, DT_F64, near)));
    LVal correction = lb_op2(b, LOP_DIV, lost, near);
    return lb_op2(b, LOP_ADD, lb_log(b, near), correction);
}

/* Minus the log-probability of class k. Exact where x is the maximum. */
static LVal class_loss(Classes *c, Idx k) {
    LBuild *b = &c->k.b;
    LVal x = input_at(c, k);
    if (!c->log_softmax)
        return lb_op1(b, LOP_NEG, x);
    LVal below = lb_op2(b, LOP_SUB, c->max, x);
    return lb_op2(b, LOP_ADD, below, c->log_sum);
}

/* Adds class k of the row. A log-probability of -inf matters only where a label asks for it. */
static void add_class(Classes *c, Idx k, uint32_t sum) {
    LBuild *b = &c->k.b;
    LVal share = class_share(c, k), term = lb_op2(b, LOP_MUL, share, class_loss(c, k));
    LVal zero = lb_const(b, f32, 0);
    if (!c->a->probabilities)
        term = lb_select(b, lb_op2(b, LOP_CMPEQ, share, zero), zero, term);
    loss_add(b, sum, lb_convert(b, DT_F64, term));
}

/* ---- All rows ---- */

static void open_rows(Classes *c) {
    lines_open(&c->k.b, &c->rows, c->k.lw->target);
    load_label(c);
}

static void store_partial(Classes *c, uint32_t partial, const LossPartial *p, int64_t part, LVal v) {
    LBuild *b = &c->k.b;
    Idx at = lb_addc(b, lb_mulc(b, c->rows.sample, p->parts * p->size), part * p->size);
    lb_store(b, partial, lb_add(b, at, c->rows.place), lb_convert(b, DT_F64, v));
}

/* The weight of the row's label. */
static LVal row_weight(Classes *c) {
    LBuild *b = &c->k.b;
    Idx k;
    uint32_t weight = loss_cell(b, "weight", f32, 0);
    each_class(c, &k);
    loss_add(b, weight, label_weight(c, k)); /* all but one are 0 */
    lb_end(b);
    return loss_get(b, weight, f32);
}

bool lower_class_loss(Lower *lw, const Node *n) {
    Classes c = begin(lw, n, "rows", false);
    LBuild *b = &c.k.b;
    Idx k;
    take_operands(&c);
    LossPartial p = loss_partial(lw, n, c.rows.outer, c.a->probabilities ? 1 : 2, c.rows.inner);
    p.count = (Dim){c.rows.outer.size * c.rows.inner, c.rows.outer.by_n};
    uint32_t partial = loss_param(&c.k, p.buf, LB_OUT, "partial");
    open_rows(&c);
    if (c.log_softmax)
        c.log_sum = log_f64(b, sum_exps(&c));
    uint32_t sum = loss_cell(b, "loss", f64, 0);
    each_class(&c, &k);
    add_class(&c, k, sum);
    lb_end(b);
    store_partial(&c, partial, &p, 0, loss_get(b, sum, f64));
    if (!c.a->probabilities)
        store_partial(&c, partial, &p, 1, row_weight(&c));
    lines_close(b);
    return loss_end(&c.k) && loss_total(lw, n, &p, c.a->reduction);
}

/* ---- The gradient ---- */

/* The weights of all labels, one a place. */
static bool weights_kernel(Lower *lw, const Node *n, LossPartial *p) {
    Classes c = begin(lw, n, "weights", true);
    *p = loss_partial(lw, n, c.rows.outer, 1, c.rows.inner);
    c.in[1] = loss_operand(&c.k, 1);
    if (c.weight < n->n_operands)
        c.in[c.weight] = loss_operand(&c.k, c.weight);
    uint32_t partial = loss_param(&c.k, p->buf, LB_OUT, "partial");
    open_rows(&c);
    store_partial(&c, partial, p, 0, row_weight(&c));
    lines_close(&c.k.b);
    return loss_end(&c.k);
}

/* What the gradient of the sum is multiplied by: f64 [1] in the workspace. */
static bool scale_kernel(Lower *lw, const Node *n, const LossPartial *p, uint32_t scale) {
    LossKernel k = loss_kernel(lw, n, "scale");
    LBuild *b = &k.b;
    uint32_t hyper = loss_operand(&k, 2), partial = loss_param(&k, p->buf, LB_IN, "partial");
    uint32_t out = loss_param(&k, scale, LB_OUT, "scale");
    uint32_t sum = loss_cell(b, "sum", f64, 0);
    loss_sum(b, p, partial, &sum);
    LVal v = lb_load(b, f64, hyper, lb_c(b, HYPER_GRAD_SCALE));
    lb_store(b, out, lb_c(b, 0), lb_op2(b, LOP_DIV, v, loss_get(b, sum, f64)));
    return loss_end(&k);
}

/* The sum of the row's shares. */
static LVal sum_shares(Classes *c) {
    LBuild *b = &c->k.b;
    Idx k;
    uint32_t sum = loss_cell(b, "shares", f64, 0);
    each_class(c, &k);
    loss_add(b, sum, lb_convert(b, DT_F64, class_share(c, k)));
    lb_end(b);
    return loss_get(b, sum, f64);
}

/* The gradient of the row: softmax(x) * sum(share) - share, or -share. The two nearly cancel where the
 * network is sure and right, so it is (exp(x - max) * sum(share) - share * sum(exp)) / sum(exp) in f64: the
 * largest exponential is exactly 1. An ignored row has none, even where the scale is no number because all
 * rows are ignored. */
static void row_gradient(Classes *c, uint32_t out, LVal scale) {
    LBuild *b = &c->k.b;
    LVal sum = NO_LVAL, shares = NO_LVAL, zero = lb_const(b, f32, 0);
    Idx k;
    if (c->log_softmax) {
        sum = sum_exps(c);
        shares = sum_shares(c);
        scale = lb_op2(b, LOP_DIV, scale, sum);
    }
    each_class(c, &k);
    LVal d = lb_op1(b, LOP_NEG, lb_convert(b, DT_F64, class_share(c, k)));
    if (c->log_softmax) {
        LVal e = lb_exp(b, lb_op2(b, LOP_SUB, input_at(c, k), c->max));
        LVal own = lb_op2(b, LOP_MUL, lb_convert(b, DT_F64, e), shares);
        d = lb_mad(b, d, sum, own);
    }
    d = lb_convert(b, DT_F32, lb_op2(b, LOP_MUL, d, scale));
    if (!c->a->probabilities)
        d = lb_select(b, c->valid, d, zero);
    lb_store(b, out, class_index(c, k), d);
    lb_end(b);
}

/* The scale as the gradient kernel sees it, where no weights of labels are summed. */
static LVal plain_scale(Classes *c) {
    LBuild *b = &c->k.b;
    LVal v = lb_load(b, f64, c->in[2], lb_c(b, HYPER_GRAD_SCALE));
    if (c->a->reduction == REDUCTION_SUM)
        return v;
    Dim count = {c->rows.outer.size * c->rows.inner, c->rows.outer.by_n};
    return lb_op2(b, LOP_DIV, v, lb_index(b, f64, lb_dim(b, count)));
}

bool lower_class_loss_backward(Lower *lw, const Node *n) {
    const ClassLossAttrs *a = n->attrs;
    const bool weighs = !a->probabilities && a->reduction == REDUCTION_MEAN;
    uint32_t scale = 0;
    if (weighs) {
        LossPartial p;
        Dim one = {1, false};
        scale = loss_work(lw, n, "scale", type_make(DT_F64, 1, &one));
        if (!weights_kernel(lw, n, &p) || !scale_kernel(lw, n, &p, scale))
            return false;
    }
    Classes c = begin(lw, n, "gradient", true);
    take_operands(&c);
    uint32_t factor = weighs ? loss_param(&c.k, scale, LB_IN, "scale") : 0;
    uint32_t out = loss_param(&c.k, lw->buf[n->result], LB_OUT, "out");
    LBuild *b = &c.k.b;
    open_rows(&c);
    LVal v = weighs ? lb_load(b, f64, factor, lb_c(b, 0)) : plain_scale(&c);
    row_gradient(&c, out, v);
    lines_close(b);
    return loss_end(&c.k);
}
