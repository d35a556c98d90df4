/* Where upsampling reads: places in f32 as PyTorch has them, and fractions that give the same elements as
 * index expressions. */
#include "ir/lower/upsample.h"
#include <math.h>

enum { CHECKED = 1 << 20 }; /* elements that are tried one by one */

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static int64_t greatest_divisor(int64_t a, int64_t b) {
    return b ? greatest_divisor(b, a % b) : a;
}

/* The scale as it is in f32: num / den, where den is a power of two. */
static void binary_scale(UpsampleLine *l) {
    double num = (double)l->axis.scale;
    l->den = 1;
    for (; num != floor(num); num *= 2)
        l->den *= 2;
    l->num = (int64_t)num;
}

/* Does the fraction give just the nearest elements? */
static bool is_nearest(const UpsampleLine *l) {
    if (l->axis.out > CHECKED)
        return false;
    for (int64_t i = 0; i < l->axis.out; i++)
        if (i * l->num / l->den != (int64_t)upsample_place(&l->axis, i))
            return false;
    return true;
}

static void nearest_line(UpsampleLine *l) {
    const int64_t divisor = greatest_divisor(l->axis.in, l->axis.out);
    l->num = l->axis.in / divisor;
    l->den = l->axis.out / divisor;
    l->one = is_nearest(l);
    if (l->one)
        return;
    binary_scale(l);
    l->one = is_nearest(l);
}

static void linear_line(UpsampleLine *l) {
    if (l->axis.in == l->axis.out) {
        l->num = l->den = 1;
        l->one = true;
    } else if (l->axis.align_corners) {
        l->num = l->axis.out > 1 ? l->axis.in - 1 : 0;
        l->den = l->axis.out > 1 ? l->axis.out - 1 : 1;
    } else {
        binary_scale(l);
        l->add = l->num - l->den; /* (2i + 1) * num / (2 * den) - 1/2 */
        l->num *= 2;
        l->den *= 2;
    }
}

/* The first and the last element of the result, by the fraction, that `at` takes part in. */
static void users_of(const UpsampleLine *l, int64_t at, int64_t *first, int64_t *last) {
    *first = floor_div((at - 1) * l->den - l->add, l->num) + 1;
    *last = floor_div((at + 1) * l->den - l->add + l->num - 1, l->num) - 1;
}

/* Does f32 round no element to another side? */
static bool is_tight(const UpsampleLine *l) {
    if (l->axis.out > CHECKED)
        return false;
    for (int64_t i = 0; i < l->axis.out; i++) {
        const float place = upsample_place(&l->axis, i);
        int64_t first, last, ignored;
        users_of(l, (int64_t)ceilf(place), &first, &ignored);
        users_of(l, (int64_t)place, &ignored, &last);
        if (i < first || i > last)
            return false;
    }
    return true;
}

UpsampleLine upsample_line(const Node *n, const Type *in, const Type *out, int axis) {
    const bool linear = n->op == OP_upsample_bilinear2d || n->op == OP_upsample_bilinear2d_backward;
    UpsampleLine l = {
        .axis = upsample_axis(n->attrs, linear, in->dim[2 + axis].size, out->dim[2 + axis].size, axis)};
    if (linear)
        linear_line(&l);
    else
        nearest_line(&l);
    l.margin = l.one || !l.num || is_tight(&l) ? 0 : 1;
    return l;
}

static Idx on_line(LBuild *b, Idx i, int64_t num, int64_t add, int64_t den) {
    return lb_divc(b, lb_addc(b, lb_mulc(b, i, num), add), den);
}

Idx upsample_source(LBuild *b, const UpsampleLine *l, Idx i) {
    const Idx at = on_line(b, i, l->num, l->add, l->den);
    return l->one ? at : lb_max(b, lb_c(b, 0), lb_min(b, at, lb_c(b, l->axis.in - 1)));
}

LVal upsample_place_at(LBuild *b, const UpsampleLine *l, Idx i) {
    const LType f32 = {DT_F32, 1};
    LVal at = lb_index(b, f32, i);
    const LVal scale = lb_const(b, f32, (double)l->axis.scale), half = lb_const(b, f32, 0.5);
    const bool centers = l->axis.linear && !l->axis.align_corners;
    if (centers)
        at = lb_op2(b, LOP_ADD, at, half);
    at = lb_op2(b, LOP_MUL, at, scale);
    if (centers)
        at = lb_op2(b, LOP_MAX, lb_op2(b, LOP_SUB, at, half), lb_const(b, f32, 0));
    else if (!l->axis.linear)
        at = lb_op1(b, LOP_FLOOR, at);
    return lb_op2(b, LOP_MIN, at, lb_const(b, f32, (double)(float)(l->axis.in - 1)));
}

void upsample_users(LBuild *b, const UpsampleLine *l, Idx at, Idx *lo, Idx *hi) {
    const Idx none = lb_c(b, 0), all = lb_c(b, l->axis.out);
    *lo = none;
    *hi = all;
    if (!l->num)
        return;
    /* the first i with num * i >= limit is floor((limit + num - 1) / num) */
    const int64_t up = l->num - 1;
    if (l->one) {
        *lo = on_line(b, at, l->den, up, l->num);
        *hi = on_line(b, lb_addc(b, at, 1), l->den, up, l->num);
    } else {
        *lo = lb_addc(b, on_line(b, at, l->den, -l->den - l->add, l->num), 1 - l->margin);
        *hi = lb_addc(b, on_line(b, at, l->den, l->den - l->add + up, l->num), l->margin);
        *lo = lb_max(b, none, *lo);
    }
    *hi = lb_min(b, all, *hi);
}
