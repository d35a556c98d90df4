/* Memory for a module. Buffers that share memory (views, in-place results) form one storage; each storage of
 * the workspace lives from its first to its last step, and plan_offsets.c finds its place. Entries count as
 * running one after the other, so each has the workspace to itself. All sizes are for the full batch. */
#include "passes/plan.h"
#include "passes/passes.h"
#include <string.h>

#define NEVER UINT32_MAX

typedef struct Plan {
    LoopModule *m;
    Arena *a;
    uint32_t *root;  /* storage of each buffer: the number of its representative */
    int64_t *bytes;  /* of each storage (at its root) */
    uint32_t *first; /* step counted over all entries; NEVER: not used */
    uint32_t *last;
} Plan;

static bool too_large(const Plan *p, const char *what, const char *name) {
    return diag_error(&p->m->cx->diag, DIAG_SIZE_OVERFLOW, NULL, "%s%s%s%s: the bytes do not fit 63 bits",
                      what, name ? " \"" : "", name ? name : "", name ? "\"" : "");
}

static int64_t round_up(int64_t bytes) { /* -1 stays, and overflow becomes it */
    if (bytes < 0 || bytes > INT64_MAX - PLAN_ALIGN)
        return -1;
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static int64_t add(int64_t a, int64_t b) {
    int64_t sum;
    return a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum) ? -1 : sum;
}

/* Bytes of one element times a number of them. */
static int64_t sized(int64_t elems, DType t) {
    int64_t bytes;
    return elems < 0 || __builtin_mul_overflow(elems, (int64_t)dtype_bytes(t), &bytes) ? -1 : bytes;
}

static ModBuf *buffer(const Plan *p, uint32_t b) {
    return &p->m->bufs.data[b];
}

static bool in_workspace(const Plan *p, uint32_t root) {
    return buffer(p, root)->kind == MB_WORK;
}

/* ---- Storages and lifetimes ---- */

uint32_t plan_root(const LoopModule *m, uint32_t b) {
    /* The verifier refuses alias chains that return; counting makes sure that this ends anyway. */
    for (uint32_t hops = 0; hops < m->bufs.len && m->bufs.data[b].kind == MB_WORK; hops++) {
        const int32_t next = m->bufs.data[b].alias;
        if (next < 0 || (uint32_t)next >= m->bufs.len)
            break;
        b = (uint32_t)next;
    }
    return b;
}

/* Blocks are aligned to PLAN_ALIGN when they are handed over, so nothing within them can be aligned to more.
 */
static bool check_align(const Plan *p, uint32_t align, const char *name) {
    return align <= PLAN_ALIGN ||
           diag_error(&p->m->cx->diag, DIAG_IR_INVALID, NULL,
                      "buffer \"%s\": aligned to %u bytes, but workspace and weights are to %d", name, align,
                      PLAN_ALIGN);
}

static bool make_storages(Plan *p) {
    const uint32_t n = p->m->bufs.len;
    p->root = NEW_ARRAY(p->a, uint32_t, n);
    p->bytes = NEW_ARRAY(p->a, int64_t, n);
    p->first = NEW_ARRAY(p->a, uint32_t, n);
    p->last = NEW_ARRAY(p->a, uint32_t, n);
    for (uint32_t b = 0; b < n; b++) {
        const ModBuf *buf = buffer(p, b);
        const int64_t bytes = type_physical_bytes(&buf->type, p->m->batch);
        const uint32_t r = plan_root(p->m, b);
        if (bytes < 0)
            return too_large(p, "buffer", buf->name);
        if (!check_align(p, buf->align, buf->name))
            return false;
        p->root[b] = r;
        p->bytes[r] = bytes > p->bytes[r] ? bytes : p->bytes[r];
        p->first[b] = NEVER;
    }
    return true;
}

static void find_lifetimes(Plan *p) {
    uint32_t now = 0;
    for (uint32_t e = 0; e < p->m->entries.len; e++) {
        const Entry *entry = &p->m->entries.data[e];
        for (uint32_t s = 0; s < entry->steps.len; s++, now++) {
            const Step *step = &entry->steps.data[s];
            for (uint32_t i = 0; i < p->m->kernels.data[step->kernel]->n_params; i++) {
                const uint32_t r = p->root[step->args[i].buf];
                p->first[r] = p->first[r] == NEVER ? now : p->first[r];
                p->last[r] = now;
            }
        }
    }
    for (uint32_t b = 0; b < p->m->bufs.len; b++) /* nobody's memory: as if the first step used it */
        if (p->first[b] == NEVER)
            p->first[b] = p->last[b] = 0;
}

/* verify: whatever is used in an entry stays to its end. */
static void keep_all(Plan *p) {
    uint32_t begin = 0;
    for (uint32_t e = 0; e < p->m->entries.len; e++) {
        const uint32_t end = begin + p->m->entries.data[e].steps.len;
        for (uint32_t b = 0; b < p->m->bufs.len; b++)
            if (p->root[b] == b && p->last[b] >= begin && p->last[b] < end)
                p->last[b] = end - 1;
        begin = end;
    }
}

/* ---- In place ---- */

/* May output `out` of this step take over the memory of argument `from`, which dies here? */
static bool may_share(const Plan *p, const Step *step, const Kernel *k, uint32_t out, uint32_t from,
                      uint32_t now) {
    const StepArg *o = &step->args[out], *f = &step->args[from];
    const uint32_t ro = p->root[o->buf], rf = p->root[f->buf];
    if (ro == rf || ro != o->buf || !in_workspace(p, ro) || !in_workspace(p, rf) || o->offset || f->offset)
        return false;
    if (p->first[ro] != now || p->last[rf] != now || p->bytes[ro] > p->bytes[rf] ||
        k->bufs.data[out].dtype != k->bufs.data[from].dtype)
        return false;
    const ModBuf *bo = buffer(p, o->buf), *bf = buffer(p, f->buf);
    if (type_physical_bytes(&bo->type, p->m->batch) != type_physical_bytes(&bf->type, p->m->batch))
        return false;
    for (uint32_t i = 0; i < k->n_params; i++)
        if (i != out && i != from && (p->root[step->args[i].buf] == rf || p->root[step->args[i].buf] == ro))
            return false; /* the kernel allows sharing with one parameter, not with a second that is the same
                           */
    return true;
}

static void join(Plan *p, uint32_t from, uint32_t into) {
    for (uint32_t b = 0; b < p->m->bufs.len; b++)
        if (p->root[b] == from)
            p->root[b] = into;
    p->last[into] = p->last[from] > p->last[into] ? p->last[from] : p->last[into];
    buffer(p, from)->alias = (int32_t)into;
}

static void share_in_place(Plan *p) {
    uint32_t now = 0;
    for (uint32_t e = 0; e < p->m->entries.len; e++) {
        const Entry *entry = &p->m->entries.data[e];
        for (uint32_t s = 0; s < entry->steps.len; s++, now++) {
            const Step *step = &entry->steps.data[s];
            const Kernel *k = p->m->kernels.data[step->kernel];
            for (uint32_t i = 0; i < k->n_params; i++) {
                const int32_t from = k->bufs.data[i].inplace;
                if (k->bufs.data[i].kind == LB_OUT && from >= 0 && (uint32_t)from < k->n_params &&
                    may_share(p, step, k, i, (uint32_t)from, now))
                    join(p, p->root[step->args[i].buf], p->root[step->args[from].buf]);
            }
        }
    }
}

/* ---- Offsets ---- */

static void grow(const Plan *p, int64_t *bytes, uint32_t root) {
    const int64_t end = in_workspace(p, root) ? round_up(buffer(p, root)->offset + p->bytes[root]) : 0;
    *bytes = end > *bytes ? end : *bytes;
}

/* The end of the highest storage used in an entry, counted from the workspace's start. */
static void entry_bytes(Plan *p) {
    LoopModule *m = p->m;
    bool *used = NEW_ARRAY(p->a, bool, m->bufs.len);
    m->work_bytes = m->prepare_bytes = 0;
    for (uint32_t e = 0; e < m->entries.len; e++) {
        const Entry *entry = &m->entries.data[e];
        int64_t *bytes = !strcmp(entry->name, "prepare") ? &m->prepare_bytes : &m->work_bytes;
        for (uint32_t s = 0; s < entry->steps.len; s++) {
            const Step *step = &entry->steps.data[s];
            for (uint32_t i = 0; i < m->kernels.data[step->kernel]->n_params; i++) {
                grow(p, bytes, p->root[step->args[i].buf]);
                used[p->root[step->args[i].buf]] = true;
            }
        }
    }
    for (uint32_t b = 0; b < m->bufs.len; b++)
        if (p->root[b] == b && !used[b])
            grow(p, &m->work_bytes, b);
}

/* The storages of the workspace alive in steps [begin, end), as items. Returns their number. */
static uint32_t collect(const Plan *p, uint32_t begin, uint32_t end, PlanItem *items, uint32_t *owner) {
    uint32_t n = 0;
    for (uint32_t b = 0; b < p->m->bufs.len; b++) {
        if (p->root[b] != b || !in_workspace(p, b) || p->first[b] >= end || p->last[b] < begin)
            continue;
        owner[n] = b;
        items[n] = (PlanItem){.bytes = p->bytes[b], .first = p->first[b], .last = p->last[b]};
        items[n].first = items[n].first > begin ? items[n].first - begin : 0;
        items[n].last = (items[n].last < end ? items[n].last : end - 1) - begin;
        n++;
    }
    return n;
}

static bool place_workspace(Plan *p) {
    const uint32_t n = p->m->bufs.len;
    PlanItem *items = NEW_ARRAY(p->a, PlanItem, n);
    uint32_t *owner = NEW_ARRAY(p->a, uint32_t, n);
    int64_t total;
    uint32_t count = collect(p, 0, NEVER, items, owner);
    if (!plan_offsets(p->a, items, count, &total))
        return too_large(p, "the workspace", NULL);
    for (uint32_t b = 0; b < n; b++)
        if (buffer(p, b)->kind == MB_WORK)
            buffer(p, b)->offset = -1; /* that of an alias of an argument stays */
    for (uint32_t i = 0; i < count; i++)
        buffer(p, owner[i])->offset = items[i].offset;
    for (uint32_t b = 0; b < n; b++)
        if (buffer(p, b)->kind == MB_WORK && in_workspace(p, p->root[b]))
            buffer(p, b)->offset = buffer(p, p->root[b])->offset;
    entry_bytes(p);
    p->m->live_bytes = 0;
    for (uint32_t e = 0, begin = 0; e < p->m->entries.len; begin += p->m->entries.data[e++].steps.len) {
        const Entry *entry = &p->m->entries.data[e];
        if (!strcmp(entry->name, "prepare"))
            continue;
        count = collect(p, begin, begin + entry->steps.len, items, owner);
        const int64_t live = plan_live_bytes(p->a, items, count);
        if (live < 0)
            return too_large(p, "the workspace", NULL);
        p->m->live_bytes = live > p->m->live_bytes ? live : p->m->live_bytes;
    }
    return true;
}

static bool place_constants(Plan *p) {
    int64_t at = 0;
    for (uint32_t b = 0; b < p->m->bufs.len; b++) {
        if (buffer(p, b)->kind != MB_CONST)
            continue;
        buffer(p, b)->offset = at;
        at = round_up(add(at, p->bytes[b]));
        if (at < 0)
            return too_large(p, "the weights", NULL);
    }
    p->m->const_bytes = at;
    return true;
}

/* The state block: roles in their order, and of one role the buffers in theirs. */
static bool place_state(Plan *p) {
    int64_t at = 0;
    for (uint32_t role = 0; role < ROLE_COUNT; role++)
        for (uint32_t b = 0; b < p->m->bufs.len; b++) {
            if (buffer(p, b)->kind != MB_STATE || (uint32_t)buffer(p, b)->role != role)
                continue;
            buffer(p, b)->offset = at;
            at = round_up(add(at, p->bytes[b]));
            if (at < 0)
                return too_large(p, "the state", NULL);
        }
    p->m->state_bytes = at;
    return true;
}

/* Give the scratch arrays of a block offsets, in the order of their allocations; `at` is the end, -1:
 * overflow. The same array allocated in several copies of a body keeps its place. */
static void place_allocs(Kernel *k, const Block *block, int64_t *at) {
    for (uint32_t i = 0; i < block->stmts.len; i++) {
        const Stmt *s = block->stmts.data[i];
        place_allocs(k, &s->body, at);
        place_allocs(k, &s->orelse, at);
        if (s->op != LOP_ALLOC || k->bufs.data[s->buf].kind != LB_SCRATCH || k->bufs.data[s->buf].offset >= 0)
            continue;
        LBuf *buf = &k->bufs.data[s->buf];
        buf->offset = *at;
        *at = round_up(add(*at, sized(buf->extent.size, buf->dtype)));
    }
}

static bool place_scratch(Plan *p) {
    p->m->scratch_bytes = 0;
    for (uint32_t i = 0; i < p->m->kernels.len; i++) {
        Kernel *k = p->m->kernels.data[i];
        int64_t at = 0;
        for (uint32_t b = k->n_params; b < k->bufs.len; b++)
            k->bufs.data[b].offset = -1;
        place_allocs(k, &k->body, &at);
        if (at < 0)
            return too_large(p, "the scratch of kernel", k->name);
        for (uint32_t b = k->n_params; b < k->bufs.len; b++)
            if (k->bufs.data[b].offset >= 0 && !check_align(p, k->bufs.data[b].align, k->bufs.data[b].name))
                return false;
        p->m->scratch_bytes = at > p->m->scratch_bytes ? at : p->m->scratch_bytes;
    }
    return true;
}

/* ---- No-alias facts ---- */

/* Bytes [begin, end) of a block: the workspace, the weights, the state, or one argument of the entry. */
typedef struct Span {
    uint32_t block; /* a root, or these two: */
    int64_t begin, end;
} Span;
enum { BLOCK_WORK = -1, BLOCK_CONST = -2, BLOCK_STATE = -3 };

static Span span_of(const Plan *p, const StepArg *arg, const LBuf *param) {
    const uint32_t r = p->root[arg->buf];
    const ModBuf *b = buffer(p, r);
    const int64_t elem = dtype_bytes(param->dtype), elems = dim_at(param->extent, p->m->batch);
    Span s = {.block = r};
    if (b->kind == MB_WORK || b->kind == MB_CONST || b->kind == MB_STATE) {
        s.block = (uint32_t)(b->kind == MB_WORK    ? BLOCK_WORK
                             : b->kind == MB_CONST ? BLOCK_CONST
                                                   : BLOCK_STATE);
        s.begin = b->offset;
    }
    /* The verifier has seen that the view lies within its buffer; elsewise: the whole block. */
    if (elems < 0 || __builtin_mul_overflow(elem, arg->offset, &s.end) ||
        __builtin_add_overflow(s.begin, s.end, &s.begin) || __builtin_mul_overflow(elem, elems, &s.end) ||
        __builtin_add_overflow(s.begin, s.end, &s.end)) {
        s.begin = 0;
        s.end = INT64_MAX;
    }
    return s;
}

static bool disjoint(Span a, Span b) {
    return a.block != b.block || a.end <= b.begin || b.end <= a.begin;
}

static void alias_facts(Plan *p, const Step *step) {
    Kernel *k = p->m->kernels.data[step->kernel];
    for (uint32_t i = 0; i < k->n_params; i++)
        for (uint32_t j = 0; j < i; j++) {
            LBuf *a = &k->bufs.data[i], *b = &k->bufs.data[j];
            if ((a->kind == LB_IN && b->kind == LB_IN) ||
                disjoint(span_of(p, &step->args[i], a), span_of(p, &step->args[j], b)))
                continue;
            a->noalias = b->noalias = false;
        }
}

static void prove_no_alias(Plan *p) {
    for (uint32_t i = 0; i < p->m->kernels.len; i++)
        for (uint32_t b = 0; b < p->m->kernels.data[i]->n_params; b++)
            p->m->kernels.data[i]->bufs.data[b].noalias = true;
    for (uint32_t e = 0; e < p->m->entries.len; e++)
        for (uint32_t s = 0; s < p->m->entries.data[e].steps.len; s++)
            alias_facts(p, &p->m->entries.data[e].steps.data[s]);
}

static bool find_storages(Plan *p, bool keep) {
    if (!make_storages(p))
        return false;
    find_lifetimes(p);
    if (keep)
        keep_all(p);
    else
        share_in_place(p);
    return true;
}

/* ---- Questions ---- */

/* A plan of a copy: the module, its buffers and those of its kernels. */
static Plan plan_of_copy(Arena *a, const LoopModule *m) {
    Plan p = {.m = arena_copy(a, m, sizeof *m), .a = a};
    p.m->bufs.data = arena_copy(a, m->bufs.data, m->bufs.len * sizeof *m->bufs.data);
    p.m->kernels.data = arena_copy(a, m->kernels.data, m->kernels.len * sizeof *m->kernels.data);
    for (uint32_t i = 0; i < m->kernels.len; i++) {
        Kernel *k = p.m->kernels.data[i] = arena_copy(a, m->kernels.data[i], sizeof *k);
        k->bufs.data = arena_copy(a, k->bufs.data, k->bufs.len * sizeof *k->bufs.data);
    }
    return p;
}

int64_t plan_workspace(Arena *a, const LoopModule *m) {
    Plan p = plan_of_copy(a, m);
    if (!find_storages(&p, false) || !place_workspace(&p) || !place_scratch(&p))
        return -1;
    return add(round_up(p.m->work_bytes), round_up(p.m->scratch_bytes));
}

int64_t plan_scratch(Arena *a, const LoopModule *m) {
    Plan p = plan_of_copy(a, m);
    return place_scratch(&p) ? round_up(p.m->scratch_bytes) : -1;
}

bool plan_live(Arena *a, const LoopModule *m, uint32_t e, int64_t *live) {
    Plan p = plan_of_copy(a, m);
    if (!find_storages(&p, false))
        return false;
    uint32_t begin = 0;
    for (uint32_t i = 0; i < e; i++)
        begin += m->entries.data[i].steps.len;
    const uint32_t steps = m->entries.data[e].steps.len;
    PlanItem *items = NEW_ARRAY(a, PlanItem, m->bufs.len);
    const uint32_t n = collect(&p, begin, begin + steps, items, NEW_ARRAY(a, uint32_t, m->bufs.len));
    int64_t *change = NEW_ARRAY(a, int64_t, (size_t)steps + 1), sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        change[items[i].first] += round_up(items[i].bytes);
        change[items[i].last + 1] -= round_up(items[i].bytes);
    }
    for (uint32_t s = 0; s < steps; s++)
        live[s] = sum += change[s];
    return true;
}

/* The end of the storage of buffer b; 0: it lies elsewhere. */
static int64_t storage_end(const LoopModule *m, uint32_t b) {
    const ModBuf *root = &m->bufs.data[plan_root(m, b)];
    const int64_t own = type_physical_bytes(&m->bufs.data[b].type, m->batch);
    const int64_t all = type_physical_bytes(&root->type, m->batch);
    return root->kind == MB_WORK ? round_up(root->offset + (own > all ? own : all)) : 0;
}

int64_t plan_entry_bytes(const LoopModule *m, uint32_t e) {
    const Entry *entry = &m->entries.data[e];
    int64_t bytes = 0;
    for (uint32_t s = 0; s < entry->steps.len; s++) {
        const Step *step = &entry->steps.data[s];
        for (uint32_t i = 0; i < m->kernels.data[step->kernel]->n_params; i++) {
            const int64_t end = storage_end(m, step->args[i].buf);
            bytes = end > bytes ? end : bytes;
        }
    }
    return bytes;
}

bool pass_plan(Unit *u) {
    Plan p = {.m = u->loops, .a = &u->cx->arena};
    if (!find_storages(&p, u->keep_all) || !place_workspace(&p) || !place_constants(&p) || !place_state(&p) ||
        !place_scratch(&p))
        return false;
    prove_no_alias(&p);
    p.m->planned = true;
    return true;
}
