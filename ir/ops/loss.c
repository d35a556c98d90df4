/* What the losses share: checks and the evaluation in double. */
#include "ir/ops/loss.h"
#include <math.h>

const char *const reduction_names[] = {"mean", "sum", NULL};

bool loss_infer(const OpCall *c, Type *out) {
    (void)c;
    *out = type_make(DT_F32, 1, &(Dim){1, false});
    return true;
}

/* ---- Checks ---- */

static bool need_dtype(const OpCall *c, uint32_t i, DType t) {
    return c->operands[i].dtype == t ||
           diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc, "%s needs %s, but got %s",
                      op_desc(c->op)->name, dtype_name(t), op_operand_text(c, i));
}

static bool need_dense(const OpCall *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        Type dense = type_dense(&c->operands[i]);
        if (!type_same_memory(&c->operands[i], &dense))
            return diag_error(&c->cx->diag, DIAG_IR_INVALID, &c->loc, "%s needs dense operands",
                              op_desc(c->op)->name);
    }
    return true;
}

/* The numbers of a step, the operand after the target of a gradient. */
static bool need_hyper(const OpCall *c) {
    return need_dtype(c, 2, DT_F64) && op_need_rank(c, 2, 1, "the numbers of a step") && op_need_fixed(c, 2);
}

static bool target_fails(const OpCall *c) {
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s does not fit %s, which wants %s",
                      op_operand_text(c, 1), op_operand_text(c, 0),
                      c->operands[1].dtype == DT_I64 ? "the same without the classes" : "the same shape");
}

/* The target has the input's dimensions, without the classes (dimension 1) where it holds indices. */
static bool target_fits(const OpCall *c, bool indices) {
    const Type *x = &c->operands[0], *t = &c->operands[1];
    if (t->rank != x->rank - indices)
        return target_fails(c);
    for (int d = 0; d < t->rank; d++) {
        Dim want = x->dim[d + (indices && d > 0)];
        if (t->dim[d].size != want.size || t->dim[d].by_n != want.by_n)
            return target_fails(c);
    }
    return true;
}

static bool verify_classes(const OpCall *c, uint32_t weight) {
    const ClassLossAttrs *a = c->attrs;
    const Type *x = &c->operands[0];
    if (!need_dtype(c, 0, DT_F32) || !need_dtype(c, 1, a->probabilities ? DT_F32 : DT_I64) || !need_dense(c))
        return false;
    if (x->rank < 2)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "%s needs the batch and the classes, but got %s", op_desc(c->op)->name,
                          op_operand_text(c, 0));
    if (!target_fits(c, !a->probabilities))
        return false;
    return c->n <= weight || (need_dtype(c, weight, DT_F32) &&
                              op_need_vector(c, weight, x->dim[1].size, "the number of classes"));
}

bool class_loss_verify(const OpCall *c) {
    return verify_classes(c, 2);
}

bool class_loss_backward_verify(const OpCall *c) {
    return need_hyper(c) && verify_classes(c, 3);
}

static bool verify_elements(const OpCall *c, uint32_t weight) {
    const ElementLossAttrs *a = c->attrs;
    const Type *x = &c->operands[0];
    if (!need_dtype(c, 0, DT_F32) || !need_dtype(c, 1, DT_F32) || !need_dense(c))
        return false;
    if (c->n != weight + a->weight + a->pos_weight)
        return diag_error(&c->cx->diag, DIAG_OPERAND_COUNT, &c->loc,
                          "%s with these attributes takes %d operands", op_desc(c->op)->name,
                          (int)weight + a->weight + a->pos_weight);
    if (!x->rank || !target_fits(c, false))
        return x->rank ? false : target_fails(c);
    for (uint32_t i = weight; i < c->n; i++) {
        if (!need_dtype(c, i, DT_F32) || !op_need_fixed(c, i))
            return false;
        if (type_elems(&c->operands[i], 1) != type_elems(x, 1) / x->dim[0].size)
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "%s must have as many elements as a sample of %s", op_operand_text(c, i),
                              op_operand_text(c, 0));
    }
    return true;
}

bool element_loss_verify(const OpCall *c) {
    return verify_elements(c, 2);
}

bool element_loss_backward_verify(const OpCall *c) {
    return need_hyper(c) && verify_elements(c, 3);
}

double element_loss_flops(const OpCall *c, const Type *out, int64_t n) {
    (void)out;
    return 3 * (double)type_elems(&c->operands[0], n);
}

/* ---- Classes in double ---- */

static double class_weight(const ClassRow *r, int64_t c) {
    return r->weight ? r->weight[c] : 1;
}

static bool ignored(const ClassRow *r) {
    return !r->probability && r->label == r->attrs->ignore_index;
}

double class_share(const ClassRow *r, int64_t c) {
    const double smoothing = r->attrs->label_smoothing;
    const double target = r->probability ? r->probability[c * r->stride] : c == r->label;
    if (ignored(r))
        return 0;
    return class_weight(r, c) * ((1 - smoothing) * target + smoothing / (double)r->classes);
}

/* What the place counts in the mean. */
static double row_weight(const ClassRow *r) {
    if (r->probability)
        return 1;
    return ignored(r) || r->label < 0 || r->label >= r->classes ? 0 : class_weight(r, r->label);
}

/* The sum of what `row` gives for each place; *weight: what all places count in the mean. */
static double class_rows(const ClassLossAttrs *a, const Tensor *in, const double *weights, double *out,
                         double (*row)(const ClassRow *r), double *weight) {
    const int64_t classes = in[0].dim[1], places = tensor_elems(&in[0]) / classes;
    const int64_t inner = places / in[0].dim[0];
    double total = 0;
    *weight = 0;
    for (int64_t i = 0; i < places; i++) {
        const int64_t at = i / inner * classes * inner + i % inner;
        ClassRow r = {.attrs = a, .classes = classes, .stride = inner, .x = in[0].data + at};
        r.out = out ? out + at : NULL;
        r.probability = a->probabilities ? in[1].data + at : NULL;
        r.weight = weights;
        r.label = a->probabilities ? 0 : (int64_t)in[1].data[i];
        *weight += row_weight(&r);
        total += row(&r);
    }
    return total;
}

double class_row_lse(const ClassRow *r) {
    double max = -INFINITY, sum = 0;
    for (int64_t k = 0; k < r->classes; k++)
        max = r->x[k * r->stride] > max ? r->x[k * r->stride] : max;
    for (int64_t k = 0; k < r->classes; k++)
        sum += exp(r->x[k * r->stride] - max);
    return max + log(sum);
}

void class_loss_eval(const ClassLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                     double (*row)(const ClassRow *r)) {
    double weight, total = class_rows(a, in, n > 2 ? in[2].data : NULL, NULL, row, &weight);
    out->data[0] = a->reduction == REDUCTION_MEAN ? total / weight : total;
}

void class_loss_backward_eval(const ClassLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                              double (*row)(const ClassRow *r)) {
    double weight, scale = in[2].data[0];
    class_rows(a, in, n > 3 ? in[3].data : NULL, out->data, row, &weight);
    if (a->reduction == REDUCTION_MEAN)
        scale /= weight;
    for (int64_t i = 0, count = tensor_elems(out); i < count; i++)
        out->data[i] = out->data[i] == 0 ? 0 : out->data[i] * scale;
}

/* ---- Elements in double ---- */

static double element(const ElementLossAttrs *a, const Tensor *in, uint32_t n, uint32_t first, int64_t i,
                      ElementEval f) {
    const int64_t size = tensor_elems(&in[0]) / in[0].dim[0];
    double extra[2] = {1, 1};
    for (uint32_t k = first; k < n; k++)
        extra[k - first] = in[k].data[i % size];
    return f(a, in[0].data[i], in[1].data[i], extra);
}

void element_loss_eval(const ElementLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out, ElementEval f) {
    const int64_t count = tensor_elems(&in[0]);
    double total = 0;
    for (int64_t i = 0; i < count; i++)
        total += element(a, in, n, 2, i, f);
    out->data[0] = a->reduction == REDUCTION_MEAN ? total / (double)count : total;
}

void element_loss_backward_eval(const ElementLossAttrs *a, const Tensor *in, uint32_t n, Tensor *out,
                                ElementEval f) {
    const int64_t count = tensor_elems(out);
    const double scale = a->reduction == REDUCTION_MEAN ? in[2].data[0] / (double)count : in[2].data[0];
    for (int64_t i = 0; i < count; i++)
        out->data[i] = element(a, in, n, 3, i, f) * scale;
}

const OpSample element_loss_samples[3] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 2,
     .operands = {TN2(3), TN2(3)},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM},
     .n = 2,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5)},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 2,
     .operands = {TN2(64), TN2(64)},
     .batch = 2},
};
const OpSample element_loss_backward_samples[3] = {
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 3,
     .operands = {TN2(3), TN2(3), HYPER},
     .batch = 5},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_SUM},
     .n = 3,
     .operands = {TN4(3, 7, 5), TN4(3, 7, 5), HYPER},
     .batch = 3},
    {.attrs = &(const ElementLossAttrs){.reduction = REDUCTION_MEAN},
     .n = 3,
     .operands = {TN2(64), TN2(64), HYPER},
     .batch = 2},
};
