/* rmsprop: torch.optim.RMSprop. Slots: square_avg, grad_avg where it is centered, momentum_buffer or none. */
#include "ir/ops/update.h"
#include <math.h>

enum { SQUARE_AVG = UPDATE_SLOTS, GRAD_AVG };
enum { DECAY, MOMENTUM, ALPHA, TAKE, EPS, RATE }; /* TAKE: 1 - alpha; RATE: -lr */

static const AttrRow rows[] = {
    UPDATE_ROWS(RmspropAttrs),
    {"alpha", ATTR_FLOAT, offsetof(RmspropAttrs, alpha), 0, 0, 1e30, NULL, true, 0.99},
    {"eps", ATTR_FLOAT, offsetof(RmspropAttrs, eps), 0, 0, 1e30, NULL, true, 1e-8},
    {"centered", ATTR_BOOL, offsetof(RmspropAttrs, centered), 0, 0, 0, NULL, true, false},
};

/* The operand that is the momentum buffer, where there is one. */
static uint32_t buffer_operand(const RmspropAttrs *a) {
    return a->centered ? GRAD_AVG + 1 : GRAD_AVG;
}

static bool verify(const OpCall *c) {
    const RmspropAttrs *a = c->attrs;
    const uint32_t least = buffer_operand(a);
    if (c->n >= least && c->n <= least + 1)
        return update_verify(c);
    return diag_error(&c->cx->diag, DIAG_OPERAND_COUNT, &c->loc,
                      "rmsprop takes %u or %u operands here, not %u", least, least + 1, c->n);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const RmspropAttrs *a = attrs;
    const double lr = update_number(&a->update, in, HYPER_LR);
    const double decay = update_number(&a->update, in, HYPER_WEIGHT_DECAY);
    const double momentum = update_number(&a->update, in, HYPER_MOMENTUM);
    const uint32_t buffer = buffer_operand(a);
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        double *p = &in[UPDATE_PARAM].data[i], *square = &in[SQUARE_AVG].data[i];
        const double g = update_grad(&a->update, in, i) + decay * *p;
        double variance = *square = a->alpha * *square + (1 - a->alpha) * g * g;
        if (a->centered) {
            double *mean = &in[GRAD_AVG].data[i];
            *mean = a->alpha * *mean + (1 - a->alpha) * g;
            variance -= *mean * *mean;
        }
        double move = g / (sqrt(variance) + a->eps);
        if (n > buffer)
            move = in[buffer].data[i] = momentum * in[buffer].data[i] + move;
        *p -= lr * move;
    }
    update_result(in, out);
}

static void begin(Update *u) {
    const RmspropAttrs *a = u->lk.n->attrs;
    const LVal decay = update_hyper(u, HYPER_WEIGHT_DECAY), momentum = update_hyper(u, HYPER_MOMENTUM);
    const LVal lr = update_hyper(u, HYPER_LR);
    u->number[DECAY] = update_round(u, decay);
    u->number[MOMENTUM] = update_round(u, momentum);
    u->number[ALPHA] = update_f32(u, a->alpha);
    u->number[TAKE] = update_f32(u, 1 - a->alpha);
    u->number[EPS] = update_f32(u, a->eps);
    u->number[RATE] = update_round(u, lb_op1(u->b, LOP_NEG, lr));
}

/* sqrt of square_avg, less the square of grad_avg where it is centered, plus eps. */
static LVal deviation(Update *u, LVal g) {
    const RmspropAttrs *a = u->lk.n->attrs;
    LBuild *b = u->b;
    const LVal alpha = u->number[ALPHA], take = u->number[TAKE];
    const LVal old_sq = lb_op2(b, LOP_MUL, update_load(u, SQUARE_AVG), alpha);
    LVal v = lb_mad(b, lb_op2(b, LOP_MUL, g, take), g, old_sq);
    update_store(u, SQUARE_AVG, v);
    if (a->centered) {
        const LVal old = lb_op2(b, LOP_MUL, update_load(u, GRAD_AVG), alpha);
        const LVal mean = lb_mad(b, g, take, old);
        update_store(u, GRAD_AVG, mean);
        v = lb_mad(b, lb_op1(b, LOP_NEG, mean), mean, v);
    }
    return lb_op2(b, LOP_ADD, lb_op1(b, LOP_SQRT, v), u->number[EPS]);
}

static void element(Update *u) {
    const uint32_t buffer = buffer_operand(u->lk.n->attrs);
    LBuild *b = u->b;
    const LVal p = update_load(u, UPDATE_PARAM), raw = update_load_grad(u);
    const LVal g = lb_mad(b, p, u->number[DECAY], raw), avg = deviation(u, g);
    if (u->lk.n->n_operands > buffer) {
        const LVal old = lb_op2(b, LOP_MUL, update_load(u, buffer), u->number[MOMENTUM]);
        const LVal move = lb_op2(b, LOP_ADD, old, lb_op2(b, LOP_DIV, g, avg));
        update_store(u, buffer, move);
        update_store(u, UPDATE_PARAM, lb_mad(b, move, u->number[RATE], p));
        return;
    }
    const LVal move = lb_op2(b, LOP_DIV, lb_op2(b, LOP_MUL, g, u->number[RATE]), avg);
    update_store(u, UPDATE_PARAM, lb_op2(b, LOP_ADD, p, move));
}

static bool lower(Lower *lw, const Node *n) {
    return lower_update(lw, n, begin, element);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out, (void)n;
    const RmspropAttrs *a = c->attrs;
    return update_flops(c, 11 + (a->centered ? 5 : 0) + (c->n > buffer_operand(a) ? 2 : 0));
}

const OpDesc op_rmsprop = {
    .name = "rmsprop",
    .min_operands = UPDATE_SLOTS + 1,
    .max_operands = UPDATE_SLOTS + 3,
    .operand_names =
        (const char *const[]){"param", "grad", "hyper", "step", "square_avg", "average", "momentum_buffer"},
    .attrs = ATTR_TABLE(rows, RmspropAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    .writes = UPDATE_WRITES,
};
