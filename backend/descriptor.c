/* The descriptor <name>_model: a cnnrt_model, field by field, and the constants it points to. */
#include "backend/llvm.h"
#include "ir/train.h"
#include "runtime/cnnrt/cnnrt.h"
#include <string.h>

LLVMValueRef const_block(const Emit *e, const char *name, const void *data, size_t bytes, uint32_t align) {
    LLVMTypeRef type = LLVMArrayType2(e->i8, bytes);
    LLVMValueRef g = LLVMAddGlobal(e->mod, type, name);
    LLVMSetInitializer(g, data ? LLVMConstStringInContext2(e->c, data, bytes, true) : LLVMConstNull(type));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMInternalLinkage);
    LLVMSetAlignment(g, align);
    return g;
}

LLVMValueRef const_global(const Emit *e, const char *name, LLVMValueRef value) {
    LLVMValueRef g = LLVMAddGlobal(e->mod, LLVMTypeOf(value), name);
    LLVMSetInitializer(g, value);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMInternalLinkage);
    return g;
}

static bool is_large(const Emit *e, uint64_t bytes) {
    return e->x86 && bytes > LARGE_BYTES;
}

LLVMValueRef embedded_block(const Emit *e, const char *what, uint64_t bytes) {
    LLVMValueRef g = const_block(e, what, NULL, bytes, 64);
    LLVMSetSection(g, intern_f(e->cx, "%s%s%s", e->kind == EMIT_OBJECT ? LLVM_EMBEDDED : "",
                               is_large(e, bytes) ? EMBEDDED_LARGE : EMBEDDED, what));
    LLVMSetExternallyInitialized(g, true); /* no pass may take the zeros for what will stand there */
    return g;
}

LLVMValueRef embedded_address(const Emit *e, LLVMValueRef block) {
    if (!is_large(e, LLVMGetArrayLength2(LLVMGlobalGetValueType(block))))
        return block;
    LLVMValueRef at = const_global(e, "large", block);
    LLVMSetExternallyInitialized(at, true); /* or passes would put the address itself into the code */
    return LLVMBuildLoad2(e->b, e->ptr, at, "");
}

void add_global_name(const Emit *e, LLVMValueRef what, LLVMTypeRef type, const char *suffix) {
    LLVMAddAlias2(e->mod, type, 0, what, intern_f(e->cx, "%s_%s", e->o->name, suffix));
}

LLVMValueRef const_text(const Emit *e, const char *s) {
    LLVMValueRef g = const_block(e, "text", s, strlen(s) + 1, 1);
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

static LLVMValueRef const_struct(const Emit *e, LLVMValueRef *fields, unsigned n) {
    return LLVMConstStructInContext(e->c, fields, n, false);
}

/* The runtime's number for an element type, or -1. */
static int runtime_dtype(DType t) {
    switch (t) {
    case DT_F32:
        return CNNRT_F32;
    case DT_F64:
        return CNNRT_F64;
    case DT_BF16:
        return CNNRT_BF16;
    case DT_F16:
        return CNNRT_F16;
    case DT_I8:
        return CNNRT_I8;
    case DT_U8:
    case DT_BOOL:
        return CNNRT_U8;
    case DT_I32:
        return CNNRT_I32;
    case DT_I64:
        return CNNRT_I64;
    default:
        return -1;
    }
}

static LLVMValueRef tensor(const Emit *e, const ModBuf *b, int dtype) {
    LLVMValueRef dims[CNNRT_MAX_RANK];
    for (int i = 0; i < CNNRT_MAX_RANK; i++) {
        bool used = i < b->type.rank;
        dims[i] = const_i64(e, !used ? 0 : b->type.dim[i].by_n ? -b->type.dim[i].size : b->type.dim[i].size);
    }
    LLVMValueRef fields[] = {const_text(e, b->key ? b->key : b->name), const_i32(e, dtype),
                             const_i32(e, b->type.rank), LLVMConstArray2(e->i64, dims, CNNRT_MAX_RANK),
                             const_i64(e, type_physical_bytes(&b->type, e->m->batch))};
    return const_struct(e, fields, 5);
}

/* The kind's buffers from number `first` on. NULL after a diagnostic. */
static LLVMValueRef tensors(const Emit *e, ModBufKind kind, uint32_t first, uint32_t n, const char *name) {
    if (!n)
        return LLVMConstNull(e->ptr);
    LLVMValueRef *all = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n);
    for (uint32_t i = 0; i < n; i++) {
        const ModBuf *b = nth_buf(e->m, kind, first + i);
        int dtype = runtime_dtype(b->type.dtype);
        if (dtype < 0) {
            diag_error(&e->cx->diag, DIAG_IR_INVALID, NULL, "buffer %%%s: programs cannot pass %s elements",
                       b->name, dtype_name(b->type.dtype));
            return NULL;
        }
        all[i] = tensor(e, b, dtype);
    }
    return const_global(e, name, LLVMConstArray2(LLVMTypeOf(all[0]), all, n));
}

/* ---- Training ---- */

static LLVMValueRef state_tensors(const Emit *e) {
    uint32_t n = count_bufs(e->m, MB_STATE);
    const uint32_t *order = state_order(e->m);
    LLVMValueRef *all = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n);
    for (uint32_t i = 0; i < n; i++) {
        const ModBuf *b = &e->m->bufs.data[order[i]];
        LLVMValueRef fields[] = {tensor(e, b, runtime_dtype(b->type.dtype)), const_i32(e, b->role),
                                 const_i32(e, b->group), const_i64(e, STATE_HEAD + b->offset)};
        all[i] = const_struct(e, fields, 4);
    }
    return const_global(e, "state", LLVMConstArray2(LLVMTypeOf(all[0]), all, n));
}

/* A cnnrt_training, or NULL after a diagnostic. */
static LLVMValueRef training(const Emit *e, const TrainingCalls *calls) {
    const LoopModule *m = e->m;
    const TrainingOptions *o = e->o->training;
    uint32_t n_targets = count_targets(m), n_hyper = HYPER_GROUPS + o->n_groups * HYPER_PER_GROUP;
    LLVMValueRef targets = tensors(e, MB_IN, count_bufs(m, MB_IN) - n_targets, n_targets, "targets");
    if (!targets)
        return NULL;
    LLVMValueRef *hyper = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n_hyper);
    for (uint32_t i = 0; i < n_hyper; i++)
        hyper[i] = LLVMConstReal(e->f64, o->hyper[i]);
    /* In the order of cnnrt_training. */
    LLVMValueRef fields[] = {
        const_i32(e, sizeof(cnnrt_training)),
        const_i32(e, count_bufs(m, MB_STATE)),
        const_i32(e, n_targets),
        const_i32(e, o->n_groups),
        const_i32(e, n_hyper),
        state_tensors(e),
        targets,
        const_global(e, "hyper", LLVMConstArray2(e->f64, hyper, n_hyper)),
        const_text(e, o->loss),
        const_text(e, o->optimizer),
        const_i64(e, role_elems(m, ROLE_PARAM)),
        const_i64(e, o->n_frozen),
        const_i64(e, (int64_t)backend_state_bytes(m)),
        calls->state_init,
        calls->train_step,
        calls->zero_grad,
        calls->backward,
        calls->apply,
        calls->eval,
    };
    return const_global(e, "training", const_struct(e, fields, sizeof fields / sizeof *fields));
}

static LLVMValueRef class_names(const Emit *e) {
    uint32_t n = e->m->n_classes;
    if (!n)
        return LLVMConstNull(e->ptr);
    LLVMValueRef *all = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n);
    for (uint32_t i = 0; i < n; i++)
        all[i] = const_text(e, e->m->classes[i]);
    return const_global(e, "classes", LLVMConstArray2(e->ptr, all, n));
}

/* A cnnrt_pixels for each input; zeros where the model says nothing. */
static LLVMValueRef pixels(const Emit *e, uint32_t n) {
    static const Picture unsaid = {0};
    LLVMValueRef *all = NEW_ARRAY(&e->cx->arena, LLVMValueRef, n + 1), none = LLVMConstNull(e->ptr);
    for (uint32_t i = 0; i < n; i++) {
        const ModBuf *b = nth_buf(e->m, MB_IN, i);
        const Picture *p = b->picture ? b->picture : &unsaid;
        LLVMValueRef fields[] = {
            const_i32(e, (uint32_t)p->layout),
            const_i32(e, (uint32_t)p->color),
            const_i64(e, p->resize.v[0]),
            const_i64(e, p->resize.v[1]),
            const_i64(e, p->center_crop.v[0]),
            const_i64(e, p->center_crop.v[1]),
            p->mean ? const_text(e, p->mean) : none,
            p->std ? const_text(e, p->std) : none,
        };
        all[i] = const_struct(e, fields, sizeof fields / sizeof *fields);
    }
    return n ? const_global(e, "pixels", LLVMConstArray2(LLVMTypeOf(all[0]), all, n)) : none;
}

bool emit_descriptor(Emit *e, LLVMValueRef infer, LLVMValueRef prepare, const TrainingCalls *calls) {
    const LoopModule *m = e->m;
    uint32_t loss = calls ? 1 : 0, n_in = count_bufs(m, MB_IN) - count_targets(m);
    uint32_t n_out = count_bufs(m, MB_OUT) - loss, n_params = count_bufs(m, MB_PARAM);
    LLVMValueRef inputs = tensors(e, MB_IN, 0, n_in, "inputs");
    LLVMValueRef outputs = inputs ? tensors(e, MB_OUT, loss, n_out, "outputs") : NULL;
    LLVMValueRef params = outputs ? tensors(e, MB_PARAM, 0, n_params, "params") : NULL;
    LLVMValueRef none = LLVMConstNull(e->ptr), trains = calls && params ? training(e, calls) : none;
    if (!params || !trains)
        return false;
    int64_t scratch = (int64_t)round64(m->scratch_bytes);
    /* In the order of cnnrt_model. */
    LLVMValueRef fields[] = {
        const_i32(e, CNNRT_ABI_VERSION),
        const_i32(e, sizeof(cnnrt_model)),
        const_text(e, e->o->name),
        const_text(e, cpu_names(e->cx, e->t, e->o)),
        const_i64(e, (int64_t)e->o->hash),
        const_i64(e, m->batch),
        const_i32(e, m->n_fixed),
        const_i32(e, n_in),
        const_i32(e, n_out),
        const_i32(e, n_params),
        const_i32(e, m->n_classes),
        const_i32(e, e->weights || !e->weights_bytes ? CNNRT_WEIGHTS_PACKED
                     : e->o->weights == WEIGHTS_RAW  ? CNNRT_WEIGHTS_RAW
                                                     : 0),
        inputs,
        outputs,
        params,
        class_names(e),
        const_i64(e, (int64_t)round64(m->work_bytes)),
        const_i64(e, scratch),
        const_i64(e, e->weights_bytes),
        const_i64(e, (int64_t)round64(m->prepare_bytes) + scratch),
        infer ? infer : none,
        prepare ? prepare : none,
        trains,
        pixels(e, n_in),
    };
    LLVMValueRef model = const_global(e, "model", const_struct(e, fields, sizeof fields / sizeof *fields));
    add_global_name(e, model, LLVMGlobalGetValueType(model), "model");
    return true;
}

_Static_assert(sizeof(cnnrt_tensor) == 72 && offsetof(cnnrt_tensor, bytes) == 64, "tensor() above");
_Static_assert(sizeof(cnnrt_state_tensor) == 88 && offsetof(cnnrt_state_tensor, offset) == 80,
               "state_tensors above");
_Static_assert(sizeof(cnnrt_training) == 136 && offsetof(cnnrt_training, n_trained) == 64 &&
                   offsetof(cnnrt_training, state_init) == 88,
               "training above");
_Static_assert(sizeof(cnnrt_pixels) == 56 && offsetof(cnnrt_pixels, mean) == 40, "pixels above");
_Static_assert(sizeof(cnnrt_model) == 160 && offsetof(cnnrt_model, pixels) == 152, "emit_descriptor above");
