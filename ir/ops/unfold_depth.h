/* What unfold_depth and its adjoint fold_depth share. */
#ifndef IR_OPS_UNFOLD_DEPTH_H
#define IR_OPS_UNFOLD_DEPTH_H

#include "ir/ops/common.h"

#define UNFOLD_DEPTH_ROWS(T, at)                                                                             \
    {"kernel_size", ATTR_INT, offsetof(T, at kernel_size), 0, 1, OP_MAX_INT, NULL, false, 0},                \
        {"stride", ATTR_INT, offsetof(T, at stride), 0, 1, OP_MAX_INT, NULL, true, 1},                       \
        {"padding", ATTR_INTS, offsetof(T, at padding), 2, 0, OP_MAX_INT, NULL, true, 0},                    \
        {"dilation", ATTR_INT, offsetof(T, at dilation), 0, 1, OP_MAX_INT, NULL, true, 1},                   \
        {"rows", ATTR_INTS, offsetof(T, at rows), 2, 0, OP_MAX_INT, NULL, true, 0}

/* The window that slides over `depth` planes. */
static inline Window unfold_depth_window(const UnfoldDepthAttrs *a, int64_t depth) {
    return (Window){.in = depth,
                    .kernel = a->kernel_size,
                    .stride = a->stride,
                    .dilation = a->dilation,
                    .before = a->padding.v[0],
                    .after = a->padding.v[1]};
}

/* Calls visit for each element of `volume`, [N,C,D,H,W], that has a copy in `picture`, the unfolded one: for
 * all copies, in the order of those. */
static inline void unfold_depth_pairs(const UnfoldDepthAttrs *a, const Tensor *volume, const Tensor *picture,
                                      void (*visit)(double *in_volume, double *in_picture)) {
    const int64_t *x = volume->dim, height = x[3] + a->rows.v[0] + a->rows.v[1];
    const int64_t planes = picture->dim[2] / height, plane = x[3] * x[4];
    const Window w = unfold_depth_window(a, x[2]);
    for (int64_t i = 0; i < picture->dim[0] * picture->dim[1] * planes; i++) {
        const int64_t tap = i / planes % a->kernel_size, channel = i / planes / a->kernel_size;
        const int64_t z = window_input(&w, i % planes, tap);
        double *in_volume = volume->data + (channel * x[2] + z) * plane;
        double *in_picture = picture->data + (i * height + a->rows.v[0]) * x[4];
        for (int64_t k = 0; k < plane && z >= 0 && z < x[2]; k++)
            visit(in_volume + k, in_picture + k);
    }
}

#endif
