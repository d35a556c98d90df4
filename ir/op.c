/* The op table and what the descriptors share: checks of counts, attributes and shapes, worded for users. */
#include "ir/op.h"
#include "ir/ops/common.h"
#include <string.h>

const OpDesc *const op_table[OP_COUNT] = {
#define OP(id) [OP_##id] = &op_##id,
#include "ir/ops.def"
#undef OP
};

bool op_by_name(const char *name, size_t len, OpId *out) {
    for (int i = 0; i < OP_COUNT; i++)
        if (strlen(op_table[i]->name) == len && !memcmp(op_table[i]->name, name, len)) {
            *out = (OpId)i;
            return true;
        }
    return false;
}

const char *op_operand_text(const OpCall *c, uint32_t i) {
    const OpDesc *d = op_desc(c->op);
    StrBuf sb = sb_new(&c->cx->arena);
    if (c->names && c->names[i])
        sb_printf(&sb, "\"%s\" ", c->names[i]);
    else
        sb_printf(&sb, "%s ", i < d->max_operands ? d->operand_names[i] : "extra operand");
    Type t = type_dense(&c->operands[i]);
    type_print(&sb, &t);
    return sb_str(&sb);
}

static bool count_ok(const OpCall *c, const OpDesc *d) {
    if (c->n >= d->min_operands && c->n <= d->max_operands)
        return true;
    if (d->min_operands == d->max_operands)
        return diag_error(&c->cx->diag, DIAG_OPERAND_COUNT, &c->loc, "%s takes %u operand%s, not %u", d->name,
                          d->min_operands, d->min_operands == 1 ? "" : "s", c->n);
    return diag_error(&c->cx->diag, DIAG_OPERAND_COUNT, &c->loc, "%s takes %u to %u operands, not %u",
                      d->name, d->min_operands, d->max_operands, c->n);
}

bool op_verify(const OpCall *c) {
    const OpDesc *d = op_desc(c->op);
    if (!count_ok(c, d))
        return false;
    if (d->attrs.count) {
        const char *fault = attr_fault(c->cx, &d->attrs, c->attrs);
        if (fault)
            return diag_error(&c->cx->diag, DIAG_ATTR_RANGE, &c->loc, "%s", fault);
    }
    return !d->verify || d->verify(c);
}

bool op_infer(const OpCall *c, Type *out) {
    if (!op_verify(c) || !op_desc(c->op)->infer_shape(c, out))
        return false;
    return type_physical_bytes(out, 1) >= 0 || op_fail_overflow(c);
}

bool op_fail_overflow(const OpCall *c) {
    return diag_error(&c->cx->diag, DIAG_SIZE_OVERFLOW, &c->loc, "the sizes of this %s do not fit in 63 bits",
                      op_desc(c->op)->name);
}

double op_no_flops(const OpCall *c, const Type *out, int64_t n) {
    (void)c, (void)out, (void)n;
    return 0;
}

bool op_same_shape(const OpCall *c, Type *out) {
    *out = type_dense(&c->operands[0]);
    return true;
}

static bool broadcast_fail(const OpCall *c, uint32_t i) {
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s and %s do not fit together",
                      op_operand_text(c, 0), op_operand_text(c, i)) ||
           diag_hint(&c->cx->diag, "counted from the last, dimensions must be equal or 1");
}

bool op_broadcast_shape(const OpCall *c, Type *out) {
    Type r = type_dense(&c->operands[0]);
    for (uint32_t i = 1; i < c->n; i++) {
        const Type *t = &c->operands[i];
        Type longer = t->rank > r.rank ? type_dense(t) : r;
        for (int k = 1; k <= t->rank && k <= r.rank; k++) {
            Dim a = r.dim[r.rank - k], b = t->dim[t->rank - k];
            bool one_a = a.size == 1 && !a.by_n, one_b = b.size == 1 && !b.by_n;
            if (!one_a && !one_b && (a.size != b.size || a.by_n != b.by_n))
                return broadcast_fail(c, i);
            longer.dim[longer.rank - k] = one_a ? b : a;
        }
        r = longer;
        for (int k = 1; k < r.rank; k++)
            if (r.dim[k].by_n) /* the batch of one operand would meet another dimension of the other */
                return broadcast_fail(c, i);
    }
    *out = r;
    return true;
}

bool op_need_floats(const OpCall *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        if (!dtype_is_float(c->operands[i].dtype))
            return diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                              "%s works on floating-point numbers, not on %s", op_desc(c->op)->name,
                              op_operand_text(c, i));
        if (c->operands[i].dtype != c->operands[0].dtype)
            return diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                              "%s and %s must have the same element type", op_operand_text(c, 0),
                              op_operand_text(c, i));
    }
    return true;
}

bool op_need_dim(const OpCall *c, int64_t dim) {
    const Type *t = &c->operands[0];
    if (dim >= t->rank)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "dim %lld is not a dimension of %s",
                          (long long)dim, op_operand_text(c, 0));
    if (!t->dim[dim].by_n) /* images of a batch never see each other */
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "dim %lld is the batch, which %s keeps whole", (long long)dim, op_desc(c->op)->name);
}

bool op_need_dense(const OpCall *c) {
    Type dense = type_dense(&c->operands[0]);
    if (type_same_memory(&c->operands[0], &dense))
        return true;
    return diag_error(&c->cx->diag, DIAG_IR_INVALID, &c->loc, "%s is a view and needs a dense operand",
                      op_desc(c->op)->name);
}

bool op_need_rank(const OpCall *c, uint32_t i, uint8_t rank, const char *dims) {
    const Type *t = &c->operands[i];
    if (t->rank == rank)
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "%s needs %u dimensions (%s), but got %u: %s", op_desc(c->op)->name, rank, dims,
                      t->rank, op_operand_text(c, i));
}

bool op_need_fixed(const OpCall *c, uint32_t i) {
    if (!type_has_n(&c->operands[i]))
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s must not depend on the batch",
                      op_operand_text(c, i));
}

bool op_need_vector(const OpCall *c, uint32_t i, int64_t extent, const char *what) {
    const Type *t = &c->operands[i];
    if (t->rank == 1 && !t->dim[0].by_n && t->dim[0].size == extent)
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s is %lld, which %s does not match", what,
                      (long long)extent, op_operand_text(c, i));
}

bool op_need_shape_of(const OpCall *c, uint32_t i, uint32_t of) {
    if (type_same_shape(&c->operands[i], &c->operands[of]))
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "%s and %s must have the same dimensions",
                      op_operand_text(c, of), op_operand_text(c, i));
}

bool window_count(const Window *w, int64_t *out) {
    int64_t covers, room;
    if (__builtin_mul_overflow(w->dilation, w->kernel - 1, &covers) ||
        __builtin_add_overflow(w->in, w->before, &room) || __builtin_add_overflow(room, w->after, &room))
        return false;
    room -= covers + 1; /* covers < 2^62: attributes are below 2^31 */
    if (w->ceil_mode && __builtin_add_overflow(room, w->stride - 1, &room))
        return false;
    int64_t q = room / w->stride - (room % w->stride < 0);
    /* PyTorch: the last window must start inside the input or its left padding. */
    if (w->ceil_mode && q > 0 && q * w->stride >= w->in + w->before)
        q--;
    *out = q + 1;
    return true;
}

void window_taps(const Window *w, int64_t o, int64_t *lo, int64_t *hi) {
    const int64_t start = o * w->stride - w->before, step = w->dilation;
    *lo = start < 0 ? (-start + step - 1) / step : 0;
    *hi = start < w->in ? (w->in - start + step - 1) / step : 0;
    if (*hi > w->kernel)
        *hi = w->kernel;
}

int64_t window_input(const Window *w, int64_t o, int64_t k) {
    return o * w->stride - w->before + k * w->dilation;
}

bool window_need(Context *cx, const Loc *loc, const Window *w, const char *axis, int64_t *out) {
    if (!window_count(w, out))
        return diag_error(&cx->diag, DIAG_SIZE_OVERFLOW, loc, "a size of it does not fit in 64 bits");
    return *out >= 1 ||
           diag_error(&cx->diag, DIAG_SHAPE_MISMATCH, loc,
                      "kernel_size %lld does not fit in the %s %lld of its input%s", (long long)w->kernel,
                      axis, (long long)w->in, w->before + w->after ? ", even padded" : "");
}
