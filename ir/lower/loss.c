/* What the lowerings of losses share: kernels over several buffers, and the sum over all. */
#include "ir/lower/loss.h"
#include "ir/ops/common.h"
#include <string.h>

LossKernel loss_kernel(Lower *lw, const Node *n, const char *what) {
    LossKernel k = {.lw = lw, .n = n};
    k.b = lb_begin(lw->cx, intern_f(lw->cx, "%s.%s.k%u", op_desc(n->op)->name, what, lw->m->kernels.len));
    k.b.contract = lw->contract;
    return k;
}

uint32_t loss_param(LossKernel *k, uint32_t buf, LBufKind kind, const char *name) {
    const Type *t = &k->lw->m->bufs.data[buf].type;
    Dim extent = {type_physical_elems(t, 1), type_has_n(t)};
    k->args[k->b.k->n_params] = (StepArg){.buf = buf};
    return lb_param(&k->b, name, kind, t->dtype, extent);
}

uint32_t loss_operand(LossKernel *k, uint32_t i) {
    return loss_param(k, k->lw->buf[k->n->operands[i]], LB_IN, op_desc(k->n->op)->operand_names[i]);
}

bool loss_end(LossKernel *k) {
    Lower *lw = k->lw;
    Arena *a = &lw->cx->arena;
    Step s = {.kernel = lw->m->kernels.len, .name = k->n->name, .loc = k->n->loc};
    s.args = arena_copy(a, k->args, k->b.k->n_params * sizeof *s.args);
    vec_push(a, &lw->m->kernels, k->b.k);
    vec_push(a, &lw->entry->steps, s);
    return true;
}

static bool name_taken(const LoopModule *m, const char *name) {
    for (uint32_t i = 0; i < m->bufs.len; i++)
        if (!strcmp(m->bufs.data[i].name, name))
            return true;
    return false;
}

uint32_t loss_work(Lower *lw, const Node *n, const char *what, Type t) {
    /* No value of a graph has a '/' in its name. */
    const char *base = intern_f(lw->cx, "%s/%s", lw->g->values.data[n->result].name, what), *name = base;
    for (unsigned i = 1; name_taken(lw->m, name); i++)
        name = intern_f(lw->cx, "%s.%u", base, i);
    ModBuf buf = {.name = name, .kind = MB_WORK, .type = t, .align = 64, .offset = -1, .alias = -1};
    return loops_buf(lw->m, buf);
}

LossPartial loss_partial(Lower *lw, const Node *n, Dim outer, int64_t parts, int64_t size) {
    Dim dims[3] = {outer, {parts, false}, {size, false}};
    LossPartial p = {.outer = outer, .parts = parts, .size = size};
    p.buf = loss_work(lw, n, "partial", type_make(DT_F64, 3, dims));
    return p;
}

/* ---- Lines ---- */

enum { TASK_SAMPLES = 16, TASK_PLACES = 1024 }; /* lines of a parallel task */

void lines_open(LBuild *b, Lines *l, const Target *target) {
    const bool samples = l->inner == 1;
    const int64_t task = samples ? TASK_SAMPLES : TASK_PLACES, chunks = (l->inner + task - 1) / task;
    Idx outer = lb_dim(b, l->outer), extent = samples ? outer : lb_c(b, l->inner);
    Idx tasks = samples ? lb_divc(b, lb_addc(b, outer, task - 1), task) : lb_mulc(b, outer, chunks);
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), tasks, 1);
    Idx lo = lb_mulc(b, samples ? t : lb_modc(b, t, chunks), task);
    Idx hi = lb_min(b, lb_addc(b, lo, task), extent);
    Idx i = lb_for_vector(b, "i", lo, hi, (uint8_t)target_lanes(target, 4));
    l->sample = samples ? i : lb_divc(b, t, chunks);
    l->place = samples ? lb_c(b, 0) : i;
}

void lines_close(LBuild *b) {
    lb_end(b);
    lb_end(b);
}

/* ---- Cells ---- */

uint32_t loss_cell(LBuild *b, const char *name, LType t, double first) {
    uint32_t cell = lb_alloc(b, LB_REG, name, t, 1);
    lb_store(b, cell, lb_c(b, 0), lb_const(b, t, first));
    return cell;
}

LVal loss_get(LBuild *b, uint32_t cell, LType t) {
    return lb_load(b, t, cell, lb_c(b, 0));
}

void loss_add(LBuild *b, uint32_t cell, LVal x) {
    LVal old = loss_get(b, cell, lb_type(b, x));
    lb_store(b, cell, lb_c(b, 0), lb_op2(b, LOP_ADD, old, x));
}

/* ---- The sum over all ---- */

void loss_sum(LBuild *b, const LossPartial *p, uint32_t partial, const uint32_t *sums) {
    Idx i = lb_for(b, FOR_SERIAL, "i", lb_c(b, 0), lb_dim(b, p->outer), 1);
    Idx j = lb_for(b, FOR_SERIAL, "j", lb_c(b, 0), lb_c(b, p->size), 1);
    for (int64_t part = 0; part < p->parts; part++) {
        Idx at = lb_add(b, lb_mulc(b, i, p->parts * p->size), lb_addc(b, j, part * p->size));
        loss_add(b, sums[part], lb_load(b, (LType){DT_F64, 1}, partial, at));
    }
    lb_end(b);
    lb_end(b);
}

bool loss_total(Lower *lw, const Node *n, const LossPartial *p, int32_t reduction) {
    const LType f64 = {DT_F64, 1};
    LossKernel k = loss_kernel(lw, n, "total");
    LBuild *b = &k.b;
    uint32_t partial = loss_param(&k, p->buf, LB_IN, "partial");
    uint32_t out = loss_param(&k, lw->buf[n->result], LB_OUT, "out"), sums[2];
    for (int64_t part = 0; part < p->parts; part++)
        sums[part] = loss_cell(b, part ? "weight" : "sum", f64, 0);
    loss_sum(b, p, partial, sums);
    LVal v = loss_get(b, sums[0], f64);
    if (reduction == REDUCTION_MEAN) {
        LVal by = p->parts > 1 ? loss_get(b, sums[1], f64) : lb_index(b, f64, lb_dim(b, p->count));
        v = lb_op2(b, LOP_DIV, v, by);
    }
    lb_store(b, out, lb_c(b, 0), lb_convert(b, DT_F32, v));
    return loss_end(&k);
}
