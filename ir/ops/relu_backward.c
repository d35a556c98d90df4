/* relu_backward: the gradient of relu, dy where the result y is above zero; a NaN passes it on, as in
 * PyTorch. */
#include "ir/ops/activation.h"

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    (void)attrs, (void)n;
    int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++)
        out->data[i] = in[1].data[i] <= 0 ? 0 : in[0].data[i];
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    LVal zero = activation_const(b, in[1], 0);
    LVal off = lb_op2(b, LOP_CMPLE, in[1], zero);
    return lb_select(b, off, zero, in[0]);
}

const OpDesc op_relu_backward = {
    ACTIVATION_BACKWARD("relu_backward", "y"),
    .eval = eval,
    .emit = emit,
    SAMPLES(activation_backward_samples),
};
