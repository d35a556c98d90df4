/* cnnrt-train: checkpoints and weights as files, whole or not at all. */
#include "tests/unit/regression.h"
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Checkpoints ---- */

/* A child trains, from the checkpoint if there is one, and is killed after `us` microseconds. Returns the
 * step of the checkpoint that it leaves. */
static int64_t kill_after(useconds_t us, const cnnrt_fit_options *o, State *s) {
    cnnrt_fit_result r;
    char why[300];
    int status;
    pid_t child = fork();
    if (child == 0) {
        fit(DATA(101), DATA(40), s, o, &r);
        pause();
    }
    usleep(us);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
    if (access(o->checkpoint, F_OK) != 0)
        return 0;
    cr_assert_eq(cnnrt_checkpoint_load(&model, s, o->checkpoint, why, sizeof why), CNNRT_OK, "%s", why);
    return s->step;
}

Test(checkpoint, kill_at_any_moment, .init = make_root, .fini = remove_root) {
    State *a = state_new(), *b = state_new();
    cnnrt_fit_options o = options(30);
    cnnrt_fit_result r;
    int64_t last = 0;
    int amid = 0;
    o.early_stopping.restore_best = 1;
    o.checkpoint_steps = 1;
    o.checkpoint = at("whole.safetensors");
    cr_assert_eq(fit(DATA(101), DATA(40), a, &o, &r), CNNRT_OK);
    cr_expect_eq(r.steps, 390);
    int most = (int)(r.seconds * 1e6 / 10); /* so that 20 children do the whole about once */
    cnnrt_fit_result_free(&r);
    o.checkpoint = at("kill.safetensors");
    o.resume = 1;
    srand(1);
    for (int i = 0; amid < 20 && i < 200; i++) { /* 20 at work, however fast the machine is just then */
        const int64_t step = kill_after((useconds_t)(rand() % (most + 1)), &o, b);
        if (step == r.steps) {
            unlink(o.checkpoint);
            state_init(b, sizeof *b, 3);
        } else if (step > last) {
            amid++;
        } else {
            most += most / 4;
        }
        last = step == r.steps ? 0 : step;
    }
    cr_expect_eq(amid, 20, "only %d of 20 were at work", amid);
    state_init(b, sizeof *b, 3);
    cr_assert_eq(fit(DATA(101), DATA(40), b, &o, &r), CNNRT_OK, "%s", r.text);
    expect_same(a, b);
    cr_expect_eq(r.steps, 390);
    cnnrt_fit_result_free(&r);
    free(a);
    free(b);
}

Test(checkpoint, disk_full_keeps_the_old_one, .init = make_root, .fini = remove_root) {
    const char *path = at("full.safetensors"), *beside = at("full.safetensors.partial");
    State *s = state_new();
    char why[300];
    size_t n, m;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(cnnrt_checkpoint_save(&model, s, path, why, sizeof why), CNNRT_OK, "%s", why);
    unsigned char *before = get(path, &n);
    s->w[0] = 7;
    for (size_t limit = 0; limit < n; limit += 97) {
        struct rlimit old, small;
        getrlimit(RLIMIT_FSIZE, &old);
        small = (struct rlimit){limit, old.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        int status = cnnrt_checkpoint_save(&model, s, path, why, sizeof why);
        setrlimit(RLIMIT_FSIZE, &old);
        cr_expect_eq(status, CNNRT_E_FILE);
        cr_expect(strstr(why, "full.safetensors cannot be written: "), "%s", why);
        unsigned char *after = get(path, &m);
        cr_expect(n == m && memcmp(before, after, n) == 0);
        cr_expect_neq(access(beside, F_OK), 0);
        free(after);
    }
    cr_expect_eq(cnnrt_checkpoint_save(&model, s, "/nowhere/c.safetensors", why, sizeof why), CNNRT_E_FILE);
    free(before);
    free(s);
}

Test(checkpoint, every_damaged_byte_is_seen, .init = make_root, .fini = remove_root) {
    const char *path = at("damaged.safetensors"), *good = at("good.safetensors");
    State *s = state_new(), *was = state_new();
    cnnrt_fit_options o = options(2);
    cnnrt_fit_result r;
    char why[300];
    size_t n;
    o.checkpoint = good;
    o.early_stopping.restore_best = 1;
    cr_assert_eq(fit(DATA(45), DATA(20), s, &o, &r), CNNRT_OK);
    cnnrt_fit_result_free(&r);
    unsigned char *file = get(good, &n);
    memcpy(was, s, sizeof *s);
    for (size_t i = 0; i < n; i++) {
        file[i] ^= (unsigned char)(1 << i % 8);
        put(path, file, n);
        why[0] = '\0';
        cr_expect_neq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK, "byte %zu", i);
        cr_expect(strstr(why, path), "byte %zu: %s", i, why);
        file[i] ^= (unsigned char)(1 << i % 8);
    }
    for (size_t i = 0; i < n; i += 13) {
        put(path, file, i);
        cr_expect_neq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK, "length %zu", i);
    }
    cr_expect_eq(memcmp(s, was, sizeof *s), 0);
    put(path, file, n);
    cr_expect_eq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK, "%s", why);
    free(file);
    free(s);
    free(was);
}

Test(checkpoint, of_something_else, .init = make_root, .fini = remove_root) {
    const char *path = at("other.safetensors");
    State *s = state_new();
    char why[300];
    cnnrt_fit_options o = options(1);
    cnnrt_fit_result r;
    o.checkpoint = path;
    cr_assert_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_OK);
    cnnrt_model other = model;
    other.hash++;
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_SHAPE);
    cr_expect(strstr(why, "of another model"), "%s", why);
    /* As a run: the batch, the count and the seed must be the same. */
    o.resume = 1;
    o.batch = 4;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    cr_expect(strstr(r.text, "batch 8; now it is 4"), "%s", r.text);
    o.batch = 0;
    cr_expect_eq(fit(DATA(46), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    o.seed = 4;
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_OPTIONS);
    /* A state with other tensors. */
    cnnrt_training t = training;
    cnnrt_state_tensor changed[sizeof tensors / sizeof *tensors];
    memcpy(changed, tensors, sizeof tensors);
    other = model;
    other.training = &t;
    t.state = changed;
    changed[1].tensor.name = "fc.offset";
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_MISSING);
    changed[1] = tensors[1];
    changed[1].tensor.dim[0] = OUT - 1;
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_SHAPE);
    cr_expect(strstr(why, "fc.bias has another shape"), "%s", why);
    changed[1] = tensors[1];
    t.n_state--;
    cr_expect_eq(cnnrt_checkpoint_load(&other, s, path, why, sizeof why), CNNRT_E_SHAPE);
    /* Saved by hand, it is no run to resume. */
    cr_assert_eq(cnnrt_checkpoint_save(&model, s, path, why, sizeof why), CNNRT_OK);
    cr_expect_eq(cnnrt_checkpoint_load(&model, s, path, why, sizeof why), CNNRT_OK);
    cr_expect_eq(fit(DATA(45), NULL, s, &o, &r), CNNRT_E_FORMAT);
    cr_expect(strstr(r.text, "does not say where its run was"), "%s", r.text);
    free(s);
}

/* ---- Weights as files ---- */

Test(weights, export_and_import, .init = make_root, .fini = remove_root) {
    const char *path = at("weights.safetensors");
    const float stem[3] = {1, 2, 3};
    const void *const raw[] = {stem};
    State *a = state_new(), *b = state_new();
    char why[300];
    size_t n;
    cnnrt_safetensors st;
    cnnrt_st_tensor t;
    by_hand(a, 45, 1, 1);
    cr_assert_eq(cnnrt_state_export(&model, a, NULL, path, why, sizeof why), CNNRT_OK, "%s", why);
    unsigned char *file = get(path, &n);
    cr_assert_eq(cnnrt_st_open(&st, file, n, why, sizeof why, NULL), CNNRT_OK);
    cr_expect(st.count == 3 && !cnnrt_st_find(&st, "stem.weight", &t));
    free(file);
    cr_assert_eq(cnnrt_state_export(&model, a, raw, path, why, sizeof why), CNNRT_OK, "%s", why);
    file = get(path, &n);
    cr_assert_eq(cnnrt_st_open(&st, file, n, why, sizeof why, NULL), CNNRT_OK);
    cr_expect(st.count == 4 && cnnrt_st_find(&st, "stem.weight", &t) && memcmp(t.data, stem, 12) == 0);
    cr_assert_eq(cnnrt_state_import(&model, b, file, n, why, sizeof why), CNNRT_OK, "%s", why);
    cr_expect_eq(memcmp(a->w, b->w, sizeof a->w), 0);
    cr_expect_eq(memcmp(a->b, b->b, OUT * sizeof *a->b), 0);
    cr_expect_eq(memcmp(a->mean, b->mean, IN * sizeof *a->mean), 0);
    cr_expect_eq(b->step, 0);
    /* All or nothing: the last one is missing. */
    cnnrt_training tr = training;
    cnnrt_state_tensor changed[sizeof tensors / sizeof *tensors];
    cnnrt_model other = model;
    memcpy(changed, tensors, sizeof tensors);
    changed[2].tensor.name = "bn.running_var";
    other.training = &tr;
    tr.state = changed;
    memset(b->w, 0, sizeof b->w);
    cr_expect_eq(cnnrt_state_import(&other, b, file, n, why, sizeof why), CNNRT_E_MISSING);
    cr_expect(strstr(why, "bn.running_var") && b->w[0] == 0, "%s", why);
    cr_expect_eq(cnnrt_state_import(&model, b, file, n - 1, why, sizeof why), CNNRT_E_FORMAT);
    free(file);
    free(a);
    free(b);
}
