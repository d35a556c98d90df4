/* sgd: torch.optim.SGD. The buffer of momentum, where there is one, begins with the first gradient. */
#include "ir/ops/update.h"

enum { BUFFER = UPDATE_SLOTS };       /* may be missing */
enum { DECAY, MOMENTUM, TAKE, RATE }; /* TAKE: the gradient's share of the buffer; RATE: -lr */

static const AttrRow rows[] = {
    UPDATE_ROWS(SgdAttrs),
    {"dampening", ATTR_FLOAT, offsetof(SgdAttrs, dampening), 0, -1e30, 1e30, NULL, true, 0},
    {"nesterov", ATTR_BOOL, offsetof(SgdAttrs, nesterov), 0, 0, 0, NULL, true, false},
};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const SgdAttrs *a = attrs;
    const double lr = update_number(&a->update, in, HYPER_LR);
    const double decay = update_number(&a->update, in, HYPER_WEIGHT_DECAY);
    const double momentum = update_number(&a->update, in, HYPER_MOMENTUM);
    const bool first = in[UPDATE_STEP].data[0] == 1 || momentum == 0;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        double *p = &in[UPDATE_PARAM].data[i], d = update_grad(&a->update, in, i) + decay * *p;
        if (n > BUFFER) {
            double *buffer = &in[BUFFER].data[i];
            *buffer = momentum * *buffer + (first ? 1 : 1 - a->dampening) * d;
            d = a->nesterov ? d + momentum * *buffer : *buffer;
        }
        *p -= lr * d;
    }
    update_result(in, out);
}

static void begin(Update *u) {
    const SgdAttrs *a = u->lk.n->attrs;
    LBuild *b = u->b;
    const LVal momentum = update_hyper(u, HYPER_MOMENTUM), one = update_f64(u, 1);
    const LVal first = lb_const_int(b, (LType){DT_I64, 1}, 1), step = update_step(u);
    const LVal later = lb_op2(b, LOP_CMPNE, step, first), some = update_f64(u, 1 - a->dampening);
    const LVal moving = lb_op2(b, LOP_CMPNE, momentum, update_f64(u, 0));
    const LVal decay = update_hyper(u, HYPER_WEIGHT_DECAY);
    const LVal rate = lb_op1(b, LOP_NEG, update_hyper(u, HYPER_LR));
    u->number[DECAY] = update_round(u, decay);
    u->number[MOMENTUM] = update_round(u, momentum);
    u->number[TAKE] = update_round(u, lb_select(b, lb_op2(b, LOP_AND, later, moving), some, one));
    u->number[RATE] = update_round(u, rate);
}

static void element(Update *u) {
    const SgdAttrs *a = u->lk.n->attrs;
    LBuild *b = u->b;
    const LVal p = update_load(u, UPDATE_PARAM), g = update_load_grad(u);
    LVal d = lb_mad(b, p, u->number[DECAY], g);
    if (u->lk.n->n_operands > BUFFER) {
        const LVal old = lb_op2(b, LOP_MUL, update_load(u, BUFFER), u->number[MOMENTUM]);
        const LVal buffer = lb_mad(b, d, u->number[TAKE], old);
        update_store(u, BUFFER, buffer);
        d = a->nesterov ? lb_mad(b, buffer, u->number[MOMENTUM], d) : buffer;
    }
    update_store(u, UPDATE_PARAM, lb_mad(b, d, u->number[RATE], p));
}

static bool lower(Lower *lw, const Node *n) {
    return lower_update(lw, n, begin, element);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out, (void)n;
    const SgdAttrs *a = c->attrs;
    return update_flops(c, 4 + (c->n > BUFFER ? 3 : 0) + (a->nesterov ? 2 : 0));
}

const OpDesc op_sgd = {
    .name = "sgd",
    .min_operands = UPDATE_SLOTS,
    .max_operands = UPDATE_SLOTS + 1,
    .operand_names = (const char *const[]){"param", "grad", "hyper", "step", "momentum_buffer"},
    .attrs = ATTR_TABLE(rows, SgdAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = update_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    .writes = UPDATE_WRITES,
};
