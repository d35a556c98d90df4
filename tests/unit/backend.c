/* The back end: compiled kernels against the interpreter bit for bit, entry points' error codes, objects'
 * bytes and symbols, the header, targets. */
#include "backend/backend.h"
#include "ir/loops/build.h"
#include "runtime/cnnrt/cnnrt.h"
#include <criterion/criterion.h>
#include <elf.h>
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

/* ---- A module with weights, prepare, workspace and scratch ---- */

static const float known[8] = {1, 2, 3, 4, 5, 6, 7, 8};

/* out = a * b, through scratch, in parallel over the rows of a. */
static Kernel *product_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "product");
    uint32_t x = lb_param(&b, "a", LB_IN, DT_F32, times_n(8)), c = lb_param(&b, "b", LB_IN, DT_F32, fixed(8));
    uint32_t y = lb_param(&b, "out", LB_OUT, DT_F32, times_n(8));
    Idx row = lb_for(&b, FOR_PARALLEL, "row", lb_c(&b, 0), lb_n(&b), 1);
    uint32_t s = lb_alloc(&b, LB_SCRATCH, "s", f32(1), 8);
    b.k->bufs.data[s].offset = 0;
    Idx at = lb_mulc(&b, row, 8);
    lb_store(&b, s, lb_c(&b, 0),
             lb_op2(&b, LOP_MUL, lb_load(&b, f32(8), x, at), lb_load(&b, f32(8), c, lb_c(&b, 0))));
    lb_store(&b, y, at, lb_load(&b, f32(8), s, lb_c(&b, 0)));
    lb_end(&b);
    return b.k;
}

static Kernel *square_kernel(Context *cx) {
    LBuild b = lb_begin(cx, "square");
    uint32_t p = lb_param(&b, "p", LB_IN, DT_F32, fixed(8)), q = lb_param(&b, "q", LB_OUT, DT_F32, fixed(8));
    LVal v = lb_load(&b, f32(8), p, lb_c(&b, 0));
    lb_store(&b, q, lb_c(&b, 0), lb_op2(&b, LOP_MUL, v, v));
    return b.k;
}

static void add_step(Context *cx, Entry *e, uint32_t kernel, const uint32_t *bufs, uint32_t n) {
    Step s = {.kernel = kernel, .args = NEW_ARRAY(&cx->arena, StepArg, n)};
    for (uint32_t i = 0; i < n; i++)
        s.args[i].buf = bufs[i];
    vec_push(&cx->arena, &e->steps, s);
}

/* y = x * p^2 * known */
static LoopModule *weighted_module(Context *cx) {
    LoopModule *m = loops_new(cx, "weighted");
    m->batch = BATCH;
    m->planned = true;
    Dim rows[] = {{1, true}, {8, false}}, eight = {8, false};
    Type t = type_make(DT_F32, 2, rows), v = type_make(DT_F32, 1, &eight);
    loops_buf(m, (ModBuf){.name = "x", .kind = MB_IN, .type = t, .key = "x", .align = 64, .alias = -1});
    loops_buf(m, (ModBuf){.name = "y", .kind = MB_OUT, .type = t, .key = "y", .align = 64, .alias = -1});
    loops_buf(m,
              (ModBuf){.name = "p", .kind = MB_PARAM, .type = v, .key = "layer.p", .align = 64, .alias = -1});
    loops_buf(m, (ModBuf){.name = "c", .kind = MB_CONST, .type = v, .align = 64, .offset = 0, .alias = -1});
    loops_buf(
        m,
        (ModBuf){
            .name = "k", .kind = MB_CONST, .type = v, .align = 64, .offset = 64, .data = known, .alias = -1});
    loops_buf(m, (ModBuf){.name = "w", .kind = MB_WORK, .type = t, .align = 64, .offset = 0, .alias = -1});
    m->work_bytes = 128;
    m->const_bytes = 128;
    m->scratch_bytes = 64;
    vec_push(&cx->arena, &m->kernels, product_kernel(cx));
    vec_push(&cx->arena, &m->kernels, square_kernel(cx));
    add_step(cx, loops_add_entry(m, "infer"), 0, (uint32_t[]){0, 3, 5}, 3);
    add_step(cx, loops_entry(m, "infer"), 0, (uint32_t[]){5, 4, 1}, 3);
    add_step(cx, loops_add_entry(m, "prepare"), 1, (uint32_t[]){2, 3}, 2);
    return m;
}

static Bytes emit(Context *cx, const LoopModule *m, const char *cpu, EmitKind kind, const ObjectOptions *o) {
    Target t;
    Bytes out = {NULL, 0};
    cr_assert(backend_target(cx, NULL, cpu, NULL, &t));
    bool ok = backend_emit(cx, m, &t, kind, o, &out);
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    cr_assert(ok, "%s", sb_str(&sb));
    return out;
}

typedef int Infer(int64_t n, const float *x, float *y, const void *weights, void *work, size_t bytes,
                  cnnrt_pool *pool);
typedef int Prepare(const void *const *params, void *weights, size_t weights_bytes, void *work,
                    size_t work_bytes);

static void check_infer_errors(Infer *infer, const float *x, float *y, const void *weights, char *work) {
    cnnrt_pool alien = odd_pool;
    alien.abi_version++;
    enum { NEED = 128 + 64 };
    cr_assert_eq(infer(0, x, y, weights, work, NEED, NULL), CNNRT_E_BATCH);
    cr_assert_eq(infer(INT64_MIN, x, y, weights, work, NEED, NULL), CNNRT_E_BATCH);
    cr_assert_eq(infer(BATCH + 1, x, y, weights, work, NEED, NULL), CNNRT_E_BATCH);
    cr_assert_eq(infer(1, NULL, y, weights, work, NEED, NULL), CNNRT_E_NULL);
    cr_assert_eq(infer(1, x, NULL, weights, work, NEED, NULL), CNNRT_E_NULL);
    cr_assert_eq(infer(1, x, y, weights, NULL, NEED, NULL), CNNRT_E_NULL);
    cr_assert_eq(infer(1, x, y, weights, work + 32, NEED, NULL), CNNRT_E_WORKSPACE_ALIGN);
    cr_assert_eq(infer(1, x, y, (const char *)weights + 4, work, NEED, NULL), CNNRT_E_WORKSPACE_ALIGN);
    cr_assert_eq(infer(1, x, y, weights, work, NEED - 1, NULL), CNNRT_E_WORKSPACE_SIZE);
    cr_assert_eq(infer(1, x, y, weights, work, NEED, &odd_pool), CNNRT_E_WORKSPACE_SIZE);
    cr_assert_eq(infer(1, x, y, weights, work, NEED, &alien), CNNRT_E_ABI);
    cr_assert_eq(infer(BATCH, x, y, weights, work, NEED + 128, &odd_pool), CNNRT_OK);
    cr_assert_eq(infer(BATCH, x, y, weights, work, NEED, NULL), CNNRT_OK);
}

static void check_prepare(const cnnrt_model *model, Prepare *prepare, float *block, char *work) {
    float p[8];
    const void *params[] = {p}, *none[] = {NULL};
    for (int i = 0; i < 8; i++)
        p[i] = (float)i - 2.5F;
    cr_assert_eq(prepare, model->prepare);
    cr_assert_eq(model->prepare_bytes, 64);
    cr_assert_eq(prepare(NULL, block, 128, work, 64), CNNRT_E_NULL);
    cr_assert_eq(prepare(none, block, 128, work, 64), CNNRT_E_NULL);
    cr_assert_eq(prepare(params, NULL, 128, work, 64), CNNRT_E_NULL);
    cr_assert_eq(prepare(params, block + 1, 128, work, 64), CNNRT_E_WORKSPACE_ALIGN);
    cr_assert_eq(prepare(params, block, 127, work, 64), CNNRT_E_WORKSPACE_SIZE);
    cr_assert_eq(prepare(params, block, 128, work, 63), CNNRT_E_WORKSPACE_SIZE);
    cr_assert_eq(prepare(params, block, 128, work, 64), CNNRT_OK);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(block[i], p[i] * p[i]);
        cr_assert_eq(block[16 + i], known[i]);
    }
}

static void check_description(const cnnrt_model *m) {
    cr_assert_eq(m->abi_version, CNNRT_ABI_VERSION);
    cr_assert_eq(m->struct_size, sizeof *m);
    cr_assert_str_eq(m->name, "w");
    cr_assert_eq(m->hash, 0xfeedU);
    cr_assert(m->batch == BATCH && !m->n_fixed && m->n_inputs == 1 && m->n_outputs == 1 && m->n_params == 1);
    cr_assert_str_eq(m->params[0].name, "layer.p");
    cr_assert(m->inputs[0].rank == 2 && m->inputs[0].dim[0] == -1 && m->inputs[0].dim[1] == 8);
    cr_assert_eq(m->outputs[0].bytes, BATCH * 32);
    cr_assert_eq(m->workspace_shared, 128);
    cr_assert_eq(m->workspace_per_thread, 64);
    cr_assert_eq(m->weights_bytes, 128);
}

Test(backend, entry_points_check_what_they_are_given) {
    Context cx;
    context_init(&cx, NULL);
    LoopModule *m = weighted_module(&cx);
    ObjectOptions outside = {.name = "w", .with_prepare = true, .hash = 0xfeed};
    Jit *jit = jit_open(&cx, emit(&cx, m, "native", EMIT_OBJECT, &outside));
    const cnnrt_model *model = jit_symbol(jit, "w_model");
    Prepare *prepare = (Prepare *)(uintptr_t)jit_symbol(jit, "w_prepare_raw");
    Infer *infer = (Infer *)(uintptr_t)jit_symbol(jit, "w_infer");
    float *block = aligned(192), x[BATCH * 8], y[BATCH * 8], again[BATCH * 8];
    char *work = aligned(128 + 3 * 64);
    fill(DT_F32, x, BATCH * 8, 1);
    check_description(model);
    check_prepare(model, prepare, block, work);
    cr_assert_eq(infer(1, x, y, NULL, work, 192, NULL), CNNRT_E_NO_WEIGHTS);
    cr_assert(!model->has_weights);
    check_infer_errors(infer, x, y, block, work);
    for (int i = 0; i < BATCH * 8; i++)
        cr_assert_eq(y[i], x[i] * block[i % 8] * known[i % 8]);

    ObjectOptions inside = {.name = "w", .weights = block, .hash = 0xfeed};
    Jit *second = jit_open(&cx, emit(&cx, m, "native", EMIT_OBJECT, &inside));
    model = jit_symbol(second, "w_model");
    const void *in[] = {x};
    void *out[] = {again};
    cr_assert(model->has_weights && !model->prepare);
    cr_assert_eq(model->infer(BATCH, NULL, out, NULL, work, 192, NULL), CNNRT_E_NULL);
    cr_assert_eq(model->infer(BATCH, in, out, NULL, work, 192, NULL), CNNRT_OK);
    cr_assert(!memcmp(y, again, sizeof y));
    cr_assert(!memcmp(jit_symbol(second, "w_weights"), block, 128));
    jit_close(jit);
    jit_close(second);
    free(block);
    free(work);
    context_free(&cx);
}

/* ---- Objects ---- */

/* Globals begin with "w_"; nothing is undefined but what libc has. */
static void check_symbols(Bytes object) {
    const unsigned char *base = object.data;
    Elf64_Ehdr head;
    memcpy(&head, base, sizeof head);
    for (unsigned i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr table, names;
        memcpy(&table, base + head.e_shoff + i * sizeof table, sizeof table);
        if (table.sh_type != SHT_SYMTAB)
            continue;
        memcpy(&names, base + head.e_shoff + table.sh_link * sizeof names, sizeof names);
        for (size_t at = table.sh_offset + sizeof(Elf64_Sym); at < table.sh_offset + table.sh_size;
             at += sizeof(Elf64_Sym)) {
            Elf64_Sym sym;
            memcpy(&sym, base + at, sizeof sym);
            const char *name = (const char *)base + names.sh_offset + sym.st_name;
            if (sym.st_shndx == SHN_UNDEF)
                cr_assert(!strcmp(name, "memcpy") || !strcmp(name, "_GLOBAL_OFFSET_TABLE_"), "undefined %s",
                          name);
            else if (ELF64_ST_BIND(sym.st_info) != STB_LOCAL)
                cr_assert(!strncmp(name, "w_", 2), "global %s", name);
        }
    }
}

Test(backend, objects_are_reproducible_and_closed) {
    static const char *const cpus[] = {"x86-64", "x86-64-v3", "x86-64-v4"};
    CNNRT_ALIGNED(64) static float block[32];
    memset(block, 0x3c, sizeof block);
    ObjectOptions o = {.name = "w", .with_prepare = true, .weights = block};
    for (int i = 0; i < 3; i++)
        for (EmitKind kind = EMIT_OBJECT; kind <= EMIT_LLVM; kind++) {
            Context a, b;
            context_init(&a, NULL);
            context_init(&b, NULL);
            Bytes x = emit(&a, weighted_module(&a), cpus[i], kind, &o),
                  y = emit(&b, weighted_module(&b), cpus[i], kind, &o);
            cr_assert(x.size == y.size && !memcmp(x.data, y.data, x.size));
            if (kind == EMIT_OBJECT)
                check_symbols(x);
            if (kind == EMIT_LLVM)
                cr_assert(strstr(arena_strndup(&a.arena, x.data, x.size),
                                 "@weights = internal constant [128 x i8] zeroinitializer"));
            context_free(&a);
            context_free(&b);
        }
}

/* What baseline code would call a library for, and relu in one instruction. */
Test(backend, instructions) {
    Context cx;
    context_init(&cx, NULL);
    ObjectOptions o = {.name = "w"};
    Bytes base = emit(&cx, module_of(&cx, float_ops(&cx, DT_F32, 8)), "x86-64", EMIT_ASM, &o);
    const char *text = arena_strndup(&cx.arena, base.data, base.size);
    cr_assert(!strstr(text, "floorf") && !strstr(text, "fmaf") && !strstr(text, "ymm"));
    Bytes fast = emit(&cx, module_of(&cx, pointwise(&cx, 8)), "x86-64-v3", EMIT_ASM, &o);
    text = arena_strndup(&cx.arena, fast.data, fast.size);
    cr_assert(strstr(text, "vmaxps") && strstr(text, "vfmadd") && !strstr(text, "vcmpunordps"));
    Bytes wide = emit(&cx, module_of(&cx, tile(&cx, 16)), "x86-64-v4", EMIT_ASM, &o);
    cr_assert(strstr(arena_strndup(&cx.arena, wide.data, wide.size), "zmm"));
    context_free(&cx);
}

/* ---- Faults ---- */

static void expect(Context *cx, DiagId id, const char *part) {
    cr_assert(cx->diag.entries.len > 0);
    const DiagEntry *e = &cx->diag.entries.data[cx->diag.entries.len - 1];
    cr_assert_eq(e->id, id);
    cr_assert(strstr(e->message, part), "%s", e->message);
}

Test(backend, targets) {
    Context cx;
    context_init(&cx, NULL);
    Target t;
    cr_assert(backend_target(&cx, NULL, "x86-64-v4", NULL, &t));
    cr_assert(t.vector_bytes == 64 && t.vector_regs == 32 && t.has_fma);
    cr_assert(backend_target(&cx, NULL, "x86-64-v4", "-avx512f,-fma", &t));
    cr_assert(t.vector_bytes == 32 && t.vector_regs == 16 && !t.has_fma && !strstr(t.features, "512"));
    cr_assert(backend_target(&cx, NULL, "x86-64-v3", "-avx", &t));
    cr_assert(t.vector_bytes == 16 && !t.has_fma);
    cr_assert(backend_target(&cx, "x86_64-linux-gnu", "x86-64", "+avx2", &t));
    cr_assert_eq(t.vector_bytes, 32);
    cr_assert(!backend_target(&cx, NULL, "x86-64-v9", NULL, &t));
    expect(&cx, DIAG_TARGET, "unknown CPU");
    cr_assert(!backend_target(&cx, NULL, "x86-64", "avx2", &t));
    expect(&cx, DIAG_TARGET, "unknown CPU feature \"avx2\"");
    cr_assert(!backend_target(&cx, NULL, "x86-64", "+avx2,+", &t));
    cr_assert(!backend_target(&cx, "x86_64-apple-darwin", "x86-64", NULL, &t));
    expect(&cx, DIAG_TARGET, "not supported");
    cr_assert(!backend_target(&cx, "pdp11", "native", NULL, &t));
    cr_assert(!backend_target(&cx, "aarch64-linux-gnu", "x86-64", NULL, &t));
    cr_assert(!backend_target(&cx, "aarch64-linux-gnu", "generic", "+sve", &t));
    cr_assert(backend_target(&cx, "aarch64-linux-gnu", "generic", NULL, &t));
    ObjectOptions o = {.name = "w"};
    Bytes out;
    uint32_t errors = cx.diag.errors;
    cr_assert(backend_emit(&cx, weighted_module(&cx), &t, EMIT_ASM, &o, &out));
    cr_assert(strstr(arena_strndup(&cx.arena, out.data, out.size), "fmul\tv") && cx.diag.errors == errors);
    context_free(&cx);
}

Test(backend, faults_are_reported) {
    Context cx;
    context_init(&cx, NULL);
    Target t;
    ObjectOptions o = {.name = "w"};
    Bytes out;
    cr_assert(backend_target(&cx, NULL, "native", NULL, &t));
    LoopModule *m = weighted_module(&cx);
    m->planned = false;
    cr_assert(!backend_emit(&cx, m, &t, EMIT_OBJECT, &o, &out));
    expect(&cx, DIAG_IR_INVALID, "no memory plan");
    m->planned = true;
    m->work_bytes = 32;
    m->prepare_bytes = 4096;
    cr_assert(!backend_emit(&cx, m, &t, EMIT_OBJECT, &o, &out));
    expect(&cx, DIAG_IR_INVALID, "outside the planned memory");
    m->work_bytes = 128;
    m->scratch_bytes = 16;
    cr_assert(!backend_emit(&cx, m, &t, EMIT_OBJECT, &o, &out));
    expect(&cx, DIAG_IR_INVALID, "%s lies outside");
    LBuild b = lb_begin(&cx, "big");
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, fixed(1));
    uint32_t big = lb_alloc(&b, LB_STACK, "big", f32(1), 1 << 20);
    lb_store(&b, big, lb_c(&b, 0), lb_const(&b, f32(1), 0));
    lb_store(&b, y, lb_c(&b, 0), lb_load(&b, f32(1), big, lb_c(&b, 0)));
    cr_assert(!backend_emit(&cx, module_of(&cx, b.k), &t, EMIT_OBJECT, &o, &out));
    expect(&cx, DIAG_IR_INVALID, "stack arrays");
    cr_assert_null(jit_open(&cx, (Bytes){"not an object", 13}));
    expect(&cx, DIAG_JIT, "not an object");
    Jit *jit = jit_open(&cx, emit(&cx, weighted_module(&cx), "native", EMIT_OBJECT, &o));
    cr_assert_null(jit_symbol(jit, "w_missing"));
    expect(&cx, DIAG_JIT, "w_missing");
    jit_close(jit);
    context_free(&cx);
}

/* ---- Names and the header ---- */

Test(backend, names_and_header) {
    static const char *const names[][2] = {{"simplecnn", "simplecnn"},
                                           {"ResNet-18 (v1.5)", "ResNet_18_v1_5"},
                                           {"3d", "m3d"},
                                           {"__x", "x"},
                                           {"", "model"},
                                           {"\xc3\xa9", "model"},
                                           {"a\xc3\xa9z", "a_z"}};
    Context cx;
    context_init(&cx, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_assert_str_eq(backend_c_name(&cx, names[i][0]), names[i][1]);
    Target t;
    cr_assert(backend_target(&cx, NULL, "x86-64", NULL, &t));
    LoopModule *m = weighted_module(&cx);
    m->bufs.data[0].key = "int";
    m->name = "evil */ name\n";
    ObjectOptions o = {.name = "w", .with_prepare = true};
    StrBuf sb = sb_new(&cx.arena);
    cr_assert(backend_header(&cx, m, &t, &o, &sb));
    static const char *const parts[] = {"#define W_BATCH 3",
                                        "#define W_INT__ELEMS 8",
                                        "const float *int_ /* f32[n,8] */",
                                        "(size_t)128 + (size_t)(threads) * (size_t)64",
                                        "#define W_WEIGHTS_BYTES 128",
                                        "W_PREPARE_BYTES ((size_t)64)",
                                        "evil _/ name_",
                                        "w_prepare("};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_assert(strstr(sb_str(&sb), parts[i]), "no %s in\n%s", parts[i], sb_str(&sb));
    m->bufs.data[0].key = "a.b";
    m->bufs.data[1].key = "A-B";
    cr_assert(!backend_header(&cx, m, &t, &o, &sb));
    expect(&cx, DIAG_NAME_CLASH, "\"a.b\" and \"A-B\" both become");
    context_free(&cx);
}
