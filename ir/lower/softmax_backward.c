/* softmax_backward: dx = (dy - sum(dy * y)) * y along lines of dense tensors, the sum in f64; of log_softmax,
 * dx = dy - sum(dy) * exp(y). */
#include "ir/lower/loss.h"

typedef struct SoftGrad {
    LBuild *b;
    Lines lines;
    int64_t length;
    bool log;
    uint32_t dy, y;
} SoftGrad;

static Idx element(SoftGrad *s, Idx k) {
    LBuild *b = s->b;
    Idx line = lb_mulc(b, s->lines.sample, s->length * s->lines.inner);
    return lb_add(b, lb_add(b, line, lb_mulc(b, k, s->lines.inner)), s->lines.place);
}

/* The sum of dy * y over the line, or of dy. */
static LVal line_sum(SoftGrad *s) {
    const LType f32 = {DT_F32, 1}, f64 = {DT_F64, 1};
    LBuild *b = s->b;
    uint32_t sum = loss_cell(b, "sum", f64, 0);
    Idx k = lb_for(b, FOR_SERIAL, "k", lb_c(b, 0), lb_c(b, s->length), 1);
    LVal dy = lb_convert(b, DT_F64, lb_load(b, f32, s->dy, element(s, k)));
    if (!s->log)
        dy = lb_op2(b, LOP_MUL, dy, lb_convert(b, DT_F64, lb_load(b, f32, s->y, element(s, k))));
    loss_add(b, sum, dy);
    lb_end(b);
    return lb_convert(b, DT_F32, loss_get(b, sum, f64));
}

static LVal element_grad(SoftGrad *s, LVal dy, LVal y, LVal sum) {
    LBuild *b = s->b;
    if (!s->log)
        return lb_op2(b, LOP_MUL, lb_op2(b, LOP_SUB, dy, sum), y);
    return lb_op2(b, LOP_SUB, dy, lb_op2(b, LOP_MUL, sum, lb_exp(b, y)));
}

bool lower_softmax_backward(Lower *lw, const Node *n) {
    const LType f32 = {DT_F32, 1};
    LowerKernel lk = lower_begin(lw, n, op_desc(n->op)->name);
    const SoftmaxAttrs *a = n->attrs;
    const Type *out = lk.out;
    const int dim = (int)(a->dim < 0 ? a->dim + out->rank : a->dim);
    SoftGrad s = {.b = &lk.b, .lines = {.outer = {1, false}, .inner = 1}, .length = out->dim[dim].size};
    for (int d = 0; d < out->rank; d++) {
        if (d < dim)
            s.lines.outer.size *= out->dim[d].size;
        if (d > dim)
            s.lines.inner *= out->dim[d].size;
    }
    s.lines.outer.by_n = type_has_n(out);
    s.log = n->op == OP_log_softmax_backward;
    s.dy = lk.in_buf[0];
    s.y = lk.in_buf[1];
    lines_open(&lk.b, &s.lines, lw->target);
    LVal sum = line_sum(&s);
    Idx k = lb_for(&lk.b, FOR_SERIAL, "k", lb_c(&lk.b, 0), lb_c(&lk.b, s.length), 1);
    Idx at = element(&s, k);
    LVal dy = lb_load(&lk.b, f32, s.dy, at), y = lb_load(&lk.b, f32, s.y, at);
    lb_store(&lk.b, lk.out_buf, at, element_grad(&s, dy, y, sum));
    lb_end(&lk.b);
    lines_close(&lk.b);
    return lower_end(&lk);
}
