/* Building kernels: the only way code makes loop IR. Calls that append statements must not stand side by side
 * in one argument list: C leaves their order open. Index expressions and simple arithmetic simplify as they
 * are made. */
#ifndef IR_LOOPS_BUILD_H
#define IR_LOOPS_BUILD_H

#include "ir/loops/loops.h"

typedef struct LBuild LBuild;
struct LBuild {
    Context *cx;
    Kernel *k;
    VEC(Block *) open; /* innermost last */
    bool contract;     /* lb_mad makes LOP_MAD; else mul and add (prepare) */
};

Kernel *kernel_new(Context *cx, const char *name);
LBuild lb_begin(Context *cx, const char *name);
/* Continue at the end of `block` of an existing kernel (passes). */
LBuild lb_at(Context *cx, Kernel *k, Block *block);

uint32_t lb_param(LBuild *b, const char *name, LBufKind kind, DType dtype, Dim extent);
/* An alloc statement here; kind is LB_REG, LB_STACK or LB_SCRATCH. Names are made unique. */
uint32_t lb_alloc(LBuild *b, LBufKind kind, const char *name, LType elem, int64_t extent);

/* Index expressions (index.c) */
Idx ix_const(Kernel *k, int64_t v);
Idx ix_make(Kernel *k, IdxKind kind, Idx a, Idx b); /* simplified */
Idx ix_var(Kernel *k, uint32_t var);
bool ix_is_const(const Kernel *k, Idx x, int64_t *v);
/* Exactly this node, not simplified (the parser keeps what is written). */
Idx ix_raw(Kernel *k, IdxKind kind, int64_t value, Idx a, Idx b);
/* What is known of x from the loops of the kernel alone. */
IxRange ix_known(const Kernel *k, Idx x);
/* x with variable `var` replaced. */
Idx ix_subst(Kernel *k, Idx x, uint32_t var, Idx by);
/* Does x mention var? If it is linear in it, *coef is the factor. */
bool ix_uses(const Kernel *k, Idx x, uint32_t var);
bool ix_linear(const Kernel *k, Idx x, uint32_t var, int64_t *coef);
/* Range of x given ranges of the variables: lo[v], hi[v] inclusive; n in [1, batch]. False if unknown. */
bool ix_range(const Kernel *k, Idx x, const int64_t *lo, const int64_t *hi, int64_t batch, int64_t *min,
              int64_t *max);
int64_t ix_eval(const Kernel *k, Idx x, const int64_t *vars, int64_t n);

static inline Idx lb_c(LBuild *b, int64_t v) {
    return ix_const(b->k, v);
}
Idx lb_n(LBuild *b);
static inline Idx lb_add(LBuild *b, Idx x, Idx y) {
    return ix_make(b->k, IX_ADD, x, y);
}
static inline Idx lb_sub(LBuild *b, Idx x, Idx y) {
    return ix_make(b->k, IX_SUB, x, y);
}
static inline Idx lb_mul(LBuild *b, Idx x, Idx y) {
    return ix_make(b->k, IX_MUL, x, y);
}
static inline Idx lb_addc(LBuild *b, Idx x, int64_t c) {
    return lb_add(b, x, lb_c(b, c));
}
static inline Idx lb_mulc(LBuild *b, Idx x, int64_t c) {
    return lb_mul(b, x, lb_c(b, c));
}
static inline Idx lb_divc(LBuild *b, Idx x, int64_t c) {
    return ix_make(b->k, IX_DIV, x, lb_c(b, c));
}
static inline Idx lb_modc(LBuild *b, Idx x, int64_t c) {
    return ix_make(b->k, IX_MOD, x, lb_c(b, c));
}
static inline Idx lb_min(LBuild *b, Idx x, Idx y) {
    return ix_make(b->k, IX_MIN, x, y);
}
static inline Idx lb_max(LBuild *b, Idx x, Idx y) {
    return ix_make(b->k, IX_MAX, x, y);
}
Idx lb_dim(LBuild *b, Dim d); /* size, or size*n */

/* A new loop variable; the name is made unique. */
uint32_t kernel_var(Context *cx, Kernel *k, const char *name, IxRange range);

/* Control: lb_for returns the loop variable; close with lb_end. A loop of one iteration with constant bounds
 * makes no loop: its variable is the constant (lb_end still closes it). */
Idx lb_for(LBuild *b, ForKind kind, const char *var, Idx lo, Idx hi, int64_t step);
Idx lb_for_vector(LBuild *b, const char *var, Idx lo, Idx hi, uint8_t lanes);
void lb_if(LBuild *b, IfCmp cmp, Idx x, Idx y);
void lb_else(LBuild *b);
void lb_end(LBuild *b);

/* Memory */
LVal lb_load(LBuild *b, LType t, uint32_t buf, Idx index);
LVal lb_load_strided(LBuild *b, LType t, uint32_t buf, Idx index, int64_t stride);
void lb_store(LBuild *b, uint32_t buf, Idx index, LVal v);
void lb_store_strided(LBuild *b, uint32_t buf, Idx index, LVal v, int64_t stride);
void lb_prefetch(LBuild *b, uint32_t buf, Idx index, int locality);

/* Arithmetic */
LType lb_type(const LBuild *b, LVal v);
LVal lb_const(LBuild *b, LType t, double v);
LVal lb_const_int(LBuild *b, LType t, int64_t v);
LVal lb_index(LBuild *b, LType t, Idx x);
LVal lb_splat(LBuild *b, LVal scalar, uint8_t lanes); /* lanes 1: the scalar itself */
LVal lb_op1(LBuild *b, LOp op, LVal x);
LVal lb_op2(LBuild *b, LOp op, LVal x, LVal y);
LVal lb_mad(LBuild *b, LVal x, LVal y, LVal z); /* x*y + z */
LVal lb_select(LBuild *b, LVal cond, LVal x, LVal y);
LVal lb_convert(LBuild *b, DType to, LVal x);
LVal lb_bitcast(LBuild *b, LType to, LVal x);
LVal lb_extract(LBuild *b, LVal x, int lane);
LVal lb_shuffle(LBuild *b, LVal x, LVal y, const uint8_t *lane, uint8_t lanes);

/* math.c: polynomials of f32 with their error stated; scalar and vector give the same bits. */
LVal lb_exp(LBuild *b, LVal x);
LVal lb_expm1(LBuild *b, LVal x); /* x <= 88 */
LVal lb_tanh(LBuild *b, LVal x);
LVal lb_sigmoid(LBuild *b, LVal x);
LVal lb_normal_tail(LBuild *b, LVal a, LVal bell); /* a >= 0, bell = exp(-a*a/2): P(X > a) */
LVal lb_log(LBuild *b, LVal x);
LVal lb_log1p(LBuild *b, LVal x); /* finite x >= 0 */

#endif
