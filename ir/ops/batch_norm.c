/* batch_norm: (x - running_mean) / sqrt(running_var + eps) * weight + bias for each channel. Inference only:
 * a pass rewrites it before lowering. */
#include "ir/ops/batch_norm.h"
#include "ir/grad.h"
#include <math.h>

enum { INPUT, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR };

static const AttrRow rows[] = {
    BATCH_NORM_EPS,
    {"momentum", ATTR_FLOAT, offsetof(BatchNormAttrs, momentum), 0, 0, 1, NULL, true, 0.1},
};

bool batch_norm_need_input(const OpCall *c, uint32_t x) {
    return c->operands[x].rank >= 2 ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s needs a batch and channels, but got %s",
                      op_desc(c->op)->name, op_operand_text(c, x));
}

bool batch_norm_need_vector(const OpCall *c, uint32_t i, uint32_t x) {
    return op_need_vector(c, i, c->operands[x].dim[1].size, "num_features");
}

bool batch_norm_need_rows(const OpCall *c, uint32_t i, uint32_t x) {
    Type rows_type;
    batch_norm_rows_shape(c, x, &rows_type);
    return type_same_shape(&c->operands[i], &rows_type) ||
           diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "%s does not have two rows for the channels of %s", op_operand_text(c, i),
                      op_operand_text(c, x));
}

bool batch_norm_rows_shape(const OpCall *c, uint32_t x, Type *out) {
    const Dim dims[2] = {{2, false}, c->operands[x].dim[1]};
    *out = type_make(c->operands[x].dtype, 2, dims);
    return true;
}

int64_t batch_norm_plane(const Tensor *x) {
    int64_t plane = 1;
    for (int d = 2; d < x->rank; d++)
        plane *= x->dim[d];
    return plane;
}

int64_t batch_norm_count(const Tensor *x) {
    return x->dim[0] * batch_norm_plane(x);
}

Idx batch_norm_elems(LBuild *b, const Type *x) {
    Idx count = lb_dim(b, x->dim[0]);
    for (int d = 2; d < x->rank; d++)
        count = lb_mulc(b, count, x->dim[d].size);
    return count;
}

static bool verify(const OpCall *c) {
    const Type *in = &c->operands[0];
    if (!op_need_floats(c) || !batch_norm_need_input(c, INPUT))
        return false;
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
    int64_t channels = out->dim[1], inner = batch_norm_plane(out), count = tensor_elems(out);
    (void)n;
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

/* With running statistics the gradient of the input is dy * weight / sqrt(running_var + eps), a factor per
 * channel that is known as early as they are. Their weight and bias are never trained: see `train`. */
static bool grad(Grad *gr, const Node *n, ValueId dy) {
    const BatchNormAttrs *a = n->attrs;
    const Type *x = &gr->g->values.data[n->operands[INPUT]].type;
    const RsqrtAttrs rsqrt = {.eps = a->eps};
    const ReshapeAttrs shape = {.shape = {.n = (uint8_t)(x->rank - 1), .v = {x->dim[1].size, 1, 1, 1, 1}}};
    ValueId of_scale[2] = {n->operands[WEIGHT], NO_VALUE}, of_dx[2] = {dy, NO_VALUE};
    of_scale[1] = grad_node(gr, n, OP_rsqrt, &n->operands[RUNNING_VAR], 1, &rsqrt, "rstd");
    of_dx[1] = grad_node(gr, n, OP_mul, of_scale, 2, NULL, "scale");
    if (shape.shape.n > 1)
        of_dx[1] = grad_node(gr, n, OP_reshape, &of_dx[1], 1, &shape, "scale_view");
    return grad_add(gr, n, INPUT, grad_node(gr, n, OP_mul, of_dx, 2, NULL, "grad"));
}

/* Statistics of the batch where the running ones are trained; whether there is more than one value a channel
 * is checked unless every image has more. */
static ValueId train(Grad *gr, const Node *n, const ValueId *operands) {
    const ValueId x = operands[INPUT];
    const Type *type = &gr->g->values.data[x].type;
    const bool pictures = type_elems(type, 1) > type->dim[0].size * type->dim[1].size;
    if (!grad_is_state(gr, operands[RUNNING_MEAN]))
        return n->result;
    if (!pictures && grad_node(gr, n, OP_check_batch_norm, &x, 1, NULL, "check") == NO_VALUE)
        return NO_VALUE;
    const ValueId stats = grad_node(gr, n, OP_batch_norm_stats, &x, 1, NULL, "stats");
    const ValueId of_update[4] = {operands[RUNNING_MEAN], operands[RUNNING_VAR], stats, x};
    const ValueId of_y[4] = {x, operands[WEIGHT], operands[BIAS], stats};
    if (grad_node(gr, n, OP_batch_norm_update, of_update, 4, n->attrs, "running_mean") == NO_VALUE)
        return NO_VALUE;
    return grad_node(gr, n, OP_batch_norm_train, of_y, 4, n->attrs, "train");
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
    .grad = grad,
    .train = train,
    .flops = flops,
    SAMPLES(samples),
};
