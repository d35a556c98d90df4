/* adagrad: torch.optim.Adagrad. The slot is the sum of the squares of all gradients so far. */
#include "ir/ops/update.h"
#include <math.h>

enum { SUM = UPDATE_SLOTS };
enum { DECAY, EPS, RATE }; /* RATE: -lr / (1 + (step - 1) * lr_decay) */

static const AttrRow rows[] = {
    UPDATE_ROWS(AdagradAttrs),
    {"lr_decay", ATTR_FLOAT, offsetof(AdagradAttrs, lr_decay), 0, 0, 1e30, NULL, true, 0},
    {"eps", ATTR_FLOAT, offsetof(AdagradAttrs, eps), 0, 0, 1e30, NULL, true, 1e-10},
};

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const AdagradAttrs *a = attrs;
    const double decay = update_number(&a->update, in, HYPER_WEIGHT_DECAY);
    const double rate =
        update_number(&a->update, in, HYPER_LR) / (1 + (in[UPDATE_STEP].data[0] - 1) * a->lr_decay);
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        double *p = &in[UPDATE_PARAM].data[i], *sum = &in[SUM].data[i];
        const double g = update_grad(&a->update, in, i) + decay * *p;
        *sum += g * g;
        *p -= rate * g / (sqrt(*sum) + a->eps);
    }
    update_result(in, out);
}

static void begin(Update *u) {
    const AdagradAttrs *a = u->lk.n->attrs;
    LBuild *b = u->b;
    const LVal one = update_f64(u, 1), decay = update_hyper(u, HYPER_WEIGHT_DECAY);
    const LVal lr = update_hyper(u, HYPER_LR);
    const LVal before = lb_op2(b, LOP_SUB, lb_convert(b, DT_F64, update_step(u)), one);
    const LVal fall = lb_op2(b, LOP_ADD, one, lb_op2(b, LOP_MUL, before, update_f64(u, a->lr_decay)));
    u->number[DECAY] = update_round(u, decay);
    u->number[EPS] = update_f32(u, a->eps);
    u->number[RATE] = update_round(u, lb_op1(b, LOP_NEG, lb_op2(b, LOP_DIV, lr, fall)));
}

static void element(Update *u) {
    LBuild *b = u->b;
    const LVal p = update_load(u, UPDATE_PARAM), raw = update_load_grad(u);
    const LVal g = lb_mad(b, p, u->number[DECAY], raw);
    const LVal sum = lb_mad(b, g, g, update_load(u, SUM));
    update_store(u, SUM, sum);
    const LVal denom = lb_op2(b, LOP_ADD, lb_op1(b, LOP_SQRT, sum), u->number[EPS]);
    const LVal move = lb_op2(b, LOP_DIV, lb_op2(b, LOP_MUL, g, u->number[RATE]), denom);
    update_store(u, UPDATE_PARAM, lb_op2(b, LOP_ADD, p, move));
}

static bool lower(Lower *lw, const Node *n) {
    return lower_update(lw, n, begin, element);
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out, (void)n;
    return update_flops(c, 9);
}

const OpDesc op_adagrad = {
    .name = "adagrad",
    .min_operands = UPDATE_SLOTS + 1,
    .max_operands = UPDATE_SLOTS + 1,
    .operand_names = (const char *const[]){"param", "grad", "hyper", "step", "sum"},
    .attrs = ATTR_TABLE(rows, AdagradAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = update_verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower,
    .flops = flops,
    .writes = UPDATE_WRITES,
};
