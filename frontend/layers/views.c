/* Views for layers of one and three spatial dimensions: see views.h. */
#include "frontend/layers/views.h"

static const char *const axis_names[MAX_SPATIAL][MAX_SPATIAL] = {
    {"length"}, {"height", "width"}, {"depth", "height", "width"}};

const char *layer_axis_name(const LayerCall *c, uint32_t axis) {
    return axis_names[graph_value(c->g, c->inputs[0])->type.rank - 3][axis];
}

bool layer_need_rank(const LayerCall *c) {
    static const char *const dims[MAX_SPATIAL] = {"length", "height, width", "depth, height, width"};
    const Value *in = graph_value(c->g, c->inputs[0]);
    if (in->type.rank == c->row->rank)
        return true;
    StrBuf sb = sb_new(&c->cx->arena);
    type_print(&sb, &in->type);
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                      "%s needs %u dimensions (batch, channels, %s), but got %u: \"%s\" %s", c->row->type,
                      c->row->rank, dims[c->row->rank - 3], in->type.rank, in->name, sb_str(&sb));
}

ValueId layer_view(LayerCall *c, ValueId x, IntList shape, const char *name) {
    const ReshapeAttrs a = {shape};
    return x == NO_VALUE ? x : graph_node(c->g, OP_reshape, &x, 1, &a, name, c->loc);
}

static int64_t extent(const LayerCall *c, ValueId x, int d) {
    return graph_value(c->g, x)->type.dim[d].size;
}

static ValueId by_line(LayerCall *c, PictureOp *op) {
    ValueId x = c->inputs[0];
    const int64_t channels = extent(c, x, 1);
    x = layer_view(c, x, (IntList){3, {channels, 1, extent(c, x, 2)}}, intern_f(c->cx, "%s.row", c->name));
    x = x == NO_VALUE ? x : op(c, x, NO_AXIS, 0, intern_f(c->cx, "%s.picture", c->name));
    return x == NO_VALUE ? x : layer_view(c, x, (IntList){2, {channels, extent(c, x, 3)}}, c->name);
}

static ValueId by_planes(LayerCall *c, PictureOp *op) {
    ValueId x = c->inputs[0];
    const int64_t channels = extent(c, x, 1), depth = extent(c, x, 2);
    const IntList planes = {3, {channels * depth, extent(c, x, 3), extent(c, x, 4)}};
    x = layer_view(c, x, planes, intern_f(c->cx, "%s.planes", c->name));
    x = x == NO_VALUE ? x : op(c, x, 1, 2, intern_f(c->cx, "%s.flat", c->name));
    if (x == NO_VALUE)
        return x;
    const int64_t height = extent(c, x, 2), width = extent(c, x, 3);
    const IntList stack = {3, {channels, depth, height * width}}; /* each below 2^31, or an input's */
    x = layer_view(c, x, stack, intern_f(c->cx, "%s.stack", c->name));
    x = x == NO_VALUE ? x : op(c, x, 0, NO_AXIS, intern_f(c->cx, "%s.deep", c->name));
    if (x == NO_VALUE)
        return x;
    return layer_view(c, x, (IntList){4, {channels, extent(c, x, 2), height, width}}, c->name);
}

ValueId layer_by_pictures(LayerCall *c, PictureOp *op) {
    switch (graph_value(c->g, c->inputs[0])->type.rank) {
    case 3:
        return by_line(c, op);
    case 4:
        return op(c, c->inputs[0], 0, 1, c->name);
    default:
        return by_planes(c, op);
    }
}
