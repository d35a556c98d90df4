/* Pools. */
#include "frontend/layers.h"

static const ArgRow max_pool_args[] = {
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_SIZES, .from = "kernel_size", .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_SIZES, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"dilation", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"return_indices", ARG_BOOL, .def = 0, .fixed = true},
    {"ceil_mode", ARG_BOOL, .def = 0},
};
static ValueId build_max_pool(LayerCall *c) {
    Pool2dAttrs a = {.kernel_size = layer_sizes(c, "kernel_size"),
                     .stride = layer_sizes(c, "stride"),
                     .padding = layer_border(c, "padding"),
                     .dilation = layer_sizes(c, "dilation"),
                     .ceil_mode = layer_int(c, "ceil_mode"),
                     .count_include_pad = true};
    return layer_unary(c, OP_max_pool2d, &a);
}

static const ArgRow avg_pool_args[] = {
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_SIZES, .from = "kernel_size", .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_SIZES, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"ceil_mode", ARG_BOOL, .def = 0},
    {"count_include_pad", ARG_BOOL, .def = 1},
    {"divisor_override", ARG_NULL},
};

static ValueId build_avg_pool(LayerCall *c) {
    Pool2dAttrs a = {.kernel_size = layer_sizes(c, "kernel_size"),
                     .stride = layer_sizes(c, "stride"),
                     .padding = layer_border(c, "padding"),
                     .dilation = {.n = 2, .v = {1, 1}},
                     .ceil_mode = layer_int(c, "ceil_mode"),
                     .count_include_pad = layer_int(c, "count_include_pad")};
    return layer_unary(c, OP_avg_pool2d, &a);
}

const LayerRow layer_MaxPool2d = {"MaxPool2d", .rank = 4, ARG_ROWS(max_pool_args), .build = build_max_pool};
const LayerRow layer_AvgPool2d = {"AvgPool2d", .rank = 4, ARG_ROWS(avg_pool_args), .build = build_avg_pool};
