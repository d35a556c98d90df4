/* pad: the last dimensions get more elements before and after, as torch.nn.functional.pad has it: a constant,
 * the input mirrored in its edge elements, the edge elements repeated, or the input from its other end. */
#include "ir/ops/pad.h"
#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {PAD_ROWS};

const char *const pad_names[] = {"constant", "reflect", "replicate", "circular", NULL};

static int64_t amount(const PadAttrs *a, int place) {
    return place < a->pad.n ? a->pad.v[place] : 0;
}

int64_t pad_before(const PadAttrs *a, int rank, int d) {
    return amount(a, 2 * (rank - 1 - d));
}

int64_t pad_after(const PadAttrs *a, int rank, int d) {
    return amount(a, 2 * (rank - 1 - d) + 1);
}

int pad_first(const PadAttrs *a, int rank) {
    return rank - a->pad.n / 2;
}

int64_t pad_source(const PadAttrs *a, int64_t at, int64_t size) {
    if (at >= 0 && at < size)
        return at;
    switch ((PadKind)a->mode) {
    case PAD_REFLECT:
        return at < 0 ? -at : 2 * (size - 1) - at;
    case PAD_REPLICATE:
        return at < 0 ? 0 : size - 1;
    case PAD_CIRCULAR:
        return at < 0 ? at + size : at - size;
    case PAD_CONSTANT:
        break;
    }
    return -1;
}

int64_t pad_element(const PadAttrs *a, const Tensor *padded, const Tensor *input, int64_t i) {
    int64_t at = 0, step = 1;
    for (int d = padded->rank - 1; d >= 0; d--) {
        const int64_t from =
            pad_source(a, i % padded->dim[d] - pad_before(a, padded->rank, d), input->dim[d]);
        if (from < 0)
            return -1;
        at += from * step;
        step *= input->dim[d];
        i /= padded->dim[d];
    }
    return at;
}

static bool mode_fits(const OpCall *c, const Type *t, int d) {
    const PadAttrs *a = c->attrs;
    const int64_t before = pad_before(a, t->rank, d), after = pad_after(a, t->rank, d);
    const int64_t most = before > after ? before : after, size = t->dim[d].size;
    if (a->mode == PAD_REFLECT && most >= size)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "reflect pads fewer elements than there are: dimension %d has %lld, which %lld is "
                          "too much for",
                          d, (long long)size, (long long)most);
    return a->mode != PAD_CIRCULAR || most <= size ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "circular pads at most as many elements as there are: dimension %d has %lld, which "
                      "%lld is too much for",
                      d, (long long)size, (long long)most);
}

bool pad_fits(const OpCall *c, const Type *t) {
    const PadAttrs *a = c->attrs;
    if (a->pad.n % 2 || pad_first(a, t->rank) < 1)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "pad has %d numbers; it takes two for each dimension from the last on, of the %d "
                          "without the batch",
                          a->pad.n, t->rank - 1);
    for (int d = pad_first(a, t->rank); d < t->rank; d++)
        if (!mode_fits(c, t, d))
            return false;
    return true;
}

static bool verify(const OpCall *c) {
    return op_need_floats(c) && pad_fits(c, &c->operands[0]);
}

static bool infer_shape(const OpCall *c, Type *out) {
    const PadAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int d = pad_first(a, out->rank); d < out->rank; d++)
        out->dim[d].size += pad_before(a, out->rank, d) + pad_after(a, out->rank, d);
    return type_elems(out, 1) >= 0 || op_fail_overflow(c);
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const PadAttrs *a = attrs;
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        const int64_t from = pad_element(a, out, &in[0], i);
        out->data[i] = from < 0 ? a->value : in[0].data[from];
    }
}

static bool grad(Grad *gr, const Node *n, ValueId dy) {
    PadAttrs a = *(const PadAttrs *)n->attrs;
    a.value = 0; /* takes no part */
    return grad_add(gr, n, 0, grad_node(gr, n, OP_pad_backward, &dy, 1, &a, "grad_input"));
}

#define PAD(mode, l, r, t, b) .attrs = &(const PadAttrs){INTS4(l, r, t, b), mode, 0.5}
static const OpSample samples[] = {
    {PAD(PAD_CONSTANT, 1, 2, 3, 0), .n = 1, .operands = {TN4(3, 7, 5)}, .batch = 3},
    {PAD(PAD_REFLECT, 2, 3, 6, 1), .n = 1, .operands = {TN4(17, 7, 13)}, .batch = 2},
    {PAD(PAD_REPLICATE, 4, 1, 0, 9), .n = 1, .operands = {TN4(16, 3, 19)}, .batch = 1},
    {PAD(PAD_REPLICATE, 2, 3, 1, 2), .n = 1, .operands = {TN4(1, 1, 1)}, .batch = 2},
    {PAD(PAD_CIRCULAR, 5, 4, 1, 3), .n = 1, .operands = {TN4(8, 3, 5)}, .batch = 2},
    {.attrs = &(const PadAttrs){{2, {0, 3}}, PAD_REFLECT, 0}, .n = 1, .operands = {TN2(9)}, .batch = 3},
    {.attrs = &(const PadAttrs){{4, {1, 2, 2, 1}}, PAD_CIRCULAR, 0},
     .n = 1,
     .operands = {TN3(3, 18)},
     .batch = 2},
    {.attrs = &(const PadAttrs){{6, {1, 0, 2, 1, 1, 2}}, PAD_CONSTANT, 0},
     .n = 1,
     .operands = {TN4(9, 2, 3)},
     .batch = 2},
};

const OpDesc op_pad = {
    .name = "pad",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, PadAttrs),
    .flags = OP_FOLLOWS,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_pad,
    .grad = grad,
    .flops = op_no_flops,
    SAMPLES(samples),
};
