/* The same elements under other dimensions, and dimensions in another order. The batch stays in front. */
#include "frontend/layers.h"
#include <inttypes.h>

static const Type *input_type(const LayerCall *c) {
    return &graph_value(c->g, c->inputs[0])->type;
}

/* Sizes of which one may be -1, what is left of `total` elements, are appended to the shape. */
static bool append_sizes(LayerCall *c, const char *name, int64_t total, ReshapeAttrs *to) {
    const Arg *a = layer_arg(c, name);
    Loc loc = layer_arg_loc(c, name);
    int64_t product = 1, *open = NULL;
    if (to->shape.n + a->n >= MAX_RANK)
        return diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                          "%s makes a tensor of more than %d dimensions with the batch", name, MAX_RANK);
    for (uint32_t i = 0; i < a->n; i++) {
        int64_t *size = &to->shape.v[to->shape.n++];
        *size = a->v[i];
        if (*size == 0 || (*size < 0 && open))
            return diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                              "%s must have sizes of at least 1, and -1 at most once", name);
        if (*size < 0)
            open = size;
        else if (__builtin_mul_overflow(product, *size, &product))
            product = INT64_MAX;
    }
    if (open && total % product == 0)
        *open = total / product;
    if (open ? total % product == 0 : product == total)
        return true;
    return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc,
                      "%s does not hold the %" PRId64 " elements there are%s", name, total,
                      open ? ", whatever -1 is" : "");
}

static int64_t elements(const Type *t, int from) {
    int64_t n = 1; /* fits: types are checked */
    for (int d = from; d < t->rank; d++)
        n *= t->dim[d].size;
    return n;
}

static const ArgRow reshape_args[] = {{"shape", ARG_LIST, .required = true, .lo = -1, .hi = SIZE_MAX_ARG}};

static ValueId build_reshape(LayerCall *c) {
    ReshapeAttrs a = {0};
    if (!append_sizes(c, "shape", elements(input_type(c), 1), &a))
        return NO_VALUE;
    return layer_unary(c, OP_reshape, &a);
}

static const ArgRow unflatten_args[] = {
    {"dim", ARG_INT, .required = true},
    {"unflattened_size", ARG_LIST, .required = true, .lo = -1, .hi = SIZE_MAX_ARG},
};

static ValueId build_unflatten(LayerCall *c) {
    ReshapeAttrs a = {0};
    const Type *in = input_type(c);
    int64_t dim;
    if (!layer_dim(c, "dim", in->rank, true, &dim))
        return NO_VALUE;
    for (int d = 1; d < dim; d++)
        a.shape.v[a.shape.n++] = in->dim[d].size;
    if (!append_sizes(c, "unflattened_size", in->dim[dim].size, &a))
        return NO_VALUE;
    if (a.shape.n + in->rank - dim > MAX_RANK) {
        Loc loc = layer_arg_loc(c, "unflattened_size");
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                   "the result has more than %d dimensions with the batch", MAX_RANK);
        return NO_VALUE;
    }
    for (int64_t d = dim + 1; d < in->rank; d++)
        a.shape.v[a.shape.n++] = in->dim[d].size;
    return layer_unary(c, OP_reshape, &a);
}

static const ArgRow dim_args[] = {{"dim", ARG_INT, .required = true}};

/* PyTorch leaves a dimension of another size than 1 alone. */
static ValueId build_squeeze(LayerCall *c) {
    ReshapeAttrs a = {0};
    const Type *in = input_type(c);
    int64_t dim;
    if (!layer_dim(c, "dim", in->rank, true, &dim))
        return NO_VALUE;
    for (int d = 1; d < in->rank; d++)
        if (d != dim || in->dim[d].size != 1)
            a.shape.v[a.shape.n++] = in->dim[d].size;
    return layer_unary(c, OP_reshape, &a);
}

/* The new dimension is number `dim` of the result. */
static ValueId build_unsqueeze(LayerCall *c) {
    ReshapeAttrs a = {0};
    const Type *in = input_type(c);
    int64_t dim;
    if (!layer_dim(c, "dim", in->rank + 1, true, &dim))
        return NO_VALUE;
    if (in->rank == MAX_RANK) {
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "its input has %d dimensions already",
                   MAX_RANK);
        return NO_VALUE;
    }
    for (int d = 1; d <= in->rank; d++)
        a.shape.v[a.shape.n++] = d == dim ? 1 : in->dim[d - (d > dim)].size;
    return layer_unary(c, OP_reshape, &a);
}

static const ArgRow permute_args[] = {
    {"dims", ARG_LIST, .required = true, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
};

static ValueId build_permute(LayerCall *c) {
    const Arg *given = layer_arg(c, "dims");
    PermuteAttrs a = {.dims = {.n = (uint8_t)given->n}};
    const int rank = input_type(c)->rank;
    bool ok = given->n == (uint32_t)rank;
    for (int i = 0; i < rank && ok; i++) {
        a.dims.v[i] = given->v[i] < 0 ? given->v[i] + rank : given->v[i];
        ok = a.dims.v[i] >= 0 && a.dims.v[i] < rank;
        for (int k = 0; k < i && ok; k++)
            ok = a.dims.v[k] != a.dims.v[i];
    }
    Loc loc = layer_arg_loc(c, "dims");
    if (!ok)
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                   "dims must name each of the %d dimensions of its input once, the batch with 0", rank);
    else if (a.dims.v[0] != 0)
        ok = diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                        "dims must begin with 0, the batch, which stays in front");
    return ok ? layer_unary(c, OP_permute, &a) : NO_VALUE;
}

const LayerRow layer_Unflatten = {"Unflatten", ARG_ROWS(unflatten_args), .build = build_unflatten};
const LayerRow layer_Reshape = {"Reshape", ARG_ROWS(reshape_args), .build = build_reshape};
const LayerRow layer_Permute = {"Permute", ARG_ROWS(permute_args), .build = build_permute};
const LayerRow layer_Squeeze = {"Squeeze", ARG_ROWS(dim_args), .build = build_squeeze};
const LayerRow layer_Unsqueeze = {"Unsqueeze", ARG_ROWS(dim_args), .build = build_unsqueeze};
