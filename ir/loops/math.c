/* Elementary functions as loop IR, so that every target and every vector width gives the same bits for the
 * same multiply-add. Built from arithmetic that is exact on special values: no conversion of a float that may
 * be NaN to an integer, whose result would be undefined. */
#include "ir/loops/build.h"
#include <math.h>

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

/* exp(r) - 1 for |r| <= ln(2)/2 as r + r*r*q(r), q by minimax: below 0.06 ulp of exp(r) before rounding. */
static LVal exp_reduced(LBuild *b, LVal r) {
    static const double q[] = {0x1.fffffcp-2, 0x1.55549p-3, 0x1.5558f8p-5, 0x1.123b02p-7, 0x1.6a2256p-10};
    LVal p = f32_const(b, r, q[4]);
    for (int i = 3; i >= 0; i--)
        p = lb_mad(b, p, r, f32_const(b, r, q[i]));
    return lb_mad(b, p, lb_op2(b, LOP_MUL, r, r), r);
}

/* x = n*ln(2) + *r with |*r| <= ln(2)/2; gives n as i32 lanes. */
static LVal exp_split(LBuild *b, LVal x, LVal *r) {
    const double magic = 0x1.8p23; /* adding it rounds to an integer, left in the low bits */
    LType ints = {DT_I32, lb_type(b, x).lanes};
    LVal log2e = f32_const(b, x, 0x1.715476p+0), round = f32_const(b, x, magic);
    LVal t = lb_mad(b, x, log2e, round);
    LVal n = lb_op2(b, LOP_SUB, t, round);
    /* ln(2) in two pieces: n times the upper one is exact. */
    *r = lb_mad(b, n, f32_const(b, x, -0x1.62e4p-1), x);
    *r = lb_mad(b, n, f32_const(b, x, -0x1.7f7d1cp-20), *r);
    LVal bits = lb_bitcast(b, ints, t);
    return lb_op2(b, LOP_SUB, bits, i32_const(b, x, 0x4b400000));
}

/* exp of f32 within 1 ulp, and within 1.5 of the smallest step where the result is denormal. NaN stays NaN,
 * above 88.73 the result is inf, below -103.98 it is 0. With x = n*ln(2) + r the result is exp(r) * 2^n; the
 * scaling takes two steps since 2^n need not be a float though the result is. */
LVal lb_exp(LBuild *b, LVal x) {
    LVal r;
    x = lb_op2(b, LOP_MIN, x, f32_const(b, x, 89));
    x = lb_op2(b, LOP_MAX, x, f32_const(b, x, -104));
    LVal e = exp_split(b, x, &r);
    LVal half = lb_op2(b, LOP_SHR, e, i32_const(b, x, 1));
    LVal p = lb_op2(b, LOP_ADD, exp_reduced(b, r), f32_const(b, r, 1));
    p = lb_op2(b, LOP_MUL, p, power_of_two(b, half));
    return lb_op2(b, LOP_MUL, p, power_of_two(b, lb_op2(b, LOP_SUB, e, half)));
}

/* exp(x) - 1 of f32 for x <= 88 within 2 ulp, without the cancellation near 0: 2^n (exp(r) - 1) + (2^n - 1).
 */
LVal lb_expm1(LBuild *b, LVal x) {
    LVal r;
    x = lb_op2(b, LOP_MAX, x, f32_const(b, x, -30)); /* -1 from there on */
    LVal scale = power_of_two(b, exp_split(b, x, &r));
    LVal p = exp_reduced(b, r), rest = lb_op2(b, LOP_SUB, scale, f32_const(b, x, 1));
    return lb_mad(b, scale, p, rest);
}

/* tanh of f32 within 3 ulp: d / (d + 2) with d = exp(2x) - 1; beyond 10 it is 1. */
LVal lb_tanh(LBuild *b, LVal x) {
    x = lb_op2(b, LOP_MIN, x, f32_const(b, x, 10));
    x = lb_op2(b, LOP_MAX, x, f32_const(b, x, -10));
    LVal d = lb_expm1(b, lb_op2(b, LOP_ADD, x, x));
    return lb_op2(b, LOP_DIV, d, lb_op2(b, LOP_ADD, d, f32_const(b, x, 2)));
}

/* 1 / (1 + exp(-x)) of f32 within 3 ulp; below -88.73 it is 0. */
LVal lb_sigmoid(LBuild *b, LVal x) {
    LVal one = f32_const(b, x, 1), e = lb_exp(b, lb_op1(b, LOP_NEG, x));
    return lb_op2(b, LOP_DIV, one, lb_op2(b, LOP_ADD, one, e));
}

/* The upper tail of the normal distribution, erfc(a / sqrt(2)) / 2, for a >= 0, as exp(-a*a/2) times a
 * polynomial of t = 1 / (1 + 0.35 a) by minimax: within 4e-7 of the value up to a = 2, 2e-6 behind. `bell` is
 * exp(-a*a/2). */
LVal lb_normal_tail(LBuild *b, LVal a, LVal bell) {
    static const double q[] = {0x1.1df1d4p-3, 0x1.1e6ff2p-3,  0x1.ead524p-4, 0x1.b02c4cp-4, -0x1.7ac18p-6,
                               0x1.460338p-3, -0x1.05dcc4p-2, 0x1.26dd76p-3, -0x1.dd8bbp-6};
    LVal one = f32_const(b, a, 1), p = f32_const(b, a, q[8]);
    LVal t = lb_op2(b, LOP_DIV, one, lb_mad(b, a, f32_const(b, a, 0.35), one));
    for (int i = 7; i >= 0; i--)
        p = lb_mad(b, p, t, f32_const(b, a, q[i]));
    return lb_op2(b, LOP_MUL, lb_op2(b, LOP_MUL, p, t), bell);
}

/* log(1 + f) for f in [sqrt(1/2)-1, sqrt(2)-1] is f - f*f/2 + f*f*f*q(f), q by minimax: within 2^-28 of the
 * logarithm. Returns f*f*f*q(f). */
static LVal log_tail(LBuild *b, LVal f, LVal square) {
    static const double q[] = {0x1.555548p-2,  -0x1.000006p-2, 0x1.99a4b6p-3,  -0x1.555c4ep-3, 0x1.233768p-3,
                               -0x1.fc2208p-4, 0x1.e6f06ap-4,  -0x1.de3c16p-4, 0x1.1457a8p-4};
    LVal p = f32_const(b, f, q[8]);
    for (int i = 7; i >= 0; i--)
        p = lb_mad(b, p, f, f32_const(b, f, q[i]));
    return lb_op2(b, LOP_MUL, lb_op2(b, LOP_MUL, p, square), f);
}

/* log(m * 2^e) for m in [sqrt(1/2), sqrt(2)]. ln(2) in two pieces: e times the upper one is exact. */
static LVal log_reduced(LBuild *b, LVal m, LVal e) {
    LVal f = lb_op2(b, LOP_SUB, m, f32_const(b, m, 1)), square = lb_op2(b, LOP_MUL, f, f);
    LVal r = log_tail(b, f, square);
    r = lb_mad(b, e, f32_const(b, m, 0x1.7f7d1cp-20), r);
    r = lb_mad(b, square, f32_const(b, m, -0.5), r);
    r = lb_op2(b, LOP_ADD, f, r);
    return lb_mad(b, e, f32_const(b, m, 0x1.62e4p-1), r);
}

/* log of f32 within 1 ulp. log(0) is -inf, below 0 and of NaN it is NaN, log(inf) is inf. */
LVal lb_log(LBuild *b, LVal x) {
    LType ints = {DT_I32, lb_type(b, x).lanes}, floats = lb_type(b, x);
    LVal small = lb_op2(b, LOP_CMPLT, x, f32_const(b, x, 0x1p-126)); /* denormal */
    LVal normal = lb_select(b, small, lb_op2(b, LOP_MUL, x, f32_const(b, x, 0x1p23)), x);
    LVal bits = lb_bitcast(b, ints, normal);
    /* 0x3f3504f3 is sqrt(1/2): the difference's exponent field counts halvings down to [sqrt(1/2), sqrt(2)].
     */
    LVal e = lb_op2(b, LOP_SHR, lb_op2(b, LOP_SUB, bits, i32_const(b, x, 0x3f3504f3)), i32_const(b, x, 23));
    LVal scaled = lb_op2(b, LOP_SUB, bits, lb_op2(b, LOP_SHL, e, i32_const(b, x, 23)));
    LVal exponent = lb_select(b, small, lb_op2(b, LOP_SUB, e, i32_const(b, x, 23)), e);
    LVal r = log_reduced(b, lb_bitcast(b, floats, scaled), lb_convert(b, DT_F32, exponent));
    LVal positive = lb_op2(b, LOP_CMPLT, f32_const(b, x, 0), x);
    LVal finite = lb_op2(b, LOP_CMPLT, x, f32_const(b, x, INFINITY));
    r = lb_select(b, finite, r, x); /* inf and NaN are their own logarithms */
    LVal zero = lb_op2(b, LOP_CMPEQ, x, f32_const(b, x, 0));
    LVal other = lb_select(b, zero, f32_const(b, x, -INFINITY), f32_const(b, x, NAN));
    return lb_select(b, positive, r, other);
}

/* log(1 + x) of f32 for finite x >= 0 within 2 ulp: what 1 + x loses in rounding is added to its logarithm.
 */
LVal lb_log1p(LBuild *b, LVal x) {
    LVal one = f32_const(b, x, 1), sum = lb_op2(b, LOP_ADD, one, x);
    LVal big = lb_op2(b, LOP_MAX, one, x), small = lb_op2(b, LOP_MIN, one, x);
    LVal lost = lb_op2(b, LOP_SUB, small, lb_op2(b, LOP_SUB, sum, big));
    return lb_op2(b, LOP_ADD, lb_log(b, sum), lb_op2(b, LOP_DIV, lost, sum));
}
