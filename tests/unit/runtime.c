/* cnnrt: safetensors, conversions, prepare, the thread pool and how many threads there are. */
#include "runtime/cnnrt/internal.h"
#include <criterion/criterion.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- safetensors ---- */

/* A file of this header and `data_bytes` bytes 0, 1, 2... Malloced to its exact size, so that sanitizers see
 * every read beyond it. */
static unsigned char *st_file(const char *header, size_t header_bytes, size_t data_bytes, size_t *size) {
    *size = 8 + header_bytes + data_bytes;
    unsigned char *f = malloc(*size);
    for (int i = 0; i < 8; i++)
        f[i] = (unsigned char)((uint64_t)header_bytes >> (8 * i));
    memcpy(f + 8, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++)
        f[8 + header_bytes + i] = (unsigned char)i;
    return f;
}

static int st_check(const char *header, size_t data_bytes, char why[128]) {
    size_t size, at = 0;
    unsigned char *f = st_file(header, strlen(header), data_bytes, &size);
    cnnrt_safetensors st;
    int status = cnnrt_st_open(&st, f, size, why, 128, &at);
    cr_expect(at <= size);
    free(f);
    return status;
}

static const char good_header[] =
    "{\"b\":{\"shape\":[],\"dtype\":\"F16\",\"data_offsets\":[8,10]}, \"__metadata__\" : "
    "{\"format\":\"pt\",\"\\u00e9\":\"\"},"
    "\"a\\u0062\\u00fc\":{\"data_offsets\":[0,8],\"dtype\":\"F32\",\"shape\":[2,1]},"
    "\"none\":{\"dtype\":\"I64\",\"shape\":[0,9223372036854775807,4],\"data_offsets\":[3,3]},"
    "\"u\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[10,12]}}   ";

Test(runtime, safetensors_good) {
    size_t size, cursor = 0, n = 0;
    unsigned char *f = st_file(good_header, strlen(good_header), 12, &size);
    cnnrt_safetensors st;
    cnnrt_st_tensor t;
    char why[128] = "";
    cr_assert_eq(cnnrt_st_open(&st, f, size, why, sizeof why, NULL), CNNRT_OK, "%s", why);
    cr_expect_eq(st.count, 4);
    static const char *const names[] = {"b", "ab\xc3\xbc", "none", "u"}; /* without escapes */
    for (char name[32]; n < 4 && cnnrt_st_next(&st, &cursor, &t); n++) {
        cr_assert(t.name_bytes < sizeof name);
        name[cnnrt_st_name(&t, name)] = '\0';
        cr_expect_str_eq(name, names[n]);
    }
    cr_expect_eq(n, 4);
    cr_expect_not(cnnrt_st_next(&st, &cursor, &t));
    cr_expect(cnnrt_st_find(&st, "ab\xc3\xbc", &t));
    cr_expect(t.dtype == CNNRT_F32 && t.rank == 2 && t.dim[0] == 2 && t.dim[1] == 1 && t.bytes == 8);
    cr_expect_eq(t.data, f + size - 12);
    cr_expect(cnnrt_st_find(&st, "u", &t) && t.dtype == UINT32_MAX);
    cr_expect(cnnrt_st_find(&st, "none", &t) && t.bytes == 0);
    cr_expect(cnnrt_st_find(&st, "b", &t) && t.rank == 0 && t.bytes == 2);
    cr_expect_not(cnnrt_st_find(&st, "a", &t));
    cr_expect_not(cnnrt_st_find(&st, "__metadata__", &t));
    free(f);
    cr_expect_eq(st_check("{}", 0, why), CNNRT_OK);
}

#define T(name, dtype, shape, begin, end)                                                                    \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

Test(runtime, safetensors_bad) {
    static const struct {
        const char *header, *why;
    } bad[] = {
        {"", "begin with {"},
        {" {}", "begin with {"},
        {"{", "name is expected"},
        {"{}x", "follows"},
        {"{" T("a", "F32", "[2]", 0, 8) ",}", "name is expected"},
        {"{" T("a", "F32", "[2]", 0, 8) " " T("b", "F32", "[0]", 0, 0) "}", ", or }"},
        {"{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", "twice"},
        {"{" T("a", "F32", "[1]", 0, 4) "," T("\\u0061", "F32", "[1]", 4, 8) "}", "twice"},
        {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", "overlap"},
        {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", "overlap"},
        {"{" T("a", "F32", "[1]", 0, 4) "}", "overlap"},
        {"{" T("a", "F32", "[1]", 4, 8) "}", "overlap"},
        {"{}", "overlap"},
        {"{" T("a", "F32", "[3]", 0, 12) "}", "outside"},
        {"{" T("a", "F32", "[2]", 8, 0) "}", "reversed"},
        {"{" T("a", "F32", "[3]", 0, 8) "}", "do not fit"},
        {"{" T("a", "F32", "[4611686018427387904,4]", 0, 8) "}", "do not fit"},
        {"{" T("a", "F4", "[3]", 0, 1) "}", "do not fit"},
        {"{" T("a", "F32", "[-2]", 0, 8) "}", "whole number"},
        {"{" T("a", "F32", "[2.0]", 0, 8) "}", "closed with ]"},
        {"{" T("a", "F32", "[02]", 0, 8) "}", "begins with 0"},
        {"{" T("a", "F32", "[2,]", 0, 8) "}", "whole number"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", "8 dimensions"},
        {"{" T("a", "F32", "[99999999999999999999]", 0, 8) "}", "too large"},
        {"{" T("a", "f32", "[2]", 0, 8) "}", "dtype"},
        {"{" T("a", "F32", "2", 0, 8) "}", "not a list"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "lacks"},
        {"{\"a\":{}}", "key is expected"},
        {"{\"a\":7}", "object"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"size\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", "unknown key"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]}}", "two numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "two numbers"},
        {"{\"__metadata__\":{\"a\":1}}", "not a string"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "twice"},
        {"{\"a", "does not end"},
        {"{\"a\xff\":1}", "UTF-8"},
        {"{\"\xed\xa0\x80\":1}", "UTF-8"},
        {"{\"\xc0\x80\":1}", "UTF-8"},
        {"{\"a\nb\":1}", "control"},
        {"{\"\\x\":1}", "escape"},
        {"{\"\\ud800\":1}", "escape"},
        {"{\"\\udc00\\ud800\":1}", "escape"},
        {"{\"\\u0000\":1}", "escape"},
        {"{\"\\u12", "escape"},
    };
    char why[128];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        strcpy(why, "(nothing)");
        cr_expect_eq(st_check(bad[i].header, 8, why), CNNRT_E_FORMAT, "accepted: %s", bad[i].header);
        cr_expect(strstr(why, bad[i].why), "%s: %s instead of %s", bad[i].header, why, bad[i].why);
    }
    cnnrt_safetensors st;
    cr_expect_eq(cnnrt_st_open(&st, "\1\0\0\0\0\0\0", 7, why, sizeof why, NULL), CNNRT_E_FORMAT);
    cr_expect_eq(cnnrt_st_open(&st, "\2\0\0\0\0\0\0\0{", 9, why, 4, NULL), CNNRT_E_FORMAT);
    cr_expect_str_eq(why, "the");
    cr_expect_eq(cnnrt_st_open(&st, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, NULL, 0, NULL), CNNRT_E_FORMAT);
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Damaged files: a few bytes of a good one changed or cut. Whatever is accepted must be walkable and its data
 * readable (the sanitizer watches). */
Test(runtime, safetensors_damaged) {
    static const char letters[] = "{}[]\",:0123456789\\u__ F32ab\xff";
    uint32_t random = 1, accepted = 0;
    for (int round = 0; round < 5000; round++) {
        size_t size, cursor = 0, n = 0;
        char header[sizeof good_header];
        memcpy(header, good_header, sizeof header);
        size_t length = strlen(header);
        for (uint32_t k = next_random(&random) % 3; k > 0; k--)
            header[next_random(&random) % length] = letters[next_random(&random) % (sizeof letters - 1)];
        unsigned char *f = st_file(header, length, 12, &size);
        if (next_random(&random) % 4 == 0)
            f[next_random(&random) % 8] ^= (unsigned char)(1u << next_random(&random) % 8);
        size_t cut = next_random(&random) % 4 == 0 ? next_random(&random) % (size + 1) : size;
        f = realloc(f, cut ? cut : 1);
        cnnrt_safetensors st;
        cnnrt_st_tensor t;
        volatile unsigned sum = 0;
        if (cnnrt_st_open(&st, f, cut, NULL, 0, NULL) == CNNRT_OK) {
            for (; cnnrt_st_next(&st, &cursor, &t); n++)
                for (size_t i = 0; i < t.bytes; i++)
                    sum += ((const unsigned char *)t.data)[i];
            cr_expect_eq(n, st.count);
            accepted++;
        }
        free(f);
    }
    cr_expect(accepted > 500 && accepted < 4500, "%u", accepted);
}

/* Many tensors must not take quadratic time; more than the limit are refused. */
Test(runtime, safetensors_many) {
    enum { LIMIT = 65536 };
    char *header = malloc((LIMIT + 1) * 80);
    for (int extra = 0; extra < 2; extra++) {
        size_t n = 0;
        header[n++] = '{';
        const int count = extra ? LIMIT + 1 : LIMIT / 4;
        for (int i = 0; i < count; i++)
            n += (size_t)sprintf(header + n,
                                 "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                                 i ? "," : "", i, i, i + 1);
        header[n++] = '}';
        header[n] = '\0';
        char why[128] = "";
        int status = st_check(header, (size_t)count, why);
        cr_expect_eq(status, extra ? CNNRT_E_FORMAT : CNNRT_OK, "%s", why);
    }
    free(header);
}

Test(runtime, conversions) {
    unsigned char raw[1 + 4 * 8]; /* read at an odd address */
    float out[4];
    const uint16_t half[4] = {0x3c00, 0x8001, 0x7bff, 0xfc00};
    memcpy(raw + 1, half, sizeof half);
    cnnrt_to_f32(out, raw + 1, CNNRT_F16, 4);
    cr_expect(out[0] == 1.0f && out[1] == -0x1p-24f && out[2] == 65504.0f && out[3] < -3e38f);
    const uint16_t brain[2] = {0x3f80, 0xc040};
    memcpy(raw + 1, brain, sizeof brain);
    cnnrt_to_f32(out, raw + 1, CNNRT_BF16, 2);
    cr_expect(out[0] == 1.0f && out[1] == -3.0f);
    const double wide[2] = {0.5, -1e30};
    memcpy(raw + 1, wide, sizeof wide);
    cnnrt_to_f32(out, raw + 1, CNNRT_F64, 2);
    cr_expect(out[0] == 0.5f && out[1] == -1e30f);
    const int64_t whole[2] = {-7, 1 << 20};
    memcpy(raw + 1, whole, sizeof whole);
    cnnrt_to_f32(out, raw + 1, CNNRT_I64, 2);
    cr_expect(out[0] == -7.0f && out[1] == 0x1p20f);
    for (int i = CNNRT_OK; i <= CNNRT_E_FROZEN; i++)
        cr_expect(strcmp(cnnrt_strerror(i), "unknown status") != 0);
    cr_expect_str_eq(cnnrt_strerror(-1), "unknown status");
    cr_expect_str_eq(cnnrt_strerror(CNNRT_E_FROZEN + 1), "unknown status");
}

/* ---- State ---- */

Test(runtime, state_tensors_are_found) {
    static const cnnrt_state_tensor state[] = {{.tensor = {.name = "w"}, .role = CNNRT_PARAM},
                                               {.tensor = {.name = "step"}, .role = CNNRT_PARAM},
                                               {.tensor = {.name = "step"}, .role = CNNRT_COUNTER}};
    static const cnnrt_training training = {.struct_size = sizeof training, .n_state = 3, .state = state};
    cnnrt_model m = {.struct_size = sizeof m, .training = &training};
    cr_expect_eq(cnnrt_state_find(&m, CNNRT_PARAM, "w"), &state[0]);
    cr_expect_eq(cnnrt_state_find(&m, CNNRT_COUNTER, "step"), &state[2]);
    cr_expect_null(cnnrt_state_find(&m, CNNRT_GRAD, "w"));
    m.struct_size = offsetof(cnnrt_model, training);
    cr_expect_null(cnnrt_state_find(&m, CNNRT_PARAM, "w"));
    m = (cnnrt_model){.struct_size = sizeof m};
    cr_expect_null(cnnrt_state_find(&m, CNNRT_PARAM, "w"));
}

/* ---- prepare ---- */

static int fake_prepare(const void *const *params, void *weights, size_t weights_bytes, void *work,
                        size_t work_bytes) {
    cr_expect(weights_bytes == 64 && work_bytes == 100);
    memset(work, 0xee, work_bytes); /* whatever it does there must not hurt the parameters */
    for (int i = 0; i < 2; i++)
        ((float *)weights)[i] = ((const float *)params[0])[i] + ((const float *)params[1])[i];
    return CNNRT_OK;
}

static int run_prepare(const char *header, size_t data_bytes, size_t cut, float result[16], char which[64]) {
    static const cnnrt_tensor params[2] = {{.name = "w", .rank = 1, .dim = {2}},
                                           {.name = "v", .rank = 1, .dim = {2}}};
    cnnrt_model m = {
        .abi_version = CNNRT_ABI_VERSION, .struct_size = sizeof m, .n_params = 2, .params = params};
    m.weights_bytes = 64;
    m.prepare_bytes = 100;
    m.prepare = fake_prepare;
    size_t size;
    unsigned char *f = st_file(header, strlen(header), data_bytes, &size);
    for (size_t i = 0; i < data_bytes / 2; i++) /* every 16 bits: 2.0 as bf16; two of them: about 2 as f32 */
        memcpy(f + size - data_bytes + 2 * i, "\0\x40", 2);
    size_t bytes = cnnrt_prepare_bytes(&m, f, size) - cut;
    unsigned char *work = aligned_alloc(64, (bytes + 63) / 64 * 64);
    float *weights = aligned_alloc(64, 64);
    int status = cnnrt_prepare(&m, f, size, weights, 64, work, bytes, which, 64);
    memcpy(result, weights, 64);
    if (cut == 0) {
        cr_expect_eq(cnnrt_prepare(&m, f, size, weights, 63, work, bytes, NULL, 0), CNNRT_E_WORKSPACE_SIZE);
        cr_expect_eq(cnnrt_prepare(&m, f, size, weights + 1, 64, work, bytes, NULL, 0),
                     CNNRT_E_WORKSPACE_ALIGN);
        cr_expect_eq(cnnrt_prepare(&m, f, size, NULL, 64, work, bytes, NULL, 0), CNNRT_E_NULL);
        m.struct_size = offsetof(cnnrt_model, training); /* an object older than training */
        cr_expect_eq(cnnrt_prepare(&m, f, size, weights, 64, work, bytes, NULL, 0), status);
        m.struct_size -= 8;
        cr_expect_eq(cnnrt_prepare(&m, f, size, weights, 64, work, bytes, NULL, 0), CNNRT_E_ABI);
        m.struct_size = sizeof m;
        m.abi_version++;
        cr_expect_eq(cnnrt_prepare(&m, f, size, weights, 64, work, bytes, NULL, 0), CNNRT_E_ABI);
    }
    free(f);
    free(work);
    free(weights);
    return status;
}

Test(runtime, prepare) {
    float r[16];
    char which[64];
    for (int pad = 0; pad < 4; pad++) { /* the header's length decides how f32 data are aligned */
        char header[256];
        snprintf(header, sizeof header,
                 "{" T("w", "F32", "[2]", 0, 8) "," T("v", "BF16", "[2]", 8, 12) "}%*s", pad, "");
        cr_expect_eq(run_prepare(header, 12, 0, r, which), CNNRT_OK, "%s", which);
        cr_expect(r[0] > 3.99f && r[0] < 4.01f && r[0] == r[1], "%g", (double)r[0]);
        cr_expect_eq(run_prepare(header, 12, 64, r, which), CNNRT_E_WORKSPACE_SIZE);
    }
    cr_expect_eq(run_prepare("{" T("w", "F32", "[2]", 0, 8) "}", 8, 0, r, which), CNNRT_E_MISSING);
    cr_expect_str_eq(which, "v: not in the file");
    cr_expect_eq(run_prepare("{" T("w", "F32", "[2,1]", 0, 8) "}", 8, 0, r, which), CNNRT_E_SHAPE);
    cr_expect_eq(run_prepare("{" T("w", "I32", "[2]", 0, 8) "}", 8, 0, r, which), CNNRT_E_SHAPE);
    cr_expect_eq(run_prepare("{" T("w", "F32", "[2]", 0, 8) "", 8, 0, r, which), CNNRT_E_FORMAT);
    cr_expect(which[0]);
}

/* ---- The pool ---- */

enum { MAX_COUNT = 1000 };
typedef struct Job {
    cnnrt_pool *pool;
    atomic_int hits[MAX_COUNT];
    unsigned owner[MAX_COUNT];
    atomic_int inside[8]; /* calls running under each thread number */
    atomic_int wrong;
    bool nest;
} Job;

static void visit(void *arg, size_t begin, size_t end, unsigned thread) {
    Job *j = arg;
    if (thread >= j->pool->threads || begin >= end || atomic_fetch_add(&j->inside[thread], 1) != 0)
        atomic_fetch_add(&j->wrong, 1);
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add(&j->hits[i], 1);
        j->owner[i] = thread;
    }
    if (j->nest) { /* a call within a call runs here, at once */
        Job *inner = calloc(1, sizeof *inner);
        inner->pool = j->pool;
        j->pool->parallel_for(j->pool, 10, visit, inner);
        for (int i = 0; i < 10; i++)
            atomic_fetch_add(&j->wrong, inner->hits[i] != 1 || inner->owner[i] != 0);
        free(inner);
    }
    atomic_fetch_sub(&j->inside[thread], 1);
}

static void run_job(cnnrt_pool *pool, size_t count, bool nest) {
    Job *j = calloc(1, sizeof *j);
    j->pool = pool;
    j->nest = nest;
    pool->parallel_for(pool, count, visit, j);
    for (size_t i = 0; i < count; i++)
        cr_assert(j->hits[i] == 1, "index %zu of %zu visited %d times", i, count, j->hits[i]);
    cr_expect_eq(j->wrong, 0);
    free(j);
}

Test(runtime, pool_covers) {
    static const unsigned threads[] = {1, 2, 3, 5, 8};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        cnnrt_pool *pool = cnnrt_pool_create(threads[t]);
        cr_assert(pool && pool->threads == threads[t] && pool->abi_version == CNNRT_ABI_VERSION);
        for (size_t count = 0; count < 40; count++)
            run_job(pool, count, count % 3 == 0);
        run_job(pool, MAX_COUNT, false);
        nanosleep(&(struct timespec){0, 2000000}, NULL); /* workers fall asleep */
        run_job(pool, MAX_COUNT, true);
        cnnrt_pool_destroy(pool);
    }
    cnnrt_pool_destroy(NULL);
    cr_expect_null(cnnrt_pool_create(1000000));
    cnnrt_pool *pool = cnnrt_pool_create(0);
    cr_expect_eq(pool->threads, cnnrt_default_threads());
    cnnrt_pool_destroy(pool);
}

static void *run_many(void *arg) {
    for (int i = 0; i < 300; i++) {
        run_job(arg, 64, false);
        if (i % 50 == 0)
            nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return NULL;
}

Test(runtime, pool_shared_by_callers) {
    cnnrt_pool *pool = cnnrt_pool_create(3);
    pthread_t caller[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&caller[i], NULL, run_many, pool);
    for (int i = 0; i < 3; i++)
        pthread_join(caller[i], NULL);
    cnnrt_pool_destroy(pool);
}

Test(runtime, pool_after_fork) {
    cnnrt_pool *pool = cnnrt_pool_create(4);
    run_job(pool, 100, false);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        Job *j = calloc(1, sizeof *j);
        j->pool = pool;
        pool->parallel_for(pool, 100, visit, j);
        bool ok = j->wrong == 0 && j->hits[99] == 1 && j->owner[99] == 0;
        cnnrt_pool *own = cnnrt_pool_create(2); /* a new pool has workers again */
        j->pool = own;
        own->parallel_for(own, 100, visit, j);
        ok = ok && j->hits[99] == 2 && j->owner[99] == 1;
        cnnrt_pool_destroy(own);
        cnnrt_pool_destroy(pool);
        _exit(ok ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    run_job(pool, 100, false);
    cnnrt_pool_destroy(pool);
}

/* ---- CPUs ---- */

static void put(const char *root, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

Test(runtime, cgroup_quota) {
    char root[] = "/tmp/cnnrt-test-XXXXXX", command[64];
    cr_assert_not_null(mkdtemp(root));
    put(root, "a/cpu.max", "350000 100000\n");
    put(root, "a/b/cpu.max", "max 100000\n");
    put(root, "c/cpu.max", "50000 100000\n");
    put(root, "cpu/v1/cpu.cfs_quota_us", "200000\n");
    put(root, "cpu/v1/cpu.cfs_period_us", "100000\n");
    put(root, "cpu/free/cpu.cfs_quota_us", "-1\n");
    put(root, "cpu/free/cpu.cfs_period_us", "100000\n");
    put(root, "bad/cpu.max", "99999999999999999999999 0\n");
    cr_expect_eq(cnnrt_cgroup_cpus("0::/a/b\n", root), 4); /* rounded up, the parent's */
    cr_expect_eq(cnnrt_cgroup_cpus("0::/a/b/gone/deeper\n", root), 4);
    cr_expect_eq(cnnrt_cgroup_cpus("0::/c", root), 1);
    cr_expect_eq(cnnrt_cgroup_cpus("0::/\n", root), UINT_MAX);
    cr_expect_eq(cnnrt_cgroup_cpus("5:memory:/c\n3:cpuacct,cpu:/v1\n0::/a\n", root), 2);
    cr_expect_eq(cnnrt_cgroup_cpus("3:cpu:/free\n", root), UINT_MAX);
    cr_expect_eq(cnnrt_cgroup_cpus("0::/bad\nnonsense\n:\n::\n", root), UINT_MAX);
    cr_expect_eq(cnnrt_cgroup_cpus("", root), UINT_MAX);
    cr_expect(cnnrt_default_threads() >= 1);
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_expect_eq(system(command), 0);
}
