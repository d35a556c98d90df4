/* dropout_train: PyTorch's Dropout in training: each element is 0 with probability p, else divided by 1 - p.
 * The random numbers are Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3" (2011), with the seed as key and the counter (sample in the batch, position in the sample / 4,
 * call, layer): number position % 4 of the four belongs to the element. The position is that of the dense
 * layout, whatever the layout is, so the mask depends on nothing but these. Where whole channels are dropped
 * it is the channel. The gradient has the same mask.
 */
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"
#include "ir/ops/philox.h"

static const AttrRow rows[] = {
    {"p", ATTR_FLOAT, offsetof(DropoutTrainAttrs, p), 0, 0, 1, NULL, false, 0},
    {"layer", ATTR_INT, offsetof(DropoutTrainAttrs, layer), 0, 0, UINT32_MAX, NULL, false, 0},
    {"channels", ATTR_BOOL, offsetof(DropoutTrainAttrs, channels), 0, 1, 0, NULL, true, 0},
};

static bool verify(const OpCall *c) {
    static const Type counter = {.dtype = DT_I64, .rank = 1, .dim = {{1, false}}};
    const Type *x = &c->operands[0], dense = type_dense(x);
    if (x->dtype != DT_F32 || !x->rank || (x->rank < 2 && !type_same_memory(x, &dense)))
        return diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                          "dropout_train needs samples of f32, not %s", op_operand_text(c, 0));
    if (((const DropoutTrainAttrs *)c->attrs)->channels && !op_need_dim(c, 1))
        return false;
    if (type_elems(x, 1) / x->dim[0].size > UINT32_MAX) /* positions are counted in 32 bits */
        return op_fail_overflow(c);
    for (uint32_t i = 1; i < 3; i++)
        if (!type_equal(&c->operands[i], &counter))
            return diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                              "dropout_train needs i64[1], not %s", op_operand_text(c, i));
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const DropoutTrainAttrs *a = attrs;
    const int64_t size = tensor_elems(out) / out->dim[0], seed = (int64_t)in[1].data[0];
    const int64_t run = a->channels ? size / out->dim[1] : 1; /* elements of one fate */
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        const int64_t position = i % size / run;
        uint32_t counter[4] = {(uint32_t)(i / size), (uint32_t)(position / 4),
                               (uint32_t)(int64_t)in[2].data[0], (uint32_t)a->layer};
        philox4x32(counter, (uint32_t)seed, (uint32_t)((uint64_t)seed >> 32));
        out->data[i] = counter[position % 4] * 0x1p-32 >= a->p ? in[0].data[i] / (1 - a->p) : 0;
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const ValueId of_dx[3] = {dy, n->operands[1], n->operands[2]};
    return grad_add(gr, n, 0, grad_node(gr, n, OP_dropout_train, of_dx, 3, n->attrs, "grad"));
}

#define COUNTER                                                                                              \
    {                                                                                                        \
        .dtype = DT_I64, .rank = 1, .dim = { {1, false} }                                                    \
    }
#define DROPOUT(p, layer, channels)                                                                          \
    .attrs = &(const DropoutTrainAttrs) {                                                                    \
        p, layer, channels                                                                                   \
    }
static const OpSample samples[] = {
    {DROPOUT(0.25, 3, false), .n = 3, .operands = {TN2(10), COUNTER, COUNTER}, .batch = 5},
    {DROPOUT(0.5, 0, false), .n = 3, .operands = {TN2(1021), COUNTER, COUNTER}, .batch = 2},
    {DROPOUT(0.1, 1, false), .n = 3, .operands = {TN4(19, 3, 5), COUNTER, COUNTER}, .batch = 3},
    {DROPOUT(0.5, 1, false), .n = 3, .operands = {TN4(17, 6, 2), COUNTER, COUNTER}, .batch = 3},
    {DROPOUT(1, 7, false), .n = 3, .operands = {TN4(8, 1, 1), COUNTER, COUNTER}, .batch = 2},
    {DROPOUT(0.5, 1, true), .n = 3, .operands = {TN4(19, 3, 5), COUNTER, COUNTER}, .batch = 3},
    {DROPOUT(0.25, 2, true), .n = 3, .operands = {TN4(8, 7, 1), COUNTER, COUNTER}, .batch = 3},
    {DROPOUT(0.5, 0, true), .n = 3, .operands = {TN3(5, 37), COUNTER, COUNTER}, .batch = 2},
    {DROPOUT(0.5, 0, true), .n = 3, .operands = {TN5(6, 3, 2, 5), COUNTER, COUNTER}, .batch = 2},
    {DROPOUT(0.5, 4, true), .n = 3, .operands = {TN2(10), COUNTER, COUNTER}, .batch = 5},
    {DROPOUT(1, 7, true), .n = 3, .operands = {TN3(3, 4), COUNTER, COUNTER}, .batch = 2},
};

const OpDesc op_dropout_train = {
    .name = "dropout_train",
    .min_operands = 3,
    .max_operands = 3,
    .operand_names = (const char *const[]){"input", "seed", "calls"},
    .attrs = ATTR_TABLE(rows, DropoutTrainAttrs),
    .flags = OP_INTERNAL | OP_FOLLOWS | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval,
    .lower = lower_dropout,
    .grad = grad,
    SAMPLES(samples),
};
