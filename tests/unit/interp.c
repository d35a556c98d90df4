/* The loop IR's interpreter: what operations compute, which faults it finds; and the polynomials of math.c.
 */
#include "ir/loops/build.h"
#include "ir/loops/text.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *messages(Context *cx) {
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    return sb_str(&sb);
}

static LoopModule *parse(Context *cx, const char *text) {
    LoopModule *m = loops_parse(cx, "t", text, strlen(text));
    cr_assert(m, "%s\n%s", text, messages(cx));
    return m;
}

/* ---- Operations: each row computes %9 of the type given and stores it ---- */

typedef struct Row {
    const char *type, *code;
    double want;
} Row;

static const Row rows[] = {
    {"f32", "%0 = const f32 0x1p-24 %1 = const f32 1 %9 = add %1, %0", 1},
    {"f32", "%0 = const f32 3 %1 = const f32 5 %9 = sub %0, %1", -2},
    {"f64", "%0 = const f64 3 %1 = const f64 8 %9 = div %0, %1", 0.375},
    {"f32", "%0 = const f32 nan %1 = const f32 5 %9 = max %0, %1", NAN},
    {"f32", "%0 = const f32 nan %1 = const f32 5 %9 = min %1, %0", NAN},
    {"f32", "%0 = const f32 -4 %1 = const f32 5 %9 = min %1, %0", -4},
    {"f32", "%0 = const f32 -2.5 %9 = floor %0", -3},
    {"f32", "%0 = const f32 -2.5 %9 = abs %0", 2.5},
    {"f32", "%0 = const f32 -2.5 %9 = neg %0", 2.5},
    {"f32", "%0 = const f32 6.25 %9 = sqrt %0", 2.5},
    {"f32", "%0 = const f32 2 %9 = mad %0, %0, %0", 6},
    {"i32", "%0 = const i32 2147483647 %1 = const i32 1 %9 = add %0, %1", -2147483648.0},
    {"i8", "%0 = const i8 100 %9 = add %0, %0", -56},
    {"u8", "%0 = const u8 200 %9 = add %0, %0", 144},
    {"u32", "%0 = const u32 4294967295 %9 = mulhi %0, %0", 4294967294.0},
    {"i32", "%0 = const i32 -65536 %9 = mulhi %0, %0", 1},
    {"i32", "%0 = const i32 -7 %1 = const i32 2 %9 = div %0, %1", -3},
    {"i32", "%0 = const i32 -7 %1 = const i32 0 %9 = div %0, %1", 0},
    {"i32", "%0 = const i32 -2147483648 %1 = const i32 -1 %9 = div %0, %1", -2147483648.0},
    {"i32", "%0 = const i32 -8 %1 = const i32 33 %9 = shr %0, %1", -4},
    {"u32", "%0 = const u32 4294967288 %1 = const u32 1 %9 = shr %0, %1", 2147483644.0},
    {"i32", "%0 = const i32 3 %1 = const i32 31 %9 = shl %0, %1", -2147483648.0},
    {"i32", "%0 = const i32 12 %1 = const i32 10 %9 = and %0, %1", 8},
    {"i32", "%0 = const i32 12 %1 = const i32 10 %9 = or %0, %1", 14},
    {"i32", "%0 = const i32 12 %1 = const i32 10 %9 = xor %0, %1", 6},
    {"i32", "%0 = const i32 3 %9 = mad %0, %0, %0", 12},
    {"i32", "%0 = const i32 -3 %9 = abs %0", 3},
    {"bool", "%0 = const f32 nan %9 = cmp.ne %0, %0", 1},
    {"bool", "%0 = const f32 nan %9 = cmp.le %0, %0", 0},
    {"bool", "%0 = const i32 2 %1 = const i32 3 %9 = cmp.lt %0, %1", 1},
    {"bool", "%0 = const u8 2 %9 = cmp.eq %0, %0", 1},
    {"f32", "%0 = const bool 1 %1 = const f32 2 %2 = const f32 3 %9 = select %0, %1, %2", 2},
    {"i32", "%0 = const f32 -2.75 %9 = convert i32 %0", -2},
    {"f32", "%0 = const i64 16777217 %9 = convert f32 %0", 16777216},
    {"f32", "%0 = const f64 0x1.0000010000001p0 %9 = convert f32 %0", 0x1.000002p0},
    {"bf16", "%0 = const f32 0x1.01p0 %9 = convert bf16 %0", 1},
    {"bf16", "%0 = const f32 0x1.03p0 %9 = convert bf16 %0", 0x1.04p0},
    {"f16", "%0 = const f32 65520 %9 = convert f16 %0", INFINITY},
    {"f16", "%0 = const f32 0x1.8p-24 %9 = convert f16 %0", 0x1p-23},
    {"bool", "%0 = const i32 256 %9 = convert bool %0", 1},
    {"i8", "%0 = const i32 511 %9 = convert i8 %0", -1},
    {"i32", "%0 = const f32 1 %9 = bitcast i32 %0", 0x3f800000},
    {"f32", "%0 = const i32 1073741824 %9 = bitcast f32 %0", 2},
    {"i32", "%9 = index i32 -7 / 2", -4},
    {"f32", "%9 = index f32 n*3 - 1", 5},
    {"f32", "%0 = const f32x4 1.5 %9 = sum %0", 6},
    {"f32", "%0 = load f32x4 %x[0] %1 = load f32x4 %x[4] %2 = shuffle %0, %1 [7, 2] %9 = sum %2", 9},
    {"f32", "%0 = load f32x4 %x[0] stride 2 %9 = hmax %0", 6},
    {"f32", "%0 = load f32x4 %x[0] stride 2 %9 = extract %0, 1", 2},
    {"f32", "%0 = load f32x8 %x[0] %1 = bitcast i32x8 %0 %2 = extract %1, 4 %9 = bitcast f32 %2", 4},
    {"f32", "%0 = const f32 3 %1 = splat f32x4 %0 %2 = mul %1, %1 %9 = extract %2, 3", 9},
};

static double run_row(Context *cx, const Row *r, bool contract) {
    char text[1024];
    float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    double y = 0;
    snprintf(text, sizeof text,
             "module @m batch 2 { in @x: f32[8] out @y: %s[1]\n"
             "kernel @k(in %%x: f32[8], out %%y: %s[1]) { %s store %%y[0], %%9 }\n"
             "entry @infer { call @k(@x, @y) } }",
             r->type, r->type, r->code);
    LoopModule *m = parse(cx, text);
    InterpOptions o = {.contract = contract, .check_overlap = true};
    cr_assert(loops_run(m, "infer", 2, (void *[]){x, &y}, &o), "%s", messages(cx));
    DType t = m->bufs.data[1].type.dtype;
    return dtype_is_float(t) ? elem_get(t, &y, 0) : (double)elem_get_int(t, &y, 0);
}

Test(interp, operations) {
    Context cx;
    context_init(&cx, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double got = run_row(&cx, &rows[i], true);
        cr_expect(got == rows[i].want || (isnan(got) && isnan(rows[i].want)), "%s: %g, not %g", rows[i].code,
                  got, rows[i].want);
    }
    /* (1 + e)(1 - e) - 1 is -e*e when rounded once, 0 when rounded twice. */
    const Row mad = {"f32",
                     "%0 = const f32 0x1.000002p0 %1 = const f32 0x1.fffffcp-1 %2 = const f32 -1 "
                     "%9 = mad %0, %1, %2",
                     0};
    cr_expect_eq(run_row(&cx, &mad, true), -0x1p-46);
    cr_expect_eq(run_row(&cx, &mad, false), 0);
    context_free(&cx);
}

Test(interp, narrow_floats_round_trip) {
    for (uint32_t i = 0; i < 65536; i++) {
        const DType types[] = {DT_BF16, DT_F16};
        for (int t = 0; t < 2; t++) {
            uint16_t bits = (uint16_t)i, back;
            double v = elem_get(types[t], &bits, 0);
            elem_put(types[t], &back, 0, v);
            cr_assert(back == bits || isnan(v), "%s 0x%04x comes back as 0x%04x", dtype_name(types[t]), bits,
                      back);
            cr_assert(isnan(v) || elem_round(types[t], v) == v);
        }
    }
}

/* ---- Faults ---- */

typedef struct Fault {
    const char *text, *message;
} Fault;

#define HEAD "module @m batch 4 { in @x: f32[8N] out @y: f32[8N] "
#define KERNEL "kernel @k(in %x: f32[8N], inout %y: f32[8N]) { "
#define TAIL " } entry @infer { call @k(@x, @y) } }"
#define COPY "for %c = 0 to n*8 { %100 = load f32 %x[%c] store %y[%c], %100 } "

static const Fault faults[] = {
    {HEAD KERNEL COPY TAIL, NULL},
    {HEAD KERNEL "for %i = 0 to n { if %i == 1 { %0 = load f32 %x[%i*8 + n*50] } }" TAIL,
     "element 108 of %x is outside its 16 (n = 2, %i = 1)"},
    {HEAD KERNEL "if n < 3 { %0 = load f32x8 %x[n*8 - 7] }" TAIL, "element 9 of %x is outside"},
    {HEAD KERNEL "%0 = load f32 %y[3]" TAIL, "element 3 of %y is read but was never written"},
    {HEAD KERNEL "alloc reg %a: f32x4[2] %0 = const f32x4 1 store %a[0], %0 %1 = load f32x4 %a[1]" TAIL,
     "%a is read but was never written"},
    {HEAD KERNEL "for %i = 0 to 2 { alloc stack %a: f32[2] if %i == 1 { %0 = load f32 %a[0] } "
                 "%1 = const f32 1 store %a[0], %1 }" TAIL,
     "%a is read but was never written"},
    {HEAD KERNEL "%0 = const f32 1 store %y[0], %0" TAIL, "element 1 of the output @y was never written"},
    {HEAD KERNEL COPY "for parallel %t = 0 to n { %0 = const f32 1 store %y[3], %0 }" TAIL,
     "element 3 of %y is written, and another parallel iteration writes it"},
    {HEAD KERNEL COPY "for parallel %t = 0 to n { %0 = load f32 %y[0] store %y[n - 1 - %t], %0 }" TAIL,
     "another parallel iteration reads it (n = 2, %t = 1)"},
    {HEAD KERNEL COPY "for parallel %t = 0 to n { %0 = load f32 %y[0] store %y[%t], %0 }" TAIL,
     "element 0 of %y is read, and another parallel iteration writes it"},
    {HEAD KERNEL COPY "for parallel %t = 0 to n { %0 = load f32 %y[%t] store %y[%t], %0 }" TAIL, NULL},
    /* two loops one after the other do not clash */
    {HEAD KERNEL COPY
     "for parallel %t = 0 to n { %0 = load f32 %y[%t] store %y[%t], %0 } "
     "for parallel %u = 0 to n { %1 = load f32 %y[n - 1 - %u] store %y[n - 1 - %u], %1 }" TAIL,
     NULL},
    {HEAD "kernel @k(in %x: f32[8N], out %y: f32[8N] noalias, out %z: f32[4] noalias) { " COPY
          "} entry @infer { call @k(@x, @y, @y + 4) } }",
     "%y is said to share no memory, but does with %z"},
    {HEAD "work @a: f32[8N] at 0 work @b: f32[8N] at 64 plan work 256 prepare 0 scratch 0 const 0 live 0 "
          "kernel @k(in %x: f32[8N], out %y: f32[8N]) { " COPY
          "} entry @infer { call @k(@x, @a) call @k(@x, @b) call @k(@a, @y) } }",
     NULL}, /* the plan is wrong for n = 4 only: see below */
    {HEAD "work @a: f32[8N] work @b: f32[8N] alias @a kernel @k(in %x: f32[8N], out %y: f32[8N]) { " COPY
          "} entry @infer { call @k(@x, @a) call @k(@b, @y) } }",
     NULL},
    {HEAD "entry @prepare { } }", "has no entry @infer"},
};

static void expect_fault(const Fault *f, int64_t n, const char *message) {
    Context cx;
    context_init(&cx, NULL);
    float x[32] = {0}, y[32];
    LoopModule *m = parse(&cx, f->text);
    void *memory[8] = {x, y};
    bool ok = loops_run(m, "infer", n, memory, NULL);
    cr_expect_eq(ok, message == NULL, "%s\n%s", f->text, messages(&cx));
    if (message)
        cr_expect(strstr(messages(&cx), message), "%s\nwanted: %s\ngot: %s", f->text, message, messages(&cx));
    context_free(&cx);
}

Test(interp, faults) {
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        expect_fault(&faults[i], 2, faults[i].message);
        if (strstr(faults[i].text, "plan"))
            expect_fault(&faults[i], 4, "element 16 of %x (@a) is read but @b has overwritten it");
    }
    const Fault good = {HEAD KERNEL COPY TAIL, NULL};
    expect_fault(&good, 5, "n is 5, but the module is compiled for 1 to 4");
}

/* Weights flow from `prepare` to `infer` through memory that the caller keeps. */
Test(interp, prepare_then_infer) {
    Context cx;
    context_init(&cx, NULL);
    LoopModule *m =
        parse(&cx, "module @m batch 1 { in @x: f32[1] out @y: f32[1] param @w: f32[1] const @p: f32[1]\n"
                   "const @three: f32[1] = {3}\n"
                   "kernel @mul(in %a: f32[1], in %b: f32[1], out %y: f32[1]) {\n"
                   "%0 = load f32 %a[0] %1 = load f32 %b[0] %2 = mul %0, %1 store %y[0], %2 }\n"
                   "entry @prepare { call @mul(@w, @three, @p) }\n"
                   "entry @infer { call @mul(@x, @p, @y) } }");
    float x = 5, y = 0, w = 7, p = 0;
    void *memory[] = {&x, &y, &w, &p, NULL};
    cr_expect(loops_run(m, "prepare", 1, memory, NULL), "%s", messages(&cx));
    cr_expect(loops_run(m, "infer", 1, memory, NULL), "%s", messages(&cx));
    cr_expect_eq(y, 105);
    cr_expect(!loops_run(m, "infer", 1, NULL, NULL));
    cr_expect(strstr(messages(&cx), "input @x has no memory"));
    context_free(&cx);
}

/* ---- math.c ---- */

typedef LVal (*Function)(LBuild *, LVal);

/* y = f(x) for 4096 numbers, scalar or in vectors of 8. */
static LoopModule *math_module(Context *cx, Function f, uint8_t lanes, bool contract) {
    LoopModule *m = loops_new(cx, "e");
    Type t = type_make(DT_F32, 1, (Dim[]){{4096, false}});
    loops_buf(m, (ModBuf){.name = "x", .kind = MB_IN, .type = t, .offset = -1, .alias = -1});
    loops_buf(m, (ModBuf){.name = "y", .kind = MB_OUT, .type = t, .offset = -1, .alias = -1});
    LBuild b = lb_begin(cx, "f");
    b.contract = contract;
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, (Dim){4096, false});
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, (Dim){4096, false});
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_c(&b, 4096), lanes);
    lb_store(&b, y, i, f(&b, lb_load(&b, (LType){DT_F32, lanes}, x, i)));
    lb_end(&b);
    vec_push(&cx->arena, &m->kernels, b.k);
    Step s = {.args = NEW_ARRAY(&cx->arena, StepArg, 2)};
    s.args[1].buf = 1;
    Entry *e = loops_add_entry(m, "infer");
    vec_push(&cx->arena, &e->steps, s);
    return m;
}

static double ulp_error(float got, double want) {
    float near = (float)want;
    if (isinf(near) || isnan(near) || (near == 0 && got == 0))
        return got == near || (isnan(got) && isnan(near)) ? 0 : INFINITY;
    float step = nextafterf(fabsf(near), INFINITY) - fabsf(near);
    return fabs(got - want) / step;
}

Test(interp, exp_within_one_ulp) {
    static const float special[] = {0,        -0.0f,     INFINITY, -INFINITY, NAN, 1,
                                    -1,       88.72283f, 88.723f,  88.7229f,  89,  1e30f,
                                    -87.336f, -87.34f,   -103.9f,  -104};
    static float x[4096], y[4096], first[4096];
    Context cx;
    context_init(&cx, NULL);
    for (int mode = 0; mode < 4; mode++) {
        LoopModule *m = math_module(&cx, lb_exp, mode & 1 ? 8 : 1, mode & 2);
        double worst = 0;
        uint32_t seed = 3;
        for (int i = 0; i < 4096; i++) {
            seed = seed * 1664525 + 1013904223;
            double u = (seed >> 8) * 0x1p-24;
            x[i] = (float)(i % 2 ? 2 * u - 1 : 194 * u - 105);
        }
        memcpy(x, special, sizeof special);
        InterpOptions o = {.contract = mode & 2};
        cr_assert(loops_run(m, "infer", 1, (void *[]){x, y}, &o), "%s", messages(&cx));
        for (int i = 0; i < 4096; i++) {
            double limit = x[i] < -87.33 ? 1.5 : 1, e = ulp_error(y[i], exp(x[i]));
            cr_assert_leq(e, limit, "exp(%a) = %a, not %a: %g ulp", x[i], y[i], exp(x[i]), e);
            worst = e > worst ? e : worst;
        }
        cr_expect_gt(worst, 0.5); /* the measure measures something */
        if (mode & 1)
            cr_expect_eq(memcmp(y, first, sizeof y), 0, "scalar and vector differ");
        memcpy(first, y, sizeof y);
    }
    context_free(&cx);
}

/* Scalar and vector, with and without fused multiply-add, at 4096 points from `x`. */
static void check_function(Function f, double (*want)(double), double limit, float *x) {
    static float y[4096], first[4096];
    Context cx;
    context_init(&cx, NULL);
    for (int mode = 0; mode < 4; mode++) {
        LoopModule *m = math_module(&cx, f, mode & 1 ? 8 : 1, mode & 2);
        InterpOptions o = {.contract = mode & 2};
        cr_assert(loops_run(m, "infer", 1, (void *[]){x, y}, &o), "%s", messages(&cx));
        for (int i = 0; i < 4096; i++) {
            double e = ulp_error(y[i], want(x[i]));
            cr_assert_leq(e, limit, "f(%a) = %a, not %a: %g ulp", x[i], y[i], want(x[i]), e);
        }
        if (mode & 1)
            cr_expect_eq(memcmp(y, first, sizeof y), 0, "scalar and vector differ");
        memcpy(first, y, sizeof y);
    }
    context_free(&cx);
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* Small numbers, all exponents that matter, and the corners: infinities that the functions say they take. */
static void check_bounded(Function f, double (*want)(double), double limit, double lo, double hi) {
    static float x[4096];
    uint32_t seed = 11;
    for (int i = 0; i < 4096; i++) {
        seed = seed * 1664525 + 1013904223;
        double u = (seed >> 8) * 0x1p-24;
        x[i] = (float)(i % 2 ? ldexp(i % 4 == 1 ? u : -u, (int)(seed % 40) - 38) : lo + (hi - lo) * u);
    }
    x[0] = (float)lo, x[1] = (float)hi, x[2] = 0, x[3] = NAN, x[4] = -INFINITY;
    check_function(f, want, limit, x);
}

Test(interp, exponentials) {
    check_bounded(lb_expm1, expm1, 2, -87, 88);
    check_bounded(lb_tanh, tanh, 3, -15, 15);
    check_bounded(lb_tanh, tanh, 3, -1, INFINITY);
    check_bounded(lb_sigmoid, sigmoid, 3, -87, 50);
}

/* The tail of the normal distribution from its bell, relative to what it is at 0. */
static LVal tail(LBuild *b, LVal x) {
    LVal half = lb_op2(b, LOP_MUL, x, lb_const(b, lb_type(b, x), -0.5));
    return lb_normal_tail(b, x, lb_exp(b, lb_op2(b, LOP_MUL, half, x)));
}

static double exact_tail(double x) {
    return erfc(x * sqrt(0.5)) / 2;
}

Test(interp, normal_tail) {
    static float x[4096];
    for (int i = 0; i < 4096; i++)
        x[i] = (float)i / 2048;
    check_function(tail, exact_tail, 8, x); /* 4e-7 of the value */
    for (int i = 0; i < 4096; i++)
        x[i] = (float)i / 512;
    check_function(tail, exact_tail, 40, x); /* 2e-6 */
}

/* Every exponent, denormal ones too, and more points around 1. */
Test(interp, log_within_one_ulp) {
    static const float special[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1, -1, 0x1p-149f, 0x1.fffffep127f};
    static float x[4096];
    uint32_t seed = 5;
    for (int i = 0; i < 4096; i++) {
        seed = seed * 1664525 + 1013904223;
        double u = 1 + (seed >> 8) * 0x1p-24;
        x[i] = (float)(i % 2 ? u / (i % 4 == 1 ? 1 : 2) : ldexp(u, (int)(seed % 277) - 149));
    }
    memcpy(x, special, sizeof special);
    check_function(lb_log, log, 1, x);
}

Test(interp, log1p_within_two_ulp) {
    static const float special[] = {0, 1, 0x1p-149f, 0x1p-24f, 0x1p-23f, 0x1.fffffep-25f, 0x1p60f, NAN};
    static float x[4096];
    uint32_t seed = 7;
    for (int i = 0; i < 4096; i++) {
        seed = seed * 1664525 + 1013904223;
        double u = 1 + (seed >> 8) * 0x1p-24;
        x[i] = (float)(i % 2 ? u - 1 : ldexp(u, (int)(seed % 60) - 40));
    }
    memcpy(x, special, sizeof special);
    check_function(lb_log1p, log1p, 2, x);
}
