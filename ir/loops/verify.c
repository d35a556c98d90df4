/* The verifier: buffers and steps of the module here, kernels in verify_kernel.c. */
#include "ir/loops/verify.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct Modules {
    const LoopModule *m;
    Context *cx;
    bool ok;
} Modules;

static bool fault(Modules *v, const Loc *loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static bool fault(Modules *v, const Loc *loc, const char *fmt, ...) {
    StrBuf sb = sb_new(&v->cx->arena);
    va_list ap;
    va_start(ap, fmt);
    sb_vprintf(&sb, fmt, ap);
    va_end(ap);
    v->ok = false;
    return diag_error(&v->cx->diag, DIAG_IR_INVALID, loc, "%s", sb_str(&sb));
}

/* ---- Buffers ---- */

static bool check_alias(Modules *v, uint32_t i) {
    const ModBuf *b = &v->m->bufs.data[i];
    uint32_t steps = 0;
    int64_t batch = v->m->batch;
    for (int64_t j = b->alias; j >= 0; j = v->m->bufs.data[j].alias)
        if (j >= (int64_t)v->m->bufs.len || steps++ > v->m->bufs.len)
            return fault(v, NULL, "buffer @%s: its alias leads nowhere", b->name);
    if (b->alias < 0)
        return true;
    const ModBuf *base = &v->m->bufs.data[b->alias];
    if (b->kind != MB_WORK || base->kind == MB_PARAM || base->kind == MB_CONST || base->kind == MB_HYPER)
        return fault(v, NULL, "buffer @%s: only work shares memory, with inputs, outputs, state and work",
                     b->name);
    if (dtype_bytes(b->type.dtype) != dtype_bytes(base->type.dtype))
        return fault(v, NULL, "buffer @%s and its alias @%s have elements of different size", b->name,
                     base->name);
    if (type_physical_bytes(&b->type, batch) > type_physical_bytes(&base->type, batch))
        return fault(v, NULL, "buffer @%s is larger than its alias @%s", b->name, base->name);
    return true;
}

static bool check_place(Modules *v, const ModBuf *b) {
    const LoopModule *m = v->m;
    int64_t end, bytes = type_physical_bytes(&b->type, m->batch);
    int64_t room = m->work_bytes > m->prepare_bytes ? m->work_bytes : m->prepare_bytes;
    if (!m->planned || (b->kind != MB_CONST && b->kind != MB_WORK && b->kind != MB_STATE) || b->alias >= 0)
        return true;
    if (b->kind != MB_WORK)
        room = b->kind == MB_CONST ? m->const_bytes : m->state_bytes;
    if (b->offset < 0)
        return fault(v, NULL, "buffer @%s has no place though the module is planned", b->name);
    if (b->offset % b->align || __builtin_add_overflow(b->offset, bytes, &end) || end > room)
        return fault(v, NULL, "buffer @%s: its place is misaligned or outside its block", b->name);
    return true;
}

static bool check_modbuf(Modules *v, uint32_t i) {
    const ModBuf *b = &v->m->bufs.data[i];
    const char *wrong;
    if (!b->name || (unsigned)b->kind > MB_HYPER)
        return fault(v, NULL, "buffer %u has no name or an unknown kind", i);
    if ((wrong = type_fault(v->cx, &b->type)))
        return fault(v, NULL, "buffer @%s: %s", b->name, wrong);
    if (type_physical_bytes(&b->type, v->m->batch) < 0)
        return fault(v, NULL, "buffer @%s is too large", b->name);
    if (b->align < 1 || b->align > MAX_ALIGN || (b->align & (b->align - 1)))
        return fault(v, NULL, "buffer @%s: bad alignment %u", b->name, b->align);
    if (b->data && b->kind != MB_CONST)
        return fault(v, NULL, "buffer @%s: only constants have contents", b->name);
    if (b->kind == MB_STATE && (!b->key || (unsigned)b->role >= ROLE_COUNT))
        return fault(v, NULL, "state @%s has no key or an unknown role", b->name);
    if ((b->kind == MB_STATE || b->kind == MB_HYPER) &&
        (type_has_n(&b->type) || !layout_is_dense(&b->type.layout)))
        return fault(v, NULL, "buffer @%s needs a dense layout and dimensions without N", b->name);
    return check_alias(v, i) && check_place(v, b);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_unique(Modules *v, const char **names, uint32_t n, const char *what) {
    qsort(names, n, sizeof *names, by_text);
    for (uint32_t i = 1; i < n; i++)
        if (!strcmp(names[i - 1], names[i]))
            fault(v, NULL, "two %s are called @%s", what, names[i]);
}

/* ---- Steps ---- */

static const char *const kind_text[] = {"an input", "an output", "raw weights",          "packed weights",
                                        "work",     "state",     "the numbers of a step"};

static bool kind_fits(LBufKind want, ModBufKind have, const EntryRules *rules) {
    return (want == LB_OUT || rules->reads >> have & 1) && (want == LB_IN || rules->writes >> have & 1);
}

/* An alias of an input is the caller's memory too. */
static ModBufKind memory_kind(const LoopModule *m, uint32_t buf) {
    while (m->bufs.data[buf].alias >= 0)
        buf = (uint32_t)m->bufs.data[buf].alias;
    return m->bufs.data[buf].kind;
}

static bool extent_fits(Modules *v, const LBuf *p, const StepArg *a, int64_t n) {
    int64_t end, have = modbuf_elems(&v->m->bufs.data[a->buf], n);
    return !__builtin_add_overflow(a->offset, dim_at(p->extent, n), &end) && end <= have;
}

static bool check_arg(Modules *v, const Entry *e, const Step *s, uint32_t i) {
    const Kernel *k = v->m->kernels.data[s->kernel];
    const LBuf *p = &k->bufs.data[i];
    const StepArg *a = &s->args[i];
    if (a->buf >= v->m->bufs.len)
        return fault(v, &s->loc, "call of @%s: argument %u is no buffer", k->name, i);
    const ModBuf *b = &v->m->bufs.data[a->buf];
    ModBufKind kind = memory_kind(v->m, a->buf);
    if (!kind_fits(p->kind, kind, entry_rules(e->name)))
        return fault(v, &s->loc, "call of @%s in @%s: @%s is %s, which cannot be the %s parameter %%%s",
                     k->name, e->name, b->name, kind_text[kind], lbuf_kind_names[p->kind], p->name);
    if (p->dtype != b->type.dtype)
        return fault(v, &s->loc, "call of @%s: @%s holds %s, %%%s is of %s", k->name, b->name,
                     dtype_name(b->type.dtype), p->name, dtype_name(p->dtype));
    if (a->offset < 0 || !extent_fits(v, p, a, v->m->batch) || (!v->m->n_fixed && !extent_fits(v, p, a, 1)))
        return fault(v, &s->loc, "call of @%s: @%s is too small for %%%s", k->name, b->name, p->name);
    if (p->align > b->align || a->offset % (p->align / dtype_bytes(p->dtype)))
        return fault(v, &s->loc, "call of @%s: @%s is aligned to %u bytes, %%%s wants %u", k->name, b->name,
                     b->align, p->name, p->align);
    return true;
}

/* A status stands last, where it can be read before anything has changed. */
static bool check_status(Modules *v, const Entry *e, const Step *s, bool changed) {
    const Kernel *k = v->m->kernels.data[s->kernel];
    const LBuf *last = k->n_params ? &k->bufs.data[k->n_params - 1] : NULL;
    if (!last || last->kind != LB_OUT || last->dtype != DT_I32 || last->extent.size != 1 ||
        last->extent.by_n || memory_kind(v->m, s->args[k->n_params - 1].buf) != MB_WORK)
        return fault(v, &s->loc,
                     "call of @%s in @%s: the last argument of a check is an i32[1] of the workspace",
                     k->name, e->name);
    return !changed || fault(v, &s->loc, "call of @%s in @%s: a check stands before calls that write state",
                             k->name, e->name);
}

static bool writes_state(const Modules *v, const Step *s) {
    const Kernel *k = v->m->kernels.data[s->kernel];
    for (uint32_t i = 0; i < k->n_params; i++)
        if (k->bufs.data[i].kind != LB_IN && memory_kind(v->m, s->args[i].buf) == MB_STATE)
            return true;
    return false;
}

static void check_entry(Modules *v, const Entry *e) {
    bool changed = false;
    if (!entry_rules(e->name)) {
        fault(v, NULL, "entry @%s is never called: entries are @infer, @prepare, @backward, @apply and @eval",
              e->name);
        return;
    }
    for (uint32_t i = 0; i < e->steps.len && !diag_full(&v->cx->diag); i++) {
        const Step *s = &e->steps.data[i];
        if (s->kernel >= v->m->kernels.len || (!s->args && v->m->kernels.data[s->kernel]->n_params)) {
            fault(v, &s->loc, "entry @%s: step %u calls no kernel", e->name, i);
            continue;
        }
        bool ok = true;
        for (uint32_t a = 0; a < v->m->kernels.data[s->kernel]->n_params; a++)
            ok &= check_arg(v, e, s, a);
        if (ok && s->checks)
            check_status(v, e, s, changed);
        changed |= ok && writes_state(v, s);
    }
}

/* ---- The module ---- */

static void check_kernel(Modules *v, const Kernel *k, bool expanded) {
    Verify kv = {.cx = v->cx, .m = v->m, .k = k, .expanded = expanded, .ok = true};
    verify_kernel(&kv);
    if (kv.ok && !v->m->n_fixed && v->m->batch > 1)
        verify_bounds(&kv, 1);
    if (kv.ok)
        verify_bounds(&kv, v->m->batch);
    v->ok &= kv.ok;
}

static bool check_head(Modules *v) {
    const LoopModule *m = v->m;
    if (!m->name || m->batch < 1)
        return fault(v, NULL, "the module has no name or no batch");
    uint32_t most = m->bufs.len > m->kernels.len ? m->bufs.len : m->kernels.len;
    const char **names = NEW_ARRAY(&v->cx->arena, const char *, most + m->entries.len + 1);
    for (uint32_t i = 0; i < m->bufs.len; i++)
        check_modbuf(v, i);
    if (!v->ok)
        return false;
    for (uint32_t i = 0; i < m->bufs.len; i++)
        names[i] = m->bufs.data[i].name;
    check_unique(v, names, m->bufs.len, "buffers");
    for (uint32_t i = 0; i < m->kernels.len; i++)
        names[i] = m->kernels.data[i]->name;
    check_unique(v, names, m->kernels.len, "kernels");
    for (uint32_t i = 0; i < m->entries.len; i++)
        names[i] = m->entries.data[i].name;
    check_unique(v, names, m->entries.len, "entries");
    return v->ok;
}

bool loops_verify(const LoopModule *m, bool expanded) {
    Modules v = {.m = m, .cx = m->cx, .ok = true};
    if (!check_head(&v))
        return false;
    for (uint32_t i = 0; i < m->kernels.len && !diag_full(&m->cx->diag); i++)
        check_kernel(&v, m->kernels.data[i], expanded);
    for (uint32_t i = 0; v.ok && i < m->entries.len; i++)
        check_entry(&v, &m->entries.data[i]);
    return v.ok;
}
