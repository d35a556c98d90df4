/* The back end of training: a module by hand, y = x * w * k, its loss the sum of y, plain gradient descent
 * that also sums squares in a slot; entry points, their errors, the state block and the header. */
#include "backend/backend.h"
#include "ir/loops/build.h"
#include "runtime/cnnrt/cnnrt.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, COLS = 4, CLASSES = 5 };

static LType scalar(DType t) {
    return (LType){t, 1};
}
static Dim fixed(int64_t size) {
    return (Dim){size, false};
}
static Dim times_n(int64_t size) {
    return (Dim){size, true};
}
static LVal load(LBuild *b, DType t, uint32_t buf, Idx at) {
    return lb_load(b, scalar(t), buf, at);
}

/* ---- Kernels ---- */

/* status = a label is not in [0, CLASSES) ? CNNRT_E_LABEL : 0 */
static Kernel *check_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "check_label");
    uint32_t label = lb_param(&b, "label", LB_IN, DT_I64, times_n(1));
    uint32_t status = lb_param(&b, "status", LB_OUT, DT_I32, fixed(1));
    uint32_t acc = lb_alloc(&b, LB_REG, "acc", scalar(DT_I32), 1);
    lb_store(&b, acc, lb_c(&b, 0), lb_const_int(&b, scalar(DT_I32), 0));
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_n(&b), 1);
    LVal v = load(&b, DT_I64, label, i);
    LVal low = lb_op2(&b, LOP_CMPLT, v, lb_const_int(&b, scalar(DT_I64), 0));
    LVal high = lb_op2(&b, LOP_CMPLE, lb_const_int(&b, scalar(DT_I64), CLASSES), v);
    LVal bad = lb_const_int(&b, scalar(DT_I32), CNNRT_E_LABEL), was = load(&b, DT_I32, acc, lb_c(&b, 0));
    lb_store(&b, acc, lb_c(&b, 0), lb_select(&b, lb_op2(&b, LOP_OR, low, high), bad, was));
    lb_end(&b);
    lb_store(&b, status, lb_c(&b, 0), load(&b, DT_I32, acc, lb_c(&b, 0)));
    return b.k;
}

/* y = x * w * k */
static Kernel *forward_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "forward");
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(COLS)),
             w = lb_param(&b, "w", LB_IN, DT_F32, fixed(COLS));
    uint32_t k = lb_param(&b, "k", LB_IN, DT_F32, fixed(COLS)),
             y = lb_param(&b, "y", LB_OUT, DT_F32, times_n(COLS));
    Idx i = lb_for(&b, FOR_PARALLEL, "i", lb_c(&b, 0), lb_n(&b), 1);
    Idx j = lb_for(&b, FOR_SERIAL, "j", lb_c(&b, 0), lb_c(&b, COLS), 1);
    Idx at = lb_add(&b, lb_mulc(&b, i, COLS), j);
    LVal v = lb_op2(&b, LOP_MUL, load(&b, DT_F32, x, at), load(&b, DT_F32, w, j));
    lb_store(&b, y, at, lb_op2(&b, LOP_MUL, v, load(&b, DT_F32, k, j)));
    lb_end(&b);
    lb_end(&b);
    return b.k;
}

static Kernel *loss_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "loss");
    uint32_t y = lb_param(&b, "y", LB_IN, DT_F32, times_n(COLS)),
             sum = lb_param(&b, "sum", LB_OUT, DT_F32, fixed(1));
    uint32_t acc = lb_alloc(&b, LB_REG, "acc", scalar(DT_F32), 1);
    lb_store(&b, acc, lb_c(&b, 0), lb_const(&b, scalar(DT_F32), 0));
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_mulc(&b, lb_n(&b), COLS), 1);
    LVal was = load(&b, DT_F32, acc, lb_c(&b, 0));
    lb_store(&b, acc, lb_c(&b, 0), lb_op2(&b, LOP_ADD, was, load(&b, DT_F32, y, i)));
    lb_end(&b);
    lb_store(&b, sum, lb_c(&b, 0), load(&b, DT_F32, acc, lb_c(&b, 0)));
    return b.k;
}

/* grad = (accumulated ? grad : 0) + grad_scale * k * sum of x over the batch */
static Kernel *grad_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "grad");
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(COLS)),
             k = lb_param(&b, "k", LB_IN, DT_F32, fixed(COLS));
    uint32_t count = lb_param(&b, "accumulated", LB_IN, DT_I64, fixed(1));
    uint32_t hyper = lb_param(&b, "hyper", LB_IN, DT_F64, fixed(5));
    uint32_t g = lb_param(&b, "grad", LB_INOUT, DT_F32, fixed(COLS));
    LVal first =
        lb_op2(&b, LOP_CMPEQ, load(&b, DT_I64, count, lb_c(&b, 0)), lb_const_int(&b, scalar(DT_I64), 0));
    LVal scale = lb_convert(&b, DT_F32, load(&b, DT_F64, hyper, lb_c(&b, 0)));
    Idx j = lb_for(&b, FOR_SERIAL, "j", lb_c(&b, 0), lb_c(&b, COLS), 1);
    uint32_t acc = lb_alloc(&b, LB_REG, "acc", scalar(DT_F32), 1);
    lb_store(&b, acc, lb_c(&b, 0), lb_const(&b, scalar(DT_F32), 0));
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_n(&b), 1);
    LVal was = load(&b, DT_F32, acc, lb_c(&b, 0));
    lb_store(&b, acc, lb_c(&b, 0),
             lb_op2(&b, LOP_ADD, was, load(&b, DT_F32, x, lb_add(&b, lb_mulc(&b, i, COLS), j))));
    lb_end(&b);
    LVal v = lb_op2(&b, LOP_MUL,
                    lb_op2(&b, LOP_MUL, load(&b, DT_F32, acc, lb_c(&b, 0)), load(&b, DT_F32, k, j)), scale);
    LVal old = lb_select(&b, first, lb_const(&b, scalar(DT_F32), 0), load(&b, DT_F32, g, j));
    lb_store(&b, g, j, lb_op2(&b, LOP_ADD, old, v));
    lb_end(&b);
    return b.k;
}

static Kernel *advance_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "advance");
    uint32_t c = lb_param(&b, "c", LB_INOUT, DT_I64, fixed(1));
    LVal one = lb_const_int(&b, scalar(DT_I64), 1);
    lb_store(&b, c, lb_c(&b, 0), lb_op2(&b, LOP_ADD, load(&b, DT_I64, c, lb_c(&b, 0)), one));
    return b.k;
}

/* sum += grad * grad; w -= lr * grad */
static Kernel *apply_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "update");
    uint32_t w = lb_param(&b, "w", LB_INOUT, DT_F32, fixed(COLS));
    uint32_t sum = lb_param(&b, "sum", LB_INOUT, DT_F32, fixed(COLS));
    uint32_t g = lb_param(&b, "grad", LB_IN, DT_F32, fixed(COLS));
    uint32_t hyper = lb_param(&b, "hyper", LB_IN, DT_F64, fixed(5));
    Idx j = lb_for(&b, FOR_PARALLEL, "j", lb_c(&b, 0), lb_c(&b, COLS), 1);
    LVal lr = lb_convert(&b, DT_F32, load(&b, DT_F64, hyper, lb_c(&b, 2))), d = load(&b, DT_F32, g, j);
    LVal old = load(&b, DT_F32, sum, j), square = lb_op2(&b, LOP_MUL, d, d);
    lb_store(&b, sum, j, lb_op2(&b, LOP_ADD, old, square));
    LVal move = lb_op2(&b, LOP_MUL, lr, d), was = load(&b, DT_F32, w, j);
    lb_store(&b, w, j, lb_op2(&b, LOP_SUB, was, move));
    lb_end(&b);
    return b.k;
}

/* A check that always passes. */
static Kernel *fine_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "fine");
    uint32_t status = lb_param(&b, "status", LB_OUT, DT_I32, fixed(1));
    lb_store(&b, status, lb_c(&b, 0), lb_const_int(&b, scalar(DT_I32), 0));
    return b.k;
}

/* ---- The module ---- */

static const float known[16] = {1, 2, -1, 0.5F}; /* a block of weights: whole cache lines */
static const float first_w[COLS] = {0.25F, 1, -2, 3}, first_mean[COLS] = {1, 2, 3, 4};

enum { X, LABEL, LOSS, Y, HYPER, W, MEAN, SUM, GRAD, STEP, ACCUMULATED, SEED, KNOWN, STATUS, BUFS };

static void add_buf(LoopModule *m, const char *name, ModBufKind kind, DType t, int rank, const Dim *dims,
                    ModBuf more) {
    more.name = name;
    more.kind = kind;
    more.type = type_make(t, rank, dims);
    more.key = more.key ? more.key : name;
    more.align = kind == MB_HYPER ? 8 : 64;
    more.alias = -1;
    loops_buf(m, more);
}

static void add_step(LoopModule *m, const char *entry, uint32_t kernel, uint32_t n, const uint32_t *bufs) {
    Entry *e = loops_entry(m, entry) ? loops_entry(m, entry) : loops_add_entry(m, entry);
    Step s = {.kernel = kernel, .args = NEW_ARRAY(&m->cx->arena, StepArg, n), .checks = kernel == 0};
    for (uint32_t i = 0; i < n; i++)
        s.args[i].buf = bufs[i];
    vec_push(&m->cx->arena, &e->steps, s);
}
#define STEP(entry, kernel, ...)                                                                             \
    add_step(m, entry, kernel, sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})

static LoopModule *training_module(Context *cx) {
    LoopModule *m = loops_new(cx, "learner");
    const Dim rows[] = {{1, true}, {COLS, false}}, one = {1, false}, cols = {COLS, false}, five = {5, false};
    m->batch = BATCH;
    m->planned = true;
    add_buf(m, "x", MB_IN, DT_F32, 2, rows, (ModBuf){0});
    add_buf(m, "label", MB_IN, DT_I64, 1, rows, (ModBuf){.target = true});
    add_buf(m, "loss", MB_OUT, DT_F32, 1, &one, (ModBuf){0});
    add_buf(m, "y", MB_OUT, DT_F32, 2, rows, (ModBuf){0});
    add_buf(m, "hyper", MB_HYPER, DT_F64, 1, &five, (ModBuf){0});
    add_buf(m, "w", MB_STATE, DT_F32, 1, &cols, (ModBuf){.key = "layer.w", .role = ROLE_PARAM, .offset = 0});
    add_buf(m, "mean", MB_STATE, DT_F32, 1, &cols,
            (ModBuf){.key = "layer_w", .role = ROLE_BUFFER, .offset = 64});
    add_buf(m, "sum", MB_STATE, DT_F32, 1, &cols,
            (ModBuf){.key = "sum/layer.w", .role = ROLE_SLOT, .offset = 128});
    add_buf(m, "grad", MB_STATE, DT_F32, 1, &cols,
            (ModBuf){.key = "grad/layer.w", .role = ROLE_GRAD, .offset = 192});
    add_buf(m, "step", MB_STATE, DT_I64, 1, &one, (ModBuf){.role = ROLE_COUNTER, .offset = 256});
    add_buf(m, "accumulated", MB_STATE, DT_I64, 1, &one, (ModBuf){.role = ROLE_COUNTER, .offset = 320});
    add_buf(m, "seed", MB_STATE, DT_I64, 1, &one, (ModBuf){.role = ROLE_COUNTER, .offset = 384});
    add_buf(m, "k", MB_CONST, DT_F32, 1, &cols, (ModBuf){.offset = 0, .data = known});
    add_buf(m, "status", MB_WORK, DT_I32, 1, &one, (ModBuf){.offset = 64});
    m->state_bytes = 448;
    m->work_bytes = 128;
    m->const_bytes = 64;
    Kernel *kernels[] = {check_kernel(cx), forward_kernel(cx), loss_kernel(cx),
                         grad_kernel(cx),  advance_kernel(cx), apply_kernel(cx)};
    for (int i = 0; i < 6; i++)
        vec_push(&cx->arena, &m->kernels, kernels[i]);
    STEP("backward", 1, X, W, KNOWN, Y);
    STEP("backward", 0, LABEL, STATUS);
    STEP("backward", 2, Y, LOSS);
    STEP("backward", 3, X, KNOWN, ACCUMULATED, HYPER, GRAD);
    STEP("backward", 4, ACCUMULATED);
    STEP("apply", 5, W, SUM, GRAD, HYPER);
    STEP("apply", 4, STEP);
    STEP("eval", 1, X, W, KNOWN, Y);
    STEP("eval", 0, LABEL, STATUS);
    STEP("eval", 2, Y, LOSS);
    return m;
}

static const double defaults[] = {1, 0.5, 0.125, 1e-4, 0.9};
static const float fill[BUFS] = {[SUM] = 0.75F};
static const void *const initial[BUFS] = {[W] = first_w, [MEAN] = first_mean};
static const GroupSpec group; /* all parameters */
static const TrainingOptions recipe = {.loss = "CrossEntropyLoss",
                                       .optimizer = "Adagrad",
                                       .n_groups = 1,
                                       .groups = &group,
                                       .hyper = defaults,
                                       .n_frozen = 17,
                                       .initial = initial,
                                       .fill = fill};

static Jit *open_object(Context *cx, LoopModule *m, const ObjectOptions *o) {
    Target t;
    Bytes object;
    cr_assert(backend_target(cx, NULL, "native", NULL, &t));
    bool ok = backend_emit(cx, m, &t, EMIT_OBJECT, o, &object);
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    cr_assert(ok, "%s", sb_str(&sb));
    if (o->weights == WEIGHTS_PACKED)
        memcpy(backend_object_weights(object), known, sizeof known);
    return jit_open(cx, object);
}

/* ---- Running ---- */

typedef int Samples(int64_t n, const float *x, const int64_t *label, float *loss, float *y, void *state,
                    const double *hyper, const void *weights, void *work, size_t work_bytes,
                    cnnrt_pool *pool);
typedef int Eval(int64_t n, const float *x, const int64_t *label, float *loss, float *y, const void *state,
                 const void *weights, void *work, size_t work_bytes, cnnrt_pool *pool);
typedef int Apply(void *state, const double *hyper, void *work, size_t work_bytes, cnnrt_pool *pool);
typedef int ZeroGrad(void *state);
typedef int StateInit(void *state, size_t state_bytes, uint64_t seed);

/* An object, its functions, and memory for a call. */
typedef struct Learner {
    Context cx;
    Jit *jit;
    const cnnrt_model *model;
    Samples *train_step, *backward;
    Eval *eval;
    Apply *apply;
    ZeroGrad *zero_grad;
    StateInit *state_init;
    float x[BATCH * COLS], y[BATCH * COLS], loss;
    int64_t label[BATCH];
    char *work, *state, *other;
} Learner;

enum { WORK = 128, STATE = 64 + 448, HEAD = 64 };

static void *symbol(const Learner *l, const char *name) {
    void *at = jit_symbol(l->jit, name);
    cr_assert(at, "no %s", name);
    return at;
}

static Learner *learner(void) {
    Learner *l = calloc(1, sizeof *l);
    context_init(&l->cx, NULL);
    ObjectOptions o = {.name = "net", .weights = WEIGHTS_PACKED, .hash = 0xfeed, .training = &recipe};
    l->jit = open_object(&l->cx, training_module(&l->cx), &o);
    l->model = symbol(l, "net_model");
    l->train_step = (Samples *)(uintptr_t)symbol(l, "net_train_step");
    l->backward = (Samples *)(uintptr_t)symbol(l, "net_backward");
    l->eval = (Eval *)(uintptr_t)symbol(l, "net_eval");
    l->apply = (Apply *)(uintptr_t)symbol(l, "net_apply");
    l->zero_grad = (ZeroGrad *)(uintptr_t)symbol(l, "net_zero_grad");
    l->state_init = (StateInit *)(uintptr_t)symbol(l, "net_state_init");
    for (int i = 0; i < BATCH * COLS; i++)
        l->x[i] = (float)(i - 5) / 4;
    l->work = aligned_alloc(64, WORK);
    l->state = aligned_alloc(64, STATE);
    l->other = aligned_alloc(64, STATE);
    memset(l->state, 0x5a, STATE);
    memset(l->other, 0x5a, STATE);
    return l;
}

static void release(Learner *l) {
    jit_close(l->jit);
    context_free(&l->cx);
    free(l->work);
    free(l->state);
    free(l->other);
    free(l);
}

static int step(Learner *l, Samples *call, int64_t n, void *state) {
    return call(n, l->x, l->label, &l->loss, l->y, state, defaults, NULL, l->work, WORK, NULL);
}

static const float *tensor(const Learner *l, const char *state, enum cnnrt_role role, const char *name) {
    const cnnrt_state_tensor *t = cnnrt_state_find(l->model, role, name);
    cr_assert(t, "no %s", name);
    return (const float *)(const void *)(state + t->offset);
}
static int64_t counter(const Learner *l, const char *state, const char *name) {
    int64_t v;
    memcpy(&v, tensor(l, state, CNNRT_COUNTER, name), sizeof v);
    return v;
}

Test(backend_training, state_begins_as_the_object_says) {
    Learner *l = learner();
    cr_assert_eq(l->state_init(NULL, STATE, 1), CNNRT_E_STATE);
    cr_assert_eq(l->state_init(l->state + 8, STATE, 1), CNNRT_E_STATE);
    cr_assert_eq(l->state_init(l->state, STATE - 1, 1), CNNRT_E_WORKSPACE_SIZE);
    cr_assert_eq(l->state[0], 0x5a);
    cr_assert_eq(l->model->training->state_init(l->state, STATE, 0x123456789abcdefu), CNNRT_OK);
    cr_assert(!memcmp(tensor(l, l->state, CNNRT_PARAM, "layer.w"), first_w, sizeof first_w));
    cr_assert(!memcmp(tensor(l, l->state, CNNRT_BUFFER, "layer_w"), first_mean, sizeof first_mean));
    for (int j = 0; j < COLS; j++) {
        cr_assert_eq(tensor(l, l->state, CNNRT_SLOT, "sum/layer.w")[j], 0.75F);
        cr_assert_eq(tensor(l, l->state, CNNRT_GRAD, "grad/layer.w")[j], 0);
    }
    cr_assert_eq(counter(l, l->state, "seed"), 0x123456789abcdef);
    cr_assert_eq(counter(l, l->state, "step"), 0);
    cr_assert_null(cnnrt_state_find(l->model, CNNRT_PARAM, "seed"));
    cr_assert_eq(l->state_init(l->other, STATE, 0x123456789abcdefu), CNNRT_OK);
    cr_assert(!memcmp(l->state, l->other, STATE), "every byte is written");
    release(l);
}

/* What a step must give, by hand. */
static void expect_step(const Learner *l, int64_t n, const float *w, float scale) {
    float loss = 0;
    for (int64_t i = 0; i < n * COLS; i++) {
        cr_assert_eq(l->y[i], l->x[i] * w[i % COLS] * known[i % COLS]);
        loss += l->y[i];
    }
    cr_assert_eq(l->loss, loss);
    for (int j = 0; j < COLS; j++) {
        float g = 0;
        for (int64_t i = 0; i < n; i++)
            g += l->x[i * COLS + j];
        g *= known[j] * scale;
        cr_assert_eq(tensor(l, l->state, CNNRT_GRAD, "grad/layer.w")[j], g);
        cr_assert_eq(tensor(l, l->state, CNNRT_SLOT, "sum/layer.w")[j], 0.75F + g * g);
        cr_assert_eq(tensor(l, l->state, CNNRT_PARAM, "layer.w")[j], w[j] - 0.125F * g);
    }
}

Test(backend_training, a_step_is_its_parts) {
    Learner *l = learner();
    double third[5];
    memcpy(third, defaults, sizeof third);
    cr_assert_eq(l->state_init(l->state, STATE, 7), CNNRT_OK);
    cr_assert_eq(l->state_init(l->other, STATE, 7), CNNRT_OK);
    cr_assert_eq(step(l, l->train_step, 2, l->state), CNNRT_OK);
    expect_step(l, 2, first_w, 1);
    cr_assert(counter(l, l->state, "step") == 1 && counter(l, l->state, "accumulated") == 1);
    cr_assert_eq(step(l, l->backward, 3, l->other), CNNRT_OK); /* to be forgotten */
    cr_assert_eq(l->zero_grad(l->other), CNNRT_OK);
    cr_assert_eq(step(l, l->backward, 2, l->other), CNNRT_OK);
    cr_assert_eq(l->apply(l->other, defaults, l->work, WORK, NULL), CNNRT_OK);
    cr_assert(!memcmp(l->state, l->other, STATE), "zero_grad, backward, apply is train_step");
    /* Two calls of half the weight are one. */
    cr_assert_eq(l->state_init(l->state, STATE, 7), CNNRT_OK);
    third[CNNRT_HYPER_GRAD_SCALE] = 0.5;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(
            l->backward(2, l->x, l->label, &l->loss, l->y, l->state, third, NULL, l->work, WORK, NULL),
            CNNRT_OK);
    cr_assert_eq(counter(l, l->state, "accumulated"), 2);
    cr_assert_eq(l->apply(l->state, third, l->work, WORK, NULL), CNNRT_OK);
    expect_step(l, 2, first_w, 1);
    release(l);
}

Test(backend_training, calls_over_arrays) {
    Learner *l = learner();
    const cnnrt_training *t = l->model->training;
    const void *in[] = {l->x}, *targets[] = {l->label};
    void *out[] = {l->y};
    cr_assert_eq(t->state_init(l->state, STATE, 7), CNNRT_OK);
    cr_assert_eq(t->state_init(l->other, STATE, 7), CNNRT_OK);
    cr_assert_eq(
        t->train_step(2, NULL, targets, &l->loss, out, l->state, defaults, NULL, l->work, WORK, NULL),
        CNNRT_E_NULL);
    cr_assert_eq(t->train_step(2, in, NULL, &l->loss, out, l->state, defaults, NULL, l->work, WORK, NULL),
                 CNNRT_E_NULL);
    cr_assert_eq(t->train_step(2, in, targets, &l->loss, NULL, l->state, defaults, NULL, l->work, WORK, NULL),
                 CNNRT_E_NULL);
    cr_assert_eq(t->train_step(2, in, targets, &l->loss, out, l->state, defaults, NULL, l->work, WORK, NULL),
                 CNNRT_OK);
    expect_step(l, 2, first_w, 1);
    cr_assert_eq(t->zero_grad(l->other), CNNRT_OK);
    cr_assert_eq(t->backward(2, in, targets, &l->loss, out, l->other, defaults, NULL, l->work, WORK, NULL),
                 CNNRT_OK);
    cr_assert_eq(t->apply(l->other, defaults, l->work, WORK, NULL), CNNRT_OK);
    cr_assert(!memcmp(l->state, l->other, STATE));
    float loss = l->loss, again;
    cr_assert_eq(t->eval(2, in, targets, &again, out, l->state, NULL, l->work, WORK, NULL), CNNRT_OK);
    cr_assert_neq(loss, again);
    cr_assert_eq(l->eval(2, l->x, l->label, &l->loss, l->y, l->state, NULL, l->work, WORK, NULL), CNNRT_OK);
    cr_assert_eq(l->loss, again);
    cr_assert(!memcmp(l->state, l->other, STATE), "eval reads the state only");
    release(l);
}

/* One argument wrong at a time; the state never changes. */
static void check_errors(Learner *l, Samples *call) {
    cnnrt_pool alien = {CNNRT_ABI_VERSION + 1, 1, NULL};
    void *state = l->state, *work = l->work;
    memcpy(l->other, state, STATE);
    cr_assert_eq(step(l, call, 0, state), CNNRT_E_BATCH);
    cr_assert_eq(step(l, call, BATCH + 1, state), CNNRT_E_BATCH);
    cr_assert_eq(call(1, NULL, l->label, &l->loss, l->y, state, defaults, NULL, work, WORK, NULL),
                 CNNRT_E_NULL);
    cr_assert_eq(call(1, l->x, NULL, &l->loss, l->y, state, defaults, NULL, work, WORK, NULL), CNNRT_E_NULL);
    cr_assert_eq(call(1, l->x, l->label, NULL, l->y, state, defaults, NULL, work, WORK, NULL), CNNRT_E_NULL);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, NULL, state, defaults, NULL, work, WORK, NULL),
                 CNNRT_E_NULL);
    cr_assert_eq(step(l, call, 1, NULL), CNNRT_E_STATE);
    cr_assert_eq(step(l, call, 1, l->state + 8), CNNRT_E_STATE);
    cr_assert_eq(step(l, call, 1, l->state + HEAD), CNNRT_E_STATE);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, l->y, state, NULL, NULL, work, WORK, NULL), CNNRT_E_NULL);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, l->y, state, defaults, NULL, work, WORK, &alien),
                 CNNRT_E_ABI);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, l->y, state, defaults, l->state + 4, work, WORK, NULL),
                 CNNRT_E_WORKSPACE_ALIGN);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, l->y, state, defaults, NULL, NULL, WORK, NULL),
                 CNNRT_E_NULL);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, l->y, state, defaults, NULL, l->work + 4, WORK, NULL),
                 CNNRT_E_WORKSPACE_ALIGN);
    cr_assert_eq(call(1, l->x, l->label, &l->loss, l->y, state, defaults, NULL, work, WORK - 1, NULL),
                 CNNRT_E_WORKSPACE_SIZE);
    l->label[1] = CLASSES;
    cr_assert_eq(step(l, call, 2, state), CNNRT_E_LABEL);
    l->label[1] = -1;
    cr_assert_eq(step(l, call, 3, state), CNNRT_E_LABEL);
    cr_assert(!memcmp(state, l->other, STATE), "an error leaves the state as it was");
    cr_assert_eq(step(l, call, 1, state), CNNRT_OK);
    l->label[1] = 0;
}

Test(backend_training, errors_leave_the_state) {
    Learner *l = learner();
    cr_assert_eq(step(l, l->train_step, 1, l->state), CNNRT_E_STATE); /* not initialised */
    cr_assert_eq(l->zero_grad(l->state), CNNRT_E_STATE);
    cr_assert_eq(l->apply(l->state, defaults, l->work, WORK, NULL), CNNRT_E_STATE);
    cr_assert_eq(l->state_init(l->state, STATE, 7), CNNRT_OK);
    cr_assert_eq(step(l, l->train_step, 2, l->state), CNNRT_OK);
    check_errors(l, l->train_step);
    check_errors(l, l->backward);
    cr_assert_eq(l->zero_grad(NULL), CNNRT_E_STATE);
    cr_assert_eq(l->apply(NULL, defaults, l->work, WORK, NULL), CNNRT_E_STATE);
    cr_assert_eq(l->apply(l->state, NULL, l->work, WORK, NULL), CNNRT_E_NULL);
    cr_assert_eq(l->apply(l->state, defaults, NULL, WORK, NULL), CNNRT_E_NULL);
    cr_assert_eq(l->apply(l->state, defaults, l->work, WORK - 1, NULL), CNNRT_E_WORKSPACE_SIZE);
    cr_assert_eq(l->eval(1, l->x, l->label, &l->loss, l->y, NULL, NULL, l->work, WORK, NULL), CNNRT_E_STATE);
    l->label[0] = CLASSES;
    cr_assert_eq(l->eval(1, l->x, l->label, &l->loss, l->y, l->state, NULL, l->work, WORK, NULL),
                 CNNRT_E_LABEL);
    release(l);
}

Test(backend_training, description) {
    Learner *l = learner();
    const cnnrt_model *m = l->model;
    const cnnrt_training *t = m->training;
    cr_assert(!m->infer && m->n_inputs == 1 && m->n_outputs == 1 && !strcmp(m->outputs[0].name, "y"));
    cr_assert(t->struct_size == sizeof *t && t->n_state == 7 && t->n_targets == 1 && t->n_groups == 1);
    cr_assert(t->n_hyper == 5 && !memcmp(t->hyper, defaults, sizeof defaults));
    cr_assert(!strcmp(t->targets[0].name, "label") && t->targets[0].dtype == CNNRT_I64 &&
              t->targets[0].dim[0] == -1);
    cr_assert(!strcmp(t->loss, "CrossEntropyLoss") && !strcmp(t->optimizer, "Adagrad"));
    cr_assert(t->n_trained == COLS && t->n_frozen == 17 && t->state_bytes == STATE);
    for (uint32_t i = 0; i < t->n_state; i++)
        cr_assert_eq(t->state[i].offset, HEAD + i * 64);
    cr_assert(!strcmp(t->state[2].tensor.name, "sum/layer.w") && t->state[2].role == CNNRT_SLOT);
    cr_assert(t->state[2].tensor.rank == 1 && t->state[2].tensor.dim[0] == COLS &&
              t->state[2].tensor.bytes == 16);
    release(l);
}

/* ---- Weights from outside, other states, faults, the header ---- */

Test(backend_training, weights_from_outside) {
    Learner *l = learner();
    ObjectOptions o = {.name = "out", .with_prepare = true, .hash = 0xfeed, .training = &recipe};
    Jit *jit = open_object(&l->cx, training_module(&l->cx), &o);
    const cnnrt_model *m = jit_symbol(jit, "out_model");
    const void *in[] = {l->x}, *targets[] = {l->label};
    void *out[] = {l->y};
    float *block = aligned_alloc(64, 64);
    cr_assert_eq(m->prepare(NULL, block, 64, l->work, WORK), CNNRT_OK);
    cr_assert_eq(m->training->state_init(l->state, STATE, 7), CNNRT_OK);
    cr_assert_eq(
        m->training->train_step(2, in, targets, &l->loss, out, l->state, defaults, NULL, l->work, WORK, NULL),
        CNNRT_E_NO_WEIGHTS);
    cr_assert_eq(m->training->train_step(2, in, targets, &l->loss, out, l->state, defaults, block, l->work,
                                         WORK, NULL),
                 CNNRT_OK);
    cr_assert_eq(l->state_init(l->other, STATE, 7), CNNRT_OK);
    cr_assert_eq(step(l, l->train_step, 2, l->other), CNNRT_OK);
    cr_assert(!memcmp(l->state, l->other, STATE));
    free(block);
    jit_close(jit);
    release(l);
}

Test(backend_training, states_of_other_models_are_refused) {
    Learner *l = learner();
    LoopModule *m = training_module(&l->cx);
    m->bufs.data[SUM].key = "exp_avg/layer.w";
    ObjectOptions o = {.name = "net", .weights = WEIGHTS_PACKED, .hash = 0xfeed, .training = &recipe};
    Jit *jit = open_object(&l->cx, m, &o);
    const cnnrt_model *model = jit_symbol(jit, "net_model");
    cr_assert_eq(model->training->state_init(l->state, STATE, 7), CNNRT_OK);
    cr_assert_eq(model->training->zero_grad(l->state), CNNRT_OK);
    cr_assert_eq(l->zero_grad(l->state), CNNRT_E_STATE);
    jit_close(jit);
    release(l);
}

static void expect(Context *cx, LoopModule *m, const TrainingOptions *training, const char *part) {
    Target t;
    Bytes out;
    ObjectOptions o = {.name = "net", .weights = WEIGHTS_PACKED, .training = training};
    cr_assert(backend_target(cx, NULL, "native", NULL, &t));
    cr_assert(!backend_emit(cx, m, &t, EMIT_OBJECT, &o, &out), "%s", part);
    const DiagEntry *e = &cx->diag.entries.data[cx->diag.entries.len - 1];
    cr_assert(strstr(e->message, part), "%s", e->message);
}

Test(backend_training, faults_are_reported) {
    Context cx;
    context_init(&cx, NULL);
    expect(&cx, training_module(&cx), NULL, "needs a recipe");
    LoopModule *m = training_module(&cx);
    m->state_bytes = 256;
    expect(&cx, m, &recipe, "outside");
    m = training_module(&cx);
    m->entries.len = 2;
    expect(&cx, m, &recipe, "@eval");
    m = training_module(&cx);
    STEP("backward", 0, LABEL, STATUS);
    expect(&cx, m, &recipe, "a check");
    m = training_module(&cx);
    vec_push(&cx.arena, &m->kernels, fine_kernel(&cx));
    STEP("apply", 6, STATUS);
    Step *apply = m->entries.data[1].steps.data;
    apply[0] = apply[2];
    apply[0].checks = true;
    m->entries.data[1].steps.len = 1;
    expect(&cx, m, &recipe, "@apply: it cannot fail");
    m = training_module(&cx);
    m->bufs.data[ACCUMULATED].key = "calls";
    expect(&cx, m, &recipe, "counter \"accumulated\"");
    context_free(&cx);
}

Test(backend_training, header) {
    Context cx;
    context_init(&cx, NULL);
    Target t;
    cr_assert(backend_target(&cx, NULL, "x86-64", NULL, &t));
    LoopModule *m = training_module(&cx);
    m->bufs.data[X].key = "state";
    m->bufs.data[Y].key = "loss";
    ObjectOptions o = {.name = "net", .weights = WEIGHTS_PACKED, .training = &recipe};
    StrBuf sb = sb_new(&cx.arena);
    cr_assert(backend_header(&cx, m, &t, &o, &sb));
    static const char *const parts[] = {"#define NET_STATE_BYTES ((size_t)512)",
                                        "#define NET_STATE_LAYER_W ((size_t)64) /* \"layer.w\" f32[4] */",
                                        "#define NET_STATE_LAYER_W_1 ((size_t)128) /* \"layer_w\" f32[4] */",
                                        "#define NET_STATE_SUM_LAYER_W ((size_t)192)",
                                        "#define NET_HYPER_INIT {1, 0.5, {{0.125, 0.0001, 0.9}}}",
                                        " * group[0]: all parameters (4); lr 0.125, weight_decay 0.0001 */",
                                        "net_group group[1];",
                                        "const float *state_ /* f32[n,4] */",
                                        "const int64_t *label /* i64[n] */",
                                        "float *loss /* f32[1] */",
                                        "float *loss_ /* f32[n,4] */",
                                        "int net_apply(void *state, const net_hyper *hyper",
                                        "#define NET_LABEL_ELEMS 1 /* target \"label\", of one image */",
                                        "int net_zero_grad(void *state);"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_assert(strstr(sb_str(&sb), parts[i]), "no %s in\n%s", parts[i], sb_str(&sb));
    cr_assert(!strstr(sb_str(&sb), "net_infer") && !strstr(sb_str(&sb), "NET_LOSS_ELEMS"));
    context_free(&cx);
}
