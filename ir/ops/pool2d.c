/* What the pools and their gradients share. */
#include "ir/ops/pool2d.h"

Window pool2d_window(const Pool2dAttrs *a, int64_t in, int axis) {
    return (Window){
        .in = in,
        .kernel = a->kernel_size.v[axis],
        .stride = a->stride.v[axis],
        .dilation = a->dilation.n ? a->dilation.v[axis] : 1, /* average pools have none */
        .before = a->padding.v[axis],
        .after = a->padding.v[axis + 2],
        .ceil_mode = a->ceil_mode,
    };
}

/* How many taps the mean counts at output o. */
static int64_t tap_count(const Pool2dAttrs *a, int64_t in, int axis, int64_t o) {
    const Window w = pool2d_window(a, in, axis);
    const int64_t room = w.in + w.after - window_input(&w, o, 0); /* ceil_mode may let it hang over */
    int64_t lo, hi;
    window_taps(&w, o, &lo, &hi);
    return !a->count_include_pad ? hi - lo : w.kernel < room ? w.kernel : room;
}

int64_t avg_pool2d_divisor(const Pool2dAttrs *a, int64_t h, int64_t w, int64_t y, int64_t x) {
    return a->divisor_override ? a->divisor_override : tap_count(a, h, 0, y) * tap_count(a, w, 1, x);
}

bool pool2d_verify(const OpCall *c) {
    const Pool2dAttrs *a = c->attrs;
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, channels, height, width"))
        return false;
    for (int i = 0; i < 4; i++) {
        if (a->padding.v[i] <= a->kernel_size.v[i % 2] / 2)
            continue;
        return diag_error(&c->cx->diag, DIAG_ATTR_RANGE, &c->loc,
                          "padding is %lld, but may be at most half the kernel_size, which is %lld",
                          (long long)a->padding.v[i], (long long)a->kernel_size.v[i % 2]);
    }
    return true;
}

bool pool2d_infer(const OpCall *c, Type *out) {
    const Type *in = &c->operands[0];
    *out = type_dense(in);
    for (int i = 0; i < 2; i++) {
        Window w = pool2d_window(c->attrs, in->dim[2 + i].size, i);
        int64_t *count = &out->dim[2 + i].size;
        if (!window_need(c->cx, &c->loc, &w, i ? "width" : "height", count))
            return diag_hint(&c->cx->diag, "the input is %s", op_operand_text(c, 0));
    }
    return true;
}

double pool2d_flops(const OpCall *c, const Type *out, int64_t n) {
    const Pool2dAttrs *a = c->attrs;
    return (double)type_elems(out, n) * (double)a->kernel_size.v[0] * (double)a->kernel_size.v[1];
}

bool pool2d_need_result(const OpCall *c, uint32_t i, OpId op, const Pool2dAttrs *a, const Type *input) {
    const OpCall pool = {.cx = c->cx, .op = op, .attrs = a, .operands = input, .n = 1, .loc = c->loc};
    Type result;
    if (!pool2d_verify(&pool) || !pool2d_infer(&pool, &result))
        return false;
    if (type_same_shape(&result, &c->operands[i]))
        return true;
    StrBuf sb = sb_new(&c->cx->arena);
    type_print(&sb, &result);
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "the pool's result is %s, but %s is another", sb_str(&sb), op_operand_text(c, i));
}

/* ---- The adaptive ones ---- */

void adaptive_window(int64_t o, int64_t outputs, int64_t in, int64_t *lo, int64_t *hi) {
    *lo = o * in / outputs;
    *hi = ((o + 1) * in + outputs - 1) / outputs;
}

bool adaptive_pool2d_verify(const OpCall *c) {
    return op_need_floats(c) && op_need_rank(c, 0, 4, "batch, channels, height, width");
}

bool adaptive_pool2d_infer(const OpCall *c, Type *out) {
    const AdaptivePoolAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int i = 0; i < 2; i++) {
        int64_t product; /* window bounds are computed with it */
        if (__builtin_mul_overflow(c->operands[0].dim[2 + i].size, a->output_size.v[i] + 1, &product))
            return op_fail_overflow(c);
        out->dim[2 + i].size = a->output_size.v[i];
    }
    return true;
}

void adaptive_pool2d_eval(const Tensor *in, Tensor *out,
                          double (*f)(const double *x, int64_t rows, int64_t columns, int64_t pitch)) {
    const int64_t h = in->dim[2], w = in->dim[3], oh = out->dim[2], ow = out->dim[3];
    const int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++) {
        const double *plane = in->data + i / ow / oh * h * w;
        int64_t y0, y1, x0, x1;
        adaptive_window(i / ow % oh, oh, h, &y0, &y1);
        adaptive_window(i % ow, ow, w, &x0, &x1);
        out->data[i] = f(plane + y0 * w + x0, y1 - y0, x1 - x0, w);
    }
}

double adaptive_pool2d_flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return (double)type_elems(&c->operands[0], n);
}

const AttrRow adaptive_pool2d_rows[1] = {
    {"output_size", ATTR_INTS, offsetof(AdaptivePoolAttrs, output_size), 2, 1, OP_MAX_INT, NULL, false, 0},
};

#define SIZE(h, w)                                                                                           \
    .attrs = &(const AdaptivePoolAttrs) {                                                                    \
        INTS2(h, w)                                                                                          \
    }
const OpSample adaptive_pool2d_samples[4] = {
    {SIZE(1, 1), .n = 1, .operands = {TN4(17, 7, 7)}, .batch = 3},
    {SIZE(1, 1), .n = 1, .operands = {TN4(16, 13, 1)}, .batch = 1},
    {SIZE(3, 5), .n = 1, .operands = {TN4(3, 7, 13)}, .batch = 2},
    {SIZE(5, 7), .n = 1, .operands = {TN4(8, 3, 7)}, .batch = 1},
};
