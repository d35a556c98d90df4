/* recompute: training under a memory budget. Values of the forward part that the way back needs are computed
 * again, right before it needs them, rather than kept from then on, until the workspace fits: in each round
 * the one that frees the most for its work. What is so is always asked of the planner itself. It runs on
 * loops, behind all that could see that it does things twice. */
#include "passes/recompute.h"
#include "passes/plan.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* First only what takes at most so many statements, scalar or vector, per byte: pointwise work, pools. Then
 * convolutions and products as well. */
static const double CHEAP = 1;

typedef struct Candidate {
    uint32_t root;
    double score; /* of late, an estimate from above */
} Candidate;

typedef struct Search {
    Recompute r;
    int64_t budget, target; /* bytes; the target for what is alive is below by what the planner loses */
    int64_t scratch;
    double limit;  /* statements per byte that are allowed */
    double excess; /* of r.again */
    Candidate *all;
    uint32_t n;
    bool failed; /* after a diagnostic */
} Search;

/* ---- Measures ---- */

static Arena begin(const Search *s) {
    Arena a;
    arena_init(&a, s->r.m->cx->arena.oom);
    a.limit = s->r.m->cx->arena.limit;
    return a;
}

/* How far what is alive lies above the target, summed over the steps of the entry; INFINITY: impossible.
 * Unlike the peak it tells of every storage that is in the way whether it is gone. */
static double measure(Search *s) {
    Arena a = begin(s);
    double sum = INFINITY;
    const LoopModule *m = recompute_apply(&s->r, &a);
    if (m) {
        const uint32_t steps = m->entries.data[s->r.entry].steps.len;
        int64_t *live = NEW_ARRAY(&a, int64_t, steps);
        s->failed |= !plan_live(&a, m, s->r.entry, live);
        sum = 0;
        for (uint32_t i = 0; i < steps; i++)
            sum += live[i] > s->target ? (double)(live[i] - s->target) : 0;
    }
    arena_free(&a);
    return sum;
}

static int64_t workspace(Search *s) {
    Arena a = begin(s);
    const LoopModule *m = recompute_apply(&s->r, &a);
    const int64_t bytes = m ? plan_workspace(&a, m) : INT64_MAX;
    s->failed |= bytes < 0;
    arena_free(&a);
    return bytes;
}

/* ---- Candidates ---- */

/* Add to `set` what it takes to compute the storage again: of what it reads, whatever nobody else keeps till
 * then and is cheap enough, and so on. */
static void add_needed(const Search *s, uint32_t root, bool *set) {
    const Recompute *r = &s->r;
    set[root] = true;
    for (uint32_t i = r->first_write[root]; i <= r->last_write[root]; i++) {
        const Step *step = recompute_step(r, i);
        for (uint32_t k = 0; k < recompute_params(r, step); k++) {
            const uint32_t o = r->root[step->args[k].buf];
            if (!set[o] && !r->again[o] && r->can[o] && r->first_late[o] == (uint32_t)NEVER &&
                r->work[o] <= s->limit * (double)type_physical_bytes(&r->m->bufs.data[o].type, 1))
                add_needed(s, o, set);
        }
    }
}

/* What is above the target per statement to come down to it, with the candidate computed again. With `take`
 * it is taken. */
static double score(Search *s, uint32_t root, bool take) {
    const uint32_t n = s->r.m->bufs.len;
    Arena a = begin(s);
    bool *set = NEW_ARRAY(&a, bool, n);
    double work = 1;
    add_needed(s, root, set);
    for (uint32_t b = 0; b < n; b++) {
        work += set[b] ? s->r.work[b] : 0;
        s->r.again[b] |= set[b];
    }
    const double excess = measure(s), gain = s->excess - excess;
    for (uint32_t b = 0; b < n; b++)
        s->r.again[b] &= take || !set[b];
    s->excess = take ? excess : s->excess;
    arena_free(&a);
    return gain / work;
}

static bool is_allowed(const Search *s, uint32_t root) {
    return !s->r.again[root] &&
           s->r.work[root] <= s->limit * (double)type_physical_bytes(&s->r.m->bufs.data[root].type, 1);
}

/* The candidate with the best score, or NULL. Scores only fall, as a rule, while others are taken: those from
 * earlier rounds say which are worth asking again. */
static Candidate *best(Search *s) {
    for (;;) {
        Candidate *top = NULL;
        double second = 0;
        for (uint32_t i = 0; i < s->n; i++) {
            Candidate *c = &s->all[i];
            if (c->score <= 0 || !is_allowed(s, c->root))
                continue;
            if (top && c->score <= top->score) {
                second = c->score > second ? c->score : second;
                continue;
            }
            second = top ? top->score : 0;
            top = c;
        }
        if (!top)
            return NULL;
        top->score = score(s, top->root, false);
        if (top->score > 0 && top->score >= second)
            return top;
    }
}

static void ask_all_again(Search *s) {
    for (uint32_t i = 0; i < s->n; i++)
        s->all[i].score = INFINITY;
}

/* Take candidates until nothing alive is above the target. False: there are none left that help. */
static bool shrink(Search *s) {
    bool asked = true;
    ask_all_again(s);
    s->excess = measure(s);
    while (s->excess > 0 && !s->failed) {
        const Candidate *c = best(s);
        if (!c && asked)
            return false;
        if (!c)
            ask_all_again(s);
        else
            (void)score(s, c->root, true);
        asked = !c;
    }
    return !s->failed;
}

/* ---- The budget ---- */

/* Decide what is computed again so that the workspace is at most `budget` bytes. */
static bool fit(Search *s, int64_t budget) {
    static const double limits[] = {CHEAP, INFINITY};
    memset(s->r.again, 0, s->r.m->bufs.len * sizeof *s->r.again);
    s->target = budget - s->scratch;
    for (uint32_t i = 0; i < 2; i++) {
        s->limit = limits[i];
        for (bool more = true; more;) {
            more = shrink(s);
            const int64_t bytes = workspace(s);
            if (s->failed || bytes <= budget)
                return !s->failed;
            /* All sizes are multiples of PLAN_ALIGN: what is less changes nothing. */
            s->target -= bytes - budget > PLAN_ALIGN ? bytes - budget : PLAN_ALIGN;
        }
    }
    return false;
}

/* What turned out not to be needed is kept after all, the dearest first. */
static void prune(Search *s, int64_t budget) {
    bool *asked = NEW_ARRAY(&s->r.m->cx->arena, bool, s->r.m->bufs.len + 1);
    for (;;) {
        uint32_t dearest = (uint32_t)NEVER;
        for (uint32_t b = 0; b < s->r.m->bufs.len; b++)
            if (s->r.again[b] && !asked[b] &&
                (dearest == (uint32_t)NEVER || s->r.work[b] > s->r.work[dearest]))
                dearest = b;
        if (dearest == (uint32_t)NEVER)
            return;
        asked[dearest] = true;
        s->r.again[dearest] = false;
        s->r.again[dearest] = workspace(s) > budget;
    }
}

/* The least budget that can be met, as far as the search can tell: what the workspace takes then. The search
 * finds that way when it is asked for `asked`. */
static int64_t least_budget(Search *s, int64_t most, int64_t *asked) {
    int64_t fails = 0, fits = most;
    *asked = most;
    while (fits - fails > PLAN_ALIGN && fits - fails > fits / 1000) {
        const int64_t middle = fails + (fits - fails) / 2;
        if (fit(s, middle))
            fits = workspace(s), *asked = middle;
        else
            fails = middle;
    }
    while (fit(s, fits - 1)) {
        *asked = fits - 1;
        fits = workspace(s);
    }
    return fits;
}

/* The search is greedy: a tighter budget may lead it to a way that meets this one too. */
static bool reach(Search *s, int64_t budget) {
    if (fit(s, budget) || s->failed)
        return !s->failed;
    memset(s->r.again, 0, s->r.m->bufs.len * sizeof *s->r.again);
    int64_t asked;
    return least_budget(s, workspace(s), &asked) <= budget && fit(s, asked);
}

/* The largest batch found with which the budget can be met, 0: none. A thirty-second is left to spare, as the
 * algorithms that another batch chooses may take a little more. */
static int64_t largest_batch(Search *s) {
    const int64_t batch = s->r.m->batch;
    int64_t fits = 0, fails = batch;
    while (fails - fits > 1) {
        s->r.m->batch = fits + (fails - fits) / 2;
        *(reach(s, s->budget - s->budget / 32) ? &fits : &fails) = s->r.m->batch;
    }
    s->r.m->batch = batch;
    return fits;
}

static bool report(Search *s, int64_t most) {
    LoopModule *m = s->r.m;
    int64_t asked;
    const int64_t least = least_budget(s, most, &asked), batch = m->n_fixed ? 0 : largest_batch(s);
    diag_error(&m->cx->diag, DIAG_MEMORY_BUDGET, NULL,
               "the workspace of a training step has %" PRId64 " bytes, and %" PRId64
               " when all is computed again that can be: %" PRId64 " more than the budget of %" PRId64,
               most, least, least - s->budget, s->budget);
    if (!batch)
        return diag_hint(&m->cx->diag, "a budget of %" PRId64 " bytes can be met", least);
    return diag_hint(&m->cx->diag,
                     "a budget of %" PRId64 " bytes can be met; or, with this one, a batch of %" PRId64,
                     least, batch);
}

/* ---- The pass ---- */

static void find_candidates(Search *s) {
    const Recompute *r = &s->r;
    s->all = NEW_ARRAY(&r->m->cx->arena, Candidate, r->m->bufs.len);
    for (uint32_t b = 0; b < r->m->bufs.len; b++)
        if (r->can[b] && r->first_late[b] != (uint32_t)NEVER)
            s->all[s->n++].root = b;
}

static const char *unique_name(const LoopModule *m, const char *want) {
    const char *name = intern_f(m->cx, "%s.again", want);
    for (uint32_t b = 0, i = 2; b < m->bufs.len; b++)
        if (m->bufs.data[b].name == name) {
            name = intern_f(m->cx, "%s.again.%u", want, i++);
            b = 0;
        }
    return name;
}

static void take(Search *s) {
    LoopModule *m = s->r.m;
    const uint32_t old = m->bufs.len;
    const LoopModule *made = recompute_apply(&s->r, &m->cx->arena);
    m->bufs = made->bufs;
    m->entries = made->entries;
    for (uint32_t b = old; b < m->bufs.len; b++)
        m->bufs.data[b].name = unique_name(m, m->bufs.data[b].name);
}

bool pass_recompute(Unit *u) {
    Search s = {.budget = u->train ? u->train->memory_budget : 0};
    if (!s.budget || u->keep_all || !recompute_look(&s.r, u->loops))
        return true;
    const int64_t most = workspace(&s);
    if (s.failed || most <= s.budget)
        return !s.failed;
    find_candidates(&s);
    s.scratch = plan_scratch(&u->cx->arena, u->loops);
    if (!reach(&s, s.budget))
        return !s.failed && report(&s, most);
    prune(&s, s.budget);
    take(&s);
    return true;
}
