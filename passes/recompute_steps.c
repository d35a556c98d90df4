/* Running steps of the forward part a second time: which may be, and the module where some are. The kernels
 * are those of the first time, so the bits are the same. */
#include "passes/plan.h"
#include "passes/recompute.h"
#include <string.h>

static uint32_t *no_steps(Arena *a, uint32_t n) {
    uint32_t *steps = NEW_ARRAY(a, uint32_t, n);
    memset(steps, 0xff, n * sizeof *steps);
    return steps;
}

/* ---- Looking ---- */

static void note_uses(Recompute *r, uint32_t s) {
    const Step *step = recompute_step(r, s);
    for (uint32_t i = 0; i < recompute_params(r, step); i++) {
        const uint32_t root = r->root[step->args[i].buf];
        if (s > r->turn && r->first_late[root] == (uint32_t)NEVER)
            r->first_late[root] = s;
        if (!recompute_writes(r, step, i))
            continue;
        if (r->first_write[root] == (uint32_t)NEVER)
            r->first_write[root] = s;
        r->last_write[root] = s;
    }
}

static bool touches(const Recompute *r, const Step *step, uint32_t root, bool write) {
    for (uint32_t i = 0; i < recompute_params(r, step); i++)
        if (r->root[step->args[i].buf] == root && (!write || recompute_writes(r, step, i)))
            return true;
    return false;
}

/* May step s, which writes the storage, run again? It writes nothing else, and of the workspace it reads what
 * is finished. */
static bool step_repeats(const Recompute *r, uint32_t s, uint32_t root) {
    const Step *step = recompute_step(r, s);
    if (step->checks)
        return false;
    for (uint32_t i = 0; i < recompute_params(r, step); i++) {
        const uint32_t other = r->root[step->args[i].buf];
        if (other == root)
            continue;
        if (recompute_writes(r, step, i))
            return false;
        if (r->m->bufs.data[other].kind == MB_WORK && r->last_write[other] >= s)
            return false; /* also when nobody writes it */
    }
    return true;
}

/* The steps that write the storage lie in the forward part, and nobody reads it before the last of them. */
static bool repeats(Recompute *r, uint32_t root) {
    if (r->m->bufs.data[root].kind != MB_WORK || r->root[root] != root ||
        r->first_write[root] == (uint32_t)NEVER || r->last_write[root] > r->turn)
        return false;
    for (uint32_t s = r->first_write[root]; s <= r->last_write[root]; s++) {
        const Step *step = recompute_step(r, s);
        const bool writes = touches(r, step, root, true);
        if (writes ? !step_repeats(r, s, root) : touches(r, step, root, false))
            return false;
        if (writes)
            r->work[root] += kernel_most_work(r->m->kernels.data[step->kernel]);
    }
    return true;
}

/* The loss is output 0. */
static bool find_turn(Recompute *r, uint32_t steps) {
    uint32_t loss = 0;
    while (loss < r->m->bufs.len && r->m->bufs.data[loss].kind != MB_OUT)
        loss++;
    for (uint32_t s = 0; s < steps; s++)
        if (touches(r, recompute_step(r, s), loss, true))
            r->turn = s;
    return r->turn != (uint32_t)NEVER;
}

bool recompute_look(Recompute *r, LoopModule *m) {
    Arena *a = &m->cx->arena;
    const uint32_t n = m->bufs.len + 1;
    const Entry *e = loops_entry(m, "backward");
    if (!e || m->planned)
        return false;
    *r = (Recompute){.m = m, .entry = (uint32_t)(e - m->entries.data), .turn = (uint32_t)NEVER};
    r->root = NEW_ARRAY(a, uint32_t, n);
    r->first_write = no_steps(a, n);
    r->last_write = no_steps(a, n);
    r->first_late = no_steps(a, n);
    r->work = NEW_ARRAY(a, double, n);
    r->can = NEW_ARRAY(a, bool, n);
    r->again = NEW_ARRAY(a, bool, n);
    for (uint32_t b = 0; b < m->bufs.len; b++)
        r->root[b] = plan_root(m, b);
    if (!find_turn(r, e->steps.len))
        return false;
    for (uint32_t s = 0; s < e->steps.len; s++)
        note_uses(r, s);
    for (uint32_t b = 0; b < m->bufs.len; b++)
        r->can[b] = repeats(r, b);
    return true;
}

/* ---- Doing ---- */

typedef struct Build {
    const Recompute *r;
    Arena *a;
    LoopModule *m;
    Entry *e;        /* of m */
    uint32_t *clone; /* by buffer of r->m: what stands for it behind the turn, NEVER: itself */
    bool *done;      /* by storage: it has been computed again */
    uint32_t at;     /* the step of the old entry in front of which we are */
    bool ok;
} Build;

static uint32_t clone_buf(Build *b, uint32_t buf) {
    if (b->clone[buf] != (uint32_t)NEVER)
        return b->clone[buf];
    ModBuf copy = b->r->m->bufs.data[buf];
    if (copy.alias >= 0)
        copy.alias = (int32_t)clone_buf(b, (uint32_t)copy.alias);
    b->clone[buf] = b->m->bufs.len;
    vec_push(b->a, &b->m->bufs, copy);
    return b->clone[buf];
}

/* Has somebody written the storage between step s and where we are? */
static bool is_stale(const Build *b, uint32_t root, uint32_t s) {
    const Recompute *r = b->r;
    return r->first_write[root] != (uint32_t)NEVER && r->last_write[root] > s && r->first_write[root] < b->at;
}

/* Step s of the old entry, on what was computed again. */
static void put_step(Build *b, uint32_t s);

static void compute_again(Build *b, uint32_t root) {
    if (!b->r->again[root] || b->done[root])
        return;
    b->done[root] = true;
    for (uint32_t s = b->r->first_write[root]; s <= b->r->last_write[root]; s++)
        if (touches(b->r, recompute_step(b->r, s), root, true))
            put_step(b, s);
}

static void put_step(Build *b, uint32_t s) {
    Step step = *recompute_step(b->r, s);
    const uint32_t n = recompute_params(b->r, &step);
    step.args = arena_copy(b->a, step.args, n * sizeof *step.args);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t root = b->r->root[step.args[i].buf];
        compute_again(b, root);
        if (b->r->again[root])
            step.args[i].buf = clone_buf(b, step.args[i].buf);
        else if (s != b->at && is_stale(b, root, s))
            b->ok = false;
    }
    if (s != b->at)
        step.origin = NULL; /* a value has one place where it is known */
    vec_push(b->a, &b->e->steps, step);
}

LoopModule *recompute_apply(const Recompute *r, Arena *a) {
    const LoopModule *m = r->m;
    Build b = {.r = r, .a = a, .ok = true};
    b.m = arena_copy(a, m, sizeof *m);
    b.m->bufs.data = arena_copy(a, m->bufs.data, m->bufs.len * sizeof *m->bufs.data);
    b.m->bufs.cap = m->bufs.len;
    b.m->entries.data = arena_copy(a, m->entries.data, m->entries.len * sizeof *m->entries.data);
    b.e = &b.m->entries.data[r->entry];
    memset(&b.e->steps, 0, sizeof b.e->steps);
    b.clone = no_steps(a, m->bufs.len);
    b.done = NEW_ARRAY(a, bool, m->bufs.len);
    const uint32_t steps = m->entries.data[r->entry].steps.len;
    for (b.at = 0; b.at < steps; b.at++)
        if (b.at > r->turn)
            put_step(&b, b.at);
        else
            vec_push(a, &b.e->steps, *recompute_step(r, b.at));
    return b.ok ? b.m : NULL;
}
