/* amax_backward: of dy its share, where x is the maximum y, of which there are `count`; else 0. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

enum { DY, X, Y, COUNT };

static bool verify(const OpCall *c) {
    return op_need_floats(c) && op_need_shape_of(c, Y, DY) && op_need_shape_of(c, COUNT, DY);
}

/* Element i of x as one of the tensors that broadcast to it. */
static double repeated(const Tensor *t, const Tensor *x, int64_t i) {
    int64_t at = 0, stride = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        at += t->dim[d] == 1 ? 0 : i % x->dim[d] * stride;
        stride *= t->dim[d];
        i /= x->dim[d];
    }
    return t->data[at];
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const int64_t count = tensor_elems(out);
    (void)attrs, (void)n;
    for (int64_t i = 0; i < count; i++)
        if (in[X].data[i] == repeated(&in[Y], out, i))
            out->data[i] = repeated(&in[DY], out, i) / repeated(&in[COUNT], out, i);
}

static LVal emit(LBuild *b, const void *attrs, const LVal *in) {
    (void)attrs;
    const LVal largest = lb_op2(b, LOP_CMPEQ, in[X], in[Y]), share = lb_op2(b, LOP_DIV, in[DY], in[COUNT]);
    return lb_select(b, largest, share, lb_const(b, lb_type(b, in[X]), 0));
}

static const OpSample samples[] = {
    {.n = 4, .operands = {TN4(3, 1, 1), TN4(3, 7, 5), TN4(3, 1, 1), TN4(3, 1, 1)}, .batch = 3},
    {.n = 4, .operands = {TN3(1, 17), TN3(4, 17), TN3(1, 17), TN3(1, 17)}, .batch = 2},
};

const OpDesc op_amax_backward = {
    .name = "amax_backward",
    .min_operands = 4,
    .max_operands = 4,
    .operand_names = (const char *const[]){"dy", "input", "result", "count"},
    .flags = OP_POINTWISE | OP_INTERNAL,
    .verify = verify,
    .infer_shape = op_broadcast_shape,
    .eval = eval,
    .emit = emit,
    .lower = lower_pointwise,
    SAMPLES(samples),
};
