/* What the pools and their gradients share; the functions are in ir/ops/pool2d.c. */
#ifndef IR_OPS_POOL2D_H
#define IR_OPS_POOL2D_H

#include "ir/grad.h"
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

/* ---- max_pool2d and avg_pool2d ---- */

Window pool2d_window(const Pool2dAttrs *a, int64_t in, int axis);
/* What avg_pool2d divides the sum of output (y, x) of a plane of h x w by. */
int64_t avg_pool2d_divisor(const Pool2dAttrs *a, int64_t h, int64_t w, int64_t y, int64_t x);
bool pool2d_verify(const OpCall *c);
bool pool2d_infer(const OpCall *c, Type *out);
double pool2d_flops(const OpCall *c, const Type *out, int64_t n);
/* Of the gradients: operand i has the shape that pool `op` with attributes `a` makes of `input`. */
bool pool2d_need_result(const OpCall *c, uint32_t i, OpId op, const Pool2dAttrs *a, const Type *input);

/* The fields that both have, and their attributes: at(member) is where a member of Pool2dAttrs lies. */
#define POOL2D(id)                                                                                           \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"input"},     \
    .flags = OP_POOL, .verify = pool2d_verify, .infer_shape = pool2d_infer, .lower = lower_pool,             \
    .flops = pool2d_flops
#define POOL2D_ROWS(at)                                                                                      \
    {"kernel_size", ATTR_INTS, at(kernel_size), 2, 1, OP_MAX_INT, NULL, false, 0},                           \
        {"stride", ATTR_INTS, at(stride), 2, 1, OP_MAX_INT, NULL, false, 0},                                 \
        {"padding", ATTR_INTS, at(padding), 4, 0, OP_MAX_INT, NULL, true, 0}
#define MAX_POOL2D_ROWS(at)                                                                                  \
    POOL2D_ROWS(at), {"dilation", ATTR_INTS, at(dilation), 2, 1, OP_MAX_INT, NULL, true, 1},                 \
        {"ceil_mode", ATTR_BOOL, at(ceil_mode), 0, 0, 1, NULL, true, 0}
#define AVG_POOL2D_ROWS(at)                                                                                  \
    POOL2D_ROWS(at), {"ceil_mode", ATTR_BOOL, at(ceil_mode), 0, 0, 1, NULL, true, 0},                        \
        {"count_include_pad", ATTR_BOOL, at(count_include_pad), 0, 0, 1, NULL, true, 1},                     \
        {"divisor_override", ATTR_INT, at(divisor_override), 0, 0, OP_MAX_INT, NULL, true, 0}

/* ---- The adaptive ones ---- */

/* Window o of `outputs` over an extent `in` is [*lo, *hi). */
void adaptive_window(int64_t o, int64_t outputs, int64_t in, int64_t *lo, int64_t *hi);
bool adaptive_pool2d_verify(const OpCall *c);
/* Of each window f makes one number; its rows lie `pitch` elements apart. */
void adaptive_pool2d_eval(const Tensor *in, Tensor *out,
                          double (*f)(const double *x, int64_t rows, int64_t columns, int64_t pitch));
bool adaptive_pool2d_infer(const OpCall *c, Type *out);
double adaptive_pool2d_flops(const OpCall *c, const Type *out, int64_t n);

/* The fields that both have. */
#define ADAPTIVE_POOL2D(id)                                                                                  \
    .name = (id), .min_operands = 1, .max_operands = 1, .operand_names = (const char *const[]){"input"},     \
    .flags = OP_POOL, .attrs = ATTR_TABLE(adaptive_pool2d_rows, AdaptivePoolAttrs),                          \
    .verify = adaptive_pool2d_verify, .infer_shape = adaptive_pool2d_infer, .lower = lower_pool,             \
    .flops = adaptive_pool2d_flops, SAMPLES(adaptive_pool2d_samples)

extern const AttrRow adaptive_pool2d_rows[1];
extern const OpSample adaptive_pool2d_samples[4];

#endif
