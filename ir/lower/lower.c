/* What every lowering shares: kernels with one parameter an operand, element addresses under any layout, and
 * the pointwise regions that ride on a kernel's loads and stores. */
#include "ir/lower/lower.h"
#include "ir/lower/shapes.h"

#include <string.h>

static Dim physical_extent(const Type *t) {
    return (Dim){.size = type_physical_elems(t, 1), .by_n = type_has_n(t)};
}

static void add_params(LowerKernel *lk) {
    const Node *n = lk->n;
    const OpDesc *op = op_desc(n->op);
    uint32_t own = n->n_operands - n->n_prologue - n->n_epilogue;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Type *t = &lk->lw->g->values.data[n->operands[i]].type;
        const char *name = i < own && op->operand_names && i < op->max_operands
                               ? op->operand_names[i]
                               : intern_f(lk->lw->cx, "extra%u", i - own);
        lk->in[i] = t;
        LBufKind kind = op->writes >> i & 1 ? LB_INOUT : LB_IN;
        lk->in_buf[i] = lb_param(&lk->b, name, kind, t->dtype, physical_extent(t));
    }
    lk->out = &lk->lw->g->values.data[n->result].type;
    lk->out_buf = op->writes ? lk->in_buf[0]
                             : lb_param(&lk->b, "out", LB_OUT, lk->out->dtype, physical_extent(lk->out));
}

LowerKernel lower_begin(Lower *lw, const Node *n, const char *kernel_name) {
    LowerKernel lk = {.lw = lw, .n = n, .lanes = target_lanes(lw->target, 4)};
    lk.b = lb_begin(lw->cx, intern_f(lw->cx, "%s.k%u", kernel_name, lw->m->kernels.len));
    lk.b.contract = lw->contract;
    add_params(&lk);
    return lk;
}

bool lower_end(LowerKernel *lk) {
    Lower *lw = lk->lw;
    const Node *n = lk->n;
    Arena *a = &lw->cx->arena;
    Step s = {.kernel = lw->m->kernels.len, .name = n->name, .loc = n->loc};
    const bool writes = op_desc(n->op)->writes;
    s.origin = writes ? NULL : lw->g->values.data[n->result].origin;
    s.checks = op_desc(n->op)->flags & OP_CHECK;
    s.args = NEW_ARRAY(a, StepArg, n->n_operands + 1);
    for (uint32_t i = 0; i < n->n_operands; i++)
        s.args[i].buf = lw->buf[n->operands[i]];
    if (!writes)
        s.args[n->n_operands].buf = lw->buf[n->result];
    vec_push(a, &lw->m->kernels, lk->b.k);
    vec_push(a, &lw->entry->steps, s);
    return true;
}

bool lower_copy(Lower *lw, uint32_t from, uint32_t to, const char *name) {
    Arena *a = &lw->cx->arena;
    const Type *t = &lw->m->bufs.data[to].type;
    LBuild b = lb_begin(lw->cx, intern_f(lw->cx, "copy.k%u", lw->m->kernels.len));
    uint32_t src = lb_param(&b, "input", LB_IN, t->dtype, physical_extent(t));
    uint32_t dst = lb_param(&b, "out", LB_OUT, t->dtype, physical_extent(t));
    Idx i = lb_for_vector(&b, "i", lb_c(&b, 0), lb_dim(&b, physical_extent(t)),
                          (uint8_t)target_lanes(lw->target, 4));
    lb_store(&b, dst, i, lb_load(&b, (LType){t->dtype, 1}, src, i));
    lb_end(&b);
    Step s = {.kernel = lw->m->kernels.len, .name = name, .args = NEW_ARRAY(a, StepArg, 2)};
    s.args[0].buf = from;
    s.args[1].buf = to;
    vec_push(a, &lw->m->kernels, b.k);
    vec_push(a, &lw->entry->steps, s);
    return true;
}

/* ---- Addresses ---- */

Idx lower_index(LBuild *b, const Type *t, const Idx *coord) {
    PhysicalPart part[MAX_PARTS];
    int n = type_parts(t, part);
    bool outermost[MAX_RANK];
    memset(outermost, 1, sizeof outermost);
    Idx at = lb_c(b, 0);
    for (int p = 0; p < n; p++) {
        uint8_t d = part[p].dim;
        Idx c = lb_addc(b, coord[d], t->layout.nparts ? t->layout.lo[d] : 0);
        c = lb_divc(b, c, part[p].divisor);
        if (!outermost[d])
            c = lb_modc(b, c, part[p].extent.size);
        outermost[d] = false;
        at = lb_add(b, at, lb_mulc(b, c, part[p].stride));
    }
    return at;
}

/* The distance between neighbours along dimension d: the stride of its innermost part. */
int64_t lower_lane_stride(const Type *t, int d) {
    PhysicalPart part[MAX_PARTS];
    int64_t stride = 0;
    for (int p = 0, n = type_parts(t, part); p < n; p++)
        if (part[p].dim == d)
            stride = part[p].stride;
    return stride;
}

ChannelSplit lower_channel_split(const LowerKernel *lk) {
    const uint32_t count = lk->n->n_operands, own = count - lk->n->n_epilogue;
    const int64_t channels = lk->out->dim[1].size;
    uint8_t lanes = (uint8_t)lk->lanes;
    bool padded = true;
    for (uint32_t i = 0; i <= count; i++) {
        const Type *t = i < count ? lk->in[i] : lk->out;
        const int d = 1 - (lk->out->rank - t->rank);
        lanes = shape_lanes(t, d, lanes);
        if ((i < own || i == count) && shape_lane_dim(t) != 1)
            lanes = 1;
    }
    for (uint32_t i = 0; i <= count; i++) {
        const Type *t = i < count ? lk->in[i] : lk->out;
        const int d = 1 - (lk->out->rank - t->rank);
        if (d >= 0 && (t->dim[d].size != 1 || channels == 1))
            padded &= shape_padded(t, d, ceil_div(channels, lanes) * lanes);
    }
    const int64_t whole = padded ? ceil_div(channels, lanes) : channels / lanes;
    return (ChannelSplit){lanes, whole, padded ? 0 : channels % lanes};
}

static LVal load_at(LowerKernel *lk, uint32_t buf, const Type *t, const Type *like, const Pos *pos) {
    LBuild *b = &lk->b;
    Idx coord[MAX_RANK];
    int shift = like->rank - t->rank; /* NumPy's rule: dimensions line up at the right */
    for (int d = 0; d < t->rank; d++) {
        bool broadcast = t->dim[d].size == 1 && !t->dim[d].by_n;
        coord[d] = broadcast ? lb_c(b, 0) : pos->coord[d + shift];
    }
    Idx at = lower_index(b, t, coord);
    int lane_dim = pos->lane_dim - shift;
    bool vector = pos->lanes > 1 && lane_dim >= 0 && (t->dim[lane_dim].size != 1 || t->dim[lane_dim].by_n);
    if (!vector)
        return lb_splat(b, lb_load(b, (LType){t->dtype, 1}, buf, at), pos->lanes);
    return lb_load_strided(b, (LType){t->dtype, pos->lanes}, buf, at, lower_lane_stride(t, lane_dim));
}

/* ---- Regions ---- */

static LVal apply_region(LowerKernel *lk, const Graph *region, uint32_t first_extra, LVal v, const Type *like,
                         const Pos *pos) {
    if (!region)
        return v;
    LVal *map = NEW_ARRAY(&lk->lw->cx->arena, LVal, region->values.len);
    uint32_t arg = 0;
    LVal last = v;
    for (uint32_t i = 0; i < region->values.len; i++) {
        const Value *rv = &region->values.data[i];
        if (rv->kind == VK_ARG) {
            uint32_t operand = first_extra + arg - 1;
            map[i] = arg == 0 ? v : load_at(lk, lk->in_buf[operand], lk->in[operand], like, pos);
            arg++;
        } else {
            const Node *n = &region->nodes.data[rv->def];
            LVal in[8];
            for (uint32_t k = 0; k < n->n_operands; k++)
                in[k] = map[n->operands[k]];
            last = map[i] = op_desc(n->op)->emit(&lk->b, n->attrs, in);
        }
    }
    return last;
}

LVal lower_epilogue(LowerKernel *lk, LVal v, const Pos *pos) {
    return apply_region(lk, lk->n->epilogue, lk->n->n_operands - lk->n->n_epilogue, v, lk->out, pos);
}

LVal lower_load0(LowerKernel *lk, const Pos *pos) {
    uint32_t first = lk->n->n_operands - lk->n->n_epilogue - lk->n->n_prologue;
    LVal v = load_at(lk, lk->in_buf[0], lk->in[0], lk->in[0], pos);
    return apply_region(lk, lk->n->prologue, first, v, lk->in[0], pos);
}

LVal lower_load(LowerKernel *lk, uint32_t i, const Type *like, const Pos *pos) {
    return load_at(lk, lk->in_buf[i], lk->in[i], like, pos);
}

void lower_store(LowerKernel *lk, LVal v, const Pos *pos) {
    LBuild *b = &lk->b;
    Idx at = lower_index(b, lk->out, pos->coord);
    if (pos->lanes == 1)
        lb_store(b, lk->out_buf, at, v);
    else
        lb_store_strided(b, lk->out_buf, at, v, lower_lane_stride(lk->out, pos->lane_dim));
}
