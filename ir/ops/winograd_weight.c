/* winograd_weight: what conv2d_winograd reads in place of a 3x3 weight. [O, I, 3, 3] becomes [O, I, tile + 2,
 * tile + 2], each kernel w turned into G w G^T. With `flip` it is the weight of the convolution that gives
 * the input's gradient: as flip_weight of one group first. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/ops/winograd.h"

static const AttrRow rows[] = {
    {"tile", ATTR_INT, offsetof(WinogradWeightAttrs, tile), 0, 2, WINOGRAD_OUT, NULL, false, 0},
    {"flip", ATTR_BOOL, offsetof(WinogradWeightAttrs, flip), 0, 0, 1, NULL, true, 0},
};

static bool verify(const OpCall *c) {
    const WinogradWeightAttrs *a = c->attrs;
    const Type *w = &c->operands[0];
    if (!op_need_floats(c) ||
        !op_need_rank(c, 0, 4, "out_channels, in_channels, kernel height, kernel width") ||
        !op_need_fixed(c, 0))
        return false;
    if (!winograd_of(a->tile))
        return diag_error(&c->cx->diag, DIAG_ATTR_RANGE, &c->loc, "tile is 2 or 4, not %lld",
                          (long long)a->tile);
    return (w->dim[2].size == WINOGRAD_TAPS && w->dim[3].size == WINOGRAD_TAPS) ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "winograd_weight is for 3x3 kernels, not for %s", op_operand_text(c, 0));
}

static bool infer_shape(const OpCall *c, Type *out) {
    const WinogradWeightAttrs *a = c->attrs;
    const Type *w = &c->operands[0];
    *out = type_dense(w);
    out->dim[0] = w->dim[a->flip];
    out->dim[1] = w->dim[!a->flip];
    out->dim[2].size = out->dim[3].size = winograd_of(a->tile)->in;
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    enum { TAPS = WINOGRAD_TAPS * WINOGRAD_TAPS };
    const WinogradWeightAttrs *a = attrs;
    const Winograd *wino = winograd_of(a->tile);
    const int64_t ins = out->dim[1], points = (int64_t)wino->in * wino->in;
    (void)n;
    for (int64_t i = 0; i < out->dim[0] * ins; i++) {
        const double *from = in[0].data + (a->flip ? i % ins * out->dim[0] + i / ins : i) * TAPS;
        double w[TAPS];
        for (int k = 0; k < TAPS; k++)
            w[k] = from[a->flip ? TAPS - 1 - k : k];
        winograd_apply(&wino->weight, w, out->data + i * points);
    }
}

#define TILE(t, f)                                                                                           \
    .attrs = &(const WinogradWeightAttrs) {                                                                  \
        t, f                                                                                                 \
    }
static const OpSample samples[] = {
    {TILE(4, false), .n = 1, .operands = {T4(5, 3, 3, 3)}, .batch = 1},
    {TILE(2, true), .n = 1, .operands = {T4(17, 18, 3, 3)}, .batch = 1},
};

const OpDesc op_winograd_weight = {
    .name = "winograd_weight",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"weight"},
    .attrs = ATTR_TABLE(rows, WinogradWeightAttrs),
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_winograd_weight,
    SAMPLES(samples),
};
