/* adam: torch.optim.Adam, and AdamW where the weight decay is decoupled. A third slot, max_exp_avg_sq, makes
 * it amsgrad. */
#include "ir/ops/update.h"
#include <math.h>

enum { EXP_AVG = UPDATE_SLOTS, EXP_AVG_SQ, MAX_EXP_AVG_SQ };
/* DECAY: weight_decay, or the factor 1 - lr * weight_decay; TAKE: 1 - beta; ROOT: sqrt of the second bias
 * correction; RATE: -lr / the first one. */
enum { DECAY, BETA1, TAKE1, BETA2, TAKE2, EPS, ROOT, RATE };

static const AttrRow rows[] = {
    UPDATE_ROWS(AdamAttrs),
    {"beta2", ATTR_FLOAT, offsetof(AdamAttrs, beta2), 0, 0, 1, NULL, true, 0.999},
    {"eps", ATTR_FLOAT, offsetof(AdamAttrs, eps), 0, 0, 1e30, NULL, true, 1e-8},
    {"decoupled", ATTR_BOOL, offsetof(AdamAttrs, decoupled), 0, 0, 0, NULL, true, false},
};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const AdamAttrs *a = attrs;
    const double lr = update_number(&a->update, in, HYPER_LR), step = in[UPDATE_STEP].data[0];
    const double decay = update_number(&a->update, in, HYPER_WEIGHT_DECAY);
    const double beta1 = update_number(&a->update, in, HYPER_MOMENTUM), beta2 = a->beta2;
    const double rate = lr / (1 - pow(beta1, step)), root = sqrt(1 - pow(beta2, step));
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        double *p = &in[UPDATE_PARAM].data[i], g = update_grad(&a->update, in, i);
        double *m = &in[EXP_AVG].data[i], *v = &in[EXP_AVG_SQ].data[i], largest;
        if (a->decoupled)
            *p *= 1 - lr * decay;
        else
            g += decay * *p;
        *m = beta1 * *m + (1 - beta1) * g;
        largest = *v = beta2 * *v + (1 - beta2) * g * g;
        if (n > MAX_EXP_AVG_SQ)
            largest = in[MAX_EXP_AVG_SQ].data[i] = fmax(in[MAX_EXP_AVG_SQ].data[i], *v);
        *p -= rate * *m / (sqrt(largest) / root + a->eps);
    }
    update_result(in, out);
}

static void begin(Update *u) {
    const AdamAttrs *a = u->lk.n->attrs;
    LBuild *b = u->b;
    const LVal lr = update_hyper(u, HYPER_LR), beta1 = update_hyper(u, HYPER_MOMENTUM);
    const LVal one = update_f64(u, 1);
    LVal decay = update_hyper(u, HYPER_WEIGHT_DECAY);
    if (a->decoupled)
        decay = lb_op2(b, LOP_SUB, one, lb_op2(b, LOP_MUL, lr, decay));
    const LVal rate = lb_op2(b, LOP_DIV, lr, update_bias_correction(u, beta1));
    const LVal root = lb_op1(b, LOP_SQRT, update_bias_correction(u, update_f64(u, a->beta2)));
    u->number[DECAY] = update_round(u, decay);
    u->number[BETA1] = update_round(u, beta1);
    u->number[TAKE1] = update_round(u, lb_op2(b, LOP_SUB, one, beta1));
    u->number[BETA2] = update_f32(u, a->beta2);
    u->number[TAKE2] = update_f32(u, 1 - a->beta2);
    u->number[EPS] = update_f32(u, a->eps);
    u->number[ROOT] = update_round(u, root);
    u->number[RATE] = update_round(u, lb_op1(b, LOP_NEG, rate));
}

static void element(Update *u) {
    const AdamAttrs *a = u->lk.n->attrs;
    LBuild *b = u->b;
    LVal p = update_load(u, UPDATE_PARAM), g = update_load_grad(u);
    if (a->decoupled)
        p = lb_op2(b, LOP_MUL, p, u->number[DECAY]);
    else
        g = lb_mad(b, p, u->number[DECAY], g);
    const LVal old = lb_op2(b, LOP_MUL, update_load(u, EXP_AVG), u->number[BETA1]);
    const LVal m = lb_mad(b, g, u->number[TAKE1], old);
    const LVal old_sq = lb_op2(b, LOP_MUL, update_load(u, EXP_AVG_SQ), u->number[BETA2]);
    LVal v = lb_mad(b, lb_op2(b, LOP_MUL, g, u->number[TAKE2]), g, old_sq);
    update_store(u, EXP_AVG, m);
    update_store(u, EXP_AVG_SQ, v);
    if (u->lk.n->n_operands > MAX_EXP_AVG_SQ) {
        v = lb_op2(b, LOP_MAX, update_load(u, MAX_EXP_AVG_SQ), v);
        update_store(u, MAX_EXP_AVG_SQ, v);
    }
    const LVal deviation = lb_op2(b, LOP_DIV, lb_op1(b, LOP_SQRT, v), u->number[ROOT]);
    const LVal denom = lb_op2(b, LOP_ADD, deviation, u->number[EPS]);
    const LVal move = lb_op2(b, LOP_DIV, lb_op2(b, LOP_MUL, m, u->number[RATE]), denom);
    update_store(u, UPDATE_PARAM, lb_op2(b, LOP_ADD, p, move));
}

static bool lower(Lower *lw, const Node *n) {
    return lower_update(lw, n, begin, element);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out, (void)n;
    const AdamAttrs *a = c->attrs;
    return update_flops(c, (a->decoupled ? 1 : 2) + 13 + (c->n > MAX_EXP_AVG_SQ ? 1 : 0));
}

const OpDesc op_adam = {
    .name = "adam",
    .min_operands = UPDATE_SLOTS + 2,
    .max_operands = UPDATE_SLOTS + 3,
    .operand_names =
        (const char *const[]){"param", "grad", "hyper", "step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    .attrs = ATTR_TABLE(rows, AdamAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = update_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    .writes = UPDATE_WRITES,
};
