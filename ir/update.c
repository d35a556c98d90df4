/* What the optimizer ops share: checks and evaluation. */
#include "ir/ops/update.h"
#include <math.h>
#include <string.h>

const char *const update_clip_names[] = {"none", "value", "norm", NULL};

static bool verify_numbers(const OpCall *c, int64_t group) {
    const Type *hyper = &c->operands[UPDATE_HYPER], *step = &c->operands[UPDATE_STEP];
    const int64_t need = HYPER_GROUPS + HYPER_PER_GROUP * (group + 1);
    if (hyper->dtype != DT_F64 || hyper->rank != 1 || hyper->dim[0].by_n || hyper->dim[0].size < need)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "%s of group %lld needs an f64 vector of at least %lld numbers, but got %s",
                          op_desc(c->op)->name, (long long)group, (long long)need,
                          op_operand_text(c, UPDATE_HYPER));
    if (step->dtype != DT_I64 || step->rank != 1 || step->dim[0].by_n || step->dim[0].size != 1)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                          "%s counts steps in an i64[1], not in %s", op_desc(c->op)->name,
                          op_operand_text(c, UPDATE_STEP));
    return true;
}

bool update_verify(const OpCall *c) {
    const Type *param = &c->operands[UPDATE_PARAM];
    for (uint32_t i = 0; i < c->n; i++) {
        const Type *t = &c->operands[i], dense = type_dense(t);
        if (!type_same_memory(t, &dense))
            return diag_error(&c->cx->diag, DIAG_IR_INVALID, &c->loc, "%s must have the dense layout",
                              op_operand_text(c, i));
        if (i == UPDATE_HYPER || i == UPDATE_STEP)
            continue;
        if (t->dtype != DT_F32 || type_has_n(t) || !type_same_shape(t, param))
            return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                              "%s needs f32 tensors of one shape without N, but got %s", op_desc(c->op)->name,
                              op_operand_text(c, i));
    }
    const UpdateAttrs *a = c->attrs; /* first in each op's attributes */
    return verify_numbers(c, a->group);
}

double update_flops(const OpCall *c, int each) {
    const UpdateAttrs *a = c->attrs;
    return (each + (a->clip == CLIP_NORM)) * (double)type_elems(&c->operands[UPDATE_PARAM], 1);
}

double update_number(const UpdateAttrs *a, const Tensor *in, int which) {
    return in[UPDATE_HYPER].data[HYPER_GROUPS + HYPER_PER_GROUP * a->group + which];
}

double update_grad(const UpdateAttrs *a, const Tensor *in, int64_t i) {
    const double g = in[UPDATE_GRAD].data[i], clip = in[UPDATE_HYPER].data[HYPER_CLIP];
    if (a->clip == CLIP_NORM)
        return g * clip;
    return a->clip == CLIP_NONE || isnan(g) ? g : fmax(fmin(g, clip), -clip);
}

void update_result(const Tensor *in, Tensor *out) {
    memcpy(out->data, in[UPDATE_PARAM].data, (size_t)tensor_elems(out) * sizeof(double));
}
