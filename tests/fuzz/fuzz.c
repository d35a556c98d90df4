/* Damaged files against their readers, in this process:
 *
 *     fuzz KIND COUNT SEED FILE...
 *     fuzz KIND one INDEX SEED FILE...     writes that case to standard output
 *
 * KIND: model, train (models through the pipeline of training), recipe, weights, graph, loops, npy, idx, png,
 * jpeg, checkpoint.
 *
 * A case passes when it is read, or when at least one error says why not. What is read goes on: a model or
 * graph through all passes, text through print and parse again. A case may take 10 seconds and 1 GiB. The
 * environment variable FUZZ_PROGRESS names a file that always holds the index of the running case, for when
 * it crashes. */
#include "backend/backend.h"
#include "checkpoint.h"
#include "frontend/import.h"
#include "frontend/recipe.h"
#include "ir/base/file.h"
#include "mutate.h"
#include "passes/passes.h"
#include "runtime/cnnrt-data/cnnrt_data.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <zlib.h>

enum { CASE_SECONDS = 10, CASE_BYTES = 1 << 30 };

typedef struct Case {
    Context cx;
    const Bytes8 *text;
    const char *path; /* where to put `text` for readers of files; ends in the format's extension */
    const char *fault;
} Case;

/* True: it was read. False: refused; the caller looks for the reason. */
typedef bool Reader(Case *c);

static volatile unsigned long running;

static void out_of_time(int signal) {
    (void)signal;
    static const char text[] = "fuzz: a case takes more than 10 seconds\n";
    ssize_t n = write(2, text, sizeof text - 1);
    _exit(n > 0 ? 3 : 4);
}

/* Of the processor, since the machine may be busy. */
static void limit_time(int seconds) {
    const struct itimerval t = {.it_value = {.tv_sec = seconds}};
    setitimer(ITIMER_PROF, &t, NULL);
}

static void put_file(const Case *c) {
    FILE *f = fopen(c->path, "wb");
    if (!f || fwrite(c->text->data, 1, c->text->size, f) != c->text->size || fclose(f)) {
        perror(c->path);
        exit(2);
    }
}

static bool run_passes(Case *c, Graph *g, const TrainSpec *train) {
    Target target;
    bool stopped;
    if (!backend_target(&c->cx, NULL, "x86-64-v3", NULL, &target))
        return false;
    Unit u = {.cx = &c->cx, .target = &target, .graph = g, .train = train};
    const PipelineOptions o = {.passes = train ? pipeline_train : pipeline_infer, .verify_each = true};
    bool ok = passes_run(&u, &o, &stopped);
    if (u.internal)
        c->fault = "a pass broke the IR";
    return ok;
}

static bool read_model(Case *c) {
    const ImportOptions o = {.init_seed = 1, .batch = 1};
    Weights w;
    put_file(c);
    Graph *g = import_model(&c->cx, c->path, &o, &w);
    return g && run_passes(c, g, NULL);
}

/* The gradients of any output. */
static bool read_training(Case *c) {
    const ImportOptions o = {.init_seed = 1, .batch = 2, .whole = true, .trains = true};
    Weights w;
    put_file(c);
    Graph *g = import_model(&c->cx, c->path, &o, &w);
    TrainSpec train = recipe_default(&c->cx)->train;
    train.loss.kind = LOSS_MSE;
    return g && run_passes(c, g, &train);
}

/* What is read says how to train: transforms are checked, and numbers are within their limits. */
static bool read_recipe(Case *c) {
    put_file(c);
    const Recipe *r = recipe_read(&c->cx, c->path);
    if (!r)
        return false;
    for (uint32_t i = 0; i < r->n_augmentation; i++)
        cnnrt_transform_check(&r->augmentation[i], 3, NULL);
    for (uint32_t i = 0; i < r->train.optimizer.n_groups; i++)
        if (!(r->train.optimizer.groups[i].lr >= 0 && r->train.optimizer.groups[i].lr <= 1e6))
            c->fault = "a rate is out of its range";
    if (r->fit.epochs < 1 || r->fit.batch < 1 || r->fit.accumulate < 1)
        c->fault = "a count is out of its range";
    return true;
}

static bool read_weights(Case *c) {
    const ImportOptions o = {.init_seed = -1, .batch = 1, .weights = c->path};
    Weights w;
    put_file(c);
    return import_model(&c->cx, SOURCE_DIR "/tests/fuzz/seeds/weights/model.json", &o, &w);
}

static bool read_graph(Case *c) {
    Graph *g = graph_parse(&c->cx, "fuzz.cnnir", (const char *)c->text->data, c->text->size);
    if (!g || !graph_verify(g))
        return false;
    StrBuf one = sb_new(&c->cx.arena), two = sb_new(&c->cx.arena);
    graph_print(&one, g, NULL);
    Graph *again = graph_parse(&c->cx, "printed.cnnir", sb_str(&one), one.len);
    if (again)
        graph_print(&two, again, NULL);
    if (!again || strcmp(sb_str(&one), sb_str(&two)) != 0) {
        c->fault = "print and parse disagree";
        return true;
    }
    return run_passes(c, g, NULL);
}

static bool read_loops(Case *c) {
    LoopModule *m = loops_parse(&c->cx, "fuzz.cnnir", (const char *)c->text->data, c->text->size);
    if (!m || !loops_verify(m, m->planned) || !loops_verify_file(m))
        return false;
    StrBuf one = sb_new(&c->cx.arena), two = sb_new(&c->cx.arena);
    loops_print(&one, m, NULL);
    LoopModule *again = loops_parse(&c->cx, "printed.cnnir", sb_str(&one), one.len);
    if (again)
        loops_print(&two, again, NULL);
    if (!again || strcmp(sb_str(&one), sb_str(&two)) != 0)
        c->fault = "print and parse disagree";
    return true;
}

static bool read_npy(Case *c) {
    cnnrt_npy a;
    cnnrt_data_error e = {0};
    /* A copy of just this size, so that reading beyond it is seen. */
    unsigned char *copy = malloc(c->text->size ? c->text->size : 1);
    memcpy(copy, c->text->data, c->text->size);
    int status = cnnrt_npy_parse(&a, copy, c->text->size, &e);
    if (status == CNNRT_OK) {
        float *f = malloc(a.count * sizeof *f + 1);
        cnnrt_npy_to_f32(&a, f);
        free(f);
        cnnrt_npy_free(&a);
    } else if (e.text[0]) {
        diag_error(&c->cx.diag, DIAG_INPUT_DATA, NULL, "%s", e.text);
    }
    free(copy);
    return status == CNNRT_OK;
}

static bool read_idx(Case *c) {
    cnnrt_idx a;
    cnnrt_data_error e = {0};
    put_file(c);
    int status = cnnrt_idx_read(&a, c->path, &e);
    cnnrt_idx_free(&a);
    if (e.text[0])
        diag_error(&c->cx.diag, DIAG_INPUT_DATA, NULL, "%s", e.text);
    return status == CNNRT_OK;
}

/* Every chunk with the checksum that fits it, so that damage reaches the decoder. */
static void mend_png(unsigned char *f, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        size_t n = (size_t)f[at] << 24 | (size_t)f[at + 1] << 16 | (size_t)f[at + 2] << 8 | f[at + 3];
        if (n > size - at - 12)
            return;
        uint32_t crc = (uint32_t)crc32(0, f + at + 4, (unsigned)n + 4);
        at += n + 12;
        for (int k = 0; k < 4; k++)
            f[at - 4 + (size_t)k] = (unsigned char)(crc >> (24 - 8 * k));
    }
}

static bool read_picture(Case *c) {
    cnnrt_picture a;
    cnnrt_data_error e = {0};
    unsigned char *copy = malloc(c->text->size ? c->text->size : 1); /* of just this size, as for npy */
    memcpy(copy, c->text->data, c->text->size);
    if (c->text->size > 3 && memcmp(copy, "\x89PNG", 4) == 0 && copy[c->text->size / 2] % 4 != 0)
        mend_png(copy, c->text->size);
    int status = cnnrt_picture_parse(&a, copy, c->text->size, 3, &e);
    cnnrt_picture_free(&a);
    if (e.text[0])
        diag_error(&c->cx.diag, DIAG_INPUT_DATA, NULL, "%s", e.text);
    free(copy);
    return status == CNNRT_OK;
}

static bool read_checkpoint(Case *c) {
    char why[400] = "";
    /* Most with a length and checksum that fit, so that damage reaches what looks at the rest. */
    if (c->text->size > 0 && c->text->data[c->text->size / 2] % 4 != 0)
        checkpoint_mend(c->text->data, c->text->size);
    put_file(c);
    int status = checkpoint_resume(c->path, why, sizeof why, &c->fault);
    if (why[0])
        diag_error(&c->cx.diag, DIAG_INPUT_DATA, NULL, "%s", why);
    return status == CNNRT_OK;
}

static const char *const json_tokens[] = {"null",
                                          "true",
                                          "\"same\"",
                                          "\"valid\"",
                                          "[]",
                                          "{}",
                                          "[1, 2]",
                                          "[0, 0]",
                                          "\"type\"",
                                          "\"inputs\"",
                                          "\"Conv2d\"",
                                          "\"Conv3d\"",
                                          "\"Add\"",
                                          "\"Flatten\"",
                                          "\"Concat\"",
                                          "\"Split\"",
                                          "\"split.1\"",
                                          "\"Slice\"",
                                          "\"Reshape\"",
                                          "\"Permute\"",
                                          "\"Softmax\"",
                                          "\"Linear\"",
                                          "\"MaxPool2d\"",
                                          "\"AvgPool2d\"",
                                          "\"BatchNorm2d\"",
                                          "\"GroupNorm\"",
                                          "\"LayerNorm\"",
                                          "\"Mean\"",
                                          "\"ReLU\"",
                                          "\"Dropout\"",
                                          "\"AdaptiveAvgPool2d\"",
                                          "\"image\"",
                                          "\"conv1\"",
                                          "\"inputs\": [\"image\"],",
                                          "\"groups\": 2,",
                                          "\"stride\": 2,",
                                          "\"padding\": \"same\",",
                                          "\"ceil_mode\": true,",
                                          "\"\\u0000\"",
                                          "\"\\ud800\"",
                                          "\xc3\x28",
                                          "/*",
                                          "\"dim\": -1",
                                          "\"bias\": false,",
                                          "\"F16\"",
                                          "\"BF16\"",
                                          "\"I64\"",
                                          "\"F64\"",
                                          "\"data_offsets\"",
                                          "\"shape\"",
                                          "\"dtype\"",
                                          "\"__metadata__\"",
                                          "[[[[[[[[[[[[[[[[[[[[",
                                          NULL};
static const char *const recipe_tokens[] = {"null",
                                            "true",
                                            "0",
                                            "-1",
                                            "1e300",
                                            "1e-300",
                                            "9007199254740991",
                                            "[]",
                                            "{}",
                                            "[1, 2, 3]",
                                            "[0.5, 0.1]",
                                            "\"type\"",
                                            "\"Adagrad\"",
                                            "\"Adam\"",
                                            "\"NLLLoss\"",
                                            "\"MSELoss\"",
                                            "\"StepLR\"",
                                            "\"step_size\": 1,",
                                            "\"Normalize\"",
                                            "\"RandomCrop\"",
                                            "\"RandomErasing\"",
                                            "\"size\": [1, 32768],",
                                            "\"lr\": 0,",
                                            "\"probabilities\": true,",
                                            "\"sum\"",
                                            "\"*\"",
                                            "\"[\"",
                                            "\"\"",
                                            NULL};

static const char *const text_tokens[] = {"%x",
                                          "%image",
                                          "%0",
                                          "N",
                                          "4N",
                                          "f32[",
                                          "f32",
                                          "i8",
                                          "f16",
                                          "->",
                                          "{",
                                          "}",
                                          "[",
                                          "]",
                                          "relu",
                                          "add",
                                          "mul",
                                          "conv2d",
                                          "linear",
                                          "reorder",
                                          "reshape",
                                          "softmax",
                                          "batch_norm",
                                          "flatten",
                                          "const",
                                          "param",
                                          "buffer",
                                          "return",
                                          "as",
                                          "graph",
                                          "module",
                                          "kernel",
                                          "for",
                                          "store",
                                          "load",
                                          "prologue",
                                          "epilogue",
                                          "choice",
                                          ":aBcd8b",
                                          ":nchw",
                                          ":aBcd8b(c1:1,d1:1)",
                                          "inf",
                                          "-inf",
                                          "nan",
                                          "0x1p-3",
                                          "-0x1p+2",
                                          "0x1p+9999",
                                          "@\"a b\"",
                                          "\"\\x00\"",
                                          "#",
                                          "layer",
                                          "loc",
                                          "classes",
                                          "batch",
                                          "parallel",
                                          "vector",
                                          "unroll",
                                          "fma",
                                          "scratch",
                                          "workspace",
                                          "padding=[1,1,1,1]",
                                          "groups=2",
                                          NULL};

static const char *const byte_tokens[] = {
    "IHDR",     "PLTE",     "IDAT",     "IEND",     "tRNS",     "gAMA",     "zTXt",     "\xff\xff\xff\xff",
    "\x7f\xff", "\xff\xd8", "\xff\xd9", "\xff\xda", "\xff\xc0", "\xff\xc2", "\xff\xc4", "\xff\xdb",
    "\xff\xdd", "\x1f\x8b", NULL};

static const char *const checkpoint_tokens[] = {"-1",
                                                "0",
                                                "9007199254740991",
                                                "9223372036854775807",
                                                "7ff8000000000000",
                                                "fff0000000000000",
                                                "best/",
                                                "counter/step",
                                                "epoch",
                                                "batches",
                                                "seed",
                                                "checksum",
                                                "F32",
                                                "I64",
                                                "F16",
                                                "[2]",
                                                "[0]",
                                                "\"dtype\"",
                                                "\"shape\"",
                                                "\\u0061",
                                                "__metadata__",
                                                NULL};

typedef struct Kind {
    const char *name, *ext;
    Reader *read;
    const char *const *tokens;
} Kind;

static const Kind kinds[] = {
    {"model", ".json", read_model, json_tokens},
    {"train", ".json", read_training, json_tokens},
    {"recipe", ".json", read_recipe, recipe_tokens},
    {"weights", ".safetensors", read_weights, json_tokens},
    {"graph", ".cnnir", read_graph, text_tokens},
    {"loops", ".cnnir", read_loops, text_tokens},
    {"npy", ".npy", read_npy, json_tokens},
    {"idx", ".idx", read_idx, byte_tokens},
    {"png", ".png", read_picture, byte_tokens},
    {"jpeg", ".jpg", read_picture, byte_tokens},
    {"checkpoint", ".safetensors", read_checkpoint, checkpoint_tokens},
};

typedef struct Tally {
    unsigned long read, refused, memory, failed;
} Tally;

static void run_case(const Kind *k, Case *c, unsigned long index, Tally *t) {
    static jmp_buf oom;
    c->fault = NULL;
    limit_time(CASE_SECONDS);
    if (setjmp(oom) == 0) {
        context_init(&c->cx, &oom);
        c->cx.arena.limit = CASE_BYTES;
        bool ok = k->read(c);
        if (!ok && c->cx.diag.errors == 0)
            c->fault = "refused without a word";
        if (c->fault) {
            printf("FAIL %s case %lu: %s\n", k->name, index, c->fault);
            StrBuf sb = sb_new(&c->cx.arena);
            diag_print_all(&sb, &c->cx.diag);
            fputs(sb_str(&sb), stdout);
            t->failed++;
        }
        t->read += ok;
        t->refused += !ok;
    } else {
        t->memory++;
    }
    limit_time(0);
    context_free(&c->cx);
}

static Bytes8 load_seed(const char *path) {
    Bytes8 b = {0};
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(2);
    }
    b.cap = 1 << 20;
    b.data = malloc(b.cap);
    b.size = fread(b.data, 1, b.cap, f);
    fclose(f);
    return b;
}

static int run(const Kind *k, Mutator *m, unsigned long count, uint64_t seed) {
    static Case c;
    static Tally t;
    Bytes8 text = {0};
    char path[] = "/tmp/cnnc-fuzz-XXXXXX", file[64];
    const char *progress = getenv("FUZZ_PROGRESS");
    int fd = progress ? open(progress, O_WRONLY | O_CREAT, 0600) : -1;
    if (!mkdtemp(path))
        return 2;
    snprintf(file, sizeof file, "%s/case%s", path, k->ext);
    c.text = &text;
    c.path = file;
    signal(SIGPROF, out_of_time);
    for (unsigned long i = 0; i < count; i++) {
        running = i;
        if (fd >= 0)
            dprintf(fd, "%-12lu", running), lseek(fd, 0, SEEK_SET);
        mutate(m, seed, i, &text);
        run_case(k, &c, i, &t);
    }
    remove(file);
    rmdir(path);
    free(text.data);
    printf("%s: %lu cases: %lu read, %lu refused, %lu out of memory, %lu failures\n", k->name, count, t.read,
           t.refused, t.memory, t.failed);
    return t.failed != 0;
}

int main(int argc, char **argv) {
    const Kind *k = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what failed before a crash is told */
    for (size_t i = 0; argc > 4 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, argv[1]) == 0)
            k = &kinds[i];
    if (!k) {
        fprintf(stderr, "usage: fuzz model|train|recipe|weights|graph|loops|npy|idx|png|jpeg|checkpoint "
                        "COUNT|(one INDEX) "
                        "SEED FILE...\n");
        return 2;
    }
    bool one = strcmp(argv[2], "one") == 0;
    int first = one ? 5 : 4;
    Bytes8 seeds[64];
    Mutator m = {.seeds = seeds, .tokens = k->tokens};
    for (int i = first; i < argc && m.n_seeds < 64; i++)
        seeds[m.n_seeds++] = load_seed(argv[i]);
    uint64_t seed = strtoull(argv[first - 1], NULL, 10);
    int status = 0;
    if (one) {
        Bytes8 text = {0};
        mutate(&m, seed, strtoull(argv[3], NULL, 10), &text);
        fwrite(text.data, 1, text.size, stdout);
        free(text.data);
    } else {
        status = run(k, &m, strtoul(argv[2], NULL, 10), seed);
    }
    for (uint32_t i = 0; i < m.n_seeds; i++)
        free(seeds[i].data);
    return status;
}
