/* The loop IR's text, verifier, index expressions, builder, hash and equality. */
#include "ir/base/file.h"
#include "ir/loops/build.h"
#include "passes/passes.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static LoopModule *parse(Context *cx, const char *text) {
    return loops_parse(cx, "t", text, strlen(text));
}

static const char *print(Context *cx, const LoopModule *m) {
    StrBuf sb = sb_new(&cx->arena);
    loops_print(&sb, m, NULL);
    return sb_str(&sb);
}

static const char *messages(Context *cx) {
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    return sb_str(&sb);
}

/* The examples of docs/loop-ir.md, one after the other; NULL at the end. */
static const char *next_example(Context *cx, const char **p) {
    static const char fence[] = "```cnnir\n";
    const char *start = strstr(*p, fence), *end = start ? strstr(start, "\n```") : NULL;
    if (!end)
        return NULL;
    *p = end + 4;
    start += strlen(fence);
    return intern_n(cx, start, (size_t)(end + 1 - start));
}

static const char *read_docs(Context *cx) {
    FileData f;
    cr_assert(file_read(cx, SOURCE_DIR "/docs/loop-ir.md", 1 << 20, &f), "%s", messages(cx));
    return f.data;
}

/* From where it stands to what the back end takes; a planned module is there. */
static void compile(Context *cx, LoopModule *m) {
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64-v3", .features = "", .vector_bytes = 32};
    Unit u = {.cx = cx, .target = &t, .loops = m};
    PipelineOptions o = {.passes = m->planned ? "" : NULL};
    bool stopped;
    bool ok = passes_run(&u, &o, &stopped) && loops_verify(u.loops, true) && u.loops->planned;
    cr_assert(ok, "@%s: %s", m->name, messages(cx));
}

Test(loops, documentation_examples) {
    Context cx;
    context_init(&cx, NULL);
    const char *docs = read_docs(&cx), *text;
    int count = 0;
    for (; (text = next_example(&cx, &docs)); count++) {
        LoopModule *m = parse(&cx, text);
        cr_assert(m, "example %d: %s", count, messages(&cx));
        cr_assert_str_eq(print(&cx, m), text);
        cr_assert(loops_verify_file(m), "example %d: %s", count, messages(&cx));
        compile(&cx, m);
    }
    cr_assert_geq(count, 4);
    context_free(&cx);
}

/* Every prefix of an example, and every example with one byte changed: a diagnostic or a module, no crash. */
Test(loops, damaged_text) {
    Context cx;
    context_init(&cx, NULL);
    const char *docs = read_docs(&cx), *text = next_example(&cx, &docs);
    size_t size = strlen(text);
    char copy[4096];
    cr_assert_lt(size, sizeof copy);
    uint32_t seed = 1;
    for (size_t i = 0; i < size; i++) {
        Context one;
        context_init(&one, NULL);
        memcpy(copy, text, size);
        LoopModule *m = loops_parse(&one, "t", copy, i);
        cr_expect((!m && one.diag.errors) || i == size - 1, "a prefix of %zu bytes", i);
        seed = seed * 1664525 + 1013904223;
        copy[i] = (char)(seed >> 24);
        m = loops_parse(&one, "t", copy, size);
        cr_expect(m || one.diag.errors);
        if (m) {
            const char *first = print(&one, m);
            LoopModule *again = parse(&one, first);
            cr_expect(again, "%s%s", first, messages(&one));
            if (again)
                cr_expect_str_eq(print(&one, again), first);
        }
        context_free(&one);
    }
    context_free(&cx);
}

typedef struct BadText {
    const char *text, *message;
} BadText;

static void expect_refused(const BadText *t, const char *text) {
    Context cx;
    context_init(&cx, NULL);
    LoopModule *m = parse(&cx, text);
    cr_expect(!m, "accepted: %s", t->text);
    cr_expect(strstr(messages(&cx), t->message), "%s\nwanted: %s\ngot: %s", t->text, t->message,
              messages(&cx));
    context_free(&cx);
}

Test(loops, syntax_faults) {
    static const BadText bad[] = {
        {"", "expected 'module'"},
        {"module @m batch 0 { }", "t:1:17: error: '0' is out of range"},
        {"module @m batch 1 { } x", "expected the end of the file"},
        {"module @m batch 1 { bogus }", "expected a buffer, kernel or entry"},
        {"module @m batch 1 { in @a: f32[2] in @a: f32[2] }", "two buffers are called @a"},
        {"module @m batch 1 { const @a: f32[2] = {1} }", "@a has 2 elements, but 1 are given"},
        {"module @m batch 1 { work @a: f32[2] alias @b }", "is no buffer"},
        {"module @m batch 1 { kernel @k() { } kernel @k() { } }", "two kernels are called @k"},
        {"module @m batch 1 { entry @e { } entry @e { } }", "two entries are called @e"},
        {"module @m batch 1 { entry @e { call @k() } }", "@k is no kernel"},
        {"module @m batch 1 { kernel @k(in %x: f32[1]) { } entry @e { call @k(@x) } }", "@x is no buffer"},
        {"module @m batch 1 { kernel @k(reg %x: f32[1]) { } }", "expected in, out or inout"},
        {"module @m batch 1 { kernel @k(in %0: f32[1]) { } }", "must begin with a letter"},
        {"module @m batch 1 { kernel @k(in %x: f32[1], in %x: f32[1]) { } }", "two parameters"},
        {"module @m batch 1 { kernel @k(out %x: f32[1] inplace %z) { } }", "%z is no parameter"},
        {"module @m batch 1 { kernel @k(in %x: f32x4[1]) { } }", "not a vector"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(&bad[i], bad[i].text);
}

/* Bodies of a kernel with parameters %x (in), %y (out), %z (inout), all of f32[8N]. */
static void expect_body_refused(const BadText *t) {
    char text[2048];
    snprintf(
        text, sizeof text,
        "module @m batch 2 { kernel @k(in %%x: f32[8N], out %%y: f32[8N], inout %%z: f32[8N]) {\n%s\n} }",
        t->text);
    expect_refused(t, text);
}

static const BadText bad_bodies[] = {
    {"bogus", "expected a statement"},
    {"%a = const f32 1", "values are called %0"},
    {"%0 = const f32 1 %0 = const f32 1", "%0 is defined twice"},
    {"%0 = bogus f32 1", "expected an operation"},
    {"%0 = const f33 1", "expected a type"},
    {"%0 = const f32x65 1", "2 to 64 lanes"},
    {"%0 = add %1, %1", "%1 is no value"},
    {"%0 = load f32 %w[0]", "expected a buffer"},
    {"%0 = load f32 %x[%i]", "%i is no loop variable"},
    {"for %i = 0 to 8 { } %0 = load f32 %x[%i]", "outside its loop"},
    {"%0 = load f32 %x[1 / 0]", "positive constants"},
    {"%0 = load f32 %x[n % n]", "positive constants"},
    {"for %x = 0 to 8 { }", "%x is something else"},
    {"for %i = 0 to 8 { for %i = 0 to 8 { } }", "%i is something else"},
    {"alloc out %a: f32[1]", "expected reg, stack or scratch"},
    {"alloc reg %a: f32[1] alloc reg %a: f32[2]", "%a is something else"},
    {"for bogus %i = 0 to 8 { }", "expected a kind of loop"},
    {"if 1 > 2 { }", "expected '<'"},
    {"%0 = load f32 %y[0]", "written only"},
    {"%0 = const f32 1 store %x[0], %0", "read only"},
    {"%0 = load f64 %x[0]", "the buffer holds f32"},
    {"%0 = load f32 %x[0] %1 = load f32x2 %x[0] %2 = add %0, %1", "the arguments differ in type"},
    {"%0 = const bool 1 %1 = add %0, %0", "no arithmetic on bools"},
    {"%0 = const f32 1 %1 = shl %0, %0", "must be integers"},
    {"%0 = const f32 1 %1 = and %0, %0", "integers or bools"},
    {"%0 = const i32 1 %1 = sqrt %0", "must be floats"},
    {"%0 = const f32 1 %1 = extract %0, 1", "no such lane"},
    {"%0 = const f32x2 1 %1 = shuffle %0, %0 [4]", "lane 4 is beyond"},
    {"%0 = const f32 1 %1 = select %0, %0, %0", "select takes bool lanes"},
    {"%0 = const f32 1 %1 = bitcast f64 %0", "keeps the number of bytes"},
    {"%0 = const f32x2 1 %1 = splat f32x4 %0", "splat takes a scalar"},
    {"%0 = const f32x3 1 %1 = sum %0", "power of two"},
    {"%0 = index f32x2 n", "an index is one number"},
    {"%0 = const f32 1 alloc reg %a: f32x2[1] store %a[0], %0", "read and written whole"},
    {"alloc reg %a: f32[1] prefetch %a[0], 1", "a prefetch needs memory"},
    {"for %i = 0 to 8 { alloc reg %a: f32[1] } %0 = load f32 %a[0]", "not allocated here"},
    {"if n < 2 { %0 = const f32 1 } store %y[0], %0", "not defined here"},
    {"for %i = 0 to 8 { for parallel %j = 0 to n { } }", "stands at the top"},
    {"%0 = const f32 1 for parallel %j = 0 to n { store %y[%j], %0 }", "a value from outside"},
    {"alloc reg %a: f32[1] for parallel %j = 0 to n { %0 = load f32 %a[0] }", "a buffer from outside"},
    {"alloc scratch %a: f32[1] for parallel %j = 0 to n { }", "scratch belongs inside"},
    {"alloc reg %a: f32[1] for parallel %j = 0 to n { alloc reg %a: f32[1] }", "outside the parallel"},
    {"for unroll %i = 0 to n { }", "must be constant"},
    {"for vector(4) %i = 0 to 8 step 2 { }", "a vector loop has step 1"},
    {"for vector(4) %i = 0 to 8 { %0 = load f32x2 %x[0] }", "vector loop is scalar"},
    {"for vector(4) %i = 0 to 8 { %0 = const f32 1 store %y[0], %0 }", "its own element"},
    {"for vector(4) %i = 0 to 8 { %0 = load f32 %x[%i % 3] }", "linear in the loop's variable"},
    {"for vector(4) %i = 0 to 8 { %0 = load f32 %x[7 - %i] }", "run backwards"},
    {"for vector(4) %i = 0 to 8 { if %i < 3 { } }", "must not depend on its variable"},
    {"for vector(4) %i = 0 to 8 { for vector(2) %j = 0 to 2 { } }", "serial and unrolled loops only"},
    {"for vector(4) %i = 0 to 8 { %0 = clock }", "not inside a vector loop"},
    {"for vector(4) %i = 0 to 8 { alloc stack %a: f32[1] }", "only scalar registers"},
    {"alloc reg %a: f32[8] for vector(4) %i = 0 to 8 { %0 = const f32 1 store %a[0], %0 }", "not written"},
    {"for vector(4) %i = 0 to 8 { alloc reg %a: f32[8] %0 = const f32 1 store %a[%i], %0 }",
     "index of a register"},
    /* bounds */
    {"%0 = load f32 %x[-1]", "element -1 is outside"},
    {"%0 = load f32 %x[8*n]", "element 8 is outside the 8 of %x (n is 1)"},
    {"%0 = load f32x4 %x[5]", "element 8 is outside"},
    {"%0 = load f32x4 %x[0] stride 3", "element 9 is outside"},
    {"for %i = 0 to n { for %j = 0 to 9 { %0 = load f32 %x[%i*8 + %j] } }", "element 8 is outside"},
    {"for %i = 0 to 9 step 4 { %0 = load f32 %x[%i] }", "element 8 is outside"},
    {"for %i = 0 to 9 { %0 = load f32 %x[%i / 2 + 8] }", "element 8 is outside"},
    {"for %i = 0 to n { %0 = load f32 %x[%i*8 + 8] }", "element 8 is outside"},
    {"alloc reg %a: f32[2] %0 = load f32 %a[2]", "element 2 is outside"},
};

Test(loops, statement_faults) {
    for (size_t i = 0; i < sizeof bad_bodies / sizeof *bad_bodies; i++)
        expect_body_refused(&bad_bodies[i]);
}

/* What looks alike and is right. */
Test(loops, statements_accepted) {
    static const char *const good[] = {
        "for %i = 0 to 9 step 4 { if %i < 8 { %0 = load f32 %x[%i] } }",
        "for %i = 0 to 8 { } for %i = 0 to 4 { %0 = load f32 %x[%i] }",
        "alloc reg %a: f32[1] alloc reg %a: f32[1] %0 = const f32 1 store %a[0], %0",
        "for unroll %i = 0 to 8 { for unroll %j = %i to 8 { } }",
        "for %i = 0 to n { for %j = %i*8 to min(%i*8 + 8, 100) { %0 = load f32 %x[%j] } }",
        "for vector(4) %i = 0 to 8 { alloc reg %a: f32[1] %0 = load f32 %x[%i] store %a[0], %0 }",
        "%0 = load f32 %z[0] store %z[0], %0 prefetch %x[100], 3",
        "alloc scratch %a: f32[100000000000] %0 = load f32x4 %a[0] stride 30000000000",
        "%0 = const f32 -nan store %y[0], %0 %1 = const f32 -inf store %y[1], %1",
        "%0 = const i64 -9223372036854775808 %1 = convert f64 %0 # comment",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        Context cx;
        context_init(&cx, NULL);
        char text[1024];
        snprintf(
            text, sizeof text,
            "module @m batch 2 { kernel @k(in %%x: f32[8N], out %%y: f32[8N], inout %%z: f32[8N]) {\n%s\n} }",
            good[i]);
        LoopModule *m = parse(&cx, text);
        cr_expect(m, "%s\n%s", good[i], messages(&cx));
        if (m) {
            const char *first = print(&cx, m);
            cr_expect_str_eq(print(&cx, parse(&cx, first)), first);
        }
        context_free(&cx);
    }
}

Test(loops, module_faults) {
    static const BadText bad[] = {
        {"in @a: f32[8]", "cannot be the out parameter"},
        {"const @a: f32[8]", "cannot be the out parameter"},
        {"param @a: f32[8]", "cannot be the out parameter"},
        {"in @b: f32[8] work @a: f32[8] alias @b", "@a is an input"},
        {"work @a: i32[8]", "holds i32"},
        {"work @a: f32[7]", "@a is too small"},
        {"work @a: f32[8] align 32", "wants 64"},
        {"work @b: f32[4] work @a: f32[8] alias @b", "larger than its alias"},
        {"work @a: f32[8] alias @a", "leads nowhere"},
        {"work @b: bf16[32] work @a: f32[8] alias @b", "elements of different size"},
        {"const @b: f32[8] work @a: f32[8] alias @b", "only work shares memory"},
        {"work @a: f32[8] plan work 32 prepare 0 scratch 0 const 0 live 0", "has no place"},
        {"work @a: f32[8] at 64 plan work 64 prepare 0 scratch 0 const 0 live 0", "outside its block"},
        {"work @a: f32[8] = {1,2,3,4,5,6,7,8}", "only constants have contents"},
        {"work @a: f32[8] align 3", "bad alignment"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[1024];
        snprintf(
            text, sizeof text,
            "module @m batch 2 { %s kernel @k(out %%y: f32[8] align 64) { } entry @infer { call @k(@a) } }",
            bad[i].text);
        expect_refused(&bad[i], text);
    }
}

Test(loops, expanded_rules) {
    static const BadText bad[] = {
        {"for unroll %i = 0 to 2 { }", "no unroll loop is left"},
        {"for vector(4) %i = 0 to 2 { }", "no vector loop is left"},
        {"alloc reg %a: f32[2] for %i = 0 to 2 { %0 = load f32 %a[%i] }", "must be a literal"},
        {"for %i = 2 to n { alloc reg %a: f32[2] %0 = load f32 %a[2] }", "there is no register 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Context cx;
        context_init(&cx, NULL);
        char text[512];
        snprintf(text, sizeof text, "module @m batch 2 { kernel @k() { %s } }", bad[i].text);
        LoopModule *m = parse(&cx, text);
        cr_assert(m, "%s", messages(&cx));
        cr_expect(!loops_verify(m, true));
        cr_expect(strstr(messages(&cx), bad[i].message), "%s", messages(&cx));
        context_free(&cx);
    }
}

/* ---- Index expressions ---- */

static Idx remake(Kernel *k, Idx x) {
    IdxNode n = k->idx.data[x];
    if (n.kind <= IX_N)
        return x;
    Idx a = remake(k, n.a), b = remake(k, n.b);
    return ix_make(k, n.kind, a, b);
}

/* Variables: %t from 0 to 3n, %i below 8, %j below 4, %k from -2 to 2. */
static Idx parse_expression(Context *cx, const char *text, Kernel **k) {
    char module[1024];
    snprintf(module, sizeof module,
             "module @m batch 9 { kernel @k() { for %%t = 0 to n*3 { for %%i = 0 to 8 { for %%j = 0 to 4 {"
             " for %%k = -2 to 3 { %%0 = index i64 %s } } } } } }",
             text);
    LoopModule *m = parse(cx, module);
    cr_assert(m, "%s: %s", text, messages(cx));
    *k = m->kernels.data[0];
    const Block *b = &(*k)->body;
    while (b->stmts.data[0]->op == LOP_FOR)
        b = &b->stmts.data[0]->body;
    return b->stmts.data[0]->index;
}

Test(loops, index_simplification) {
    static const char *const table[][2] = {
        {"1 + 2*3", "7"},
        {"%t + 0", "%t"},
        {"%t*1", "%t"},
        {"%t*0", "0"},
        {"%t + 1 + 2", "%t + 3"},
        {"%t*2*3", "%t*6"},
        {"3 + %t", "%t + 3"},
        {"3*%t", "%t*3"},
        {"%t - %t", "0"},
        {"(%t + 2)*4", "%t*4 + 8"},
        {"%i + %t", "%t + %i"},
        {"%t - (%i - 1)", "%t - %i + 1"},
        {"0 - %t", "%t*-1"},
        {"%i - %t", "%i - %t"},
        {"%t*8 / 8", "%t"},
        {"(%t*8 + %k) / 8", "%t + %k/8"},
        {"(%t*8 + %i) / 8", "%t"},
        {"%t*8 % 8", "0"},
        {"(%t*8 + %i) % 8", "%i"},
        {"(%t*8 + %i) / 16", "%t/2"},
        {"(%t*8 + %i) % 16", "(%t % 2)*8 + %i"},
        {"%t / 1", "%t"},
        {"%t % 1", "0"},
        {"%i / 8", "0"},
        {"%i % 8", "%i"},
        {"(%i + 8) / 8", "1"},
        {"(%i + 8) % 8", "%i"},
        {"%k / 8", "%k/8"},
        {"(%k + 2) / 8", "0"},
        {"%t / 4 / 5", "%t/20"},
        {"%t % 12 % 4", "%t % 4"},
        {"-7 / 4", "-2"},
        {"-7 % 4", "1"},
        {"(%t + 9) / 4", "(%t + 1)/4 + 2"},
        {"%t/4*4 + %t % 4", "%t"},
        {"min(%i, 3)", "min(%i, 3)"},
        {"min(3, %i)", "min(%i, 3)"},
        {"min(%i, 7)", "%i"},
        {"max(%i, 0)", "%i"},
        {"min(%t, %t + 1)", "%t"},
        {"max(max(%t, 3), 5)", "max(%t, 5)"},
        {"n*%i*2", "%i*n*2"},
        {"(n + 1)*(%i + 2)", "n*2 + %i + %i*n + 2"},
        {"9223372036854775807 + 1", "9223372036854775807 + 1"},
        {"%t*4611686018427387904*4", "%t*4611686018427387904*4"},
    };
    Context cx;
    context_init(&cx, NULL);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        Kernel *k;
        Idx x = parse_expression(&cx, table[i][0], &k);
        StrBuf sb = sb_new(&cx.arena);
        idx_print(&sb, k, remake(k, x));
        cr_expect_str_eq(sb_str(&sb), table[i][1], "%s gives %s, not %s", table[i][0], sb_str(&sb),
                         table[i][1]);
    }
    context_free(&cx);
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void random_expression(StrBuf *sb, uint32_t *seed, int depth) {
    static const char *const leaf[] = {"%t", "%i", "%j", "%k", "n"}, *const op[] = {" + ", " - ", "*"};
    uint32_t r = next_random(seed);
    if (!depth || r % 5 == 0) {
        if (r % 3)
            sb_puts(sb, leaf[r / 8 % 5]);
        else
            sb_printf(sb, "%d", (int)(r / 8 % 25) - 8);
    } else if (r % 5 < 3) {
        sb_putc(sb, '(');
        random_expression(sb, seed, depth - 1);
        sb_puts(sb, op[r / 8 % 3]);
        random_expression(sb, seed, depth - 1);
        sb_putc(sb, ')');
    } else if (r % 5 == 3) {
        sb_putc(sb, '(');
        random_expression(sb, seed, depth - 1);
        sb_printf(sb, " %c %d)", r & 8 ? '/' : '%', 1 + (int)(r / 16 % 12));
    } else {
        sb_puts(sb, r & 8 ? "min(" : "max(");
        random_expression(sb, seed, depth - 1);
        sb_puts(sb, ", ");
        random_expression(sb, seed, depth - 1);
        sb_putc(sb, ')');
    }
}

/* Simplified or not, an expression has the same value, and stays within its range. */
Test(loops, index_soundness) {
    uint32_t seed = 7;
    for (int round = 0; round < 1500; round++) {
        Context cx;
        context_init(&cx, NULL);
        StrBuf sb = sb_new(&cx.arena);
        random_expression(&sb, &seed, 4);
        Kernel *k;
        Idx x = parse_expression(&cx, sb_str(&sb), &k), y = remake(k, x);
        cr_expect_eq(remake(k, y), y, "%s is not normal at once", sb_str(&sb));
        IxRange known = ix_known(k, y);
        for (int i = 0; i < 40; i++) {
            int64_t n = 1 + next_random(&seed) % 9, var[4];
            var[0] = next_random(&seed) % (3 * n);
            var[1] = next_random(&seed) % 8;
            var[2] = next_random(&seed) % 4;
            var[3] = (int64_t)(next_random(&seed) % 5) - 2;
            int64_t want = ix_eval(k, x, var, n), got = ix_eval(k, y, var, n);
            cr_assert_eq(got, want, "%s: %lld, not %lld", sb_str(&sb), (long long)got, (long long)want);
            cr_assert(got >= known.lo && got <= known.hi, "%s leaves its range", sb_str(&sb));
        }
        context_free(&cx);
    }
}

Test(loops, index_queries) {
    Context cx;
    context_init(&cx, NULL);
    Kernel *k;
    int64_t coef, min, max, lo[4] = {0, 0, 0, -2}, hi[4] = {5, 7, 3, 2};
    Idx x = parse_expression(&cx, "%t*12 + (%i + 3)*5 - %k*2 + %j / 2", &k);
    cr_expect(ix_uses(k, x, 2) && ix_linear(k, x, 0, &coef) && coef == 12);
    cr_expect(ix_linear(k, x, 1, &coef) && coef == 5);
    cr_expect(ix_linear(k, x, 3, &coef) && coef == -2);
    cr_expect(!ix_linear(k, x, 2, &coef));
    cr_expect(ix_range(k, x, lo, hi, 4, &min, &max) && min == 15 - 4 && max == 60 + 50 + 4 + 1);
    Idx y = ix_subst(k, remake(k, x), 0, ix_const(k, 1));
    cr_expect(!ix_uses(k, y, 0));
    cr_expect_eq(ix_eval(k, y, (int64_t[]){0, 0, 0, 0}, 1), 27);
    context_free(&cx);
}

/* ---- Builder, hash, equality ---- */

static Kernel *sample_kernel(Context *cx, const char *name, const char *var, int64_t count, double add) {
    LBuild b = lb_begin(cx, name);
    uint32_t x = lb_param(&b, "x", LB_IN, DT_F32, (Dim){16, true});
    uint32_t y = lb_param(&b, var, LB_OUT, DT_F32, (Dim){16, true});
    LType f32 = {DT_F32, 1};
    Idx t = lb_for(&b, FOR_PARALLEL, var, lb_c(&b, 0), lb_n(&b), 1);
    Idx i = lb_for_vector(&b, var, lb_c(&b, 0), lb_c(&b, count), 8);
    Idx at = lb_add(&b, lb_mulc(&b, t, 16), i);
    lb_store(&b, y, at, lb_op2(&b, LOP_ADD, lb_load(&b, f32, x, at), lb_const(&b, f32, add)));
    lb_end(&b);
    lb_end(&b);
    return b.k;
}

Test(loops, hash_and_equality) {
    Context cx;
    context_init(&cx, NULL);
    Kernel *a = sample_kernel(&cx, "a", "i", 16, 1), *same = sample_kernel(&cx, "b", "row", 16, 1);
    cr_expect(kernel_equal(a, same));
    cr_expect_eq(kernel_hash(a), kernel_hash(same));
    cr_expect(!kernel_equal(a, sample_kernel(&cx, "a", "i", 8, 1)));
    cr_expect(!kernel_equal(a, sample_kernel(&cx, "a", "i", 16, 2)));
    cr_expect_neq(kernel_hash(a), kernel_hash(sample_kernel(&cx, "a", "i", 8, 1)));
    cr_expect_neq(kernel_hash(a), kernel_hash(sample_kernel(&cx, "a", "i", 16, 2)));
    same->bufs.data[0].align = 64;
    cr_expect(!kernel_equal(a, same));
    context_free(&cx);
}

Test(loops, builder_folds_control) {
    Context cx;
    context_init(&cx, NULL);
    LBuild b = lb_begin(&cx, "k");
    uint32_t y = lb_param(&b, "y", LB_OUT, DT_F32, (Dim){8, false});
    LVal v = lb_const(&b, (LType){DT_F32, 1}, 1);
    Idx once = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 3), lb_c(&b, 4), 1);
    lb_store(&b, y, once, v);
    lb_end(&b);
    lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 4), lb_c(&b, 4), 1); /* never */
    lb_store(&b, y, lb_c(&b, 99), v);
    lb_end(&b);
    Idx i = lb_for(&b, FOR_SERIAL, "i", lb_c(&b, 0), lb_c(&b, 2), 1);
    lb_if(&b, IF_LT, i, lb_c(&b, 2)); /* always */
    lb_store(&b, y, i, v);
    lb_else(&b);
    lb_store(&b, y, lb_c(&b, 98), v);
    lb_end(&b);
    lb_if(&b, IF_EQ, i, lb_c(&b, 5)); /* never */
    lb_store(&b, y, lb_c(&b, 97), v);
    lb_else(&b);
    lb_store(&b, y, lb_addc(&b, i, 4), v);
    lb_end(&b);
    lb_if(&b, IF_NE, i, lb_c(&b, 1)); /* now and then */
    lb_store(&b, y, lb_c(&b, 6), v);
    lb_else(&b);
    lb_store(&b, y, lb_c(&b, 7), v);
    lb_end(&b);
    lb_end(&b);
    StrBuf sb = sb_new(&cx.arena);
    kernel_print(&sb, b.k);
    cr_expect_str_eq(sb_str(&sb), "kernel @k(out %y: f32[8]) {\n"
                                  "  %0 = const f32 0x1p+0\n"
                                  "  store %y[3], %0\n"
                                  "  for %i = 0 to 2 {\n"
                                  "    store %y[%i], %0\n"
                                  "    store %y[%i + 4], %0\n"
                                  "    if %i != 1 {\n"
                                  "      store %y[6], %0\n"
                                  "    } else {\n"
                                  "      store %y[7], %0\n"
                                  "    }\n"
                                  "  }\n"
                                  "}\n");
    context_free(&cx);
}

Test(loops, print_filter) {
    Context cx;
    context_init(&cx, NULL);
    const char *docs = read_docs(&cx), *text = next_example(&cx, &docs);
    LoopModule *m = parse(&cx, text);
    StrBuf sb = sb_new(&cx.arena);
    loops_print(&sb, m, &(PrintOptions){.filter = "conv"});
    cr_expect(strstr(sb_str(&sb), "kernel @scale_relu") && !strstr(sb_str(&sb), "kernel @copy"));
    cr_expect(strstr(sb_str(&sb), "@image:") && !strstr(sb_str(&sb), "@table:"));
    context_free(&cx);
}
