/* The verifier's rules for single statements: numbers in range, types that fit the operation. */
#include "ir/loops/verify.h"
#include <math.h>

static bool same(LType a, LType b) {
    return a.dtype == b.dtype && a.lanes == b.lanes;
}

static bool type_valid(LType t) {
    return (unsigned)t.dtype < DT_COUNT && t.lanes >= 1 && t.lanes <= MAX_LANES;
}

static bool uses_buf(LOp op) {
    return op == LOP_LOAD || op == LOP_STORE || op == LOP_PREFETCH || op == LOP_ALLOC;
}

static bool uses_index(LOp op) {
    return op == LOP_LOAD || op == LOP_STORE || op == LOP_PREFETCH || op == LOP_INDEX;
}

bool verify_ids(Verify *v, const Stmt *s) {
    const Kernel *k = v->k;
    if ((unsigned)s->op >= LOP_COUNT)
        return verify_fault(v, NULL, "unknown statement %d", s->op);
    const char *name = lop_info[s->op].name;
    bool has_value = s->op < LOP_VALUE_COUNT;
    if (has_value ? s->result >= k->vals.len : s->result != NO_LVAL)
        return verify_fault(v, NULL, "%s: bad result number", name);
    for (int i = 0; i < lop_info[s->op].args; i++)
        if (s->arg[i] >= k->vals.len)
            return verify_fault(v, NULL, "%s: argument %d is missing", name, i);
    if (uses_buf(s->op) && s->buf >= k->bufs.len)
        return verify_fault(v, NULL, "%s: unknown buffer", name);
    if (uses_index(s->op) && s->index >= k->idx.len)
        return verify_fault(v, NULL, "%s: unknown index expression", name);
    if ((s->op == LOP_FOR || s->op == LOP_IF) && (s->lo >= k->idx.len || s->hi >= k->idx.len))
        return verify_fault(v, NULL, "%s: unknown index expression", name);
    if (s->op == LOP_FOR && (s->var >= k->vars.len || (unsigned)s->kind > FOR_NOUNROLL))
        return verify_fault(v, NULL, "for: unknown variable or kind");
    if (s->op == LOP_IF && (unsigned)s->cmp > IF_NE)
        return verify_fault(v, NULL, "if: unknown comparison");
    if (s->op == LOP_SHUFFLE && !s->lane)
        return verify_fault(v, NULL, "shuffle: no lanes");
    if ((has_value || s->op == LOP_STORE) && !type_valid(s->type))
        return verify_fault(v, NULL, "%s: bad type", name);
    if (has_value && !same(s->type, k->vals.data[s->result]))
        return verify_fault(v, NULL, "%s: the type of the statement is not that of its value", name);
    return true;
}

/* ---- Arithmetic ---- */

static bool check_arithmetic(Verify *v, const Stmt *s, const LType *arg) {
    DType t = arg[0].dtype;
    for (int i = 0; i < lop_info[s->op].args; i++)
        if (!same(arg[i], arg[0]))
            return verify_fault(v, s, "the arguments differ in type");
    if (lop_info[s->op].kind == 'C')
        return (s->type.dtype == DT_BOOL && s->type.lanes == arg[0].lanes) ||
               verify_fault(v, s, "a comparison gives bool lanes");
    if (!same(s->type, arg[0]))
        return verify_fault(v, s, "the result has another type than the arguments");
    switch (s->op) {
    case LOP_AND:
    case LOP_OR:
    case LOP_XOR:
        return !dtype_is_float(t) || verify_fault(v, s, "the arguments must be integers or bools");
    case LOP_SHL:
    case LOP_SHR:
    case LOP_MULHI:
        return (!dtype_is_float(t) && t != DT_BOOL) || verify_fault(v, s, "the arguments must be integers");
    case LOP_SQRT:
    case LOP_FLOOR:
        return dtype_is_float(t) || verify_fault(v, s, "the arguments must be floats");
    default:
        return t != DT_BOOL || verify_fault(v, s, "no arithmetic on bools");
    }
}

static bool check_shuffle(Verify *v, const Stmt *s, const LType *arg) {
    if (!same(arg[0], arg[1]) || s->type.dtype != arg[0].dtype)
        return verify_fault(v, s, "the arguments and the result of a shuffle have one element type");
    for (int i = 0; i < s->type.lanes; i++)
        if (s->lane[i] >= 2 * arg[0].lanes)
            return verify_fault(v, s, "lane %d is beyond both arguments", s->lane[i]);
    return true;
}

static bool check_horizontal(Verify *v, const Stmt *s, LType arg) {
    if (arg.dtype == DT_BOOL || (arg.lanes & (arg.lanes - 1)))
        return verify_fault(v, s, "the argument must have numbers in a power of two lanes");
    return same(s->type, (LType){arg.dtype, 1}) || verify_fault(v, s, "the result is one lane");
}

static bool check_special(Verify *v, const Stmt *s, const LType *arg) {
    LType t = s->type;
    switch (s->op) {
    case LOP_INDEX:
        return (t.lanes == 1 && t.dtype != DT_BOOL) || verify_fault(v, s, "an index is one number");
    case LOP_SPLAT:
        return (arg[0].lanes == 1 && arg[0].dtype == t.dtype) ||
               verify_fault(v, s, "splat takes a scalar of the result's element type");
    case LOP_EXTRACT:
        if (!(s->imm >= 0 && s->imm < arg[0].lanes) || s->imm != floor(s->imm))
            return verify_fault(v, s, "no such lane");
        return same(t, (LType){arg[0].dtype, 1}) || verify_fault(v, s, "the result is one lane");
    case LOP_SHUFFLE:
        return check_shuffle(v, s, arg);
    case LOP_SELECT:
        return (same(arg[0], (LType){DT_BOOL, t.lanes}) && same(arg[1], t) && same(arg[2], t)) ||
               verify_fault(v, s, "select takes bool lanes and two values of the result's type");
    case LOP_CONVERT:
        return t.lanes == arg[0].lanes || verify_fault(v, s, "a conversion keeps the number of lanes");
    case LOP_BITCAST:
        return (dtype_bytes(t.dtype) * t.lanes == dtype_bytes(arg[0].dtype) * arg[0].lanes &&
                t.dtype != DT_BOOL && arg[0].dtype != DT_BOOL) ||
               verify_fault(v, s, "a bitcast keeps the number of bytes, and bools have none");
    case LOP_SUM:
    case LOP_HMAX:
        return check_horizontal(v, s, arg[0]);
    case LOP_CLOCK:
        return same(t, (LType){DT_I64, 1}) || verify_fault(v, s, "the clock is an i64");
    default:
        return true;
    }
}

/* ---- Memory ---- */

static bool check_access(Verify *v, const Stmt *s) {
    const LBuf *b = &v->k->bufs.data[s->buf];
    if (s->op == LOP_PREFETCH)
        return (s->imm >= 0 && s->imm <= 3 && b->kind != LB_REG) ||
               verify_fault(v, s, "a prefetch needs memory and a locality from 0 to 3");
    if (s->type.dtype != b->dtype)
        return verify_fault(v, s, "the buffer holds %s", dtype_name(b->dtype));
    if (b->kind == LB_REG && (s->type.lanes != b->lanes || s->stride != 1 || s->nontemporal))
        return verify_fault(v, s, "registers are read and written whole, %d lanes at a time", b->lanes);
    if (s->stride < 1 || s->stride > TYPE_MAX_ELEMS)
        return verify_fault(v, s, "the stride is out of range");
    if (s->op == LOP_LOAD && b->kind == LB_OUT)
        return verify_fault(v, s, "%%%s is an out buffer: it is written only", b->name);
    if (s->op == LOP_STORE && b->kind == LB_IN)
        return verify_fault(v, s, "%%%s is an in buffer: it is read only", b->name);
    if (v->expanded && b->kind == LB_REG) {
        int64_t i;
        if (!ix_is_const(v->k, s->index, &i))
            return verify_fault(v, s, "the index of a register must be a literal after expansion");
        if (i < 0 || i >= b->extent.size)
            return verify_fault(v, s, "there is no register %lld", (long long)i);
    }
    return true;
}

bool verify_types(Verify *v, const Stmt *s) {
    LType arg[3] = {{0}};
    for (int i = 0; i < lop_info[s->op].args; i++)
        arg[i] = v->k->vals.data[s->arg[i]];
    if (s->op == LOP_STORE && !same(arg[0], s->type))
        return verify_fault(v, s, "the value stored has another type");
    if (s->op == LOP_LOAD || s->op == LOP_STORE || s->op == LOP_PREFETCH)
        return check_access(v, s);
    if (lop_info[s->op].kind == 'A' || lop_info[s->op].kind == 'C')
        return check_arithmetic(v, s, arg);
    return check_special(v, s, arg);
}
