/* The back end: compiled kernels against the interpreter, bit for bit. */
#include "backend/backend.h"
#include "ir/loops/build.h"
#include "runtime/cnnrt/cnnrt.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, MAX_BUFS = 8 };

/* ---- Modules of one kernel ---- */

static const char *const targets[][2] = {
    {"x86-64", NULL}, {"x86-64-v2", NULL}, {"x86-64-v3", "-fma"}, {"x86-64-v3", NULL}, {"native", NULL},
};
enum { TARGETS = sizeof targets / sizeof targets[0] };

static Target target_of(Context *cx, int i) {
    Target t;
    cr_assert(backend_target(cx, NULL, targets[i][0], targets[i][1], &t));
    return t;
}

/* Parameters become inputs and outputs, scratch is laid out in order. */
static LoopModule *module_of(Context *cx, Kernel *k) {
    LoopModule *m = loops_new(cx, "test");
    m->batch = BATCH;
    m->planned = true;
    vec_push(&cx->arena, &m->kernels, k);
    Step step = {.kernel = 0, .args = NEW_ARRAY(&cx->arena, StepArg, k->n_params), .name = "layer"};
    for (int pass = MB_IN; pass <= MB_OUT; pass++)
        for (uint32_t i = 0; i < k->n_params; i++)
            if ((k->bufs.data[i].kind == LB_IN) == (pass == MB_IN)) {
                const LBuf *b = &k->bufs.data[i];
                ModBuf mb = {
                    .name = b->name, .kind = (ModBufKind)pass, .key = b->name, .align = 64, .alias = -1};
                mb.type = type_make(b->dtype, 1, &b->extent);
                step.args[i].buf = loops_buf(m, mb);
            }
    for (uint32_t i = k->n_params; i < k->bufs.len; i++) {
        LBuf *b = &k->bufs.data[i];
        if (b->kind != LB_SCRATCH)
            continue;
        b->offset = m->scratch_bytes;
        m->scratch_bytes += (b->extent.size * dtype_bytes(b->dtype) + 63) / 64 * 64;
    }
    Entry *e = loops_add_entry(m, "infer");
    vec_push(&cx->arena, &e->steps, step);
    return m;
}

static void *aligned(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    cr_assert(p);
    return memset(p, 0x5a, (bytes + 64) / 64 * 64);
}

static const cnnrt_model *load(Context *cx, const LoopModule *m, const Target *t, Jit **jit) {
    ObjectOptions o = {.name = "test"};
    Bytes object;
    bool ok = backend_emit(cx, m, t, EMIT_OBJECT, &o, &object);
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    cr_assert(ok, "%s", sb_str(&sb));
    *jit = jit_open(cx, object);
    cr_assert(*jit);
    const cnnrt_model *model = jit_symbol(*jit, "test_model");
    cr_assert(model);
    return model;
}

/* ---- Pools ---- */

/* Three "threads" in turn, last piece first. */
static void backwards(cnnrt_pool *pool, size_t count, cnnrt_task *task, void *arg) {
    for (size_t i = count; i-- > 0;)
        task(arg, i, i + 1, (unsigned)(i % pool->threads));
}

static cnnrt_pool odd_pool = {CNNRT_ABI_VERSION, 3, backwards};

/* ---- Filling and comparing ---- */

static const float special[] = {0.0F,   -0.0F,   1.0F,     -1.5F,    INFINITY, -INFINITY, NAN,
                                1e-42F, -1e-42F, 3e38F,    0.5F,     -0.5F,    2.5F,      8388609.0F,
                                -7.75F, 1e-3F,   65504.0F, 65520.0F, 6e-8F,    -2.9e-8F};

static void fill(DType t, void *data, int64_t elems, uint32_t seed) {
    uint32_t s = seed * 2654435761U + 1;
    for (int64_t i = 0; i < elems; i++) {
        s = s * 1664525U + 1013904223U;
        float v = (float)(int32_t)s / 536870912.0F;
        if (seed & 16 && (s >> 8) % 3 == 0)
            v = special[(s >> 12) % (sizeof special / sizeof special[0])];
        if (t == DT_F32)
            ((float *)data)[i] = v;
        else if (t == DT_F64)
            ((double *)data)[i] = v;
        else
            memcpy((char *)data + i * dtype_bytes(t), &(uint64_t){s * UINT64_C(0x100000001)}, dtype_bytes(t));
        if (t == DT_BOOL)
            ((uint8_t *)data)[i] = s >> 31;
    }
}

/* Equal bits, or NaN both times: which NaN is left to the machine. */
static bool same(DType t, const void *a, const void *b, int64_t i) {
    uint32_t bytes = dtype_bytes(t);
    if (t == DT_F32 && isnan(((const float *)a)[i]) && isnan(((const float *)b)[i]))
        return true;
    if (t == DT_F64 && isnan(((const double *)a)[i]) && isnan(((const double *)b)[i]))
        return true;
    return !memcmp((const char *)a + i * bytes, (const char *)b + i * bytes, bytes);
}

/* Run the kernel compiled for every target, with and without threads, against the interpreter. */
static void check(Context *cx, Kernel *k, const char *what, uint32_t seed) {
    LoopModule *m = module_of(cx, k);
    uint32_t n_in = 0;
    void *want[MAX_BUFS], *got[MAX_BUFS];
    for (uint32_t b = 0; b < m->bufs.len; b++) {
        size_t bytes = (size_t)type_physical_bytes(&m->bufs.data[b].type, BATCH);
        want[b] = aligned(bytes);
        got[b] = aligned(bytes);
        n_in += m->bufs.data[b].kind == MB_IN;
        if (m->bufs.data[b].kind == MB_IN) {
            fill(m->bufs.data[b].type.dtype, want[b], type_physical_elems(&m->bufs.data[b].type, BATCH),
                 seed + b);
            memcpy(got[b], want[b], bytes);
        }
    }
    for (int t = 0; t < TARGETS; t++) {
        Target target = target_of(cx, t);
        Jit *jit;
        const cnnrt_model *model = load(cx, m, &target, &jit);
        size_t work_bytes = model->workspace_shared + 3 * model->workspace_per_thread;
        void *work = aligned(work_bytes);
        for (int64_t n = 1; n <= BATCH; n += BATCH - 1) {
            cr_assert(loops_run(m, "infer", n, want, &(InterpOptions){target.has_fma, true}), "%s", what);
            for (int threads = 0; threads < 2; threads++) {
                int rc = model->infer(n, (const void *const *)got, got + n_in, NULL, work, work_bytes,
                                      threads ? &odd_pool : NULL);
                if (rc == CNNRT_E_CPU)
                    continue;
                cr_assert_eq(rc, CNNRT_OK);
                for (uint32_t b = n_in; b < m->bufs.len; b++)
                    for (int64_t i = 0; i < type_physical_elems(&m->bufs.data[b].type, n); i++)
                        cr_assert(same(m->bufs.data[b].type.dtype, want[b], got[b], i),
                                  "%s, %s %s, n=%d, threads=%d: %s[%d] is %g, not %g", what, targets[t][0],
                                  targets[t][1] ? targets[t][1] : "", (int)n, threads, m->bufs.data[b].name,
                                  (int)i, ((const float *)got[b])[i], ((const float *)want[b])[i]);
            }
        }
        free(work);
        jit_close(jit);
    }
    for (uint32_t b = 0; b < m->bufs.len; b++) {
        free(want[b]);
        free(got[b]);
    }
}

/* ---- Kernels ---- */

static LType f32(uint8_t lanes) {
    return (LType){DT_F32, lanes};
}
static Dim fixed(int64_t size) {
    return (Dim){size, false};
}
static Dim times_n(int64_t size) {
    return (Dim){size, true};
}

/* y = max(a * x + y0, 0) over rows of 37: vectors, then a scalar tail. */
static Kernel *pointwise(Context *cx, uint8_t lanes) {
    LBuild b = lb_begin(cx, "pointwise");
    b.contract = true;
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(5 * 37));
    uint32_t c = lb_param(&b, "c", LB_IN, DT_F32, fixed(37));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, times_n(5 * 37));
    Idx row = lb_for(&b, FOR_PARALLEL, "row", lb_c(&b, 0), lb_mulc(&b, lb_n(&b), 5), 1);
    for (int tail = 0; tail < 2; tail++) {
        uint8_t w = tail ? 1 : lanes;
        int64_t cut = 37 / lanes * lanes;
        Idx i =
            lb_for(&b, FOR_SERIAL, tail ? "t" : "i", lb_c(&b, tail ? cut : 0), lb_c(&b, tail ? 37 : cut), w);
        Idx at = lb_add(&b, lb_mulc(&b, row, 37), i);
        lb_prefetch(&b, x, at, 3);
        LVal v =
            lb_mad(&b, lb_load(&b, f32(w), x, at), lb_load(&b, f32(w), c, i), lb_const(&b, f32(w), 0.25));
        lb_store(&b, y, at, lb_op2(&b, LOP_MAX, v, lb_const(&b, f32(w), 0)));
        lb_end(&b);
    }
    lb_end(&b);
    return b.k;
}

/* Sum and maximum of each row: accumulators in registers, then across lanes. */
static Kernel *reduction(Context *cx, uint8_t lanes) {
    LBuild b = lb_begin(cx, "reduction");
    b.contract = true;
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(64));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, times_n(2));
    Idx row = lb_for(&b, FOR_PARALLEL, "row", lb_c(&b, 0), lb_n(&b), 1);
    uint32_t acc = lb_alloc(&b, LB_REG, "acc", f32(lanes), 2);
    lb_store(&b, acc, lb_c(&b, 0), lb_const(&b, f32(lanes), 0));
    lb_store(&b, acc, lb_c(&b, 1), lb_const(&b, f32(lanes), -INFINITY));
    Idx i = lb_for(&b, FOR_NOUNROLL, "i", lb_c(&b, 0), lb_c(&b, 64), lanes);
    LVal v = lb_load(&b, f32(lanes), x, lb_add(&b, lb_mulc(&b, row, 64), i));
    lb_store(&b, acc, lb_c(&b, 0), lb_mad(&b, v, v, lb_load(&b, f32(lanes), acc, lb_c(&b, 0))));
    lb_store(&b, acc, lb_c(&b, 1), lb_op2(&b, LOP_MAX, lb_load(&b, f32(lanes), acc, lb_c(&b, 1)), v));
    lb_end(&b);
    for (int j = 0; j < 2; j++) {
        LVal all = lb_load(&b, f32(lanes), acc, lb_c(&b, j));
        lb_store(&b, y, lb_addc(&b, lb_mulc(&b, row, 2), j), lb_op1(&b, j ? LOP_HMAX : LOP_SUM, all));
    }
    lb_end(&b);
    return b.k;
}

/* A register tile: 3 rows by 2 vectors of a product, reduced over 19. */
static Kernel *tile(Context *cx, uint8_t lanes) {
    LBuild b = lb_begin(cx, "tile");
    b.contract = true;
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(3 * 19));
    uint32_t w = lb_param(&b, "w", LB_IN, DT_F32, fixed(19 * 2 * lanes));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, times_n(3 * 2 * lanes));
    Idx img = lb_for(&b, FOR_PARALLEL, "img", lb_c(&b, 0), lb_n(&b), 1);
    uint32_t acc = lb_alloc(&b, LB_REG, "acc", f32(lanes), 6);
    for (int j = 0; j < 6; j++)
        lb_store(&b, acc, lb_c(&b, j), lb_const(&b, f32(lanes), 0));
    Idx k = lb_for(&b, FOR_NOUNROLL, "k", lb_c(&b, 0), lb_c(&b, 19), 1);
    for (int r = 0; r < 3; r++)
        for (int v = 0; v < 2; v++) {
            Idx xi = lb_add(&b, lb_mulc(&b, img, 57), lb_addc(&b, k, r * 19));
            Idx wi = lb_addc(&b, lb_mulc(&b, k, 2 * lanes), v * lanes);
            LVal s = lb_splat(&b, lb_load(&b, f32(1), x, xi), lanes);
            Idx at = lb_c(&b, r * 2 + v);
            lb_store(&b, acc, at,
                     lb_mad(&b, s, lb_load(&b, f32(lanes), w, wi), lb_load(&b, f32(lanes), acc, at)));
        }
    lb_end(&b);
    for (int j = 0; j < 6; j++)
        lb_store(&b, y, lb_addc(&b, lb_mulc(&b, img, 6 * lanes), j * lanes),
                 lb_load(&b, f32(lanes), acc, lb_c(&b, j)));
    lb_end(&b);
    return b.k;
}

/* Through scratch and a stack array with strided access: a transposition, twice, with a step of 2 rows. */
static Kernel *strided(Context *cx, uint8_t lanes) {
    LBuild b = lb_begin(cx, "strided");
    int64_t rows = 6, cols = 2 * lanes, all = rows * cols;
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(all));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, times_n(all));
    Idx img = lb_for(&b, FOR_PARALLEL, "img", lb_c(&b, 0), lb_n(&b), 1);
    uint32_t scratch = lb_alloc(&b, LB_SCRATCH, "scratch", f32(1), all);
    Idx r = lb_for(&b, FOR_SERIAL, "r", lb_c(&b, 0), lb_c(&b, rows), 1);
    Idx c = lb_for(&b, FOR_SERIAL, "c", lb_c(&b, 0), lb_c(&b, cols), lanes);
    Idx from = lb_add(&b, lb_mulc(&b, img, all), lb_add(&b, lb_mulc(&b, r, cols), c));
    lb_store_strided(&b, scratch, lb_add(&b, lb_mulc(&b, c, rows), r), lb_load(&b, f32(lanes), x, from),
                     rows);
    lb_end(&b);
    lb_end(&b);
    Idx r2 = lb_for(&b, FOR_SERIAL, "r2", lb_c(&b, 0), lb_c(&b, rows), 2);
    uint32_t stack = lb_alloc(&b, LB_STACK, "stack", f32(1), cols);
    Idx c2 = lb_for(&b, FOR_SERIAL, "c2", lb_c(&b, 0), lb_c(&b, cols), lanes);
    LVal v = lb_load_strided(&b, f32(lanes), scratch, lb_add(&b, lb_mulc(&b, c2, rows), r2), rows);
    lb_store(&b, stack, c2, v);
    lb_end(&b);
    Idx c3 = lb_for(&b, FOR_SERIAL, "c3", lb_c(&b, 0), lb_c(&b, cols), 1);
    Idx to = lb_add(&b, lb_mulc(&b, img, all), lb_add(&b, lb_mulc(&b, r2, cols), c3));
    lb_store(&b, y, to, lb_load(&b, f32(1), stack, c3));
    lb_store(&b, y, lb_addc(&b, to, cols), lb_op1(&b, LOP_NEG, lb_load(&b, f32(1), stack, c3)));
    lb_end(&b);
    lb_end(&b);
    lb_end(&b);
    return b.k;
}

/* Index arithmetic with negative numbers, min and max, branches, and two parallel loops and serial code
 * between. */
static Kernel *control(Context *cx) {
    LBuild b = lb_begin(cx, "control");
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, times_n(20));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, times_n(20));
    uint32_t z = lb_param(&b, "z", LB_OUT, DT_F32, times_n(4));
    Idx i = lb_for(&b, FOR_PARALLEL, "i", lb_c(&b, 0), lb_mulc(&b, lb_n(&b), 20), 3);
    Idx j = lb_for(&b, FOR_SERIAL, "j", i, lb_min(&b, lb_addc(&b, i, 3), lb_mulc(&b, lb_n(&b), 20)), 1);
    Idx shifted = lb_addc(&b, j, -7);
    Idx mixed = lb_add(&b, lb_mulc(&b, lb_divc(&b, shifted, 4), 100), lb_modc(&b, shifted, 4));
    lb_if(&b, IF_LT, lb_modc(&b, j, 5), lb_c(&b, 2));
    lb_store(&b, y, j, lb_index(&b, f32(1), mixed));
    lb_else(&b);
    lb_store(&b, y, j, lb_load(&b, f32(1), x, lb_max(&b, lb_addc(&b, j, -2), lb_c(&b, 0))));
    lb_end(&b);
    lb_end(&b);
    lb_end(&b);
    for (int e = 0; e < 2; e++)
        lb_store(&b, z, lb_c(&b, e), lb_const(&b, f32(1), e + 0.5));
    Idx t = lb_for(&b, FOR_PARALLEL, "t", lb_c(&b, 2), lb_mulc(&b, lb_n(&b), 4), 1);
    lb_store(&b, z, t, lb_index(&b, f32(1), lb_mul(&b, t, lb_n(&b))));
    lb_end(&b);
    return b.k;
}

/* Every float operation, one result each, over ordinary and special values. */
static Kernel *float_ops(Context *cx, DType t, uint8_t lanes) {
    static const LOp ops[] = {LOP_ADD, LOP_SUB, LOP_MUL, LOP_DIV,  LOP_MIN,
                              LOP_MAX, LOP_NEG, LOP_ABS, LOP_SQRT, LOP_FLOOR};
    enum { OPS = sizeof ops / sizeof ops[0], RESULTS = OPS + 9, N = 96 };
    LBuild b = lb_begin(cx, "float_ops");
    uint32_t p = lb_param(&b, "p", LB_IN, t, fixed(N)), q = lb_param(&b, "q", LB_IN, t, fixed(N));
    uint32_t y = lb_param(&b, "y", LB_OUT, t, fixed(RESULTS * N));
    LType type = {t, lanes};
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_c(&b, N), lanes);
    LVal v = lb_load(&b, type, p, i), w = lb_load(&b, type, q, i), zero = lb_const(&b, type, 0), r[RESULTS];
    LVal one = lb_const(&b, type, 1);
    int n = 0;
    for (int o = 0; o < OPS; o++)
        r[n++] = ops[o] < LOP_MAD ? lb_op2(&b, ops[o], v, w) : lb_op1(&b, ops[o], v);
    r[n++] = lb_op2(&b, LOP_MAX, v, zero);
    r[n++] = lb_op2(&b, LOP_MAX, zero, v);
    r[n++] = lb_op2(&b, LOP_MIN, v, one);
    r[n++] = lb_op2(&b, LOP_MIN, one, v);
    for (LOp c = LOP_CMPEQ; c <= LOP_CMPLE; c++)
        r[n++] = lb_select(&b, lb_op2(&b, c, v, w), one, zero);
    b.contract = true;
    r[n++] = lb_mad(&b, v, w, v);
    cr_assert_eq(n, RESULTS);
    for (int o = 0; o < n; o++)
        lb_store(&b, y, lb_addc(&b, i, o * N), r[o]);
    lb_end(&b);
    return b.k;
}

static Kernel *int_ops(Context *cx, DType t, uint8_t lanes) {
    static const LOp ops[] = {LOP_ADD, LOP_SUB, LOP_MUL, LOP_MIN,  LOP_MAX,
                              LOP_AND, LOP_OR,  LOP_XOR, LOP_MULHI};
    enum { OPS = sizeof ops / sizeof ops[0], RESULTS = OPS + 6, N = 64 };
    LBuild b = lb_begin(cx, "int_ops");
    DType mem = t == DT_U32 ? DT_I32 : t; /* the runtime has no u32 */
    uint32_t p = lb_param(&b, "p", LB_IN, mem, fixed(N)), q = lb_param(&b, "q", LB_IN, mem, fixed(N));
    uint32_t flag = lb_param(&b, "flag", LB_IN, DT_BOOL, fixed(N));
    uint32_t y = lb_param(&b, "y", LB_OUT, mem, fixed(RESULTS * N));
    uint32_t less = lb_param(&b, "less", LB_OUT, DT_BOOL, fixed(N));
    LType type = {t, lanes}, stored = {mem, lanes};
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_c(&b, N), lanes);
    LVal v = lb_bitcast(&b, type, lb_load(&b, stored, p, i)),
         w = lb_bitcast(&b, type, lb_load(&b, stored, q, i)), three = lb_const_int(&b, type, 3), r[RESULTS];
    int n = 0;
    for (int o = 0; o < OPS; o++)
        r[n++] = lb_op2(&b, ops[o], v, w);
    r[n++] = lb_op2(&b, LOP_SHL, v, three);
    r[n++] = lb_op2(&b, LOP_SHR, v, three);
    r[n++] = lb_op2(&b, LOP_DIV, v, three);
    r[n++] = lb_select(&b, lb_load(&b, (LType){DT_BOOL, lanes}, flag, i), v, w);
    r[n++] = lb_convert(&b, t, lb_convert(&b, DT_I8, v));
    r[n++] = lb_convert(&b, t, lb_convert(&b, DT_U8, w));
    cr_assert_eq(n, RESULTS);
    for (int o = 0; o < n; o++)
        lb_store(&b, y, lb_addc(&b, i, o * N), lb_bitcast(&b, stored, r[o]));
    lb_store(&b, less, i, lb_op2(&b, LOP_CMPLT, v, w));
    lb_end(&b);
    return b.k;
}

/* Every bf16 and f16 number to f32, and f32 numbers to them. */
static Kernel *halves(Context *cx, DType t, uint8_t lanes) {
    LBuild b = lb_begin(cx, "halves");
    uint32_t h = lb_param(&b, "h", LB_IN, t, fixed(4096)), x = lb_param(&b, "x", LB_IN, DT_F32, fixed(4096));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, fixed(4096)),
             g = lb_param(&b, "g", LB_OUT, t, fixed(4096));
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_c(&b, 4096), lanes);
    lb_store(&b, y, i, lb_convert(&b, DT_F32, lb_load(&b, (LType){t, lanes}, h, i)));
    lb_store(&b, g, i, lb_convert(&b, t, lb_load(&b, f32(lanes), x, i)));
    lb_end(&b);
    return b.k;
}

/* Lanes moved about, and numbers between the types. */
static Kernel *lanes_and_types(Context *cx, uint8_t lanes) {
    LBuild b = lb_begin(cx, "lanes");
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, fixed(2 * lanes)),
             i32 = lb_param(&b, "i", LB_OUT, DT_I32, fixed(lanes));
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, fixed(5 * lanes)),
             d = lb_param(&b, "d", LB_OUT, DT_F64, fixed(lanes));
    uint8_t mix[64];
    for (int l = 0; l < lanes; l++)
        mix[l] = (uint8_t)((l * 3 + 1) % (2 * lanes));
    LVal a = lb_load(&b, f32(lanes), x, lb_c(&b, 0)), c = lb_load(&b, f32(lanes), x, lb_c(&b, lanes));
    lb_store(&b, y, lb_c(&b, 0), lb_shuffle(&b, a, c, mix, lanes));
    lb_store(&b, y, lb_c(&b, lanes), lb_splat(&b, lb_extract(&b, a, lanes - 1), lanes));
    LVal whole = lb_convert(&b, DT_I32, lb_op2(&b, LOP_MUL, a, lb_const(&b, f32(lanes), 1000)));
    lb_store(&b, i32, lb_c(&b, 0), whole);
    lb_store(&b, y, lb_c(&b, 2 * lanes), lb_convert(&b, DT_F32, whole));
    lb_store(&b, y, lb_c(&b, 3 * lanes),
             lb_bitcast(&b, f32(lanes), lb_bitcast(&b, (LType){DT_U32, lanes}, c)));
    lb_store(&b, y, lb_c(&b, 4 * lanes), lb_convert(&b, DT_F32, lb_op2(&b, LOP_CMPLE, a, c)));
    lb_store(&b, d, lb_c(&b, 0), lb_op1(&b, LOP_SQRT, lb_op1(&b, LOP_ABS, lb_convert(&b, DT_F64, a))));
    return b.k;
}

Test(backend, kernels_match_the_interpreter) {
    static const uint8_t widths[] = {4, 8, 16};
    for (size_t i = 0; i < sizeof widths; i++) {
        Context cx;
        context_init(&cx, NULL);
        check(&cx, pointwise(&cx, widths[i]), "pointwise", 1);
        check(&cx, pointwise(&cx, widths[i]), "pointwise", 16);
        check(&cx, reduction(&cx, widths[i]), "reduction", 2);
        check(&cx, tile(&cx, widths[i]), "tile", 3);
        check(&cx, strided(&cx, widths[i]), "strided", 4);
        check(&cx, lanes_and_types(&cx, widths[i]), "lanes", 5);
        context_free(&cx);
    }
    Context cx;
    context_init(&cx, NULL);
    check(&cx, control(&cx), "control", 6);
    context_free(&cx);
}

Test(backend, operations_match_the_interpreter) {
    static const DType ints[] = {DT_I32, DT_U32, DT_I8, DT_U8, DT_I64};
    for (uint8_t lanes = 1; lanes <= 8; lanes *= 8) {
        Context cx;
        context_init(&cx, NULL);
        check(&cx, float_ops(&cx, DT_F32, lanes), "f32", 7);
        check(&cx, float_ops(&cx, DT_F32, lanes), "f32 special", 23);
        check(&cx, float_ops(&cx, DT_F64, lanes), "f64 special", 24);
        for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
            check(&cx, int_ops(&cx, ints[i], lanes), dtype_name(ints[i]), 8);
        check(&cx, halves(&cx, DT_BF16, lanes), "bf16", 25);
        check(&cx, halves(&cx, DT_F16, lanes), "f16", 26);
        context_free(&cx);
    }
}

/* What baseline code would call a library for, and relu in one instruction. */
static const char *assembly(Context *cx, Kernel *k, const char *cpu) {
    Target t;
    Bytes out;
    cr_assert(backend_target(cx, NULL, cpu, NULL, &t));
    cr_assert(backend_emit(cx, module_of(cx, k), &t, EMIT_ASM, &(ObjectOptions){.name = "w"}, &out));
    return arena_strndup(&cx->arena, out.data, out.size);
}

Test(backend, instructions) {
    Context cx;
    context_init(&cx, NULL);
    const char *text = assembly(&cx, float_ops(&cx, DT_F32, 8), "x86-64");
    cr_assert(!strstr(text, "floorf") && !strstr(text, "fmaf") && !strstr(text, "ymm"));
    text = assembly(&cx, pointwise(&cx, 8), "x86-64-v3");
    cr_assert(strstr(text, "vmaxps") && strstr(text, "vfmadd") && !strstr(text, "vcmpunordps"));
    cr_assert(strstr(assembly(&cx, tile(&cx, 16), "x86-64-v4"), "zmm"));
    context_free(&cx);
}
