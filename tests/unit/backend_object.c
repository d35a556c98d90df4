/* The back end: entry points and their error codes, the bytes and symbols of objects, targets, names and the
 * header. */
#include "backend/backend.h"
#include "ir/loops/build.h"
#include "runtime/cnnrt/cnnrt.h"
#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3 };

static LType f32(uint8_t lanes) {
    return (LType){DT_F32, lanes};
}
static Dim fixed(int64_t size) {
    return (Dim){size, false};
}
static Dim times_n(int64_t size) {
    return (Dim){size, true};
}

static void *aligned(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    cr_assert(p);
    return memset(p, 0x5a, bytes);
}

/* A pool of three "threads" in turn, last piece first. */
static void backwards(cnnrt_pool *pool, size_t count, cnnrt_task *task, void *arg) {
    for (size_t i = count; i-- > 0;)
        task(arg, i, i + 1, (unsigned)(i % pool->threads));
}

static cnnrt_pool odd_pool = {CNNRT_ABI_VERSION, 3, backwards};

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

Test(backend_object, entry_points_check_what_they_are_given) {
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
    for (int i = 0; i < BATCH * 8; i++)
        x[i] = (float)i / 3 - 2;
    check_description(model);
    check_prepare(model, prepare, block, work);
    cr_assert_eq(infer(1, x, y, NULL, work, 192, NULL), CNNRT_E_NO_WEIGHTS);
    cr_assert(!model->has_weights);
    check_infer_errors(infer, x, y, block, work);
    for (int i = 0; i < BATCH * 8; i++)
        cr_assert_eq(y[i], x[i] * block[i % 8] * known[i % 8]);

    ObjectOptions inside = {.name = "w", .weights = WEIGHTS_PACKED, .hash = 0xfeed};
    Bytes object = emit(&cx, m, "native", EMIT_OBJECT, &inside);
    cr_assert_eq((uintptr_t)backend_object_weights(object) % 64, 0);
    memcpy(backend_object_weights(object), block, 128);
    Jit *second = jit_open(&cx, object);
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

Test(backend_object, objects_are_reproducible_and_closed) {
    static const char *const cpus[] = {"x86-64", "x86-64-v3", "x86-64-v4"};
    ObjectOptions o = {.name = "w", .with_prepare = true, .weights = WEIGHTS_PACKED};
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
                cr_assert(
                    strstr(arena_strndup(&a.arena, x.data, x.size),
                           "@weights = internal externally_initialized constant [128 x i8] zeroinitializer"));
            context_free(&a);
            context_free(&b);
        }
}

/* Weights of over 1 GB stand in a large section at the end of the file, and code has their address from a
 * pointer. */
Test(backend_object, large_weights) {
    const uint64_t bytes = (UINT64_C(1) << 30) + 64;
    const uint64_t large = 0x10000000; /* SHF_X86_64_LARGE */
    static const WeightsPlace places[] = {WEIGHTS_PACKED, WEIGHTS_RAW};
    for (int i = 0; i < 2; i++) {
        Context cx;
        context_init(&cx, NULL);
        LoopModule *m = weighted_module(&cx);
        m->const_bytes = (int64_t)bytes;
        ObjectOptions o = {.name = "w", .weights = places[i], .with_prepare = places[i] == WEIGHTS_RAW};
        Bytes object = emit(&cx, m, "x86-64", EMIT_OBJECT, &o);
        Elf64_Ehdr head;
        memcpy(&head, object.data, sizeof head);
        unsigned found = 0;
        for (unsigned k = 0; k < head.e_shnum; k++) {
            Elf64_Shdr s;
            memcpy(&s, (const char *)object.data + head.e_shoff + k * sizeof s, sizeof s);
            if (!(s.sh_flags & large))
                continue;
            found++;
            cr_assert(s.sh_type == SHT_PROGBITS && s.sh_flags == (SHF_ALLOC | large) && s.sh_size == bytes);
            cr_assert_eq((char *)object.data + s.sh_offset, (char *)backend_object_weights(object));
            cr_assert_leq(s.sh_offset + bytes, object.size);
        }
        cr_assert_eq(found, places[i] == WEIGHTS_PACKED); /* raw, it is small */
        cr_assert_eq(backend_object_sizes(object).weights, found ? bytes : 64);
        context_free(&cx);
    }
}

/* ---- Faults ---- */

static void expect(Context *cx, DiagId id, const char *part) {
    cr_assert(cx->diag.entries.len > 0);
    const DiagEntry *e = &cx->diag.entries.data[cx->diag.entries.len - 1];
    cr_assert_eq(e->id, id);
    cr_assert(strstr(e->message, part), "%s", e->message);
}

Test(backend_object, targets) {
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
    LoopModule *m = weighted_module(&cx);
    m->const_bytes = INT64_C(3) << 30;
    o.weights = WEIGHTS_PACKED;
    cr_assert(!backend_emit(&cx, m, &t, EMIT_OBJECT, &o, &out));
    expect(&cx, DIAG_MODEL_SIZE, "3.2 GB of weights");
    context_free(&cx);
}

Test(backend_object, faults_are_reported) {
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
    m->scratch_bytes = 64;
    Kernel *k = m->kernels.data[1];
    LBuild b = lb_at(&cx, k, &k->body);
    lb_alloc(&b, LB_STACK, "big", f32(1), 1 << 20);
    cr_assert(!backend_emit(&cx, m, &t, EMIT_OBJECT, &o, &out));
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

Test(backend_object, names_and_header) {
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
