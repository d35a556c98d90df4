/* Entry points of training: train_step, backward, apply, zero_grad, eval and state_init, and the same over
 * arrays of pointers for the descriptor. */
#include "backend/call.h"
#include "runtime/cnnrt/cnnrt.h"

/* What a call on samples does. */
typedef struct Work {
    const char *name, *arrays; /* of the function and of its uniform version */
    bool hyper;                /* takes the numbers of a step */
    bool clear, backward, apply, eval;
} Work;

static const Work train_step = {"train_step",  "train_step_arrays", .hyper = true,
                                .clear = true, .backward = true,    .apply = true};
static const Work backward = {"backward", "backward_arrays", .hyper = true, .backward = true};
static const Work eval = {"eval", "eval_arrays", .eval = true};

static void check_state(const Call *c) {
    const Emit *e = c->e;
    refuse_if(c, LLVMBuildIsNull(e->b, c->state, ""), CNNRT_E_STATE);
    refuse_unaligned(c, c->state, CNNRT_E_STATE);
    LLVMValueRef word = LLVMBuildLoad2(e->b, e->i64, c->state, ""),
                 own = const_i64(e, (int64_t)state_word(e));
    refuse_if(c, LLVMBuildICmp(e->b, LLVMIntNE, word, own, ""), CNNRT_E_STATE);
}

static void clear_accumulated(Call *c) {
    const LoopModule *m = c->e->m;
    uint32_t counter = (uint32_t)(find_counter(m, "accumulated") - m->bufs.data);
    LLVMBuildStore(c->e->b, const_i64(c->e, 0), buffer_base(c, counter));
}

/* All steps of backward. Until its last check has passed, no state may change. */
static void emit_backward(Call *c, bool clear) {
    const Entry *entry = find_entry(c->e->m, "backward");
    uint32_t checked = last_check(entry);
    emit_steps(c, entry, 0, checked);
    if (clear)
        clear_accumulated(c);
    emit_steps(c, entry, checked, entry->steps.len);
}

static void emit_entry(Call *c, const char *name) {
    const Entry *entry = find_entry(c->e->m, name);
    emit_steps(c, entry, 0, entry->steps.len);
}

/* name(n, inputs..., targets..., loss, outputs..., state, [hyper], weights, work, work_bytes, pool) */
static LLVMValueRef emit_work(Emit *e, const void *what) {
    const Work *w = what;
    const LoopModule *m = e->m;
    uint32_t io = count_bufs(m, MB_IN) + count_bufs(m, MB_OUT), at = io + 1, n = at + 5 + w->hyper;
    LLVMTypeRef *types = NEW_ARRAY(&e->cx->arena, LLVMTypeRef, n);
    for (uint32_t i = 0; i < n; i++)
        types[i] = i == 0 || i == n - 2 ? e->i64 : e->ptr;
    Call c = call_begin(e, w->name, types, n);
    c.n = LLVMGetParam(c.fn, 0);
    c.state = LLVMGetParam(c.fn, at);
    c.hyper = w->hyper ? LLVMGetParam(c.fn, at + 1) : NULL;
    call_tail(&c, n - 4);
    check_cpu(&c);
    check_batch(&c);
    check_tensors(&c, 1);
    check_state(&c);
    if (c.hyper)
        refuse_null(&c, c.hyper);
    LLVMValueRef threads = check_pool(&c);
    check_weights(&c);
    check_work(&c, round64(m->work_bytes), threads);
    if (w->backward)
        emit_backward(&c, w->clear);
    if (w->apply)
        emit_entry(&c, "apply");
    if (w->eval)
        emit_entry(&c, "eval");
    call_return(&c, CNNRT_OK);
    return c.fn;
}

/* apply(state, hyper, work, work_bytes, pool) */
static LLVMValueRef emit_apply(Emit *e, const void *what) {
    (void)what;
    LLVMTypeRef types[] = {e->ptr, e->ptr, e->ptr, e->i64, e->ptr};
    Call c = call_begin(e, "apply", types, 5);
    c.n = const_i64(e, e->m->batch);
    c.state = LLVMGetParam(c.fn, 0);
    c.hyper = LLVMGetParam(c.fn, 1);
    c.work = LLVMGetParam(c.fn, 2);
    c.work_bytes = LLVMGetParam(c.fn, 3);
    c.pool = LLVMGetParam(c.fn, 4);
    check_cpu(&c);
    check_state(&c);
    refuse_null(&c, c.hyper);
    check_work(&c, round64(e->m->work_bytes), check_pool(&c));
    emit_entry(&c, "apply");
    call_return(&c, CNNRT_OK);
    return c.fn;
}

/* zero_grad(state): the next backward begins its sums anew. */
static LLVMValueRef emit_zero_grad(Emit *e) {
    Call c = call_begin(e, "zero_grad", &e->ptr, 1);
    c.state = LLVMGetParam(c.fn, 0);
    check_state(&c);
    clear_accumulated(&c);
    call_return(&c, CNNRT_OK);
    add_global_name(e, c.fn, LLVMGlobalGetValueType(c.fn), "zero_grad");
    return c.fn;
}

/* ---- Over arrays of pointers ---- */

/* The array's pointers become arguments from number `at` on; returns the number of the next. */
static uint32_t unpack(const Call *c, LLVMValueRef *args, uint32_t at, LLVMValueRef array, uint32_t n) {
    if (n)
        refuse_null(c, array);
    for (uint32_t i = 0; i < n; i++)
        args[at++] = array_item(c->e, array, i);
    return at;
}

/* name(n, inputs, targets, loss, outputs, state, [hyper], weights, work, work_bytes, pool) */
static LLVMValueRef emit_arrays(Emit *e, const Work *w) {
    const LoopModule *m = e->m;
    uint32_t n_targets = count_targets(m), n_in = count_bufs(m, MB_IN) - n_targets,
             n_out = count_bufs(m, MB_OUT) - 1;
    LLVMValueRef call = emit_public(e, w->name, w->name, emit_work, w);
    uint32_t n = 10 + w->hyper, at = 1;
    LLVMTypeRef types[11];
    for (uint32_t i = 0; i < n; i++)
        types[i] = i == 0 || i == n - 2 ? e->i64 : e->ptr;
    Call c = call_begin(e, w->arrays, types, n);
    LLVMValueRef *args = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n + n_in + n_targets + n_out);
    args[0] = LLVMGetParam(c.fn, 0);
    at = unpack(&c, args, at, LLVMGetParam(c.fn, 1), n_in);
    at = unpack(&c, args, at, LLVMGetParam(c.fn, 2), n_targets);
    args[at++] = LLVMGetParam(c.fn, 3);
    at = unpack(&c, args, at, LLVMGetParam(c.fn, 4), n_out);
    for (uint32_t i = 5; i < n; i++)
        args[at++] = LLVMGetParam(c.fn, i);
    LLVMBuildRet(e->b, LLVMBuildCall2(e->b, LLVMGlobalGetValueType(call), call, args, at, ""));
    return c.fn;
}

bool emit_training(Emit *e, LLVMValueRef prepare) {
    if (has_initial(e->m, e->o))
        e->initial = embedded_block(e, INITIAL, initial_bytes(e->m));
    TrainingCalls calls = {.state_init = emit_state_init(e)};
    add_global_name(e, calls.state_init, LLVMGlobalGetValueType(calls.state_init), "state_init");
    calls.train_step = emit_arrays(e, &train_step);
    calls.zero_grad = emit_zero_grad(e);
    calls.backward = emit_arrays(e, &backward);
    calls.apply = emit_public(e, "apply", "apply", emit_apply, NULL);
    calls.eval = emit_arrays(e, &eval);
    return emit_descriptor(e, NULL, prepare, &calls);
}
