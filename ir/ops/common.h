/* What the files of ir/ops share: shape checks with messages for users, plain loops for the evaluator, and
 * literals for samples. The functions are in ir/op.c and ir/eval.c. */
#ifndef IR_OPS_COMMON_H
#define IR_OPS_COMMON_H

#include "ir/op.h"

enum { OP_MAX_INT = 2147483647 }; /* the largest stride, padding, kernel... that an attribute may have */

/* ---- op.c ---- */

/* Operand i has `rank` dimensions, called `dims` in the message: "batch, channels, height, width". */
bool op_need_rank(const OpCall *c, uint32_t i, uint8_t rank, const char *dims);
/* Operand i does not depend on the batch. */
bool op_need_fixed(const OpCall *c, uint32_t i);
/* Operand i is a vector of `extent` elements, which the message calls `what`: "out_channels". */
bool op_need_vector(const OpCall *c, uint32_t i, int64_t extent, const char *what);
/* All operands have the same floating-point element type. */
bool op_need_floats(const OpCall *c);
/* Operand i has the dimensions of operand `of`. */
bool op_need_shape_of(const OpCall *c, uint32_t i, uint32_t of);
/* Operand 0 has dimension `dim`, and it is not the batch. */
bool op_need_dim(const OpCall *c, int64_t dim);
/* Verify of views: their operand's bytes are those of the dense layout. */
bool op_need_dense(const OpCall *c);
bool op_fail_overflow(const OpCall *c);
/* Flops of ops that compute nothing. */
double op_no_flops(const OpCall *c, const Type *out, int64_t n);

/* One spatial dimension of a window that slides over a padded input. */
typedef struct Window {
    int64_t in, kernel, stride, dilation, before, after;
    bool ceil_mode;
} Window;

/* The number of windows by PyTorch's rule; at most 0 when there is none. False on overflow. */
bool window_count(const Window *w, int64_t *out);
Window conv2d_window(const Conv2dAttrs *a, const Type *input, const Type *weight, int axis);
/* Of conv2d's gradients: dy, operand 0, is as large as the convolution's result for this input and kernel. */
bool conv2d_grad_verify(const OpCall *c, const int64_t *input, const int64_t *kernel, int64_t out_channels,
                        int64_t in_channels);
/* Their attributes before the last. */
#define CONV_GRAD_ROWS                                                                                       \
    {"stride", ATTR_INTS, offsetof(ConvGradAttrs, conv.stride), 2, 1, OP_MAX_INT, NULL, true, 1},            \
        {"padding", ATTR_INTS, offsetof(ConvGradAttrs, conv.padding), 4, 0, OP_MAX_INT, NULL, true, 0},      \
        {"dilation", ATTR_INTS, offsetof(ConvGradAttrs, conv.dilation), 2, 1, OP_MAX_INT, NULL, true, 1},    \
        {"groups", ATTR_INT, offsetof(ConvGradAttrs, conv.groups), 0, 1, OP_MAX_INT, NULL, true, 1}
/* Taps [*lo, *hi) of output o that lie inside the input: a kernel may be far larger than that. */
void window_taps(const Window *w, int64_t o, int64_t *lo, int64_t *hi);
/* Where tap k of output o is. */
int64_t window_input(const Window *w, int64_t o, int64_t k);
/* window_count; a diagnostic when there is no window. `axis` is what the message calls it: "height". */
bool window_need(Context *cx, const Loc *loc, const Window *w, const char *axis, int64_t *out);

/* ---- eval.c ---- */

/* out = f(in[0], in[1]) with broadcasting. */
void eval_binary(const Tensor *in, Tensor *out, double (*f)(double, double));
/* Eval of ops that keep the elements and their order: views, dropout, reorders (its tensors are dense). */
void eval_same(const void *attrs, const Tensor *in, uint32_t n, Tensor *out);
int64_t tensor_elems(const Tensor *t);

/* ---- samples: f32 shapes, dense, with and without the batch in front ---- */

#define T1(a)                                                                                                \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 1, .dim = { {a, false} }                                                    \
    }
#define T2(a, b)                                                                                             \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 2, .dim = { {a, false}, {b, false} }                                        \
    }
#define T3(a, b, c)                                                                                          \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 3, .dim = { {a, false}, {b, false}, {c, false} }                            \
    }
#define T4(a, b, c, d)                                                                                       \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 4, .dim = { {a, false}, {b, false}, {c, false}, {d, false} }                \
    }
#define TN2(b)                                                                                               \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 2, .dim = { {1, true}, {b, false} }                                         \
    }
#define TN3(b, c)                                                                                            \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 3, .dim = { {1, true}, {b, false}, {c, false} }                             \
    }
#define TN4(b, c, d)                                                                                         \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 4, .dim = { {1, true}, {b, false}, {c, false}, {d, false} }                 \
    }
#define TN5(b, c, d, e)                                                                                      \
    {                                                                                                        \
        .dtype = DT_F32, .rank = 5, .dim = { {1, true}, {b, false}, {c, false}, {d, false}, {e, false} }     \
    }
#define SAMPLES(array) .samples = (array), .n_samples = sizeof(array) / sizeof *(array)

#define INTS2(a, b)                                                                                          \
    {                                                                                                        \
        2, {                                                                                                 \
            a, b                                                                                             \
        }                                                                                                    \
    }
#define INTS4(a, b, c, d)                                                                                    \
    {                                                                                                        \
        4, {                                                                                                 \
            a, b, c, d                                                                                       \
        }                                                                                                    \
    }

#endif
