/* The interpreter's memory: where buffers lie, who wrote each element last, and which iterations touched it.
 * A planned module runs in one workspace at the planned offsets, so that a wrong plan shows as an element
 * that another buffer has overwritten. */
#include "ir/loops/interp.h"
#include <string.h>

/* ---- Faults ---- */

void interp_fault(Interp *in, const Stmt *s, const char *fmt, ...) {
    if (in->failed)
        return;
    StrBuf sb = sb_new(&in->cx->arena);
    va_list ap;
    if (in->k)
        sb_printf(&sb, "kernel @%s: ", in->k->name);
    if (s) {
        sb_putc(&sb, '`');
        stmt_print(&sb, in->k, s);
        sb_puts(&sb, "`: ");
    }
    va_start(ap, fmt);
    sb_vprintf(&sb, fmt, ap);
    va_end(ap);
    sb_printf(&sb, " (n = %lld", (long long)in->n);
    for (uint32_t i = 0; i < in->open.len; i++)
        sb_printf(&sb, ", %%%s = %lld", in->k->vars.data[in->open.data[i]],
                  (long long)in->var[in->open.data[i]]);
    sb_putc(&sb, ')');
    in->failed = true;
    diag_error(&in->cx->diag, DIAG_IR_INVALID, in->step ? &in->step->loc : NULL, "%s", sb_str(&sb));
}

/* ---- Elements ---- */

static int64_t cell_of(const View *v, int64_t elem) {
    return (v->byte + elem * v->bytes) / v->st->cell;
}

static bool other(const Interp *in, uint32_t iteration) {
    return iteration > in->loop_start && iteration != in->iteration;
}

static const char *owner_name(const Interp *in, uint32_t owner) {
    return in->m->bufs.data[owner - 1].name;
}

static bool may_read(Interp *in, const Stmt *s, const View *v, int64_t elem) {
    const Storage *st = v->st;
    const char *name = in->k->bufs.data[s->buf].name;
    int64_t c = cell_of(v, elem);
    if (!st->owner)
        return true;
    if (st->owner[c] != v->owner) {
        if (!st->owner[c] || v->local)
            interp_fault(in, s, "element %lld of %%%s is read but was never written", (long long)elem, name);
        else
            interp_fault(in, s, "element %lld of %%%s (@%s) is read but @%s has overwritten it",
                         (long long)elem, name, owner_name(in, v->owner), owner_name(in, st->owner[c]));
        return false;
    }
    if (!in->iteration || !st->writer)
        return true;
    if (other(in, st->writer[c])) {
        interp_fault(in, s, "element %lld of %%%s is read, and another parallel iteration writes it",
                     (long long)elem, name);
        return false;
    }
    if (st->reader[c] <= in->loop_start)
        st->reader[c] = in->iteration;
    else if (st->reader[c] != in->iteration)
        st->reader2[c] = in->iteration;
    return true;
}

static bool may_write(Interp *in, const Stmt *s, const View *v, int64_t elem) {
    const Storage *st = v->st;
    int64_t c = cell_of(v, elem);
    if (!st->owner)
        return true;
    for (uint32_t i = 0; i < v->bytes / st->cell; i++)
        st->owner[c + i] = v->owner;
    if (!in->iteration || !st->writer)
        return true;
    if (other(in, st->writer[c]) || other(in, st->reader[c]) || other(in, st->reader2[c])) {
        interp_fault(in, s, "element %lld of %%%s is written, and another parallel iteration %s it",
                     (long long)elem, in->k->bufs.data[s->buf].name,
                     other(in, st->writer[c]) ? "writes" : "reads");
        return false;
    }
    for (uint32_t i = 0; i < v->bytes / st->cell; i++)
        st->writer[c + i] = in->iteration;
    return true;
}

/* The element that lane 0 of s accesses; the distance between lanes. False when outside the buffer. */
static bool locate(Interp *in, const Stmt *s, int64_t *elem, int64_t *stride) {
    const View *v = &in->view[s->buf];
    const LBuf *b = &in->k->bufs.data[s->buf];
    int64_t index = ix_eval(in->k, s->index, in->var, in->n);
    int64_t unit = b->kind == LB_REG ? b->lanes : 1, last = s->type.lanes - 1;
    *stride = b->kind == LB_REG ? 1 : s->stride;
    if (index < 0 || index >= v->extent / unit || index * unit + last * *stride >= v->extent) {
        interp_fault(in, s, "element %lld of %%%s is outside its %lld", (long long)index, b->name,
                     (long long)(v->extent / unit));
        return false;
    }
    *elem = index * unit;
    return true;
}

void interp_load(Interp *in, const Stmt *s) {
    View *v = &in->view[s->buf];
    Num *r = &in->lanes[in->first[s->result]];
    const uint8_t *data = v->st->data + v->byte;
    int64_t elem, stride;
    if (!locate(in, s, &elem, &stride))
        return;
    v->read = true;
    for (int i = 0; i < s->type.lanes; i++, elem += stride) {
        if (!may_read(in, s, v, elem))
            return;
        if (dtype_is_float(v->dtype))
            r[i].f = elem_get(v->dtype, data, elem);
        else
            r[i].i = elem_get_int(v->dtype, data, elem);
    }
}

void interp_store(Interp *in, const Stmt *s) {
    View *v = &in->view[s->buf];
    const Num *a = &in->lanes[in->first[s->arg[0]]];
    uint8_t *data = v->st->data + v->byte;
    int64_t elem, stride;
    if (!locate(in, s, &elem, &stride))
        return;
    v->written = true;
    for (int i = 0; i < s->type.lanes; i++, elem += stride) {
        if (!may_write(in, s, v, elem))
            return;
        if (dtype_is_float(v->dtype))
            elem_put(v->dtype, data, elem, a[i].f);
        else
            elem_put_int(v->dtype, data, elem, a[i].i);
    }
}

/* ---- Buffers of a kernel ---- */

static Storage *new_storage(Arena *a, int64_t bytes, uint32_t cell, void *data) {
    Storage *st = NEW(a, Storage);
    st->data = data ? data : arena_alloc(a, (size_t)bytes + 1);
    st->bytes = bytes;
    st->cell = cell;
    return st;
}

/* From here on, elements begin as never written. */
static void track(Arena *a, Storage *st, bool overlap) {
    size_t cells = (size_t)(st->bytes / st->cell) + 1;
    st->owner = NEW_ARRAY(a, uint32_t, cells);
    if (!overlap)
        return;
    st->writer = NEW_ARRAY(a, uint32_t, cells);
    st->reader = NEW_ARRAY(a, uint32_t, cells);
    st->reader2 = NEW_ARRAY(a, uint32_t, cells);
}

void interp_locals(Interp *in, Arena *arena) {
    for (uint32_t i = in->k->n_params; i < in->k->bufs.len; i++) {
        const LBuf *b = &in->k->bufs.data[i];
        View *v = &in->view[i];
        *v = (View){.extent = b->extent.size * b->lanes,
                    .dtype = b->dtype,
                    .bytes = dtype_bytes(b->dtype),
                    .owner = 1,
                    .local = true};
        v->st = new_storage(arena, v->extent * v->bytes, v->bytes, NULL);
        track(arena, v->st, false); /* each thread has its own */
    }
}

void interp_alloc(Interp *in, const Stmt *s) {
    const View *v = &in->view[s->buf];
    memset(v->st->owner, 0, (size_t)v->extent * sizeof *v->st->owner);
}

void interp_check_noalias(Interp *in) {
    const Kernel *k = in->k;
    for (uint32_t i = 0; i < k->n_params; i++)
        for (uint32_t j = 0; j < k->n_params && k->bufs.data[i].noalias; j++) {
            const View *a = &in->view[i], *b = &in->view[j];
            bool apart = a->st != b->st || a->byte + a->extent * a->bytes <= b->byte ||
                         b->byte + b->extent * b->bytes <= a->byte;
            if (i != j && !apart && (a->written || b->written)) {
                interp_fault(in, NULL, "%%%s is said to share no memory, but does with %%%s",
                             k->bufs.data[i].name, k->bufs.data[j].name);
                return;
            }
        }
}

/* ---- Buffers of the module ---- */

static uint32_t root_of(const LoopModule *m, uint32_t b) {
    while (m->bufs.data[b].alias >= 0)
        b = (uint32_t)m->bufs.data[b].alias;
    return b;
}

static Storage *workspace(Interp *in) {
    const LoopModule *m = in->m;
    int64_t bytes = m->work_bytes > m->prepare_bytes ? m->work_bytes : m->prepare_bytes;
    uint32_t cell = 8;
    for (uint32_t i = 0; i < m->bufs.len; i++)
        if (m->bufs.data[i].kind == MB_WORK && dtype_bytes(m->bufs.data[i].type.dtype) < cell)
            cell = dtype_bytes(m->bufs.data[i].type.dtype);
    Storage *st = new_storage(&in->cx->arena, bytes, cell, NULL);
    track(&in->cx->arena, st, in->o->check_overlap);
    return st;
}

static Storage *buffer_storage(Interp *in, uint32_t i, bool prepare, void *memory) {
    const ModBuf *b = &in->m->bufs.data[i];
    Arena *a = &in->cx->arena;
    Storage *st = new_storage(a, type_physical_bytes(&b->type, in->n), dtype_bytes(b->type.dtype), memory);
    bool given = memory && (b->kind == MB_IN || b->kind == MB_PARAM || b->kind == MB_HYPER ||
                            (b->kind == MB_CONST && !prepare));
    if (b->data && !memory) {
        memcpy(st->data, b->data, (size_t)st->bytes);
        given = true;
    }
    if (!given)
        track(a, st, in->o->check_overlap);
    for (int64_t c = 0; b->kind == MB_STATE && c < st->bytes / st->cell; c++)
        st->owner[c] = i + 1; /* there from the start: zeros, or what the caller has */
    return st;
}

View *interp_buffers(Interp *in, const Entry *entry, void **memory) {
    const LoopModule *m = in->m;
    View *views = NEW_ARRAY(&in->cx->arena, View, m->bufs.len + 1);
    Storage *work = m->planned ? workspace(in) : NULL;
    bool prepare = !strcmp(entry->name, "prepare");
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        bool planned = work && b->kind == MB_WORK && !(memory && memory[i]);
        views[i] = (View){.extent = modbuf_elems(b, in->n),
                          .dtype = b->type.dtype,
                          .bytes = dtype_bytes(b->type.dtype),
                          .owner = root_of(m, i) + 1};
        if (b->alias >= 0)
            continue;
        views[i].st = planned ? work : buffer_storage(in, i, prepare, memory ? memory[i] : NULL);
        views[i].byte = planned ? b->offset : 0;
    }
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const View *root = &views[root_of(m, i)];
        views[i].st = root->st;
        views[i].byte = root->byte;
    }
    return views;
}

void interp_check_outputs(Interp *in, View *buffers) {
    for (uint32_t i = 0; i < in->m->bufs.len; i++) {
        const View *v = &buffers[i];
        if (in->m->bufs.data[i].kind != MB_OUT)
            continue;
        for (int64_t e = 0; e < v->extent; e++)
            if (v->st->owner && !v->st->owner[e]) {
                interp_fault(in, NULL, "element %lld of the output @%s was never written", (long long)e,
                             in->m->bufs.data[i].name);
                return;
            }
    }
}
