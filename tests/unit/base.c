/* Interning, diagnostics, whole files and tokens. */
#include "ir/base/file.h"
#include "ir/base/lexer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *printed(Context *cx) {
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    return sb_str(&sb);
}

Test(base, interning) {
    Context cx;
    context_init(&cx, NULL);
    const char *first[3000];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 3000; i++) {
            const char *s = intern_f(&cx, "name%d", i);
            cr_assert(round ? s == first[i] : true);
            first[i] = s;
        }
    cr_assert(cx.strings.len == 3000 && intern(&cx, "") == intern_n(&cx, "abc", 0));
    cr_assert(intern_n(&cx, "name12345", 7) == first[123]);
    context_free(&cx);
}

Test(base, diagnostics_text) {
    static const struct {
        Loc loc;
        const char *message, *text;
    } cases[] = {
        {{0}, "broken", "cnnc: error: broken [ir-invalid]\n"},
        {{.file = "m.json"}, "x", "m.json: error: x [ir-invalid]\n"},
        {{.file = "m.json", .line = 12}, "x", "m.json:12: error: x [ir-invalid]\n"},
        {{"m.json", 12, 17, "/layers/3", "conv2"},
         "x",
         "m.json:12:17: error: layer \"conv2\" (/layers/3): x [ir-invalid]\n"},
        {{"m.json", 12, 17, "/layers/3", NULL}, "x", "m.json:12:17: error: /layers/3: x [ir-invalid]\n"},
        {{"m.json", 12, 17, NULL, "conv2"}, "x", "m.json:12:17: error: layer \"conv2\": x [ir-invalid]\n"},
        {{.file = "a\033[1m"},
         "\x7f\xff\xc0\x80 \xed\xa0\x80 \xc2\x85 \xf4\x90\x80\x80 \xe2\x82\n\xc3\xa9\xe2\x82\xac",
         "a\\x1b[1m: error: \\x7f\\xff\\xc0\\x80 \\xed\\xa0\\x80 \\xc2\\x85 \\xf4\\x90\\x80\\x80 "
         "\\xe2\\x82\\x0a\xc3\xa9\xe2\x82\xac [ir-invalid]\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Context cx;
        context_init(&cx, NULL);
        cr_assert_not(diag_error(&cx.diag, DIAG_IR_INVALID, &cases[i].loc, "%s", cases[i].message));
        cr_assert_str_eq(printed(&cx), cases[i].text);
        context_free(&cx);
    }
}

Test(base, diagnostics_limit) {
    Context cx;
    context_init(&cx, NULL);
    cr_assert_not(diag_hint(&cx.diag, "to nothing"));
    diag_warning(&cx.diag, DIAG_IR_INVALID, NULL, "odd");
    for (int i = 0; i < DIAG_LIMIT + 3; i++) {
        cr_assert_eq(diag_full(&cx.diag), i >= DIAG_LIMIT);
        diag_error(&cx.diag, DIAG_IR_INVALID, NULL, "fault %d", i);
        diag_hint(&cx.diag, "hint %d", i);
    }
    const char *text = printed(&cx);
    cr_assert(
        strstr(text, "cnnc: warning: odd [ir-invalid]\ncnnc: error: fault 0 [ir-invalid]\n  hint: hint 0\n"));
    cr_assert(strstr(text, "fault 19 [ir-invalid]\n  hint: hint 19\ncnnc: error: and 3 more errors\n"));
    for (int i = 0; i < DIAG_COUNT; i++)
        cr_assert(diag_tag((DiagId)i)[0] && diag_what((DiagId)i)[0]);
    context_free(&cx);
}

Test(base, nearest) {
    static const char *const known[] = {"kernel_size", "stride", "padding", "ReLU", "n"};
    static const char *const tries[][2] = {
        {"kernelsize", "kernel_size"}, {"kernel", NULL}, {"stirde", "stride"}, {"relu", "ReLU"},
        {"paddings", "padding"},       {"p", NULL},      {"", NULL},           {"dilation", NULL},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        const char *found = diag_nearest(tries[i][0], known, sizeof known / sizeof *known);
        cr_assert(found == tries[i][1] || (found && tries[i][1] && !strcmp(found, tries[i][1])), "%s: %s",
                  tries[i][0], found ? found : "(none)");
    }
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    cr_assert_null(diag_nearest(longest, known, 5));
}

Test(base, paths) {
    static const char *const paths[][3] = {
        {"m.json", ".o", "m.o"},       {"a.b/m", ".o", "a.b/m.o"},     {"a/m.loops.cnnir", ".o", "a/m.o"},
        {"m.v2.json", ".h", "m.v2.h"}, {"m.cnnir", ".dot", "m.dot"},   {".json", ".o", ".json.o"},
        {"m.x.cnnir", ".o", "m.x.o"},  {"m.graph.cnnir", ".o", "m.o"},
    };
    Context cx;
    context_init(&cx, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        cr_assert_str_eq(path_with_ext(&cx, paths[i][0], paths[i][1]), paths[i][2]);
    cr_assert_str_eq(path_beside(&cx, "a/m.json", "w.st"), "a/w.st");
    cr_assert_str_eq(path_beside(&cx, "m.json", "w.st"), "w.st");
    cr_assert_str_eq(path_beside(&cx, "a/m.json", "/w.st"), "/w.st");
    context_free(&cx);
}

/* A folder of our own; "" when it cannot be made. */
static const char *scratch(Context *cx) {
    char *dir = arena_strdup(&cx->arena, "/tmp/cnnc-base-XXXXXX");
    return mkdtemp(dir) ? dir : "";
}

Test(base, files) {
    Context cx;
    FileData f;
    struct stat st;
    context_init(&cx, NULL);
    const char *dir = scratch(&cx);
    const char *path = arena_printf(&cx.arena, "%s/f", dir), *link = arena_printf(&cx.arena, "%s/l", dir);
    const char *pipe = arena_printf(&cx.arena, "%s/p", dir);
    umask(027);
    cr_assert(file_write(&cx, path, "abc", 3) && stat(path, &st) == 0 && (st.st_mode & 0777) == 0640);
    cr_assert(symlink("f", link) == 0 && file_write(&cx, link, "abcd", 4));
    cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    cr_assert(file_read(&cx, path, 4, &f) && f.size == 4 && strcmp(f.data, "abcd") == 0);
    cr_assert(file_write(&cx, "/dev/null", "x", 1) && stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    cr_assert(cx.diag.errors == 0, "%s", printed(&cx));

    cr_assert(mkfifo(pipe, 0600) == 0);
    cr_assert_not(file_read(&cx, path, 3, &f));
    cr_assert_not(file_read(&cx, dir, 100, &f));
    cr_assert_not(file_read(&cx, pipe, 100, &f));
    cr_assert_not(file_read(&cx, "/nowhere/f", 100, &f));
    cr_assert_not(file_write(&cx, "/nowhere/f", "x", 1));
    cr_assert_not(file_write(&cx, dir, "x", 1));
    const char *text = printed(&cx);
    cr_assert(strstr(text, "the file has 4 bytes; at most 3 are accepted [file-size]"));
    cr_assert(strstr(text, "it is a directory [file-read]") &&
              strstr(text, "not a regular file [file-read]"));
    cr_assert(
        strstr(text, "/nowhere/f: error: cannot write the file: No such file or directory [file-write]"));
    cr_assert(unlink(path) == 0 && unlink(link) == 0 && unlink(pipe) == 0);
    cr_assert_eq(rmdir(dir), 0, "something was left behind in %s", dir);
    context_free(&cx);
}

Test(base, tokens) {
    static const struct {
        const char *text;
        TokKind kind;
        const char *value;
        double f;
    } tokens[] = {
        {"cmp.eq ", TOK_WORD, "cmp.eq", 0},
        {"aBcd8b", TOK_WORD, "aBcd8b", 0},
        {"%1.x", TOK_LOCAL, "1.x", 0},
        {"% 1", TOK_PUNCT, "%", 0},
        {"@a.b,", TOK_GLOBAL, "a.b", 0},
        {"@\"a b\"", TOK_GLOBAL, "a b", 0},
        {"-12", TOK_INT, "-12", -12},
        {"- 12", TOK_PUNCT, "-", 0},
        {"-> 12", TOK_PUNCT, "->", 0},
        {"4N", TOK_INT, "4", 4},
        {"4e", TOK_INT, "4", 4},
        {"4e2", TOK_FLOAT, "4e2", 400},
        {"1.5]", TOK_FLOAT, "1.5", 1.5},
        {"-0x1.8p+1,", TOK_FLOAT, "-0x1.8p+1", -3},
        {"0x10", TOK_FLOAT, "0x10", 16},
        {"0x", TOK_INT, "0", 0},
        {"inf", TOK_FLOAT, "inf", (double)INFINITY},
        {"-inf", TOK_FLOAT, "-inf", -(double)INFINITY},
        {"-inform", TOK_PUNCT, "-", 0},
        {"info", TOK_WORD, "info", 0},
        {"\"a\\\"\\\\\\n\\t\\r\\x7f\xc3\xa9\"", TOK_STRING, "a\"\\\n\t\r\x7f\xc3\xa9", 0},
        {"# c\n \t\r\n x", TOK_WORD, "x", 0},
        {"#", TOK_EOF, "", 0},
        {"9223372036854775808", TOK_ERROR, "", 0},
        {"1.2.3", TOK_ERROR, "", 0},
        {"1e999", TOK_ERROR, "", 0},
        {"\"a", TOK_ERROR, "", 0},
        {"\"a\nb\"", TOK_ERROR, "", 0},
        {"\"\\x0", TOK_ERROR, "", 0},
        {"\"\\q\"", TOK_ERROR, "", 0},
        {"\"\t\"", TOK_ERROR, "", 0},
        {"\"\\", TOK_ERROR, "", 0},
        {"\x80", TOK_ERROR, "", 0},
    };
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        Context cx;
        Lexer lx;
        context_init(&cx, NULL);
        size_t n = strlen(tokens[i].text); /* a copy without the NUL: reading beyond the end is found */
        char *copy = malloc(n + 1);
        memcpy(copy, tokens[i].text, n);
        copy = realloc(copy, n);
        lex_init(&lx, &cx, "t", copy, n);
        cr_assert_eq(lx.tok.kind, tokens[i].kind, "%s is %d", tokens[i].text, lx.tok.kind);
        cr_assert_str_eq(lx.tok.text, tokens[i].value);
        cr_assert(tokens[i].f == 0 || lx.tok.f == tokens[i].f, "%s", tokens[i].text);
        cr_assert_eq(cx.diag.errors, tokens[i].kind == TOK_ERROR, "%s", tokens[i].text);
        free(copy);
        context_free(&cx);
    }
}

Test(base, lexing) {
    static const char text[] = "f32 [ 3 ]\n  \"s\"";
    Context cx;
    Lexer lx;
    int64_t i;
    double f;
    context_init(&cx, NULL);
    lex_init(&lx, &cx, "t", text, sizeof text - 1);
    cr_assert(lex_is(&lx, "f32") && !lex_is(&lx, "[") && lex_accept(&lx, "f32") && lex_expect(&lx, "["));
    cr_assert(lex_int(&lx, &i) && i == 3 && !lex_accept(&lx, "[") && lex_expect(&lx, "]"));
    cr_assert(lx.tok.kind == TOK_STRING && lex_loc(&lx).line == 2 && lex_loc(&lx).col == 3);
    cr_assert(!lex_number(&lx, &f) && !lex_expect(&lx, "x") && !lex_invalid(&lx, "more"));
    lex_next(&lx);
    cr_assert(lx.tok.kind == TOK_ERROR && cx.diag.errors == 1);
    cr_assert_str_eq(printed(&cx), "t:2:3: error: expected a number, found \"s\" [text-syntax]\n");
    context_free(&cx);
}

Test(base, memory_limit) {
    static Context cx; /* static: a longjmp leaves locals that changed without a value */
    static jmp_buf oom;
    if (setjmp(oom) == 0) {
        context_init(&cx, &oom);
        cx.arena.limit = 1 << 20;
        for (;;)
            arena_alloc(&cx.arena, 5000);
    }
    cr_assert(cx.arena.used <= 1 << 20);
    context_free(&cx);
}

/* A file that does not fit the arena is not left open. */
Test(base, memory_runs_out_while_reading) {
    static Context cx;
    static jmp_buf oom;
    static int before;
    before = open("/dev/null", O_RDONLY);
    close(before);
    if (setjmp(oom) == 0) {
        FileData f;
        context_init(&cx, &oom);
        cx.arena.limit = 1 << 10;
        file_read(&cx, SOURCE_DIR "/README.md", 1 << 20, &f);
        cr_assert_fail("README.md fits 1 KB");
    }
    cr_assert_eq(open("/dev/null", O_RDONLY), before);
    close(before);
    context_free(&cx);
}
