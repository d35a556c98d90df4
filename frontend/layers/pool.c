/* Pools. */
#include "frontend/layers/views.h"
#include "ir/ops/common.h"

static const ArgRow max_pool_args[] = {
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_SIZES, .from = "kernel_size", .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_SIZES, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"dilation", ARG_SIZES, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"return_indices", ARG_BOOL, .def = 0, .fixed = true},
    {"ceil_mode", ARG_BOOL, .def = 0},
};
#define AVG_POOL_ARGS                                                                                        \
    {"kernel_size", ARG_SIZES, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},                               \
        {"stride", ARG_SIZES, .from = "kernel_size", .lo = 1, .hi = SIZE_MAX_ARG},                           \
        {"padding", ARG_SIZES, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG}, {"ceil_mode", ARG_BOOL, .def = 0},    \
        {"count_include_pad", ARG_BOOL, .def = 1}
static const ArgRow avg_pool1d_args[] = {AVG_POOL_ARGS};
static const ArgRow avg_pool_args[] = {
    AVG_POOL_ARGS,
    {"divisor_override", ARG_INT, .may_null = true, .lo = 1, .hi = SIZE_MAX_ARG},
};

/* Element `axis` of an argument; `none` where the op leaves the dimension alone. */
static int64_t along(const LayerCall *c, const char *name, int axis, int64_t none) {
    return axis == NO_AXIS ? none : layer_arg(c, name)->v[axis];
}

static Pool2dAttrs pool_attrs(const LayerCall *c, int rows, int columns) {
    const int axis[2] = {rows, columns};
    Pool2dAttrs a = {.kernel_size.n = 2, .stride.n = 2, .padding.n = 4, .dilation = {2, {1, 1}}};
    for (int i = 0; i < 2; i++) {
        a.kernel_size.v[i] = along(c, "kernel_size", axis[i], 1);
        a.stride.v[i] = along(c, "stride", axis[i], 1);
        a.padding.v[i] = a.padding.v[i + 2] = along(c, "padding", axis[i], 0);
    }
    a.ceil_mode = layer_int(c, "ceil_mode");
    a.count_include_pad = true;
    return a;
}

/* The op would name a plane's sides. */
static bool windows_fit(const LayerCall *c, bool dilated) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    for (uint32_t i = 0; i < layer_arg(c, "kernel_size")->n; i++) {
        const int64_t padding = layer_arg(c, "padding")->v[i];
        const Window w = {.in = in->dim[2 + i].size,
                          .kernel = layer_arg(c, "kernel_size")->v[i],
                          .stride = layer_arg(c, "stride")->v[i],
                          .dilation = dilated ? layer_arg(c, "dilation")->v[i] : 1,
                          .before = padding,
                          .after = padding,
                          .ceil_mode = layer_int(c, "ceil_mode")};
        int64_t count;
        if (!window_need(c->cx, &c->loc, &w, layer_axis_name(c, i), &count))
            return false;
    }
    return true;
}

static ValueId max_pool(LayerCall *c, ValueId x, int rows, int columns, const char *name) {
    Pool2dAttrs a = pool_attrs(c, rows, columns);
    a.dilation.v[0] = along(c, "dilation", rows, 1);
    a.dilation.v[1] = along(c, "dilation", columns, 1);
    return graph_node(c->g, OP_max_pool2d, &x, 1, &a, name, c->loc);
}

/* Of two pools the last divides by divisor_override. */
static ValueId avg_pool(LayerCall *c, ValueId x, int rows, int columns, const char *name) {
    Pool2dAttrs a = pool_attrs(c, rows, columns);
    a.count_include_pad = layer_int(c, "count_include_pad");
    a.divisor_override = c->row->rank > 3 ? layer_int(c, "divisor_override") : 0;
    if (a.divisor_override && rows == 1)
        a.divisor_override = 1;
    return graph_node(c->g, OP_avg_pool2d, &x, 1, &a, name, c->loc);
}

static ValueId build_max_pool(LayerCall *c) {
    if (c->row->rank == 4) /* the op says what does not fit */
        return max_pool(c, c->inputs[0], 0, 1, c->name);
    return layer_need_rank(c) && windows_fit(c, true) ? layer_by_pictures(c, max_pool) : NO_VALUE;
}

static ValueId build_avg_pool(LayerCall *c) {
    if (c->row->rank == 4)
        return avg_pool(c, c->inputs[0], 0, 1, c->name);
    return layer_need_rank(c) && windows_fit(c, false) ? layer_by_pictures(c, avg_pool) : NO_VALUE;
}

const LayerRow layer_MaxPool1d = {"MaxPool1d", .rank = 3, ARG_ROWS(max_pool_args), .build = build_max_pool};
const LayerRow layer_MaxPool2d = {"MaxPool2d", .rank = 4, ARG_ROWS(max_pool_args), .build = build_max_pool};
const LayerRow layer_MaxPool3d = {"MaxPool3d", .rank = 5, ARG_ROWS(max_pool_args), .build = build_max_pool};
const LayerRow layer_AvgPool1d = {"AvgPool1d", .rank = 3, ARG_ROWS(avg_pool1d_args), .build = build_avg_pool};
const LayerRow layer_AvgPool2d = {"AvgPool2d", .rank = 4, ARG_ROWS(avg_pool_args), .build = build_avg_pool};
const LayerRow layer_AvgPool3d = {"AvgPool3d", .rank = 5, ARG_ROWS(avg_pool_args), .build = build_avg_pool};
