/* Layers that put elements in another order: each is a view with more dimensions, a permute of these, and a
 * view again. */
#include "frontend/layers/views.h"
#include <inttypes.h>

static const ArgRow shuffle_args[] = {
    {"upscale_factor", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
};
static const ArgRow unshuffle_args[] = {
    {"downscale_factor", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
};
static const ArgRow channel_args[] = {
    {"groups", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
};

static int64_t extent(const LayerCall *c, int dim) {
    return graph_value(c->g, c->inputs[0])->type.dim[dim].size;
}

static ValueId shuffled(LayerCall *c, IntList view, IntList dims, IntList back) {
    const PermuteAttrs order = {dims};
    ValueId x = layer_view(c, c->inputs[0], view, intern_f(c->cx, "%s.view", c->name));
    if (x != NO_VALUE)
        x = graph_node(c->g, OP_permute, &x, 1, &order, intern_f(c->cx, "%s.permuted", c->name), c->loc);
    return layer_view(c, x, back, c->name);
}

/* Dimension `dim`, called `what`, is a multiple of `by`. */
static bool divides(const LayerCall *c, const char *arg, int dim, const char *what, int64_t by) {
    if (extent(c, dim) % by == 0)
        return true;
    Loc loc = layer_arg_loc(c, arg);
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc,
                      "%s is %" PRId64 ", but its input's %s, %" PRId64 ", %s no multiple of %" PRId64, arg,
                      layer_int(c, arg), what, extent(c, dim), dim == 1 ? "are" : "is", by);
}

/* Channel (c*r + y)*r + x of a pixel is pixel (y, x) of r x r of channel c. */
static ValueId build_shuffle(LayerCall *c) {
    const int64_t r = layer_int(c, "upscale_factor"), h = extent(c, 2), w = extent(c, 3); /* r * r fits */
    if (!layer_need_rank(c) || !divides(c, "upscale_factor", 1, "channels", r * r))
        return NO_VALUE;
    const int64_t channels = extent(c, 1) / (r * r);
    return shuffled(c, (IntList){5, {channels, r, r, h, w}}, (IntList){6, {0, 1, 4, 2, 5, 3}},
                    (IntList){3, {channels, h * r, w * r}});
}

static ValueId build_unshuffle(LayerCall *c) {
    const int64_t r = layer_int(c, "downscale_factor"), channels = extent(c, 1);
    if (!layer_need_rank(c) || !divides(c, "downscale_factor", 2, "height", r) ||
        !divides(c, "downscale_factor", 3, "width", r))
        return NO_VALUE;
    const int64_t h = extent(c, 2) / r, w = extent(c, 3) / r;
    return shuffled(c, (IntList){5, {channels, h, r, w, r}}, (IntList){6, {0, 1, 3, 5, 2, 4}},
                    (IntList){3, {channels * r * r, h, w}});
}

/* Channel g * (channels / groups) + i goes to i * groups + g. */
static ValueId build_channel_shuffle(LayerCall *c) {
    const Value *in = graph_value(c->g, c->inputs[0]);
    const int64_t groups = layer_int(c, "groups");
    IntList back = {.n = (uint8_t)(in->type.rank - 1)};
    int64_t rest = 1; /* fits: types are checked */
    if (in->type.rank < 3) {
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc,
                   "ChannelShuffle needs three dimensions or more (batch, channels, ...), but \"%s\" has %d",
                   in->name, in->type.rank);
        return NO_VALUE;
    }
    if (!divides(c, "groups", 1, "channels", groups))
        return NO_VALUE;
    for (int d = 1; d < in->type.rank; d++) {
        back.v[d - 1] = extent(c, d);
        rest *= d > 1 ? extent(c, d) : 1;
    }
    return shuffled(c, (IntList){3, {groups, extent(c, 1) / groups, rest}}, (IntList){4, {0, 2, 1, 3}}, back);
}

const LayerRow layer_PixelShuffle = {"PixelShuffle", .rank = 4, ARG_ROWS(shuffle_args),
                                     .build = build_shuffle};
const LayerRow layer_PixelUnshuffle = {"PixelUnshuffle", .rank = 4, ARG_ROWS(unshuffle_args),
                                       .build = build_unshuffle};
const LayerRow layer_ChannelShuffle = {"ChannelShuffle", ARG_ROWS(channel_args),
                                       .build = build_channel_shuffle};
