/* Optimizers: one sweep over the parameter, its gradient and its slots, all dense, in place. */
#include "ir/ops/update.h"

/* Elements of a task: enough that what a task computes once does not count. */
enum { TASK_ELEMS = 16384, STEP_BITS = 63 };

static const LType f32 = {DT_F32, 1}, f64 = {DT_F64, 1}, i64 = {DT_I64, 1};

LVal update_f64(Update *u, double v) {
    return lb_const(u->b, f64, v);
}

LVal update_round(Update *u, LVal v) {
    return lb_convert(u->b, DT_F32, v);
}

LVal update_f32(Update *u, double v) {
    return lb_const(u->b, f32, v);
}

static LVal load_hyper(Update *u, int64_t at) {
    return lb_load(u->b, f64, u->lk.in_buf[UPDATE_HYPER], lb_c(u->b, at));
}

LVal update_hyper(Update *u, int which) {
    return load_hyper(u, HYPER_GROUPS + HYPER_PER_GROUP * u->attrs->group + which);
}

LVal update_step(Update *u) {
    return lb_load(u->b, i64, u->lk.in_buf[UPDATE_STEP], lb_c(u->b, 0));
}

/* A register that holds `first`. */
static uint32_t cell(LBuild *b, const char *name, LVal first) {
    const uint32_t r = lb_alloc(b, LB_REG, name, lb_type(b, first), 1);
    lb_store(b, r, lb_c(b, 0), first);
    return r;
}

/* By squaring: for each bit of the step, from the lowest. */
LVal update_bias_correction(Update *u, LVal base) {
    LBuild *b = u->b;
    const Idx zero = lb_c(b, 0);
    const LVal one = lb_const_int(b, i64, 1);
    const uint32_t power = cell(b, "power", update_f64(u, 1)), square = cell(b, "square", base);
    const uint32_t bits = cell(b, "bits", update_step(u));
    lb_for(b, FOR_NOUNROLL, "bit", zero, lb_c(b, STEP_BITS), 1);
    const LVal left = lb_load(b, i64, bits, zero), s = lb_load(b, f64, square, zero);
    const LVal p = lb_load(b, f64, power, zero), more = lb_op2(b, LOP_MUL, p, s);
    const LVal odd = lb_op2(b, LOP_CMPEQ, lb_op2(b, LOP_AND, left, one), one);
    lb_store(b, power, zero, lb_select(b, odd, more, p));
    lb_store(b, square, zero, lb_op2(b, LOP_MUL, s, s));
    lb_store(b, bits, zero, lb_op2(b, LOP_SHR, left, one));
    lb_end(b);
    const LVal result = lb_load(b, f64, power, zero);
    return lb_op2(b, LOP_SUB, update_f64(u, 1), result);
}

LVal update_load(Update *u, uint32_t operand) {
    return lb_load(u->b, f32, u->lk.in_buf[operand], u->at);
}

LVal update_load_grad(Update *u) {
    const LVal g = update_load(u, UPDATE_GRAD);
    if (u->attrs->clip == CLIP_NONE)
        return g;
    if (u->attrs->clip == CLIP_NORM)
        return lb_op2(u->b, LOP_MUL, g, u->clip);
    const LVal below = lb_op2(u->b, LOP_MIN, g, u->clip), least = lb_op1(u->b, LOP_NEG, u->clip);
    return lb_op2(u->b, LOP_MAX, below, least);
}

void update_store(Update *u, uint32_t operand, LVal v) {
    lb_store(u->b, u->lk.in_buf[operand], u->at, v);
}

bool lower_update(Lower *lw, const Node *n, void (*begin)(Update *), void (*element)(Update *)) {
    Update u = {.lk = lower_begin(lw, n, op_desc(n->op)->name), .attrs = n->attrs};
    LBuild *b = u.b = &u.lk.b;
    const int64_t total = type_elems(u.lk.in[UPDATE_PARAM], 1);
    const Idx count = lb_c(b, (total + TASK_ELEMS - 1) / TASK_ELEMS);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1), lo = lb_mulc(b, t, TASK_ELEMS);
    const Idx hi = lb_min(b, lb_addc(b, lo, TASK_ELEMS), lb_c(b, total));
    if (u.attrs && u.attrs->clip != CLIP_NONE)
        u.clip = update_round(&u, load_hyper(&u, HYPER_CLIP));
    begin(&u);
    u.at = lb_for_vector(b, "i", lo, hi, (uint8_t)u.lk.lanes);
    element(&u);
    lb_end(b);
    lb_end(b);
    return lower_end(&u.lk);
}
