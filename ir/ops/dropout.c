/* dropout: nothing at inference; the pass canonicalize removes it. In training it is dropout_train. */
#include "ir/grad.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"p", ATTR_FLOAT, offsetof(DropoutAttrs, p), 0, 0, 1, NULL, true, 0.5},
    {"channels", ATTR_BOOL, offsetof(DropoutAttrs, channels), 0, 1, 0, NULL, true, 0},
};

static bool verify(const OpCall *c) {
    const DropoutAttrs *a = c->attrs;
    return op_need_floats(c) && (!a->channels || op_need_dim(c, 1));
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    return grad_add(gr, n, 0, dy);
}

static ValueId train(Grad *gr, const Node *n, const ValueId *operands) {
    const DropoutAttrs *a = n->attrs;
    const DropoutTrainAttrs attrs = {.p = a->p, .layer = gr->dropout, .channels = a->channels};
    const ValueId of_y[3] = {operands[0], gr->seed, gr->calls};
    if (a->p == 0)
        return n->result;
    gr->dropout++;
    return grad_node(gr, n, OP_dropout_train, of_y, 3, &attrs, "train");
}

static const OpSample samples[] = {
    {.attrs = &(const DropoutAttrs){0.25, false}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {.attrs = &(const DropoutAttrs){0.5, true}, .n = 1, .operands = {TN3(3, 7)}, .batch = 2},
};

const OpDesc op_dropout = {
    .name = "dropout",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, DropoutAttrs),
    .verify = verify,
    .infer_shape = op_same_shape,
    .eval = eval_same,
    .grad = grad,
    .train = train,
    .flops = op_no_flops,
    SAMPLES(samples),
};
