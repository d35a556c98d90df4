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

static bool is_complete(const LoopModule *m) {
    Arena *a = &m->cx->arena;
    bool *written = NEW_ARRAY(a, bool, m->bufs.len + 1), *packed = NEW_ARRAY(a, bool, m->bufs.len + 1);
    bool *read = NEW_ARRAY(a, bool, m->bufs.len + 1), infer = false, ok = true;
    for (uint32_t e = 0; e < m->entries.len; e++)
        infer |= !strcmp(m->entries.data[e].name, "infer");
    if (!infer)
        return diag_error(&m->cx->diag, DIAG_IR_INVALID, NULL, "module @%s has no entry @infer", m->name);
    touched(m, "infer", LB_IN, written);
    touched(m, "infer", LB_OUT, read);
    touched(m, "prepare", LB_IN, packed);
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind == MB_OUT && !written[i])
            ok = diag_error(&m->cx->diag, DIAG_IR_INVALID, NULL, "no step of @infer writes the output @%s",
                            b->name);
        if (b->kind == MB_CONST && !b->data && read[i] && !packed[i])
            ok = diag_error(&m->cx->diag, DIAG_IR_INVALID, NULL,
                            "@infer reads @%s, which has no contents and which no step of @prepare writes",
                            b->name);
    }
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
