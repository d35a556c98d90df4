/* reorder: the same tensor in another layout; made by the pass layout. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"to", ATTR_LAYOUT, offsetof(ReorderAttrs, to), 0, 1, 0, NULL, false, 0},
};

static bool verify(const OpCall *c) {
    const ReorderAttrs *a = c->attrs;
    const char *fault = type_fault(c->cx, &a->to);
    if (fault)
        return diag_error(&c->cx->diag, DIAG_ATTR_RANGE, &c->loc, "to: %s", fault);
    if (!type_same_shape(&a->to, &c->operands[0])) {
        StrBuf sb = sb_new(&c->cx->arena);
        type_print(&sb, &a->to);
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s cannot be reordered to %s",
                          op_operand_text(c, 0), sb_str(&sb));
    }
    return true;
}

static bool infer_shape(const OpCall *c, Type *out) {
    const ReorderAttrs *a = c->attrs;
    *out = a->to;
    return true;
}

/* N, C/8, H, W, 8 of C, with a border of one pixel. */
#define BLOCKED                                                                                              \
    {.nparts = 5, .part = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1, 8}}, .lo = {0, 0, 1, 1}, .hi = {0, 0, 1, 1}}
#define TO(...)                                                                                              \
    .attrs = &(const ReorderAttrs) {                                                                         \
        {                                                                                                    \
            .dtype = DT_F32, .rank = 4, .dim = __VA_ARGS__, .layout = BLOCKED                                \
        }                                                                                                    \
    }
static const OpSample samples[] = {
    {TO({{1, true}, {17, false}, {7, false}, {5, false}}), .n = 1, .operands = {TN4(17, 7, 5)}, .batch = 3},
    {TO({{1, true}, {8, false}, {1, false}, {13, false}}), .n = 1, .operands = {TN4(8, 1, 13)}, .batch = 1},
};

const OpDesc op_reorder = {
    .name = "reorder",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, ReorderAttrs),
    .flags = OP_INTERNAL,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval_same,
    .lower = lower_reorder,
    .flops = op_no_flops,
    SAMPLES(samples),
};
