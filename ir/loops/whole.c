/* What a module from a file must also satisfy, since nobody but its author stands for it: it computes all
 * that it promises, and no access can leave its buffer. */
#include "ir/loops/verify.h"
#include <string.h>

static uint32_t memory_of(const LoopModule *m, uint32_t buf) {
    while (m->bufs.data[buf].alias >= 0)
        buf = (uint32_t)m->bufs.data[buf].alias;
    return buf;
}

/* Which memory the steps of an entry read or write; arguments are inout too. */
static void touched(const LoopModule *m, const char *entry, LBufKind not_kind, bool *touches) {
    for (uint32_t e = 0; e < m->entries.len; e++) {
        const Entry *x = &m->entries.data[e];
        for (uint32_t i = 0; i < x->steps.len && !strcmp(x->name, entry); i++) {
            const Step *s = &x->steps.data[i];
            const Kernel *k = m->kernels.data[s->kernel];
            for (uint32_t a = 0; a < k->n_params; a++)
                if (k->bufs.data[a].kind != not_kind)
                    touches[memory_of(m, s->args[a].buf)] = true;
        }
    }
}

static bool fault(const LoopModule *m, const char *fmt, const char *a, const char *b) {
    return diag_error(&m->cx->diag, DIAG_IR_INVALID, NULL, fmt, a, b);
}

/* The entry writes all outputs, if it has any, and prepare all that it reads of the weights. */
static bool entry_is_complete(const LoopModule *m, const char *entry) {
    Arena *a = &m->cx->arena;
    bool *written = NEW_ARRAY(a, bool, m->bufs.len + 1), *packed = NEW_ARRAY(a, bool, m->bufs.len + 1);
    bool *read = NEW_ARRAY(a, bool, m->bufs.len + 1), ok = true;
    const bool gives = entry_rules(entry)->writes >> MB_OUT & 1;
    touched(m, entry, LB_IN, written);
    touched(m, entry, LB_OUT, read);
    touched(m, "prepare", LB_IN, packed);
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind == MB_OUT && gives && !written[i])
            ok = fault(m, "no step of @%s writes the output @%s", entry, b->name);
        if (b->kind == MB_CONST && !b->data && read[i] && !packed[i])
            ok = fault(m, "@%s reads @%s, which has no contents and which no step of @prepare writes", entry,
                       b->name);
    }
    return ok;
}

static bool has_entry(const LoopModule *m, const char *entry) {
    for (uint32_t e = 0; e < m->entries.len; e++)
        if (!strcmp(m->entries.data[e].name, entry))
            return true;
    return false;
}

/* The first output of training. */
static bool gives_loss(const LoopModule *m) {
    static const Type scalar = {.dtype = DT_F32, .rank = 1, .dim = {{1, false}}};
    uint32_t i = 0;
    while (i < m->bufs.len && m->bufs.data[i].kind != MB_OUT)
        i++;
    const ModBuf *b = i < m->bufs.len ? &m->bufs.data[i] : NULL;
    return (b && !strcmp(b->key, "loss") && type_equal(&b->type, &scalar)) ||
           fault(m, "the first output of @%s is not the loss, an f32[1]%s", m->name, "");
}

/* A module infers or trains. */
static bool is_complete(const LoopModule *m) {
    static const char *const training[] = {"backward", "apply", "eval"};
    const bool infer = has_entry(m, "infer");
    int missing = -1, any = 0;
    for (int i = 0; i < 3; i++)
        if (has_entry(m, training[i]))
            any++;
        else
            missing = i;
    if (infer && any)
        return fault(m, "module @%s has entries of training beside @%s", m->name, "infer");
    if (infer)
        return entry_is_complete(m, "infer");
    if (!any || missing >= 0)
        return fault(m, "module @%s has no entry @%s", m->name, any ? training[missing] : "infer");
    bool ok = gives_loss(m);
    for (int i = 0; i < 3; i++)
        ok &= entry_is_complete(m, training[i]);
    return ok;
}

bool loops_verify_file(const LoopModule *m) {
    if (!is_complete(m))
        return false;
    bool ok = true;
    for (uint32_t i = 0; i < m->kernels.len && !diag_full(&m->cx->diag); i++)
        ok &= prove_bounds(m, m->kernels.data[i]);
    return ok;
}
