/* Losses of elements. Each sample's elements are added up in COLUMNS columns, which are the lanes, and what
 * is left over stands by itself; then all of it is summed. The bits depend neither on the lanes nor on
 * threads. */
#include "ir/lower/loss.h"
#include "ir/lower/lower.h"

enum { COLUMNS = 16 };

typedef struct Elements {
    LossKernel k;
    const ElementLossAttrs *a;
    ElementLoss f;
    uint32_t first;      /* the operand that is the first weight */
    uint32_t in[5];      /* kernel buffers of the operands */
    int64_t size;        /* elements of a sample */
    int64_t whole, rest; /* rows of columns, elements behind them */
    Dim outer;           /* samples */
} Elements;

static Elements begin(Lower *lw, const Node *n, ElementLoss f, const char *what, uint32_t first) {
    const Type *x = &lw->g->values.data[n->operands[0]].type;
    Elements e = {.k = loss_kernel(lw, n, what), .a = n->attrs, .f = f, .first = first, .outer = x->dim[0]};
    for (uint32_t i = 0; i < n->n_operands; i++)
        e.in[i] = loss_operand(&e.k, i);
    e.size = type_elems(x, 1) / x->dim[0].size;
    e.whole = e.size / COLUMNS;
    e.rest = e.size % COLUMNS;
    return e;
}

/* f at element `at` of sample i. */
static LVal element(Elements *e, Idx i, Idx at) {
    LBuild *b = &e->k.b;
    const LType f32 = {DT_F32, 1};
    Idx flat = lb_add(b, lb_mulc(b, i, e->size), at);
    LVal x = lb_load(b, f32, e->in[0], flat), y = lb_load(b, f32, e->in[1], flat), extra[2];
    for (uint32_t w = e->first; w < e->k.n->n_operands; w++)
        extra[w - e->first] = lb_load(b, f32, e->in[w], at);
    return e->f(b, e->a, x, y, extra);
}

/* Column j of sample i into partial[at + j]. */
static void add_columns(Elements *e, Idx i, uint32_t partial, Idx at, uint8_t lanes) {
    LBuild *b = &e->k.b;
    Idx j = lb_for_vector(b, "j", lb_c(b, 0), lb_c(b, COLUMNS), lanes);
    uint32_t sum = loss_cell(b, "sum", (LType){DT_F64, 1}, 0);
    Idx row = lb_for(b, FOR_SERIAL, "row", lb_c(b, 0), lb_c(b, e->whole), 1);
    LVal v = element(e, i, lb_add(b, lb_mulc(b, row, COLUMNS), j));
    loss_add(b, sum, lb_convert(b, DT_F64, v));
    lb_end(b);
    lb_store(b, partial, lb_add(b, at, j), loss_get(b, sum, (LType){DT_F64, 1}));
    lb_end(b);
}

bool lower_element_loss(Lower *lw, const Node *n, ElementLoss f) {
    const uint8_t lanes = (uint8_t)target_lanes(lw->target, 4);
    Elements e = begin(lw, n, f, "partial", 2);
    LBuild *b = &e.k.b;
    LossPartial p = loss_partial(lw, n, e.outer, 1, (e.whole ? COLUMNS : 0) + e.rest);
    p.count = (Dim){e.outer.size * e.size, e.outer.by_n};
    uint32_t out = loss_param(&e.k, p.buf, LB_OUT, "partial");
    Idx i = lb_for(b, FOR_PARALLEL, "i", lb_c(b, 0), lb_dim(b, e.outer), 1);
    Idx at = lb_mulc(b, i, p.size);
    if (e.whole)
        add_columns(&e, i, out, at, lanes);
    Idx j = lb_for_vector(b, "j", lb_c(b, 0), lb_c(b, e.rest), lanes);
    LVal v = element(&e, i, lb_addc(b, j, e.whole * COLUMNS));
    lb_store(b, out, lb_add(b, at, lb_addc(b, j, e.whole ? COLUMNS : 0)), lb_convert(b, DT_F64, v));
    lb_end(b);
    lb_end(b);
    return loss_end(&e.k) && loss_total(lw, n, &p, e.a->reduction);
}

bool lower_element_loss_backward(Lower *lw, const Node *n, ElementLoss f) {
    const LType f64 = {DT_F64, 1};
    Elements e = begin(lw, n, f, "gradient", 3);
    LBuild *b = &e.k.b;
    uint32_t out = loss_param(&e.k, lw->buf[n->result], LB_OUT, "out");
    Idx i = lb_for(b, FOR_PARALLEL, "i", lb_c(b, 0), lb_dim(b, e.outer), 1);
    LVal scale = lb_load(b, f64, e.in[2], lb_c(b, HYPER_GRAD_SCALE));
    if (e.a->reduction == REDUCTION_MEAN) {
        Dim count = {e.outer.size * e.size, e.outer.by_n};
        scale = lb_op2(b, LOP_DIV, scale, lb_index(b, f64, lb_dim(b, count)));
    }
    scale = lb_convert(b, DT_F32, scale);
    Idx j = lb_for_vector(b, "j", lb_c(b, 0), lb_c(b, e.size), (uint8_t)target_lanes(lw->target, 4));
    LVal v = lb_op2(b, LOP_MUL, element(&e, i, j), scale);
    lb_store(b, out, lb_add(b, lb_mulc(b, i, e.size), j), v);
    lb_end(b);
    lb_end(b);
    return loss_end(&e.k);
}
