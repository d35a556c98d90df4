/* dropout: nothing at inference; the pass canonicalize removes it. */
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"p", ATTR_FLOAT, offsetof(DropoutAttrs, p), 0, 0, 1, NULL, true, 0.5},
};

static const OpSample samples[] = {
    {.attrs = &(const DropoutAttrs){0.25}, .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
};

const OpDesc op_dropout = {
    .name = "dropout",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, DropoutAttrs),
    .verify = op_need_floats,
    .infer_shape = op_same_shape,
    .eval = eval_same,
    .flops = op_no_flops,
    SAMPLES(samples),
};
