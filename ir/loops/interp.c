/* The interpreter: entries, calls and control. It is slow and trusts nothing: what generated code would get
 * wrong in silence is a diagnostic here. interp_value.c does the arithmetic, interp_memory.c the memory. */
#include "ir/loops/interp.h"
#include <string.h>

static void run_block(Interp *in, const Block *b);

static void run_for(Interp *in, const Stmt *s) {
    int64_t lo = ix_eval(in->k, s->lo, in->var, in->n), hi = ix_eval(in->k, s->hi, in->var, in->n), next;
    bool parallel = s->kind == FOR_PARALLEL;
    if (parallel)
        in->loop_start = in->iterations;
    vec_push(&in->cx->arena, &in->open, s->var);
    for (int64_t i = lo; i < hi && !in->failed; i = next) {
        in->var[s->var] = i;
        if (parallel)
            in->iteration = ++in->iterations;
        run_block(in, &s->body);
        if (__builtin_add_overflow(i, s->step, &next))
            break;
    }
    in->open.len -= !in->failed; /* a fault names the loops it happened in */
    if (parallel)
        in->iteration = 0;
}

static bool holds(const Interp *in, const Stmt *s) {
    int64_t x = ix_eval(in->k, s->lo, in->var, in->n), y = ix_eval(in->k, s->hi, in->var, in->n);
    switch (s->cmp) {
    case IF_LT:
        return x < y;
    case IF_LE:
        return x <= y;
    case IF_EQ:
        return x == y;
    default:
        return x != y;
    }
}

static void run_stmt(Interp *in, const Stmt *s) {
    switch (s->op) {
    case LOP_LOAD:
        interp_load(in, s);
        break;
    case LOP_STORE:
        interp_store(in, s);
        break;
    case LOP_PREFETCH: /* may point anywhere */
        break;
    case LOP_ALLOC:
        interp_alloc(in, s);
        break;
    case LOP_FOR:
        run_for(in, s);
        break;
    case LOP_IF:
        run_block(in, holds(in, s) ? &s->body : &s->orelse);
        break;
    default:
        interp_value(in, s);
    }
}

static void run_block(Interp *in, const Block *b) {
    for (uint32_t i = 0; i < b->stmts.len && !in->failed; i++)
        run_stmt(in, b->stmts.data[i]);
}

/* ---- Calls ---- */

static void bind_params(Interp *in, const View *buffers) {
    for (uint32_t i = 0; i < in->k->n_params; i++) {
        const StepArg *a = &in->step->args[i];
        View *v = &in->view[i];
        *v = buffers[a->buf];
        v->byte += a->offset * v->bytes;
        v->extent = dim_at(in->k->bufs.data[i].extent, in->n); /* the verifier has seen that it fits */
    }
}

static void run_call(Interp *in, const Step *s, const View *buffers) {
    const Kernel *k = in->m->kernels.data[s->kernel];
    Arena arena; /* for this call alone: registers and scratch of all calls would add up */
    arena_init(&arena, in->cx->arena.oom);
    uint32_t lanes = 0;
    in->k = k;
    in->step = s;
    in->view = NEW_ARRAY(&arena, View, k->bufs.len + 1);
    in->first = NEW_ARRAY(&arena, uint32_t, k->vals.len + 1);
    in->var = NEW_ARRAY(&arena, int64_t, k->vars.len + 1);
    for (uint32_t i = 0; i < k->vals.len; i++) {
        in->first[i] = lanes;
        lanes += k->vals.data[i].lanes;
    }
    in->lanes = NEW_ARRAY(&arena, Num, lanes + 1);
    bind_params(in, buffers);
    interp_locals(in, &arena);
    run_block(in, &k->body);
    if (!in->failed)
        interp_check_noalias(in);
    in->k = NULL;
    in->step = NULL;
    arena_free(&arena);
}

/* What the step, a check, says of the call: 0 to go on. */
static int32_t status_of(const Interp *in, const Step *s, const View *buffers) {
    const StepArg *a = &s->args[in->m->kernels.data[s->kernel]->n_params - 1];
    const View *v = &buffers[a->buf];
    return (int32_t)elem_get_int(DT_I32, v->st->data + v->byte, a->offset);
}

static bool run_allowed(const LoopModule *m, const Entry *e, const char *entry, int64_t n, void **memory) {
    Diag *d = &m->cx->diag;
    if (!e)
        return diag_error(d, DIAG_IR_INVALID, NULL, "module @%s has no entry @%s", m->name, entry);
    if (n < 1 || n > m->batch || (m->n_fixed && n != m->batch))
        return diag_error(d, DIAG_IR_INVALID, NULL, "n is %lld, but the module is compiled for %s%lld",
                          (long long)n, m->n_fixed ? "" : "1 to ", (long long)m->batch);
    if (!loops_verify(m, false))
        return false;
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        bool given = b->kind == MB_IN || b->kind == MB_HYPER;
        if (given && entry_rules(entry)->reads >> b->kind & 1 && !(memory && memory[i]))
            return diag_error(d, DIAG_IR_INVALID, NULL, "input @%s has no memory", b->name);
    }
    return true;
}

bool loops_run(const LoopModule *m, const char *entry, int64_t n, void **memory, const InterpOptions *o) {
    static const InterpOptions usual = {.contract = true, .check_overlap = true};
    const Entry *e = NULL;
    for (uint32_t i = 0; i < m->entries.len; i++)
        if (!strcmp(m->entries.data[i].name, entry))
            e = &m->entries.data[i];
    if (!run_allowed(m, e, entry, n, memory))
        return false;
    Interp in = {.cx = m->cx, .m = m, .o = o ? o : &usual, .n = n};
    View *buffers = interp_buffers(&in, e, memory);
    int32_t status = 0;
    for (uint32_t i = 0; i < e->steps.len && !in.failed && !status; i++) {
        run_call(&in, &e->steps.data[i], buffers);
        if (!in.failed && e->steps.data[i].checks)
            status = status_of(&in, &e->steps.data[i], buffers);
    }
    if (in.o->status)
        *in.o->status = status;
    if (!in.failed && !status && entry_rules(entry)->writes >> MB_OUT & 1)
        interp_check_outputs(&in, buffers);
    return !in.failed;
}
