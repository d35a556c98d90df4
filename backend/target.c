/* From a triple, a CPU name and feature changes to the description of the machine that passes choose by.
 * Only the CPU "native" looks at this machine; every other target is the same wherever the compiler runs. */
#include "backend/backend.h"
#include "backend/feature.h"
#include "backend/llvm.h"
#include <llvm-c/TargetMachine.h>
#include <string.h>
#include <unistd.h>

/* LLVM's x86 names and the level x86-64-vN of which each has every feature; the tuning goes by the name. */
static const struct {
    const char *name;
    int level;
} cpu_levels[] = {
    {"x86-64", 1},        {"x86-64-v1", 1},  {"x86-64-v2", 2},      {"x86-64-v3", 3},
    {"x86-64-v4", 4},     {"k8", 1},         {"core2", 1},          {"penryn", 1},
    {"nehalem", 2},       {"westmere", 2},   {"sandybridge", 2},    {"ivybridge", 2},
    {"silvermont", 2},    {"goldmont", 2},   {"tremont", 2},        {"bdver1", 2},
    {"btver2", 2},        {"haswell", 3},    {"broadwell", 3},      {"skylake", 3},
    {"alderlake", 3},     {"raptorlake", 3}, {"meteorlake", 3},     {"gracemont", 3},
    {"bdver4", 3},        {"znver1", 3},     {"znver2", 3},         {"znver3", 3},
    {"znver4", 4},        {"znver5", 4},     {"skylake-avx512", 4}, {"cascadelake", 4},
    {"cooperlake", 4},    {"cannonlake", 4}, {"icelake-client", 4}, {"icelake-server", 4},
    {"tigerlake", 4},     {"rocketlake", 4}, {"sapphirerapids", 4}, {"emeraldrapids", 4},
    {"graniterapids", 4},
};
enum { CPU_COUNT = sizeof cpu_levels / sizeof cpu_levels[0] };

static const char *take(Context *cx, char *llvm) {
    const char *s = intern(cx, llvm);
    LLVMDisposeMessage(llvm);
    return s;
}

static int cpu_level(const char *cpu) {
    for (int i = 0; i < CPU_COUNT; i++)
        if (!strcmp(cpu_levels[i].name, cpu))
            return cpu_levels[i].level;
    return 0;
}

static bool not_of_target(Context *cx, const char *cpu, const Target *t) {
    return diag_error(&cx->diag, DIAG_TARGET, NULL, "CPU \"%s\" is not a CPU of target \"%s\"", cpu,
                      t->triple);
}

static bool unknown_cpu(Context *cx, const char *cpu, const Target *t) {
    const char *names[CPU_COUNT];
    if (!strcmp(cpu, "generic"))
        return not_of_target(cx, cpu, t);
    for (int i = 0; i < CPU_COUNT; i++)
        names[i] = cpu_levels[i].name;
    diag_error(&cx->diag, DIAG_TARGET, NULL, "unknown CPU \"%s\"", cpu);
    const char *near = diag_nearest(cpu, names, CPU_COUNT);
    return diag_hint(&cx->diag, near ? "did you mean \"%s\"?" : "use native, or x86-64-v3 for AVX2 code",
                     near);
}

/* Apply "+a,-b". */
static bool change_features(Context *cx, const char *text, FeatureSet *set) {
    while (*text) {
        uint32_t len = (uint32_t)strcspn(text, ",");
        int row = len > 1 && (*text == '+' || *text == '-') ? feature_find(text + 1, len - 1) : -1;
        if (row < 0) {
            diag_error(&cx->diag, DIAG_TARGET, NULL, "unknown CPU feature \"%.*s\"", (int)len, text);
            StrBuf sb = sb_new(&cx->arena);
            for (uint32_t i = 0; i < feature_count; i++)
                sb_printf(&sb, "%s%s", i ? ", " : "", feature_table[i].name);
            return diag_hint(&cx->diag, "each is written +name or -name, with one of %s", sb_str(&sb));
        }
        *set = *text == '+' ? feature_add(*set, row) : feature_remove(*set, row);
        text += len + (text[len] == ',');
    }
    return true;
}

static const char *feature_text(Context *cx, FeatureSet set) {
    StrBuf sb = sb_new(&cx->arena);
    for (uint32_t i = 0; i < feature_count; i++)
        if (set & 1u << i)
            sb_printf(&sb, "%s+%s", sb.len ? "," : "", feature_table[i].name);
    return intern(cx, sb_str(&sb));
}

static bool has(FeatureSet set, const char *name) {
    return set & 1u << feature_find(name, (uint32_t)strlen(name));
}

/* A cache of this machine; the usual size where the system does not tell. */
static uint32_t cache(int name, uint32_t usual) {
    long bytes = sysconf(name);
    return bytes > 0 && bytes <= UINT32_MAX ? (uint32_t)bytes : usual;
}

static void describe_x86(Target *t, FeatureSet set) {
    bool wide = has(set, "avx512vl") && has(set, "avx512bw") && has(set, "avx512dq");
    t->vector_bytes = wide ? 64 : has(set, "avx2") ? 32 : 16;
    t->vector_regs = wide ? 32 : 16;
    t->has_fma = has(set, "fma");
    t->fma_ports = 2;
}

static bool x86_target(Context *cx, const char *cpu, const char *features, Target *t) {
    FeatureSet set;
    if (!strcmp(cpu, "native")) {
        char *host = LLVMGetHostCPUFeatures();
        set = feature_parse(host);
        LLVMDisposeMessage(host);
        t->cpu = take(cx, LLVMGetHostCPUName());
        t->l1_bytes = cache(_SC_LEVEL1_DCACHE_SIZE, t->l1_bytes);
        t->l2_bytes = cache(_SC_LEVEL2_CACHE_SIZE, t->l2_bytes);
        t->l3_bytes = cache(_SC_LEVEL3_CACHE_SIZE, t->l3_bytes);
    } else {
        int level = cpu_level(cpu);
        if (!level)
            return unknown_cpu(cx, cpu, t);
        set = feature_level(level);
        t->cpu = intern(cx, !strcmp(cpu, "x86-64-v1") ? "x86-64" : cpu); /* which LLVM does not know */
    }
    if (features && !change_features(cx, features, &set))
        return false;
    t->features = feature_text(cx, set);
    describe_x86(t, set);
    return true;
}

static bool arm_target(Context *cx, const char *cpu, const char *features, Target *t) {
    if (cpu_level(cpu))
        return not_of_target(cx, cpu, t);
    if (strcmp(cpu, "generic") && strcmp(cpu, "native"))
        return diag_error(&cx->diag, DIAG_TARGET, NULL, "unknown CPU \"%s\": aarch64 has only \"generic\"",
                          cpu);
    if (features && *features)
        return diag_error(&cx->diag, DIAG_TARGET, NULL, "aarch64 takes no CPU features, but has \"%s\"",
                          features);
    t->cpu = "generic";
    t->features = "+neon";
    t->vector_bytes = 16;
    t->vector_regs = 32;
    t->has_fma = true;
    t->fma_ports = 2;
    return true;
}

/* The environment is what follows the third dash. Pointers are eight bytes in all code made here, and objects
 * are ELF; the environment can ask for others. */
static bool environment_fits(const char *triple) {
    static const char *const unfit[] = {"x32", "ilp32", "coff", "macho", "wasm", "goff"};
    const char *environment = triple;
    for (int dash = 0; dash < 3; dash++) {
        environment = strchr(environment, '-');
        if (!environment++)
            return true;
    }
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++)
        if (strstr(environment, unfit[i]))
            return false;
    return true;
}

bool backend_runs_here(Context *cx, const Target *t) {
    char *host = LLVMGetDefaultTargetTriple();
    const size_t arch = strcspn(host, "-");
    const bool same = arch == strcspn(t->triple, "-") && !strncmp(host, t->triple, arch);
    if (!same)
        diag_error(&cx->diag, DIAG_TARGET, NULL, "code for \"%s\" cannot be run on this machine, \"%s\"",
                   t->triple, host);
    LLVMDisposeMessage(host);
    return same;
}

static bool find_target(Context *cx, const char *triple, const char *cpu, const char *features, Target *out) {
    llvm_setup();
    char *host = LLVMGetDefaultTargetTriple();
    *out = (Target){.l1_bytes = 32 << 10, .l2_bytes = 512 << 10, .l3_bytes = 8 << 20};
    out->triple = take(cx, LLVMNormalizeTargetTriple(triple ? triple : host));
    bool x86 = !strncmp(out->triple, "x86_64-", 7), host_x86 = !strncmp(host, "x86_64-", 7);
    LLVMDisposeMessage(host);
    bool elf = strstr(out->triple, "linux") || strstr(out->triple, "bsd") || strstr(out->triple, "-none");
    if (!elf || (!x86 && strncmp(out->triple, "aarch64-", 8)) || !environment_fits(out->triple)) {
        diag_error(&cx->diag, DIAG_TARGET, NULL, "target \"%s\" is not supported", out->triple);
        return diag_hint(&cx->diag,
                         "targets are x86_64 and aarch64 with ELF objects and pointers of 64 bits, "
                         "such as x86_64-linux-gnu and aarch64-linux-gnu");
    }
    if (x86 && !strcmp(cpu, "native") && !host_x86)
        return not_of_target(cx, cpu, out);
    return x86 ? x86_target(cx, cpu, features, out) : arm_target(cx, cpu, features, out);
}

bool backend_target(Context *cx, const char *triple, const char *cpu, const char *features, Target *out) {
    if (!find_target(cx, triple, cpu, features, out))
        return false;
    llvm_schedule_for(out);
    return true;
}

/* ---- Several CPUs ---- */

/* Put a target among those before it: CPUs differ by levels, so of two one has all features of the other. */
static bool insert_target(Context *cx, TargetList *list, const Target *t) {
    const FeatureSet set = feature_parse(t->features);
    uint32_t at = list->len;
    for (; at > 0; at--) {
        const Target *before = &list->data[at - 1];
        const FeatureSet other = feature_parse(before->features);
        if (other == set) {
            diag_error(&cx->diag, DIAG_TARGET, NULL, "CPUs \"%s\" and \"%s\" have the same features",
                       before->cpu, t->cpu);
            return diag_hint(&cx->diag, "one of them would never be picked: leave it out of the list");
        }
        if ((other & set) == set)
            break;
        list->data[at] = *before;
    }
    list->data[at] = *t;
    list->len++;
    return true;
}

bool backend_targets(Context *cx, const char *triple, const char *cpus, const char *features,
                     TargetList *out) {
    *out = (TargetList){0};
    if (!strchr(cpus, ','))
        return backend_target(cx, triple, cpus, features, &out->data[out->len++]);
    for (;; cpus++) {
        const size_t n = strcspn(cpus, ",");
        const char *cpu = intern_n(cx, cpus, n);
        Target t;
        if (out->len == MAX_CPUS)
            return diag_error(&cx->diag, DIAG_TARGET, NULL, "an object holds code for %d CPUs at most",
                              MAX_CPUS);
        if (!strcmp(cpu, "native")) {
            diag_error(&cx->diag, DIAG_TARGET, NULL, "CPU \"native\" is whatever this machine is");
            return diag_hint(&cx->diag, "a list of CPUs names them, such as x86-64-v2,x86-64-v3,x86-64-v4");
        }
        if (!find_target(cx, triple, cpu, features, &t) || !insert_target(cx, out, &t))
            return false;
        cpus += n;
        if (!*cpus)
            break;
    }
    llvm_schedule_for(&out->data[0]); /* the widest */
    return true;
}
