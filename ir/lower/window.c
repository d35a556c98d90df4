/* Windows of pools: see window.h. */
#include "ir/lower/window.h"
#include "ir/ops/pool2d.h"

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

PoolAxis pool_axis(const Pool2dAttrs *p, int64_t in, int64_t out, int axis) {
    const Window w = pool2d_window(p, in, axis);
    PoolAxis a = {w.in, out, w.kernel, w.stride, w.dilation, w.before, w.after, false, 0, 0};
    const int64_t room = a.in - 1 - (a.taps - 1) * a.dilation + a.before;
    a.lo = clamp(ceil_div(a.before, a.stride), 0, a.out);
    a.hi = room < 0 ? a.lo : clamp(room / a.stride + 1, a.lo, a.out);
    return a;
}

PoolAxis pool_axis_adaptive(int64_t in, int64_t out) {
    PoolAxis a = {.in = in, .out = out, .dilation = 1};
    a.adaptive = in % out != 0;
    a.taps = ceil_div(in, out) + a.adaptive; /* at most */
    a.stride = a.adaptive ? 0 : a.taps;
    a.hi = a.adaptive ? 0 : out;
    return a;
}

static Idx ceil_divc(LBuild *b, Idx x, int64_t c) {
    return lb_divc(b, lb_addc(b, x, c - 1), c);
}

void pool_taps(LBuild *b, const PoolAxis *a, Idx o, bool inside, Idx *lo, Idx *hi) {
    if (a->adaptive) {
        *lo = lb_divc(b, lb_mulc(b, o, a->in), a->out);
        *hi = ceil_divc(b, lb_mulc(b, lb_addc(b, o, 1), a->in), a->out);
        return;
    }
    *lo = lb_c(b, 0);
    *hi = lb_c(b, a->taps);
    if (inside)
        return;
    const Idx start = lb_addc(b, lb_mulc(b, o, -a->stride), a->before); /* taps in front, times dilation */
    *lo = lb_max(b, *lo, ceil_divc(b, start, a->dilation));
    *hi = lb_min(b, *hi, ceil_divc(b, lb_addc(b, start, a->in), a->dilation));
}

Idx pool_tap_count(LBuild *b, const PoolAxis *a, bool padding, Idx o, Idx lo, Idx hi) {
    if (a->adaptive || !padding)
        return lb_sub(b, hi, lo);
    const Idx room = lb_addc(b, lb_mulc(b, o, -a->stride), a->in + a->after + a->before);
    return lb_min(b, lb_c(b, a->taps), room);
}

Idx pool_input(LBuild *b, const PoolAxis *a, Idx o, Idx tap) {
    if (a->adaptive)
        return tap;
    return lb_add(b, lb_addc(b, lb_mulc(b, o, a->stride), -a->before), lb_mulc(b, tap, a->dilation));
}
