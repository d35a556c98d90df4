/* Adaptive pools. */
#include "frontend/layers/views.h"

#define OUTPUT_SIZE {"output_size", ARG_SIZES_OR_IN, .required = true, .lo = 1, .hi = SIZE_MAX_ARG}
static const ArgRow avg_args[] = {OUTPUT_SIZE};
static const ArgRow max_args[] = {OUTPUT_SIZE, {"return_indices", ARG_BOOL, .def = 0, .fixed = true}};

static ValueId adaptive(LayerCall *c, OpId op, ValueId x, const int axis[2], const char *name) {
    AdaptivePoolAttrs a = {.output_size.n = 2};
    const Type *in = &graph_value(c->g, x)->type;
    for (int i = 0; i < 2; i++) {
        a.output_size.v[i] = axis[i] == NO_AXIS ? 0 : layer_arg(c, "output_size")->v[axis[i]];
        if (a.output_size.v[i] == 0 && in->rank == 4)
            a.output_size.v[i] = in->dim[2 + i].size;
    }
    return graph_node(c->g, op, &x, 1, &a, name, c->loc);
}

static ValueId avg_pool(LayerCall *c, ValueId x, int rows, int columns, const char *name) {
    return adaptive(c, OP_adaptive_avg_pool2d, x, (const int[2]){rows, columns}, name);
}

static ValueId max_pool(LayerCall *c, ValueId x, int rows, int columns, const char *name) {
    return adaptive(c, OP_adaptive_max_pool2d, x, (const int[2]){rows, columns}, name);
}

/* One window over a whole volume is one over a row of all its elements. */
static ValueId whole_volume(LayerCall *c, OpId op) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    const int64_t channels = in->dim[1].size, elems = in->dim[2].size * in->dim[3].size * in->dim[4].size;
    const AdaptivePoolAttrs one = {{2, {1, 1}}};
    ValueId x =
        layer_view(c, c->inputs[0], (IntList){3, {channels, 1, elems}}, intern_f(c->cx, "%s.row", c->name));
    x = x == NO_VALUE ? x : graph_node(c->g, op, &x, 1, &one, intern_f(c->cx, "%s.picture", c->name), c->loc);
    return layer_view(c, x, (IntList){4, {channels, 1, 1, 1}}, c->name);
}

static ValueId build(LayerCall *c, OpId op, PictureOp *pool) {
    const int64_t *size = layer_arg(c, "output_size")->v;
    if (c->row->rank == 4) /* the op says what does not fit */
        return pool(c, c->inputs[0], 0, 1, c->name);
    if (!layer_need_rank(c))
        return NO_VALUE;
    if (c->row->rank == 5 && size[0] == 1 && size[1] == 1 && size[2] == 1)
        return whole_volume(c, op);
    return layer_by_pictures(c, pool);
}

static ValueId build_avg(LayerCall *c) {
    return build(c, OP_adaptive_avg_pool2d, avg_pool);
}

static ValueId build_max(LayerCall *c) {
    return build(c, OP_adaptive_max_pool2d, max_pool);
}

#define ROW(kind, n, a, f)                                                                                   \
    const LayerRow layer_Adaptive##kind##Pool##n##d = {"Adaptive" #kind "Pool" #n "d", .rank = (n) + 2,      \
                                                       ARG_ROWS(a), .build = (f)}
ROW(Avg, 1, avg_args, build_avg);
ROW(Avg, 2, avg_args, build_avg);
ROW(Avg, 3, avg_args, build_avg);
ROW(Max, 1, max_args, build_max);
ROW(Max, 2, max_args, build_max);
ROW(Max, 3, max_args, build_max);
