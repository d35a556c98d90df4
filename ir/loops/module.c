/* The module: kernels, buffers, entries. */
#include "ir/loops/loops.h"
#include <string.h>

#define KIND(k) (1u << (k))
enum {
    CALLER = KIND(MB_IN) | KIND(MB_OUT),
    WORK = KIND(MB_WORK),
    STATE = KIND(MB_STATE),
};

/* `apply` sees neither weights nor arguments, and `eval` changes no state: their C functions are not given
 * what that needs. */
static const EntryRules entries[] = {
    {"infer", CALLER | KIND(MB_CONST) | WORK, KIND(MB_OUT) | WORK},
    {"prepare", KIND(MB_PARAM) | KIND(MB_CONST) | WORK, KIND(MB_CONST) | WORK},
    {"backward", CALLER | KIND(MB_CONST) | WORK | STATE | KIND(MB_HYPER), KIND(MB_OUT) | WORK | STATE},
    {"apply", WORK | STATE | KIND(MB_HYPER), WORK | STATE},
    {"eval", CALLER | KIND(MB_CONST) | WORK | STATE, KIND(MB_OUT) | WORK},
};

const EntryRules *entry_rules(const char *name) {
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!strcmp(entries[i].name, name))
            return &entries[i];
    return NULL;
}

LoopModule *loops_new(Context *cx, const char *name) {
    LoopModule *m = NEW(&cx->arena, LoopModule);
    m->cx = cx;
    m->name = intern(cx, name);
    m->batch = 1;
    return m;
}

uint32_t loops_buf(LoopModule *m, ModBuf buf) {
    if (!buf.align)
        buf.align = 64;
    if (buf.kind != MB_WORK)
        buf.alias = -1;
    vec_push(&m->cx->arena, &m->bufs, buf);
    return m->bufs.len - 1;
}

Entry *loops_entry(LoopModule *m, const char *name) {
    for (uint32_t i = 0; i < m->entries.len; i++)
        if (!strcmp(m->entries.data[i].name, name))
            return &m->entries.data[i];
    return NULL;
}

Entry *loops_add_entry(LoopModule *m, const char *name) {
    vec_push(&m->cx->arena, &m->entries, (Entry){.name = intern(m->cx, name)});
    return &m->entries.data[m->entries.len - 1];
}

int64_t modbuf_elems(const ModBuf *b, int64_t n) {
    return type_physical_elems(&b->type, n);
}
