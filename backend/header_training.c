/* The part of the generated header that training has in place of infer. */
#include "backend/header.h"
#include "ir/train.h"
#include <inttypes.h>

/* What is trained and what is not, and what that saves. */
static void put_trained(Header *h) {
    const TrainingOptions *o = h->o->training;
    sb_printf(h->sb, "#define %s_TRAINED %" PRId64 " /* parameters that are trained */\n", h->upper,
              role_elems(h->m, ROLE_PARAM));
    sb_printf(h->sb, "#define %s_FROZEN %" PRId64 " /* and that are not", h->upper, o->n_frozen);
    if (o->saved_gradients > 0)
        sb_printf(h->sb,
                  ": without `freeze` the state would have %" PRId64 " bytes more of gradients and %" PRId64
                  " of optimizer's memory",
                  o->saved_gradients, o->saved_slots);
    sb_puts(h->sb, " */\n\n");
}

static void put_state(Header *h) {
    StrBuf *sb = h->sb;
    const LoopModule *m = h->m;
    const char **names = state_names(h->cx, m, &h->args);
    const uint32_t *order = state_order(m);
    sb_printf(sb,
              "/* The state: all that training changes. A block of the caller's, aligned to 64 bytes, that\n"
              " * %s_state_init fills; a copy of it is a checkpoint in memory. Its tensors lie dense, in "
              "PyTorch's\n"
              " * order, at these offsets in bytes:\n"
              " *     const float *w = (const float *)((const char *)state + offset); */\n"
              "#define %s_STATE_BYTES ((size_t)%" PRIu64 ")\n",
              h->name, h->upper, backend_state_bytes(m));
    for (uint32_t i = 0; i < count_bufs(m, MB_STATE); i++) {
        const ModBuf *b = &m->bufs.data[order[i]];
        sb_printf(sb, "#define %s_%s ((size_t)%" PRId64 ") /* \"", h->upper, names[i],
                  STATE_HEAD + b->offset);
        put_comment(sb, b->key);
        sb_puts(sb, "\" ");
        put_shape(sb, &b->type);
        if (b->role == ROLE_PARAM && h->o->training->n_groups > 1)
            sb_printf(sb, ", group %u", b->group);
        sb_puts(sb, " */\n");
    }
    sb_puts(sb, "\n");
}

/* Which parameters a group has. */
static void put_group(Header *h, uint32_t i) {
    const TrainingOptions *o = h->o->training;
    const double *numbers = o->hyper + HYPER_GROUPS + (size_t)i * HYPER_PER_GROUP;
    int64_t elems = 0;
    for (uint32_t b = 0; b < h->m->bufs.len; b++) {
        const ModBuf *buf = &h->m->bufs.data[b];
        if (buf->kind == MB_STATE && buf->role == ROLE_PARAM && buf->group == i)
            elems += type_elems(&buf->type, 1);
    }
    sb_printf(h->sb, "%s * group[%u]:", i ? "\n" : "", i);
    for (uint32_t k = 0; k < o->groups[i].n_patterns; k++) {
        sb_puts(h->sb, k ? ", \"" : " \"");
        put_comment(h->sb, o->groups[i].patterns[k]);
        sb_puts(h->sb, "\"");
    }
    if (i == 0)
        sb_printf(h->sb, " all parameters%s", o->n_groups > 1 ? " that no other group names" : "");
    sb_printf(h->sb, " (%" PRId64 "); lr ", elems);
    attr_print_float(h->sb, numbers[HYPER_LR]);
    sb_puts(h->sb, ", weight_decay ");
    attr_print_float(h->sb, numbers[HYPER_WEIGHT_DECAY]);
}

static void put_hyper(Header *h) {
    StrBuf *sb = h->sb;
    const TrainingOptions *o = h->o->training;
    sb_printf(
        sb,
        "/* The numbers of a step, which may differ in each. grad_scale multiplies the loss's gradient: 1, "
        "or\n"
        " * 1/k when k calls of backward are accumulated. clip is the limit of gradient clipping, where the\n"
        " * recipe has it. momentum is beta1 in Adam and AdamW. The recipe's groups, how many numbers each "
        "trains,\n"
        " * and the rates it begins with:\n");
    for (uint32_t i = 0; i < o->n_groups; i++)
        put_group(h, i);
    sb_printf(
        sb,
        " */\n"
        "typedef struct %s_group {\n    double lr, weight_decay, momentum;\n} %s_group;\n"
        "typedef struct %s_hyper {\n    double grad_scale, clip;\n    %s_group group[%u];\n} %s_hyper;\n"
        "#define %s_HYPER_INIT {",
        h->name, h->name, h->name, h->name, o->n_groups, h->name, h->upper);
    for (uint32_t i = 0; i < HYPER_GROUPS + o->n_groups * HYPER_PER_GROUP; i++) {
        bool first = i >= HYPER_GROUPS && (i - HYPER_GROUPS) % HYPER_PER_GROUP == 0;
        sb_puts(sb, i == HYPER_GROUPS ? ", {{" : i == 0 ? "" : first ? "}, {" : ", ");
        attr_print_float(sb, o->hyper[i]);
    }
    sb_puts(sb, "}}} /* as the recipe has them */\n\n");
}

static void put_state_init(Header *h) {
    sb_printf(h->sb,
              "/* Fill a block of %s_STATE_BYTES: %s, the optimizer's\n"
              " * memory and the counters as they begin. `seed` is that of dropout. */\n"
              "int %s_state_init(void *state, size_t state_bytes, uint64_t seed);\n\n",
              h->upper,
              has_initial(h->m, h->o) ? "parameters and statistics as they are in the object"
                                      : "parameters and statistics zero, for the caller to write",
              h->name);
}

/* A call on n samples: name(n, inputs..., targets..., loss, outputs..., state, [hyper], weights, ...) */
static void put_call(Header *h, const char *name, bool hyper) {
    StrBuf *sb = h->sb;
    sb_printf(sb, "int %s_%s(int64_t n", h->name, name);
    for (uint32_t i = 0; i < h->args.n_in; i++)
        put_arg(h, nth_buf(h->m, MB_IN, i), h->args.in[i], "const ");
    for (uint32_t i = 0; i < h->args.n_out; i++)
        put_arg(h, nth_buf(h->m, MB_OUT, i), h->args.out[i], "");
    sb_printf(sb, ",\n    %svoid *state", hyper ? "" : "const ");
    if (hyper)
        sb_printf(sb, ", const %s_hyper *hyper", h->name);
    sb_puts(sb, ",\n    const void *weights, void *work, size_t work_bytes,\n"
                "    cnnrt_pool *pool /* NULL: this thread alone */);\n\n");
}

void put_training(Header *h) {
    StrBuf *sb = h->sb;
    put_trained(h);
    put_state(h);
    put_hyper(h);
    put_state_init(h);
    sb_printf(sb,
              "/* One step on n samples: forward, backward, %s. The loss is %s's\n"
              " * before the step, and so are the outputs. %s.\n"
              " * On any error the state is as it was. */\n",
              h->o->training->optimizer, h->o->training->loss,
              h->external             ? "`weights` is the block that prepare filled"
              : h->m->const_bytes > 0 ? "`weights` NULL: those in the object"
                                      : "`weights` may be NULL");
    put_call(h, "train_step", true);
    sb_printf(sb,
              "/* Its halves. Gradients add up over calls of backward after zero_grad; apply makes one step "
              "of the\n"
              " * optimizer with them. zero_grad, backward, apply is train_step, bit for bit. */\n"
              "int %s_zero_grad(void *state);\n",
              h->name);
    put_call(h, "backward", true);
    sb_printf(sb,
              "int %s_apply(void *state, const %s_hyper *hyper, void *work, size_t work_bytes,\n"
              "    cnnrt_pool *pool /* NULL: this thread alone */);\n\n",
              h->name, h->name);
    sb_puts(sb, "/* Loss and outputs in evaluation mode: running statistics, no dropout. Several threads may "
                "call it\n"
                " * with one state, given distinct workspaces, while nothing writes the state. */\n");
    put_call(h, "eval", false);
}
