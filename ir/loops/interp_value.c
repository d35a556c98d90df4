/* The interpreter's arithmetic, lane by lane, with the roundings of each type. */
#include "ir/loops/interp.h"
#include <math.h>
#include <string.h>
#include <time.h>

static int64_t wrap(DType t, int64_t v) {
    int64_t r = 0;
    elem_put_int(t, &r, 0, v);
    return elem_get_int(t, &r, 0);
}

/* ---- Floats ---- */

/* NaN in either argument gives NaN; of equal zeros the first. */
static double float_min(double x, double y) {
    return isnan(y) || y < x ? y : x;
}
static double float_max(double x, double y) {
    return isnan(y) || y > x ? y : x;
}

/* A double holds sums, products, quotients and roots of floats well enough that rounding once more to the
 * narrower type gives the same as computing in it. */
static double float_op(LOp op, double x, double y) {
    switch (op) {
    case LOP_ADD:
        return x + y;
    case LOP_SUB:
        return x - y;
    case LOP_MUL:
        return x * y;
    case LOP_DIV:
        return x / y;
    case LOP_MIN:
        return float_min(x, y);
    case LOP_MAX:
        return float_max(x, y);
    case LOP_NEG:
        return -x;
    case LOP_ABS:
        return fabs(x);
    case LOP_SQRT:
        return sqrt(x);
    default:
        return floor(x);
    }
}

static double float_mad(const Interp *in, DType t, double x, double y, double z) {
    if (!in->o->contract)
        return elem_round(t, elem_round(t, x * y) + z);
    return t == DT_F64 ? fma(x, y, z) : elem_round(t, fmaf((float)x, (float)y, (float)z));
}

static int64_t float_compare(LOp op, double x, double y) {
    switch (op) {
    case LOP_CMPEQ:
        return x == y;
    case LOP_CMPNE:
        return x != y;
    case LOP_CMPLT:
        return x < y;
    default:
        return x <= y;
    }
}

/* ---- Integers: they wrap ---- */

static int64_t int_divide(int64_t x, int64_t y) {
    if (!y)
        return 0;
    return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

static int64_t int_shift(LOp op, DType t, int64_t x, int64_t y) {
    int by = (int)(y & (dtype_bytes(t) * 8 - 1));
    if (op == LOP_SHL)
        return (int64_t)((uint64_t)x << by);
    return x >> by; /* unsigned types are kept as positive numbers */
}

static int64_t int_op(LOp op, DType t, int64_t x, int64_t y) {
    switch (op) {
    case LOP_ADD:
        return (int64_t)((uint64_t)x + (uint64_t)y);
    case LOP_SUB:
        return (int64_t)((uint64_t)x - (uint64_t)y);
    case LOP_MUL:
        return (int64_t)((uint64_t)x * (uint64_t)y);
    case LOP_DIV:
        return int_divide(x, y);
    case LOP_MIN:
        return x < y ? x : y;
    case LOP_MAX:
        return x > y ? x : y;
    case LOP_NEG:
        return (int64_t)(0 - (uint64_t)x);
    case LOP_ABS:
        return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
    case LOP_AND:
        return x & y;
    case LOP_OR:
        return x | y;
    case LOP_XOR:
        return x ^ y;
    case LOP_SHL:
    case LOP_SHR:
        return int_shift(op, t, x, y);
    default: /* mulhi */
        return (int64_t)(((__int128)x * y) >> (dtype_bytes(t) * 8));
    }
}

static int64_t int_compare(LOp op, int64_t x, int64_t y) {
    switch (op) {
    case LOP_CMPEQ:
        return x == y;
    case LOP_CMPNE:
        return x != y;
    case LOP_CMPLT:
        return x < y;
    default:
        return x <= y;
    }
}

/* ---- Lanes ---- */

static void arithmetic(const Interp *in, const Stmt *s, DType t, Num *r, Num *const *a) {
    bool compare = lop_info[s->op].kind == 'C', binary = lop_info[s->op].args > 1;
    for (int i = 0; i < s->type.lanes; i++) {
        const Num *y = binary ? &a[1][i] : &a[0][i];
        if (s->op == LOP_MAD && dtype_is_float(t))
            r[i].f = float_mad(in, t, a[0][i].f, y->f, a[2][i].f);
        else if (s->op == LOP_MAD)
            r[i].i = wrap(t, int_op(LOP_ADD, t, int_op(LOP_MUL, t, a[0][i].i, y->i), a[2][i].i));
        else if (compare)
            r[i].i = dtype_is_float(t) ? float_compare(s->op, a[0][i].f, y->f)
                                       : int_compare(s->op, a[0][i].i, y->i);
        else if (dtype_is_float(t))
            r[i].f = elem_round(t, float_op(s->op, a[0][i].f, y->f));
        else
            r[i].i = wrap(t, int_op(s->op, t, a[0][i].i, y->i));
    }
}

static int64_t float_to_int(DType to, double v) {
    static const double top = 0x1p63;
    if (to == DT_BOOL)
        return v != 0;
    if (isnan(v)) /* no promise is made for what does not fit: anything but a trap */
        return 0;
    return wrap(to, v >= top ? INT64_MAX : v < -top ? INT64_MIN : (int64_t)v);
}

static Num convert(DType from, DType to, Num v) {
    Num r;
    if (dtype_is_float(from)) {
        if (dtype_is_float(to))
            r.f = elem_round(to, v.f);
        else
            r.i = float_to_int(to, v.f);
    } else if (!dtype_is_float(to)) {
        r.i = to == DT_BOOL ? v.i != 0 : wrap(to, v.i);
    } else { /* one rounding also from i64 */
        r.f = to == DT_F64 ? (double)v.i : elem_round(to, (float)v.i);
    }
    return r;
}

static Num get(DType t, const void *data, int64_t i) {
    Num r;
    if (dtype_is_float(t))
        r.f = elem_get(t, data, i);
    else
        r.i = elem_get_int(t, data, i);
    return r;
}

static void bitcast(LType from, LType to, const Num *a, Num *r) {
    uint64_t bytes[64];
    for (int i = 0; i < from.lanes; i++) {
        if (dtype_is_float(from.dtype))
            elem_put(from.dtype, bytes, i, a[i].f);
        else
            elem_put_int(from.dtype, bytes, i, a[i].i);
    }
    for (int i = 0; i < to.lanes; i++)
        r[i] = get(to.dtype, bytes, i);
}

static void horizontal(LOp op, LType t, const Num *a, Num *r) {
    Num x[64];
    memcpy(x, a, t.lanes * sizeof *x);
    LOp step = op == LOP_SUM ? LOP_ADD : LOP_MAX;
    for (int half = t.lanes / 2; half; half /= 2)
        for (int i = 0; i < half; i++) {
            if (dtype_is_float(t.dtype))
                x[i].f = elem_round(t.dtype, float_op(step, x[i].f, x[i + half].f));
            else
                x[i].i = wrap(t.dtype, int_op(step, t.dtype, x[i].i, x[i + half].i));
        }
    *r = x[0];
}

static Num constant(LType t, double f, int64_t i) {
    Num r;
    if (dtype_is_float(t.dtype))
        r.f = elem_round(t.dtype, f);
    else
        r.i = wrap(t.dtype, i);
    return r;
}

static int64_t cycles(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pick_lanes(const Stmt *s, int lanes, Num *r, Num *const *a) {
    for (int i = 0; i < s->type.lanes; i++)
        r[i] = s->lane[i] < lanes ? a[0][s->lane[i]] : a[1][s->lane[i] - lanes];
}

void interp_value(Interp *in, const Stmt *s) {
    Num *r = &in->lanes[in->first[s->result]], *a[3] = {NULL};
    LType from = s->type;
    int lanes = s->type.lanes;
    for (int i = 0; i < lop_info[s->op].args; i++)
        a[i] = &in->lanes[in->first[s->arg[i]]];
    if (a[0])
        from = in->k->vals.data[s->arg[0]];
    switch (s->op) {
    case LOP_CONST:
        for (int i = 0; i < lanes; i++)
            r[i] = constant(s->type, s->imm, s->imm_int);
        break;
    case LOP_INDEX:
        *r = convert(DT_I64, s->type.dtype, (Num){.i = ix_eval(in->k, s->index, in->var, in->n)});
        break;
    case LOP_SPLAT:
        for (int i = 0; i < lanes; i++)
            r[i] = *a[0];
        break;
    case LOP_EXTRACT:
        *r = a[0][(int)s->imm];
        break;
    case LOP_SHUFFLE:
        pick_lanes(s, from.lanes, r, a);
        break;
    case LOP_SELECT:
        for (int i = 0; i < lanes; i++)
            r[i] = a[0][i].i ? a[1][i] : a[2][i];
        break;
    case LOP_CONVERT:
        for (int i = 0; i < lanes; i++)
            r[i] = convert(from.dtype, s->type.dtype, a[0][i]);
        break;
    case LOP_BITCAST:
        bitcast(from, s->type, a[0], r);
        break;
    case LOP_SUM:
    case LOP_HMAX:
        horizontal(s->op, from, a[0], r);
        break;
    case LOP_CLOCK:
        r->i = cycles();
        break;
    default:
        arithmetic(in, s, from.dtype, r, a);
    }
}
