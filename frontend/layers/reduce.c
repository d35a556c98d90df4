/* Reductions of one input over some of its dimensions: torch.mean, torch.sum and torch.amax. */
#include "frontend/layers.h"

static const ArgRow reduce_args[] = {
    {"dim", ARG_LIST, .required = true, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
    {"keepdim", ARG_BOOL, .def = 0},
};

static ValueId node(LayerCall *c, OpId op, ValueId v, const void *attrs, bool last) {
    const char *name = last ? c->name : intern_f(c->cx, "%s.kept", c->name);
    return v == NO_VALUE ? v : graph_node(c->g, op, &v, 1, attrs, name, c->loc);
}

/* Is it all of height and width of images? */
static bool is_pool(const Type *in, const ReduceAttrs *a) {
    bool seen[4] = {false};
    for (int i = 0; i < a->dim.n && in->rank == 4; i++)
        if (a->dim.v[i] >= -4 && a->dim.v[i] < 4)
            seen[(a->dim.v[i] + 4) % 4] = true;
    return a->dim.n == 2 && seen[2] && seen[3];
}

static ValueId build_reduce(LayerCall *c) {
    const OpId op = c->row->op;
    const Type in = graph_value(c->g, c->inputs[0])->type;
    const bool keep = layer_int(c, "keepdim");
    const AdaptivePoolAttrs pool = {.output_size = {2, {1, 1}}};
    const Arg *dim = layer_arg(c, "dim");
    ReduceAttrs a = {0};
    ReshapeAttrs rest = {0};
    if (dim->n >= in.rank) {
        Loc loc = layer_arg_loc(c, "dim");
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                   "dim has %u dimensions, and its input %d, the batch among them", dim->n, in.rank);
        return NO_VALUE;
    }
    for (uint32_t i = 0; i < dim->n; i++)
        a.dim.v[a.dim.n++] = dim->v[i];
    const bool pooled = op == OP_mean && is_pool(&in, &a); /* which lies as convolutions have it */
    const ValueId v = pooled ? node(c, OP_adaptive_avg_pool2d, c->inputs[0], &pool, keep)
                             : node(c, op, c->inputs[0], &a, keep);
    if (keep || v == NO_VALUE)
        return v;
    for (int d = 1; d < in.rank; d++) {
        bool kept = true;
        for (int i = 0; i < a.dim.n; i++)
            kept &= (a.dim.v[i] + in.rank) % in.rank != d;
        if (kept)
            rest.shape.v[rest.shape.n++] = in.dim[d].size;
    }
    return node(c, OP_reshape, v, &rest, true);
}

const LayerRow layer_Mean = {"Mean", ARG_ROWS(reduce_args), .op = OP_mean, .build = build_reduce};
const LayerRow layer_Sum = {"Sum", ARG_ROWS(reduce_args), .op = OP_sum, .build = build_reduce};
const LayerRow layer_Max = {"Max", ARG_ROWS(reduce_args), .op = OP_amax, .build = build_reduce};
