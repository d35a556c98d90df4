/* What must hold before code is generated, beyond the rules of the loop IR: a plan whose every place lies
 * inside the memory that callers are told to bring, and arrays that fit a thread's stack. A plan may come
 * from a text. */
#include "backend/llvm.h"
#include <string.h>

enum { MAX_STACK_BYTES = 256 << 10, MAX_REGISTERS = 4096 };

static bool inside(int64_t offset, int64_t bytes, int64_t align, int64_t room) {
    int64_t end;
    return offset >= 0 && offset % align == 0 && bytes >= 0 && !__builtin_add_overflow(offset, bytes, &end) &&
           end <= room;
}

static bool misplaced(Context *cx, const char *what, const char *owner, const char *name) {
    diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "%s @%s: %%%s lies outside the planned memory", what, owner,
               name);
    return diag_hint(&cx->diag, "run the pass plan again");
}

static bool check_kernel(Context *cx, const LoopModule *m, const Kernel *k) {
    int64_t stack = 0, registers = 0, bytes;
    for (uint32_t i = k->n_params; i < k->bufs.len; i++) {
        const LBuf *b = &k->bufs.data[i];
        if (__builtin_mul_overflow(b->extent.size, (int64_t)dtype_bytes(b->dtype), &bytes))
            bytes = INT64_MAX;
        if (b->kind == LB_SCRATCH && !inside(b->offset, bytes, dtype_bytes(b->dtype), m->scratch_bytes))
            return misplaced(cx, "kernel", k->name, b->name);
        int64_t *sum = b->kind == LB_STACK ? &stack : &registers;
        if (b->kind != LB_SCRATCH &&
            __builtin_add_overflow(*sum, b->kind == LB_STACK ? bytes : b->extent.size, sum))
            *sum = INT64_MAX;
    }
    if (stack > MAX_STACK_BYTES)
        return diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "kernel @%s: its stack arrays take over %d KB",
                          k->name, MAX_STACK_BYTES >> 10);
    if (registers > MAX_REGISTERS)
        return diag_error(&cx->diag, DIAG_IR_INVALID, NULL,
                          "kernel @%s: its register arrays have over %d elements", k->name, MAX_REGISTERS);
    return true;
}

/* The workspace of `prepare` has its own size, and each step must stay inside its entry's. */
static bool check_entry(Context *cx, const LoopModule *m, const Entry *e) {
    int64_t room = e->name == intern(cx, "prepare") ? m->prepare_bytes : m->work_bytes;
    for (uint32_t i = 0; i < e->steps.len; i++)
        for (uint32_t p = 0; p < m->kernels.data[e->steps.data[i].kernel]->n_params; p++) {
            const ModBuf *b = &m->bufs.data[e->steps.data[i].args[p].buf];
            while (b->kind == MB_WORK && b->alias >= 0)
                b = &m->bufs.data[b->alias];
            int64_t bytes = type_physical_bytes(&b->type, m->batch);
            if (b->kind == MB_WORK && !inside(b->offset, bytes, dtype_bytes(b->type.dtype), room))
                return misplaced(cx, "entry", e->name, b->name);
        }
    return true;
}

/* ---- Training ---- */

uint32_t last_check(const Entry *entry) {
    uint32_t after = 0;
    for (uint32_t i = 0; i < entry->steps.len; i++)
        after = entry->steps.data[i].checks ? i + 1 : after;
    return after;
}

static bool wrong(Context *cx, const Entry *e, const char *what) {
    return diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "entry @%s: %s", e->name, what);
}

/* train_step clears the counter of accumulated gradients once the checks have passed: nothing before may read
 * it. That no check comes after a change of the state is the verifier's rule. */
static bool reads_counter(const LoopModule *m, const Entry *e, const ModBuf *counter) {
    uint32_t checked = last_check(e);
    for (uint32_t i = 0; i < checked; i++)
        for (uint32_t p = 0; p < m->kernels.data[e->steps.data[i].kernel]->n_params; p++)
            if (&m->bufs.data[e->steps.data[i].args[p].buf] == counter)
                return true;
    return false;
}

static bool check_training(Context *cx, const LoopModule *m, const ObjectOptions *o) {
    const Entry *backward = find_entry(m, "backward"), *apply = find_entry(m, "apply");
    const ModBuf *counter = find_counter(m, "accumulated");
    if (!o->training)
        return diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "module @%s trains, and so needs a recipe",
                          m->name);
    if (!apply || !find_entry(m, "eval") || !counter || counter->type.dtype != DT_I64 ||
        !count_bufs(m, MB_OUT))
        return diag_error(&cx->diag, DIAG_IR_INVALID, NULL,
                          "module @%s: training needs the entries @apply and @eval, a loss, and the counter "
                          "\"accumulated\"",
                          m->name);
    if (last_check(apply))
        return wrong(cx, apply, "it cannot fail: checks belong into @backward");
    return !reads_counter(m, backward, counter) ||
           wrong(cx, backward, "a check comes after \"accumulated\" is read");
}

bool check_module(Context *cx, const LoopModule *m, const ObjectOptions *o) {
    if (!m->planned)
        return diag_error(&cx->diag, DIAG_IR_INVALID, NULL,
                          "module @%s has no memory plan: run the pass plan before generating code", m->name);
    if (!loops_verify(m, true))
        return false;
    const int64_t sizes[] = {m->work_bytes, m->prepare_bytes, m->const_bytes, m->scratch_bytes,
                             m->state_bytes};
    for (int i = 0; i < 5; i++)
        if (sizes[i] < 0 || sizes[i] > INT64_MAX / 2)
            return diag_error(&cx->diag, DIAG_IR_INVALID, NULL,
                              "module @%s: its memory plan has impossible sizes", m->name);
    for (uint32_t i = 0; i < m->kernels.len; i++)
        if (!check_kernel(cx, m, m->kernels.data[i]))
            return false;
    for (uint32_t i = 0; i < m->entries.len; i++)
        if (!check_entry(cx, m, &m->entries.data[i]))
            return false;
    return !is_training(m) || check_training(cx, m, o);
}
