/* Loop modules as files give them: complete, and provably inside their buffers. */
#include "ir/loops/build.h"
#include <criterion/criterion.h>
#include <string.h>

static LoopModule *parse(Context *cx, const char *text) {
    return loops_parse(cx, "t", text, strlen(text));
}

static const char *messages(Context *cx) {
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    return sb_str(&sb);
}

static void expect_file(Context *cx, const char *text, const char *says) {
    LoopModule *m = parse(cx, text);
    cr_assert(m, "%s: %s", text, messages(cx));
    cr_expect_eq(loops_verify_file(m), !says, "%s: %s", text, messages(cx));
    cr_expect(!says || strstr(messages(cx), says), "%s: %s", text, messages(cx));
}

Test(whole, complete_modules) {
    static const char kernel[] =
        "kernel @k(in %x: f32[4], out %y: f32[4]) { for %i = 0 to 4 { %0 = load f32 %x[%i] "
        "store %y[%i], %0 } }";
    static const struct {
        const char *text, *message; /* NULL: accepted */
    } bad[] = {
        {"in @x: f32[4] out @y: f32[4] %s entry @infer { call @k(@x, @y) }", NULL},
        {"in @x: f32[4] out @y: f32[4] %s entry @prepare { }", "has no entry @infer"},
        {"in @x: f32[4] out @y: f32[4] work @w: f32[4] %s entry @infer { call @k(@x, @w) }",
         "no step of @infer writes the output @y"},
        {"in @x: f32[4] out @y: f32[4] work @w: f32[4] alias @y %s entry @infer { call @k(@x, @w) }", NULL},
        {"in @x: f32[4] out @y: f32[4] const @c: f32[4] %s entry @infer { call @k(@c, @y) }",
         "@infer reads @c, which has no contents"},
        {"in @x: f32[4] out @y: f32[4] const @c: f32[4] = {1, 2, 3, 4} %s entry @infer { call @k(@c, @y) }",
         NULL},
        {"out @y: f32[4] param @p: f32[4] const @c: f32[4] %s entry @infer { call @k(@c, @y) } "
         "entry @prepare { call @k(@p, @c) }",
         NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Context cx;
        context_init(&cx, NULL);
        StrBuf sb = sb_new(&cx.arena);
        const char *hole = strstr(bad[i].text, "%s");
        sb_printf(&sb, "module @m batch 2 { %.*s%s%s }", (int)(hole - bad[i].text), bad[i].text, kernel,
                  hole + 2);
        expect_file(&cx, sb_str(&sb), bad[i].message);
        context_free(&cx);
    }
}

/* What can leave a buffer of 16 elements, or of 16 a picture, for some n: refused unless it provably cannot.
 */
Test(whole, proved_bounds) {
    static const struct {
        const char *body;
        bool proved;
    } cases[] = {
        {"for %i = 0 to 16 { store %y[%i], %v }", true},
        {"for %i = 0 to n*4 { for %j = 0 to 4 { store %z[%i*4 + %j], %v } }", true},
        {"for %i = 0 to n*4 { for %j = 0 to 5 { store %z[%i*4 + %j], %v } }", false},
        {"for parallel %t = 0 to n*4 { store %z[%t/4*16 + (%t % 4)*4 + 3], %v }", true},
        {"for parallel %t = 0 to n*4 { store %z[%t/4*16 + (%t % 4)*4 + 4], %v }", false},
        {"for parallel %t = 0 to n*4 + 1 { store %z[%t/4*16 + (%t % 4)*4 + 3], %v }", false},
        {"for %i = 0 to 4 { store %y[%i*5], %v }", true},
        {"for %i = 0 to 5 { store %y[%i*5], %v }", false},
        {"for %i = 0 to 4 { store %y[%i*-5 + 15], %v }", true},
        {"for %i = 0 to 4 { store %y[%i*-5 + 14], %v }", false},
        {"for %i = 0 to 20 step 7 { store %y[%i + 1], %v }", true},
        {"for %i = 0 to 20 step 7 { store %y[%i + 2], %v }", false},
        {"for %i = 0 to 20 { if %i < 16 { store %y[%i], %v } }", true},
        {"for %i = 0 to 20 { if %i <= 16 { store %y[%i], %v } }", false},
        {"for %i = 0 to 20 { if 16 <= %i { } else { store %y[%i], %v } }", true},
        {"for %i = 0 to 20 { if %i != 3 { } else { store %y[%i], %v } }", true},
        {"for %i = 0 to 20 { if %i < 16 { } else { store %y[%i - 3], %v } }", false},
        {"for %i = 0 to 8 { for %j = 0 to 8 { if %i*2 + %j < 16 { store %y[%i*2 + %j], %v } } }", true},
        {"for %i = 0 to n { store %y[min(%i, 15)], %v }", true},
        {"for %i = 0 to n { store %y[%i], %v }", true}, /* the batch is 8 */
        {"for %i = 0 to n*3 { store %y[%i], %v }", false},
        {"for %i = 0 to n { for %j = %i*16 to min(%i*16 + 16, n*16) { store %z[%j], %v } }", true},
        {"for %i = 0 to (n + 2)/3 { for %j = %i*3 to min(%i*3 + 3, n) { store %z[%j*16 + 15], %v } }", true},
        {"for %i = 0 to (n + 2)/3 { for %j = %i*3 to %i*3 + 3 { store %z[%j*16 + 15], %v } }", false},
        {"for %i = 0 to n - 1 { store %z[(n - 1 - %i)*16], %v }", true},
        {"for %i = 0 to n { store %z[(n - 2 - %i)*16 + 15], %v }", false},
        {"for %i = 0 to n { store %z[n*16 - %i*16 - 1], %v }", true},
        {"for %i = 3 to 3 { store %y[77], %v }", true}, /* never runs */
        {"for %i = 0 to 9 { store %y[%i*1000000000000000000*32 / 1000000000000000000], %v }", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Context cx;
        context_init(&cx, NULL);
        StrBuf sb = sb_new(&cx.arena);
        sb_puts(&sb,
                "module @m batch 8 { out @y: f32[16] out @z: f32[N,16] kernel @k(out %y: f32[16], out %z: "
                "f32[16N]) { ");
        for (const char *c = cases[i].body; *c;
             c++) /* %v: a value made on the spot, so that loops may be parallel */
            if (!strncmp(c, "store", 5))
                sb_printf(&sb, "%%0 = const f32 0x1p+0 store"), c += 4;
            else if (!strncmp(c, "%v", 2))
                sb_puts(&sb, "%0"), c++;
            else
                sb_putc(&sb, *c);
        sb_puts(&sb, " } entry @infer { call @k(@y, @z) } }");
        LoopModule *m = parse(&cx, sb_str(&sb));
        cr_expect_eq(m && loops_verify_file(m), cases[i].proved, "%s: %s", cases[i].body, messages(&cx));
        cr_expect(cases[i].proved || cx.diag.errors, "%s", cases[i].body);
        context_free(&cx);
    }
}

Test(whole, misspelt_entry) {
    Context cx;
    context_init(&cx, NULL);
    cr_expect_null(parse(&cx, "module @m batch 2 { entry @infr { } }"));
    cr_expect(strstr(messages(&cx), "entry @infr is never called"), "%s", messages(&cx));
    context_free(&cx);
}
