/* The text form of loop IR; parse.c reads it back. Values are numbered in the order in which they appear. */
#include "ir/loops/text.h"
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

const LOpInfo lop_info[LOP_COUNT] = {
#define LOP(id, name, args, kind) {name, args, #kind[0]},
#include "ir/loops/lop.def"
#undef LOP
    {"store", 1, 'S'}, {"prefetch", 0, 'S'}, {"alloc", 0, 'S'}, {"for", 0, 'S'}, {"if", 0, 'S'},
};

const char *const lbuf_kind_names[] = {"in", "out", "inout", "reg", "stack", "scratch", NULL};
const char *const modbuf_kind_names[] = {"in", "out", "param", "const", "work", "state", "hyper", NULL};
const char *const for_kind_names[] = {"serial", "parallel", "unroll", "vector", "nounroll", NULL};
const char *const if_cmp_names[] = {"<", "<=", "==", "!=", NULL};

/* ---- Small things ---- */

/* @name, quoted unless it is a plain word. */
static void print_global(StrBuf *sb, const char *name) {
    bool plain = isalpha((unsigned char)name[0]) || name[0] == '_';
    for (const char *p = name; plain && *p; p++)
        plain = isalnum((unsigned char)*p) || *p == '_' || *p == '.';
    sb_putc(sb, '@');
    if (plain)
        sb_puts(sb, name);
    else
        sb_quote(sb, name);
}

static void print_ltype(StrBuf *sb, LType t) {
    sb_puts(sb, dtype_name(t.dtype));
    if (t.lanes != 1)
        sb_printf(sb, "x%d", t.lanes);
}

static void print_dim(StrBuf *sb, Dim d) {
    if (!d.by_n || d.size != 1)
        sb_printf(sb, "%" PRId64, d.size);
    if (d.by_n)
        sb_putc(sb, 'N');
}

static void print_float(StrBuf *sb, double v) {
    if (isnan(v))
        sb_puts(sb, "nan");
    else
        sb_printf(sb, "%a", v);
}

/* ---- Index expressions ---- */

/* Binding strength: 0 sum, 1 product, 2 atom. */
static void print_index(StrBuf *sb, const Kernel *k, Idx x, int strength) {
    static const char *const spelling[] = {
        [IX_ADD] = " + ", [IX_SUB] = " - ",  [IX_MUL] = "*",   [IX_DIV] = "/",
        [IX_MOD] = " % ", [IX_MIN] = "min(", [IX_MAX] = "max("};
    const IdxNode *n = &k->idx.data[x];
    if (n->kind == IX_CONST) {
        sb_printf(sb, "%" PRId64, n->value);
    } else if (n->kind == IX_VAR) {
        sb_printf(sb, "%%%s", k->vars.data[n->value]);
    } else if (n->kind == IX_N) {
        sb_putc(sb, 'n');
    } else if (n->kind >= IX_MIN) {
        sb_puts(sb, spelling[n->kind]);
        print_index(sb, k, n->a, 0);
        sb_puts(sb, ", ");
        print_index(sb, k, n->b, 0);
        sb_putc(sb, ')');
    } else {
        int own = n->kind <= IX_SUB ? 0 : 1;
        if (own < strength)
            sb_putc(sb, '(');
        /* (a % b)*c: the blanks around % would mislead the eye */
        bool mod = own && k->idx.data[n->a].kind == IX_MOD;
        print_index(sb, k, n->a, mod ? 2 : own);
        sb_puts(sb, spelling[n->kind]);
        print_index(sb, k, n->b, own + 1);
        if (own < strength)
            sb_putc(sb, ')');
    }
}

void idx_print(StrBuf *sb, const Kernel *k, Idx x) {
    print_index(sb, k, x, 0);
}

/* ---- Statements ---- */

typedef struct Printer {
    StrBuf *sb;
    const Kernel *k;
    uint32_t *number; /* of each value; NO_LVAL before its definition */
    uint32_t next;
} Printer;

static void print_value(Printer *p, LVal v) {
    if (v < p->k->vals.len && p->number[v] != NO_LVAL)
        sb_printf(p->sb, "%%%u", p->number[v]);
    else
        sb_puts(p->sb, "%undefined"); /* the verifier refuses it */
}

static void print_element(Printer *p, const Stmt *s) {
    sb_printf(p->sb, "%%%s[", p->k->bufs.data[s->buf].name);
    idx_print(p->sb, p->k, s->index);
    sb_putc(p->sb, ']');
}

static void print_access_flags(Printer *p, const Stmt *s) {
    if (s->type.lanes > 1 && s->stride != 1)
        sb_printf(p->sb, " stride %" PRId64, s->stride);
    if (s->nontemporal)
        sb_puts(p->sb, " nontemporal");
}

static void print_args(Printer *p, const Stmt *s) {
    for (int i = 0; i < lop_info[s->op].args; i++) {
        sb_puts(p->sb, i ? ", " : " ");
        print_value(p, s->arg[i]);
    }
}

static void print_const(Printer *p, const Stmt *s) {
    sb_putc(p->sb, ' ');
    if (dtype_is_float(s->type.dtype))
        print_float(p->sb, s->imm);
    else
        sb_printf(p->sb, "%" PRId64, s->imm_int);
}

/* What stands after "%3 = ". Types that follow from the arguments are left out. */
static void print_operation(Printer *p, const Stmt *s) {
    sb_puts(p->sb, lop_info[s->op].name);
    if (s->op == LOP_CONST || s->op == LOP_INDEX || s->op == LOP_LOAD || s->op == LOP_SPLAT ||
        s->op == LOP_BITCAST) {
        sb_putc(p->sb, ' ');
        print_ltype(p->sb, s->type);
    } else if (s->op == LOP_CONVERT) {
        sb_printf(p->sb, " %s", dtype_name(s->type.dtype));
    }
    print_args(p, s);
    if (s->op == LOP_CONST) {
        print_const(p, s);
    } else if (s->op == LOP_INDEX) {
        sb_putc(p->sb, ' ');
        idx_print(p->sb, p->k, s->index);
    } else if (s->op == LOP_LOAD) {
        sb_putc(p->sb, ' ');
        print_element(p, s);
        print_access_flags(p, s);
    } else if (s->op == LOP_EXTRACT) {
        sb_printf(p->sb, ", %d", (int)s->imm);
    } else if (s->op == LOP_SHUFFLE) {
        for (int i = 0; i < s->type.lanes; i++)
            sb_printf(p->sb, "%s%d", i ? ", " : " [", s->lane[i]);
        sb_putc(p->sb, ']');
    }
}

static void print_alloc(Printer *p, const Stmt *s) {
    const LBuf *b = &p->k->bufs.data[s->buf];
    LType elem = {b->dtype, b->lanes};
    uint32_t usual = b->kind == LB_REG ? dtype_bytes(b->dtype) : 64;
    sb_printf(p->sb, "alloc %s %%%s: ", lbuf_kind_names[b->kind], b->name);
    print_ltype(p->sb, elem);
    sb_printf(p->sb, "[%" PRId64 "]", b->extent.size);
    if (b->align != usual)
        sb_printf(p->sb, " align %u", b->align);
    if (b->offset >= 0)
        sb_printf(p->sb, " at %" PRId64, b->offset);
}

static void print_for_head(Printer *p, const Stmt *s) {
    sb_puts(p->sb, "for ");
    if (s->kind == FOR_VECTOR)
        sb_printf(p->sb, "vector(%d) ", s->lanes);
    else if (s->kind == FOR_PARALLEL && s->grain)
        sb_printf(p->sb, "parallel(%" PRId64 ") ", s->grain);
    else if (s->kind != FOR_SERIAL)
        sb_printf(p->sb, "%s ", for_kind_names[s->kind]);
    sb_printf(p->sb, "%%%s = ", p->k->vars.data[s->var]);
    idx_print(p->sb, p->k, s->lo);
    sb_puts(p->sb, " to ");
    idx_print(p->sb, p->k, s->hi);
    if (s->step != 1)
        sb_printf(p->sb, " step %" PRId64, s->step);
}

static void print_if_head(Printer *p, const Stmt *s) {
    sb_puts(p->sb, "if ");
    idx_print(p->sb, p->k, s->lo);
    sb_printf(p->sb, " %s ", if_cmp_names[s->cmp]);
    idx_print(p->sb, p->k, s->hi);
}

static void print_block(Printer *p, const Block *b, int depth);

static void print_control(Printer *p, const Stmt *s, int depth) {
    sb_puts(p->sb, " {\n");
    print_block(p, &s->body, depth + 1);
    sb_indent(p->sb, depth);
    if (s->orelse.stmts.len) {
        sb_puts(p->sb, "} else {\n");
        print_block(p, &s->orelse, depth + 1);
        sb_indent(p->sb, depth);
    }
    sb_putc(p->sb, '}');
}

/* One statement without its blocks. */
static void print_head(Printer *p, const Stmt *s) {
    switch (s->op) {
    case LOP_STORE:
        sb_puts(p->sb, "store ");
        print_element(p, s);
        sb_puts(p->sb, ", ");
        print_value(p, s->arg[0]);
        print_access_flags(p, s);
        break;
    case LOP_PREFETCH:
        sb_puts(p->sb, "prefetch ");
        print_element(p, s);
        sb_printf(p->sb, ", %d", (int)s->imm);
        break;
    case LOP_ALLOC:
        print_alloc(p, s);
        break;
    case LOP_FOR:
        print_for_head(p, s);
        break;
    case LOP_IF:
        print_if_head(p, s);
        break;
    default: /* the number is given after the operation: it cannot mention itself */
        sb_printf(p->sb, "%%%u = ", p->next);
        print_operation(p, s);
    }
}

static void number_result(Printer *p, const Stmt *s) {
    if (s->op < LOP_VALUE_COUNT && s->result < p->k->vals.len)
        p->number[s->result] = p->next;
    p->next += s->op < LOP_VALUE_COUNT;
}

static void print_block(Printer *p, const Block *b, int depth) {
    for (uint32_t i = 0; i < b->stmts.len; i++) {
        const Stmt *s = b->stmts.data[i];
        sb_indent(p->sb, depth);
        print_head(p, s);
        number_result(p, s);
        if (s->op == LOP_FOR || s->op == LOP_IF)
            print_control(p, s, depth);
        sb_putc(p->sb, '\n');
    }
}

static Printer printer(StrBuf *sb, const Kernel *k) {
    Printer p = {.sb = sb, .k = k, .number = NEW_ARRAY(sb->arena, uint32_t, k->vals.len)};
    for (uint32_t i = 0; i < k->vals.len; i++)
        p.number[i] = NO_LVAL;
    return p;
}

/* Give values their numbers up to `stop`; true when it was met. */
static bool number_until(Printer *p, const Block *b, const Stmt *stop) {
    for (uint32_t i = 0; i < b->stmts.len; i++) {
        const Stmt *s = b->stmts.data[i];
        if (s == stop)
            return true;
        number_result(p, s);
        if (number_until(p, &s->body, stop) || number_until(p, &s->orelse, stop))
            return true;
    }
    return false;
}

void stmt_print(StrBuf *sb, const Kernel *k, const Stmt *s) {
    Printer p = printer(sb, k);
    number_until(&p, &k->body, s);
    print_head(&p, s);
}

static void print_param(StrBuf *sb, const Kernel *k, const LBuf *b) {
    sb_printf(sb, "%s %%%s: %s[", lbuf_kind_names[b->kind], b->name, dtype_name(b->dtype));
    print_dim(sb, b->extent);
    sb_putc(sb, ']');
    if (b->align != dtype_bytes(b->dtype))
        sb_printf(sb, " align %u", b->align);
    if (b->inplace >= 0)
        sb_printf(sb, " inplace %%%s", k->bufs.data[b->inplace].name);
    if (b->noalias)
        sb_puts(sb, " noalias");
}

static void print_kernel(StrBuf *sb, const Kernel *k, int depth) {
    Printer p = printer(sb, k);
    sb_indent(sb, depth);
    sb_puts(sb, "kernel ");
    print_global(sb, k->name);
    sb_putc(sb, '(');
    for (uint32_t i = 0; i < k->n_params; i++) {
        sb_puts(sb, i ? ", " : "");
        print_param(sb, k, &k->bufs.data[i]);
    }
    sb_puts(sb, ") {\n");
    print_block(&p, &k->body, depth + 1);
    sb_indent(sb, depth);
    sb_puts(sb, "}\n");
}

void kernel_print(StrBuf *sb, const Kernel *k) {
    print_kernel(sb, k, 0);
}

/* ---- The module ---- */

static void print_data(StrBuf *sb, const ModBuf *b, int64_t elems) {
    sb_puts(sb, " = {");
    for (int64_t i = 0; i < elems; i++) {
        if (elems > 8 && i % 8 == 0) {
            sb_putc(sb, '\n');
            sb_indent(sb, 2);
        } else if (i) {
            sb_putc(sb, ' ');
        }
        if (dtype_is_float(b->type.dtype))
            print_float(sb, elem_get(b->type.dtype, b->data, i));
        else
            sb_printf(sb, "%" PRId64, elem_get_int(b->type.dtype, b->data, i));
        sb_puts(sb, i + 1 < elems ? "," : "");
    }
    sb_putc(sb, '}');
}

static void print_modbuf(StrBuf *sb, const LoopModule *m, const ModBuf *b) {
    sb_printf(sb, "  %s ", modbuf_kind_names[b->kind]);
    print_global(sb, b->name);
    sb_puts(sb, ": ");
    type_print(sb, &b->type);
    if (b->kind == MB_STATE)
        sb_printf(sb, " %s", state_role_names[b->role]);
    sb_puts(sb, b->target ? " target" : "");
    picture_print(sb, b->picture);
    if (b->key && strcmp(b->key, b->name) != 0) {
        sb_puts(sb, " key ");
        sb_quote(sb, b->key);
    }
    if (b->group)
        sb_printf(sb, " group %u", b->group);
    if (b->align != 64)
        sb_printf(sb, " align %u", b->align);
    if (b->alias >= 0 && b->alias < (int64_t)m->bufs.len) {
        sb_puts(sb, " alias ");
        print_global(sb, m->bufs.data[b->alias].name);
    }
    if (b->offset >= 0 && (b->kind == MB_CONST || b->kind == MB_WORK || b->kind == MB_STATE))
        sb_printf(sb, " at %" PRId64, b->offset);
    if (b->data)
        print_data(sb, b, modbuf_elems(b, m->batch));
    sb_putc(sb, '\n');
}

static void print_step(StrBuf *sb, const LoopModule *m, const Step *s, bool locations) {
    const Kernel *k = m->kernels.data[s->kernel];
    sb_puts(sb, "    call ");
    print_global(sb, k->name);
    sb_putc(sb, '(');
    for (uint32_t i = 0; i < k->n_params; i++) {
        sb_puts(sb, i ? ", " : "");
        print_global(sb, m->bufs.data[s->args[i].buf].name);
        if (s->args[i].offset)
            sb_printf(sb, " + %" PRId64, s->args[i].offset);
    }
    sb_putc(sb, ')');
    sb_puts(sb, s->checks ? " checks" : "");
    if (s->name) {
        sb_puts(sb, " layer ");
        sb_quote(sb, s->name);
    }
    if (s->origin) {
        sb_puts(sb, " origin ");
        print_global(sb, s->origin);
    }
    if (locations && s->loc.pointer) {
        sb_puts(sb, " loc ");
        sb_quote(sb, s->loc.pointer);
    }
    sb_putc(sb, '\n');
}

static bool step_kept(const Step *s, const PrintOptions *o) {
    return !o || !o->filter || (s->name && strstr(s->name, o->filter));
}

/* Which buffers and kernels the kept steps use; all of them without a filter. */
static void mark_used(const LoopModule *m, const PrintOptions *o, bool *buf, bool *kernel) {
    bool all = !o || !o->filter;
    memset(buf, all, m->bufs.len);
    memset(kernel, all, m->kernels.len);
    for (uint32_t e = 0; e < m->entries.len; e++)
        for (uint32_t i = 0; i < m->entries.data[e].steps.len; i++) {
            const Step *s = &m->entries.data[e].steps.data[i];
            if (!step_kept(s, o))
                continue;
            kernel[s->kernel] = true;
            for (uint32_t a = 0; a < m->kernels.data[s->kernel]->n_params; a++)
                buf[s->args[a].buf] = true;
        }
    for (uint32_t pass = 0; pass < 2; pass++) /* an alias and what it is an alias of */
        for (uint32_t i = m->bufs.len; i-- > 0;)
            if (buf[i] && m->bufs.data[i].alias >= 0)
                buf[m->bufs.data[i].alias] = true;
}

static void print_module_head(StrBuf *sb, const LoopModule *m) {
    sb_puts(sb, "module ");
    print_global(sb, m->name);
    sb_printf(sb, " batch %" PRId64 "%s {\n", m->batch, m->n_fixed ? " fixed" : "");
    for (uint32_t i = 0; i < m->n_classes; i++) {
        sb_puts(sb, i ? ", " : "  classes ");
        sb_quote(sb, m->classes[i]);
    }
    sb_puts(sb, m->n_classes ? "\n" : "");
}

static void print_plan(StrBuf *sb, const LoopModule *m) {
    sb_printf(
        sb, "  plan work %" PRId64 " prepare %" PRId64 " scratch %" PRId64 " const %" PRId64 " live %" PRId64,
        m->work_bytes, m->prepare_bytes, m->scratch_bytes, m->const_bytes, m->live_bytes);
    if (m->state_bytes)
        sb_printf(sb, " state %" PRId64, m->state_bytes);
    sb_putc(sb, '\n');
}

void loops_print(StrBuf *sb, const LoopModule *m, const PrintOptions *o) {
    bool *buf = NEW_ARRAY(sb->arena, bool, m->bufs.len + 1);
    bool *kernel = NEW_ARRAY(sb->arena, bool, m->kernels.len + 1);
    mark_used(m, o, buf, kernel);
    print_module_head(sb, m);
    for (uint32_t i = 0; i < m->bufs.len; i++)
        if (buf[i])
            print_modbuf(sb, m, &m->bufs.data[i]);
    if (m->planned)
        print_plan(sb, m);
    for (uint32_t i = 0; i < m->kernels.len; i++)
        if (kernel[i]) {
            sb_putc(sb, '\n');
            print_kernel(sb, m->kernels.data[i], 1);
        }
    for (uint32_t e = 0; e < m->entries.len; e++) {
        const Entry *entry = &m->entries.data[e];
        sb_puts(sb, "\n  entry ");
        print_global(sb, entry->name);
        sb_puts(sb, " {\n");
        for (uint32_t i = 0; i < entry->steps.len; i++)
            if (step_kept(&entry->steps.data[i], o))
                print_step(sb, m, &entry->steps.data[i], o && o->locations);
        sb_puts(sb, "  }\n");
    }
    sb_puts(sb, "}\n");
}
