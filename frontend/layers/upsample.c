/* Upsample: one to three spatial dimensions as pictures; see views.h. */
#include "frontend/layers/views.h"
#include <inttypes.h>
#include <math.h>

enum { MODE_NEAREST }; /* the others name a rank: linear 3, bilinear 4, trilinear 5 */
static const char *const modes[] = {"nearest", "linear", "bilinear", "trilinear", NULL};

static const ArgRow args[] = {
    {"size", ARG_LIST, .may_null = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"scale_factor", ARG_FLOATS, .may_null = true, .lo = 0, .hi = SIZE_MAX_ARG},
    {"mode", ARG_WORD, .words = modes},
    {"align_corners", ARG_BOOL, .may_null = true},
    {"recompute_scale_factor", ARG_BOOL, .may_null = true},
};

static bool contradiction(const LayerCall *c, const char *name, const char *text) {
    Loc loc = layer_arg_loc(c, name);
    return diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc, "%s", text);
}

static bool rank_fits(const LayerCall *c) {
    const Value *in = graph_value(c->g, c->inputs[0]);
    const int64_t mode = layer_int(c, "mode");
    const int rank = in->type.rank;
    if (rank >= 3 && rank <= 2 + MAX_SPATIAL && (mode == MODE_NEAREST || rank == mode + 2))
        return true;
    Loc loc = layer_arg_loc(c, "mode");
    diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc, "%s does not go with the %d dimensions of \"%s\"",
               modes[mode], rank, in->name);
    return diag_hint(&c->cx->diag, "with the batch, linear takes 3 dimensions, bilinear 4, trilinear 5, and "
                                   "nearest any of these");
}

static bool args_fit(const LayerCall *c) {
    const Arg *size = layer_arg(c, "size"), *factor = layer_arg(c, "scale_factor");
    const Arg *list = size->at ? size : factor;
    const uint32_t spatial = graph_value(c->g, c->inputs[0])->type.rank - 2u;
    if (!size->at && !factor->at)
        return contradiction(c, "size", "it needs size or scale_factor");
    if (size->at && factor->at)
        return contradiction(c, "scale_factor", "size and scale_factor exclude each other");
    if (size->at && layer_int(c, "recompute_scale_factor"))
        return contradiction(c, "recompute_scale_factor",
                             "recompute_scale_factor goes with scale_factor alone");
    if (layer_arg(c, "align_corners")->at && layer_int(c, "mode") == MODE_NEAREST)
        return contradiction(c, "align_corners",
                             "nearest has no align_corners; bilinear, linear and trilinear do");
    if (list->n == 1 || list->n == spatial)
        return true;
    Loc loc = layer_arg_loc(c, size->at ? "size" : "scale_factor");
    return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc,
                      "it must be one number or a list of %u, one a spatial dimension, not of %u", spatial,
                      list->n);
}

/* What dimension `axis` of the layer, `extent` long, becomes, and by which factor; 0: what the sizes say. */
static int64_t upsampled(const LayerCall *c, uint32_t axis, int64_t extent, double *factor) {
    const Arg *size = layer_arg(c, "size"), *by = layer_arg(c, "scale_factor");
    *factor = 0;
    if (size->at)
        return size->v[size->n == 1 ? 0 : axis];
    const double given = by->factors[by->n == 1 ? 0 : axis];
    const double made = fmin(floor((double)extent * given), SIZE_MAX_ARG + 1);
    if (!layer_int(c, "recompute_scale_factor"))
        *factor = given;
    return (int64_t)made;
}

static bool sizes_fit(const LayerCall *c) {
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    for (uint32_t i = 0; i + 2 < in->rank; i++) {
        double factor;
        const int64_t extent = in->dim[2 + i].size, made = upsampled(c, i, extent, &factor);
        if (made >= 1 && made <= (int64_t)SIZE_MAX_ARG)
            continue;
        Loc loc = layer_arg_loc(c, "scale_factor");
        return diag_error(&c->cx->diag, DIAG_OUT_OF_RANGE, &loc, "of %s %" PRId64 " scale_factor %s",
                          layer_axis_name(c, i), extent, made < 1 ? "leaves nothing" : "makes too much");
    }
    return true;
}

static ValueId upsample(LayerCall *c, ValueId x, int rows, int columns, const char *name) {
    const int axis[2] = {rows, columns};
    const OpId op = layer_int(c, "mode") == MODE_NEAREST ? OP_upsample_nearest2d : OP_upsample_bilinear2d;
    UpsampleAttrs a = {.size.n = 2, .align_corners = layer_int(c, "align_corners")};
    for (int i = 0; i < 2; i++) {
        const int64_t extent = graph_value(c->g, x)->type.dim[2 + i].size;
        a.size.v[i] = axis[i] == NO_AXIS ? extent : upsampled(c, (uint32_t)axis[i], extent, &a.scales[i]);
    }
    return graph_node(c->g, op, &x, 1, &a, name, c->loc);
}

static ValueId build(LayerCall *c) {
    return rank_fits(c) && args_fit(c) && sizes_fit(c) ? layer_by_pictures(c, upsample) : NO_VALUE;
}

const LayerRow layer_Upsample = {"Upsample", ARG_ROWS(args), .build = build};
