/* Where upsampling reads: fractions as index expressions, which give elements and how far from them. Nearest
 * elements are those that PyTorch computes in f32: where no fraction gives just these, f32 decides. */
#include "ir/lower/upsample.h"
#include <math.h>

enum {
    CHECKED = 1 << 20, /* elements that are tried one by one */
    TASK_ELEMS = 4096
};

static int64_t greatest_divisor(int64_t a, int64_t b) {
    return b ? greatest_divisor(b, a % b) : a;
}

/* The scale as it is in f32: num / den, where den is a power of two. */
static void binary_scale(UpsampleLine *l) {
    double num = l->axis.scale;
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

static void sizes_ratio(UpsampleLine *l) {
    const int64_t divisor = greatest_divisor(l->axis.in, l->axis.out);
    l->num = l->axis.in / divisor;
    l->den = l->axis.out / divisor;
}

static void nearest_line(UpsampleLine *l) {
    sizes_ratio(l);
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
        if (l->axis.by_sizes)
            sizes_ratio(l);
        else
            binary_scale(l);
        l->add = l->num - l->den; /* (2i + 1) * num / (2 * den) - 1/2 */
        l->num *= 2;
        l->den *= 2;
    }
}

UpsampleLine upsample_line(const Node *n, const Type *in, const Type *out, int axis) {
    const bool linear = n->op == OP_upsample_bilinear2d || n->op == OP_upsample_bilinear2d_backward;
    UpsampleLine l = {
        .axis = upsample_axis(n->attrs, linear, in->dim[2 + axis].size, out->dim[2 + axis].size, axis)};
    if (linear)
        linear_line(&l);
    else
        nearest_line(&l);
    return l;
}

UpsampleTask upsample_tasks(LowerKernel *lk, int64_t first, int64_t steps, uint8_t lanes, int64_t height,
                            int64_t width) {
    LBuild *b = &lk->b;
    const int64_t most = width < TASK_ELEMS ? TASK_ELEMS / width : 1, rows = most < height ? most : height;
    const int64_t chunks = ceil_div(height, rows);
    const Idx count = lb_mulc(b, lb_dim(b, lk->out->dim[0]), steps * chunks);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1), channels = lb_divc(b, t, chunks);
    const Idx top = lb_mulc(b, lb_modc(b, t, chunks), rows);
    return (UpsampleTask){.n = lb_divc(b, channels, steps),
                          .c = lb_addc(b, lb_mulc(b, lb_modc(b, channels, steps), lanes), first),
                          .top = top,
                          .end = lb_min(b, lb_addc(b, top, rows), lb_c(b, height))};
}

/* ---- Index expressions ---- */

static Idx times(LBuild *b, Idx i, int64_t num, int64_t add) {
    return lb_addc(b, lb_mulc(b, i, num), add);
}

static Idx clamp(LBuild *b, Idx x, int64_t hi) {
    return lb_max(b, lb_c(b, 0), lb_min(b, x, lb_c(b, hi)));
}

Idx upsample_source(LBuild *b, const UpsampleLine *l, Idx i) {
    const Idx at = lb_divc(b, times(b, i, l->num, l->add), l->den);
    return l->one ? at : clamp(b, at, l->axis.in - 1);
}

/* The element that PyTorch takes is the source or the next one. */
static LVal nearest_part(LBuild *b, const UpsampleLine *l, Idx i, Idx at) {
    const LType f32 = {DT_F32, 1};
    const LVal to = lb_index(b, f32, i), from = lb_index(b, f32, at);
    const LVal place = lb_op1(b, LOP_FLOOR, lb_op2(b, LOP_MUL, to, lb_const(b, f32, l->axis.scale)));
    const LVal inside = lb_op2(b, LOP_MIN, place, lb_const(b, f32, (double)(l->axis.in - 1)));
    return lb_op2(b, LOP_SUB, inside, from);
}

LVal upsample_part(LBuild *b, const UpsampleLine *l, Idx i, Idx at) {
    const LType f32 = {DT_F32, 1};
    if (!l->axis.linear)
        return nearest_part(b, l, i, at);
    const Idx place = clamp(b, times(b, i, l->num, l->add), (l->axis.in - 1) * l->den);
    const LVal beyond = lb_index(b, f32, lb_sub(b, place, lb_mulc(b, at, l->den)));
    return lb_op2(b, LOP_MUL, beyond, lb_const(b, f32, 1 / (double)l->den));
}

void upsample_users(LBuild *b, const UpsampleLine *l, Idx at, Idx *lo, Idx *hi) {
    const Idx none = lb_c(b, 0), all = lb_c(b, l->axis.out);
    *lo = none;
    *hi = all;
    if (!l->num)
        return;
    /* the first i with num * i >= limit is floor((limit + num - 1) / num), and with > floor(limit / num) + 1
     */
    const int64_t up = l->num - 1;
    if (l->one) {
        *lo = lb_divc(b, times(b, at, l->den, up), l->num);
        *hi = lb_divc(b, times(b, at, l->den, l->den + up), l->num);
    } else {
        *lo = lb_addc(b, lb_divc(b, times(b, at, l->den, -l->den - l->add), l->num), 1);
        *hi = lb_divc(b, times(b, at, l->den, l->den - l->add + up), l->num);
        *lo = lb_max(b, none, *lo);
    }
    *hi = lb_min(b, all, *hi);
}
