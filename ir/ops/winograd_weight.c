/* winograd_weight: what conv2d_winograd reads in place of a weight [O, I, r, r]: [O, I, tile + r - 1, tile +
 * r - 1], each kernel w turned into G w G^T. With `flip` it is the weight of the convolution that gives the
 * input's gradient: as flip_weight of one group first. */
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
    return (winograd_of(w->dim[2].size, a->tile) && w->dim[3].size == w->dim[2].size) ||
           diag_error(
               &c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
               "winograd_weight is for 3x3 kernels with a tile of 2 or 4 and for 5x5 with 2, not for %s "
               "with %lld",
               op_operand_text(c, 0), (long long)a->tile);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const WinogradWeightAttrs *a = c->attrs;
    const Type *w = &c->operands[0];
    *out = type_dense(w);
    out->dim[0] = w->dim[a->flip];
    out->dim[1] = w->dim[!a->flip];
    out->dim[2].size = out->dim[3].size = winograd_of(w->dim[2].size, a->tile)->in;
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const WinogradWeightAttrs *a = attrs;
    const Winograd *wino = winograd_of(in[0].dim[2], a->tile);
    const int taps = wino->taps * wino->taps;
    const int64_t ins = out->dim[1], points = (int64_t)wino->in * wino->in;
    (void)n;
    for (int64_t i = 0; i < out->dim[0] * ins; i++) {
        const double *from = in[0].data + (a->flip ? i % ins * out->dim[0] + i / ins : i) * taps;
        double w[WINOGRAD_TAPS * WINOGRAD_TAPS];
        for (int k = 0; k < taps; k++)
            w[k] = from[a->flip ? taps - 1 - k : k];
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
    {TILE(2, false), .n = 1, .operands = {T4(18, 17, 5, 5)}, .batch = 1},
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
