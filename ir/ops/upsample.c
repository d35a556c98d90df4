/* What the ops that upsample, and their gradients, share. */
#include "ir/ops/upsample.h"
#include <math.h>

static const char *const axis_names[2] = {"height", "width"};

UpsampleAxis upsample_axis(const UpsampleAttrs *a, bool linear, int64_t in, int64_t out, int axis) {
    const double given = a->scales[axis];
    UpsampleAxis x = {.in = in, .out = out, .linear = linear, .align_corners = linear && a->align_corners};
    x.by_sizes = linear && (x.align_corners || given == 0 || given * (double)in == (double)out);
    if (x.align_corners)
        x.scale = out > 1 ? (double)(in - 1) / (double)(out - 1) : 0;
    else if (x.by_sizes)
        x.scale = (double)in / (double)out;
    else
        x.scale = (double)(given > 0 ? (float)(1 / given) : (float)in / (float)out);
    return x;
}

double upsample_place(const UpsampleAxis *x, int64_t i) {
    const double last = (double)(x->in - 1);
    if (!x->linear)
        return fmin((double)floorf((float)i * (float)x->scale), last);
    if (x->in == x->out)
        return (double)i;
    if (x->align_corners)
        return fmin((double)i * x->scale, last);
    return fmin(fmax(x->scale * ((double)i + 0.5) - 0.5, 0), last);
}

/* The result's extent is the one that the scale makes of the input's. */
static bool extents_fit(const OpCall *c, int axis, int64_t in, int64_t out) {
    const double scale = ((const UpsampleAttrs *)c->attrs)->scales[axis];
    const double made = scale > 0 ? floor((double)in * scale) : (double)out;
    if (in > OP_MAX_INT || out > OP_MAX_INT)
        return op_fail_overflow(c);
    if (made != (double)out)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "of %s %lld a scale of %g makes %.0f, not %lld", axis_names[axis], (long long)in,
                          scale, made, (long long)out);
    return true;
}

static bool verify(const OpCall *c, bool backward) {
    const UpsampleAttrs *a = c->attrs;
    if (!op_need_floats(c) || !op_need_rank(c, 0, 4, "batch, channels, height, width"))
        return false;
    for (int i = 0; i < 2; i++) {
        const int64_t given = c->operands[0].dim[2 + i].size, made = a->size.v[i];
        if (!extents_fit(c, i, backward ? made : given, backward ? given : made))
            return false;
    }
    return true;
}

bool upsample_verify(const OpCall *c) {
    return verify(c, false);
}

bool upsample_backward_verify(const OpCall *c) {
    return verify(c, true);
}

bool upsample_infer(const OpCall *c, Type *out) {
    const UpsampleAttrs *a = c->attrs;
    *out = type_dense(&c->operands[0]);
    for (int i = 0; i < 2; i++)
        out->dim[2 + i].size = a->size.v[i];
    return type_elems(out, 1) >= 0 || op_fail_overflow(c);
}

/* The two elements that element i of the result is made of, with their weights. */
typedef struct Taps {
    int64_t at[2];
    double weight[2];
} Taps;

static Taps taps_of(const UpsampleAxis *x, int64_t i) {
    const double place = upsample_place(x, i);
    const int64_t at = (int64_t)place;
    const double beyond = place - (double)at;
    return (Taps){{at, at + 1 < x->in ? at + 1 : at}, {1 - beyond, beyond}};
}

/* Adds weighted elements of the input to those of the result, or those of the result to the input's. */
static void apply(const UpsampleAttrs *a, bool linear, const Tensor *in, const Tensor *out, bool backward) {
    const UpsampleAxis rows = upsample_axis(a, linear, in->dim[2], out->dim[2], 0);
    const UpsampleAxis columns = upsample_axis(a, linear, in->dim[3], out->dim[3], 1);
    const int64_t count = tensor_elems(out);
    for (int64_t i = 0; i < count; i++) {
        double *plane = in->data + i / columns.out / rows.out * rows.in * columns.in;
        const Taps y = taps_of(&rows, i / columns.out % rows.out), x = taps_of(&columns, i % columns.out);
        for (int k = 0; k < 4; k++) {
            const double weight = y.weight[k / 2] * x.weight[k % 2];
            double *element = plane + y.at[k / 2] * columns.in + x.at[k % 2];
            if (weight == 0)
                continue;
            if (backward)
                *element += weight * out->data[i];
            else
                out->data[i] += weight * *element;
        }
    }
}

void upsample_eval(const UpsampleAttrs *a, bool linear, const Tensor *in, Tensor *out) {
    apply(a, linear, in, out, false);
}

void upsample_eval_backward(const UpsampleAttrs *a, bool linear, const Tensor *dy, Tensor *dx) {
    apply(a, linear, dx, dy, true);
}

bool upsample_grad(Grad *gr, const Node *n, OpId backward, ValueId dy) {
    const Type *x = &gr->g->values.data[n->operands[0]].type;
    UpsampleAttrs a = *(const UpsampleAttrs *)n->attrs;
    a.size = (IntList){2, {x->dim[2].size, x->dim[3].size}};
    return grad_add(gr, n, 0, grad_node(gr, n, backward, &dy, 1, &a, "grad_input"));
}
