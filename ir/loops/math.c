/* Elementary functions as loop IR, so that every target and every vector width gives the same bits for the
 * same multiply-add. Built from arithmetic that is exact on special values: no conversion of a float that may
 * be NaN to an integer, whose result would be undefined. */
#include "ir/loops/build.h"

static LVal f32_const(LBuild *b, LVal like, double v) {
    return lb_const(b, (LType){DT_F32, lb_type(b, like).lanes}, v);
}

static LVal i32_const(LBuild *b, LVal like, int64_t v) {
    return lb_const_int(b, (LType){DT_I32, lb_type(b, like).lanes}, v);
}

/* 2^e for e in [-126, 127], e being i32 lanes. */
static LVal power_of_two(LBuild *b, LVal e) {
    LVal biased = lb_op2(b, LOP_ADD, e, i32_const(b, e, 127));
    LVal bits = lb_op2(b, LOP_SHL, biased, i32_const(b, e, 23));
    return lb_bitcast(b, (LType){DT_F32, lb_type(b, e).lanes}, bits);
}

/* exp(r) for |r| <= ln(2)/2 as 1 + (r + r*r*q(r)), q by minimax: below 0.06 ulp before rounding. */
static LVal exp_reduced(LBuild *b, LVal r) {
    static const double q[] = {0x1.fffffcp-2, 0x1.55549p-3, 0x1.5558f8p-5, 0x1.123b02p-7, 0x1.6a2256p-10};
    LVal p = f32_const(b, r, q[4]);
    for (int i = 3; i >= 0; i--)
        p = lb_mad(b, p, r, f32_const(b, r, q[i]));
    p = lb_mad(b, p, lb_op2(b, LOP_MUL, r, r), r);
    return lb_op2(b, LOP_ADD, p, f32_const(b, r, 1));
}

/* exp of f32 within 1 ulp, and within 1.5 of the smallest step where the result is denormal. NaN stays NaN,
 * above 88.73 the result is inf, below -103.98 it is 0. With x = n*ln(2) + r the result is exp(r) * 2^n; the
 * scaling takes two steps since 2^n need not be a float though the result is. */
LVal lb_exp(LBuild *b, LVal x) {
    const double magic = 0x1.8p23; /* adding it rounds to an integer, left in the low bits */
    LType ints = {DT_I32, lb_type(b, x).lanes};
    x = lb_op2(b, LOP_MIN, x, f32_const(b, x, 89));
    x = lb_op2(b, LOP_MAX, x, f32_const(b, x, -104));
    LVal log2e = f32_const(b, x, 0x1.715476p+0), round = f32_const(b, x, magic);
    LVal t = lb_mad(b, x, log2e, round);
    LVal n = lb_op2(b, LOP_SUB, t, round);
    /* ln(2) in two pieces: n times the upper one is exact. */
    LVal r = lb_mad(b, n, f32_const(b, x, -0x1.62e4p-1), x);
    r = lb_mad(b, n, f32_const(b, x, -0x1.7f7d1cp-20), r);
    LVal bits = lb_bitcast(b, ints, t);
    LVal e = lb_op2(b, LOP_SUB, bits, i32_const(b, x, 0x4b400000));
    LVal half = lb_op2(b, LOP_SHR, e, i32_const(b, x, 1));
    LVal p = exp_reduced(b, r);
    p = lb_op2(b, LOP_MUL, p, power_of_two(b, half));
    return lb_op2(b, LOP_MUL, p, power_of_two(b, lb_op2(b, LOP_SUB, e, half)));
}
