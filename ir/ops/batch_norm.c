/* batch_norm: (x - running_mean) / sqrt(running_var + eps) * weight + bias for each channel. Inference only:
 * a pass rewrites it before lowering. */
#include "ir/ops/common.h"
#include <math.h>

static const AttrRow rows[] = {
    {"eps", ATTR_FLOAT, offsetof(BatchNormAttrs, eps), 0, 0, 1e30, NULL, true, 1e-5},
    {"momentum", ATTR_FLOAT, offsetof(BatchNormAttrs, momentum), 0, 0, 1, NULL, true, 0.1},
};

static bool verify(const OpCall *c) {
    const Type *in = &c->operands[0];
    if (!op_need_floats(c))
        return false;
    if (in->rank < 2)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "batch_norm needs a batch and channels, but got %s", op_operand_text(c, 0));
    for (uint32_t i = 1; i < 5; i++) {
        const Type *t = &c->operands[i];
        if (t->rank == 1 && !t->dim[0].by_n && t->dim[0].size == in->dim[1].size)
            continue;
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                   "num_features is %lld, but its input has %lld channel%s", (long long)t->dim[0].size,
                   (long long)in->dim[1].size, in->dim[1].size == 1 ? "" : "s");
        return diag_hint(&c->cx->diag, "the parameter is %s; the input is %s", op_operand_text(c, i),
                         op_operand_text(c, 0));
    }
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const BatchNormAttrs *a = attrs;
    int64_t channels = out->dim[1], inner = 1, count = tensor_elems(out);
    (void)n;
    for (int d = 2; d < out->rank; d++)
        inner *= out->dim[d];
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / inner % channels;
        double scale = in[1].data[c] / sqrt(in[4].data[c] + a->eps);
        out->data[i] = (in[0].data[i] - in[3].data[c]) * scale + in[2].data[c];
    }
}

static double flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c;
    return 2 * (double)type_elems(out, n);
}

static const OpSample samples[] = {
    {.attrs = &(const BatchNormAttrs){4, 0.1},
     .n = 5,
     .operands = {TN4(3, 7, 5), T1(3), T1(3), T1(3), T1(3)},
     .batch = 2},
    {.attrs = &(const BatchNormAttrs){5, 0},
     .n = 5,
     .operands = {TN2(17), T1(17), T1(17), T1(17), T1(17)},
     .batch = 3},
};

const OpDesc op_batch_norm = {
    .name = "batch_norm",
    .min_operands = 5,
    .max_operands = 5,
    .operand_names = (const char *const[]){"input", "weight", "bias", "running_mean", "running_var"},
    .attrs = ATTR_TABLE(rows, BatchNormAttrs),
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .flops = flops,
    SAMPLES(samples),
};
