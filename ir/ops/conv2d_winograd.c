/* conv2d_winograd: what the pass layout makes of a conv2d whose choice is `winograd`: 3x3 or 5x5, stride 1,
 * one group, over a weight from winograd_weight, in tiles of `tile` outputs a side. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/ops/winograd.h"

static const AttrRow rows[] = {
    {"tile", ATTR_INT, offsetof(Conv2dWinogradAttrs, tile), 0, 2, WINOGRAD_OUT, NULL, false, 0},
    {"padding", ATTR_INTS, offsetof(Conv2dWinogradAttrs, padding), 4, 0, OP_MAX_INT, NULL, true, 0},
};

static bool verify(const OpCall *c) {
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, channels, height, width") ||
        !op_need_rank(c, 1, 4, "out_channels, in_channels, and the inputs of a tile") || !op_need_fixed(c, 1))
        return false;
    const Type *x = &c->operands[0], *u = &c->operands[1];
    if (!winograd_of_weight(u, ((const Conv2dWinogradAttrs *)c->attrs)->tile))
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "conv2d_winograd needs a weight of winograd_weight, not %s", op_operand_text(c, 1));
    if (x->dim[1].size != u->dim[1].size)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "in_channels is %lld, but the input is %s", (long long)u->dim[1].size,
                          op_operand_text(c, 0));
    return c->n < 3 || op_need_vector(c, 2, u->dim[0].size, "out_channels");
}

static bool infer_shape(const OpCall *c, Type *out) {
    const Conv2dWinogradAttrs *a = c->attrs;
    const Type *x = &c->operands[0];
    *out = type_dense(x);
    out->dim[1] = c->operands[1].dim[0];
    for (int i = 0; i < 2; i++) {
        Window w = {.in = x->dim[2 + i].size,
                    .kernel = winograd_of_weight(&c->operands[1], a->tile)->taps,
                    .stride = 1,
                    .dilation = 1,
                    .before = a->padding.v[i],
                    .after = a->padding.v[i + 2]};
        if (!window_count(&w, &out->dim[2 + i].size))
            return op_fail_overflow(c);
        if (out->dim[2 + i].size < 1)
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "the kernel does not fit in the padded %s", op_operand_text(c, 0));
    }
    return true;
}

/* The inputs of the tile whose first output is (top, left), from a plane of x; zeros outside. */
static void gather(const Tensor *x, const double *plane, int64_t top, int64_t left, int side, double *tile) {
    for (int i = 0; i < side * side; i++) {
        int64_t h = top + i / side, w = left + i % side;
        bool inside = h >= 0 && h < x->dim[2] && w >= 0 && w < x->dim[3];
        tile[i] = inside ? plane[h * x->dim[3] + w] : 0;
    }
}

/* The tile of output plane `oc` of image n, summed over the input channels. */
static void eval_tile(const Conv2dWinogradAttrs *a, const Tensor *in, int64_t n, int64_t oc, int64_t top,
                      int64_t left, double *y) {
    const Tensor *x = &in[0], *u = &in[1];
    const int side = (int)u->dim[2], points = side * side;
    double tile[WINOGRAD_IN * WINOGRAD_IN], v[WINOGRAD_IN * WINOGRAD_IN],
        sum[WINOGRAD_IN * WINOGRAD_IN] = {0};
    const Winograd *wino = winograd_of(side - a->tile + 1, a->tile);
    for (int64_t c = 0; c < u->dim[1]; c++) {
        const double *plane = x->data + (n * x->dim[1] + c) * x->dim[2] * x->dim[3];
        gather(x, plane, top - a->padding.v[0], left - a->padding.v[1], side, tile);
        winograd_apply(&wino->input, tile, v);
        for (int p = 0; p < points; p++)
            sum[p] += v[p] * u->data[(oc * u->dim[1] + c) * points + p];
    }
    winograd_apply(&wino->output, sum, y);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const Conv2dWinogradAttrs *a = attrs;
    const int64_t tile = a->tile, oh = out->dim[2], ow = out->dim[3];
    double y[WINOGRAD_OUT * WINOGRAD_OUT];
    for (int64_t plane = 0; plane < out->dim[0] * out->dim[1]; plane++)
        for (int64_t top = 0; top < oh; top += tile)
            for (int64_t left = 0; left < ow; left += tile) {
                const int64_t oc = plane % out->dim[1];
                eval_tile(a, in, plane / out->dim[1], oc, top, left, y);
                for (int64_t i = 0; i < tile * tile; i++)
                    if (top + i / tile < oh && left + i % tile < ow)
                        out->data[(plane * oh + top + i / tile) * ow + left + i % tile] =
                            y[i] + (n > 2 ? in[2].data[oc] : 0);
            }
}

static double flops(const OpCall *c, const Type *out, int64_t n) { /* of the convolution that it stands for */
    const Type *u = &c->operands[1];
    const int taps = winograd_of_weight(u, ((const Conv2dWinogradAttrs *)c->attrs)->tile)->taps;
    return (double)type_elems(out, n) * (2.0 * (double)u->dim[1].size * taps * taps + (c->n > 2));
}

const OpDesc op_conv2d_winograd = {
    .name = "conv2d_winograd",
    .min_operands = 2,
    .max_operands = 3,
    .operand_names = (const char *const[]){"input", "weight", "bias"},
    .attrs = ATTR_TABLE(rows, Conv2dWinogradAttrs),
    .flags = OP_INTERNAL | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_conv_winograd,
    .flops = flops,
};
