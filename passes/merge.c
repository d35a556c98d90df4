/* Equal kernels once: layers of one shape share code. Steps are re-pointed to the first of each kind, which
 * keeps its name, so that it can be followed from dump to dump; kernels that no step calls are dropped. */
#include "passes/passes.h"

#define NO_KERNEL UINT32_MAX

/* representative[i]: the first kernel equal to kernel i. */
static uint32_t *find_equal(const LoopModule *m) {
    const uint32_t n = m->kernels.len;
    uint32_t cap = 16;
    while (cap < 2 * n)
        cap *= 2;
    uint32_t *slots = NEW_ARRAY(&m->cx->arena, uint32_t, cap); /* number + 1; 0 is free */
    uint64_t *hash = NEW_ARRAY(&m->cx->arena, uint64_t, n);
    uint32_t *representative = NEW_ARRAY(&m->cx->arena, uint32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        hash[i] = kernel_hash(m->kernels.data[i]);
        uint32_t slot = (uint32_t)hash[i] & (cap - 1);
        for (; slots[slot]; slot = (slot + 1) & (cap - 1)) {
            const uint32_t other = slots[slot] - 1;
            if (hash[other] == hash[i] && kernel_equal(m->kernels.data[other], m->kernels.data[i]))
                break;
        }
        if (!slots[slot])
            slots[slot] = i + 1;
        representative[i] = slots[slot] - 1;
    }
    return representative;
}

bool pass_merge(Unit *u) {
    LoopModule *m = u->loops;
    const uint32_t n = m->kernels.len;
    const uint32_t *representative = find_equal(m);
    uint32_t *number = NEW_ARRAY(&m->cx->arena, uint32_t, n); /* among the kernels that stay */
    for (uint32_t i = 0; i < n; i++)
        number[i] = NO_KERNEL;
    for (uint32_t e = 0; e < m->entries.len; e++)
        for (uint32_t s = 0; s < m->entries.data[e].steps.len; s++) {
            Step *step = &m->entries.data[e].steps.data[s];
            step->kernel = representative[step->kernel];
            number[step->kernel] = 0;
        }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (number[i] != NO_KERNEL) {
            number[i] = kept;
            m->kernels.data[kept++] = m->kernels.data[i];
        }
    m->kernels.len = kept;
    for (uint32_t e = 0; e < m->entries.len; e++)
        for (uint32_t s = 0; s < m->entries.data[e].steps.len; s++) {
            Step *step = &m->entries.data[e].steps.data[s];
            step->kernel = number[step->kernel];
        }
    return true;
}
