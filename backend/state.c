/* The state block of a training object: 64 bytes whose first word tells whose state it is, then the tensors
 * at the offsets of the plan. */
#include "backend/call.h"
#include "runtime/cnnrt/cnnrt.h"
#include <string.h>

uint64_t backend_state_bytes(const LoopModule *m) {
    return STATE_HEAD + round64(m->state_bytes);
}

uint32_t *state_order(const LoopModule *m) {
    uint32_t *order = NEW_ARRAY(&m->cx->arena, uint32_t, count_bufs(m, MB_STATE) + 1), n = 0;
    for (StateRole role = ROLE_PARAM; role <= ROLE_COUNTER; role++)
        for (uint32_t b = 0; b < m->bufs.len; b++)
            if (m->bufs.data[b].kind == MB_STATE && m->bufs.data[b].role == role)
                order[n++] = b;
    return order;
}

int64_t role_elems(const LoopModule *m, StateRole role) {
    int64_t n = 0;
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        n += b->kind == MB_STATE && b->role == role ? type_physical_elems(&b->type, m->batch) : 0;
    }
    return n;
}

const ModBuf *find_counter(const LoopModule *m, const char *key) {
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        if (b->kind == MB_STATE && b->role == ROLE_COUNTER && !strcmp(b->key, key))
            return b;
    }
    return NULL;
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t size) { /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return h;
}

/* Of the model and of where everything lies: a state of the same model under another optimizer is another.
 * Never 0, which memory often is. */
uint64_t state_word(const Emit *e) {
    const LoopModule *m = e->m;
    uint64_t h = hash_bytes(0xcbf29ce484222325u, &e->o->hash, sizeof e->o->hash);
    const uint32_t *order = state_order(m);
    for (uint32_t i = 0; i < count_bufs(m, MB_STATE); i++) {
        const ModBuf *b = &m->bufs.data[order[i]];
        h = hash_bytes(h, b->key, strlen(b->key) + 1);
        h = hash_bytes(h, &b->offset, sizeof b->offset);
    }
    return h ? h : 1;
}

static bool is_initial(const ModBuf *b) {
    return b->kind == MB_STATE && (b->role == ROLE_PARAM || b->role == ROLE_BUFFER);
}

bool has_initial(const LoopModule *m, const ObjectOptions *o) {
    for (uint32_t i = 0; i < m->bufs.len && o->training->initial; i++)
        if (is_initial(&m->bufs.data[i]) && o->training->initial[i])
            return true;
    return false;
}

uint64_t initial_bytes(const LoopModule *m) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->bufs.len; i++) {
        const ModBuf *b = &m->bufs.data[i];
        uint64_t end = is_initial(b) ? (uint64_t)(b->offset + type_physical_bytes(&b->type, m->batch)) : 0;
        bytes = end > bytes ? end : bytes;
    }
    return bytes;
}

void initial_fill(const Emit *e, char *block) {
    for (uint32_t i = 0; i < e->m->bufs.len; i++) {
        const ModBuf *b = &e->m->bufs.data[i];
        if (is_initial(b) && e->o->training->initial[i])
            memcpy(block + b->offset, e->o->training->initial[i],
                   (size_t)type_physical_bytes(&b->type, e->m->batch));
    }
}

/* fill(p, count, value): count is at least 1 */
static LLVMValueRef emit_fill(Emit *e) {
    LLVMTypeRef types[] = {e->ptr, e->i64, e->f32};
    LLVMValueRef fn = new_function(e, "fill", e->nothing, types, 3, false);
    LLVMBasicBlockRef entry = new_block(e, fn, "entry"), body = new_block(e, fn, "body");
    LLVMBasicBlockRef after = new_block(e, fn, "");
    LLVMPositionBuilderAtEnd(e->b, entry);
    LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
    LLVMValueRef i = LLVMBuildPhi(e->b, e->i64, "i");
    LLVMValueRef at = LLVMBuildGEP2(e->b, e->f32, LLVMGetParam(fn, 0), &i, 1, "");
    LLVMBuildStore(e->b, LLVMGetParam(fn, 2), at);
    LLVMValueRef next = LLVMBuildAdd(e->b, i, const_i64(e, 1), "");
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntULT, next, LLVMGetParam(fn, 1), "");
    LLVMBuildCondBr(e->b, more, body, after);
    LLVMAddIncoming(i, (LLVMValueRef[]){const_i64(e, 0), next}, (LLVMBasicBlockRef[]){entry, body}, 2);
    LLVMPositionBuilderAtEnd(e->b, after);
    LLVMBuildRetVoid(e->b);
    return fn;
}

/* What the elements of a buffer are at first, where that is not embedded. */
static float fill_of(const Emit *e, uint32_t buf) {
    const ModBuf *b = &e->m->bufs.data[buf];
    const float *fill = e->o->training->fill;
    return fill && b->kind == MB_STATE && b->role == ROLE_SLOT ? fill[buf] : 0;
}

static void fill_slots(Call *c, LLVMValueRef fill) {
    const Emit *e = c->e;
    for (uint32_t i = 0; i < e->m->bufs.len; i++) {
        float value = fill_of(e, i);
        if (value == 0)
            continue;
        int64_t elems = type_physical_elems(&e->m->bufs.data[i].type, e->m->batch);
        LLVMValueRef args[] = {buffer_base(c, i), const_i64(e, elems), LLVMConstReal(e->f32, (double)value)};
        LLVMBuildCall2(e->b, LLVMGlobalGetValueType(fill), fill, args, 3, "");
    }
}

/* The tensors: parameters and statistics as embedded, the rest zero. */
static void init_tensors(Call *c) {
    const Emit *e = c->e;
    LLVMValueRef head = const_i64(e, STATE_HEAD), zero = LLVMConstInt(e->i8, 0, false);
    LLVMValueRef at = LLVMBuildGEP2(e->b, e->i8, c->state, &head, 1, "");
    uint64_t done = e->initial ? initial_bytes(e->m) : 0;
    if (done)
        LLVMBuildMemCpy(e->b, at, 64, embedded_address(e, e->initial), 64, const_i64(e, (int64_t)done));
    LLVMValueRef rest = const_i64(e, (int64_t)done);
    int64_t bytes = (int64_t)(backend_state_bytes(e->m) - STATE_HEAD - done);
    LLVMBuildMemSet(e->b, LLVMBuildGEP2(e->b, e->i8, at, &rest, 1, ""), zero, const_i64(e, bytes), 1);
    LLVMBuildMemSet(e->b, c->state, zero, head, 64);
}

/* state_init(state, state_bytes, seed) */
LLVMValueRef emit_state_init(Emit *e) {
    LLVMTypeRef types[] = {e->ptr, e->i64, e->i64};
    LLVMValueRef fill = NULL;
    for (uint32_t i = 0; i < e->m->bufs.len && !fill; i++)
        fill = fill_of(e, i) != 0 ? emit_fill(e) : NULL;
    Call c = call_begin(e, "state_init", types, 3);
    c.state = LLVMGetParam(c.fn, 0);
    refuse_if(&c, LLVMBuildIsNull(e->b, c.state, ""), CNNRT_E_STATE);
    refuse_unaligned(&c, c.state, CNNRT_E_STATE);
    LLVMValueRef need = const_i64(e, (int64_t)backend_state_bytes(e->m));
    refuse_if(&c, LLVMBuildICmp(e->b, LLVMIntULT, LLVMGetParam(c.fn, 1), need, ""), CNNRT_E_WORKSPACE_SIZE);
    init_tensors(&c);
    fill_slots(&c, fill);
    const ModBuf *seed = find_counter(e->m, "seed");
    if (seed)
        LLVMBuildStore(e->b, LLVMGetParam(c.fn, 2), buffer_base(&c, (uint32_t)(seed - e->m->bufs.data)));
    LLVMBuildStore(e->b, const_i64(e, (int64_t)state_word(e)), c.state);
    call_return(&c, CNNRT_OK);
    return c.fn;
}
