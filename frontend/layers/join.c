/* Tensors side by side, and parts of one. */
#include "frontend/layers.h"
#include <inttypes.h>
#include <string.h>

static const ArgRow concat_args[] = {{"dim", ARG_INT, .required = true}};

static ValueId concat(LayerCall *c, const ValueId *inputs, uint32_t n, int64_t dim, const char *name) {
    const ConcatAttrs a = {dim};
    return graph_node(c->g, OP_concat, inputs, n, &a, name, c->loc);
}

/* More inputs than a node has operands: each whole group, counted from the first one, becomes one. Layers
 * that append to the inputs of the one before, as a dense block does, so have the same groups, which are
 * copied once. Room is left for what rides along. */
static ValueId build_concat(LayerCall *c) {
    enum { GROUP = 10, ROOM = 3 };
    int64_t dim;
    if (!layer_dim(c, "dim", graph_value(c->g, c->inputs[0])->type.rank, true, &dim))
        return NO_VALUE;
    ValueId *in = NEW_ARRAY(&c->cx->arena, ValueId, c->n_inputs);
    memcpy(in, c->inputs, c->n_inputs * sizeof *in);
    uint32_t n = c->n_inputs, made = 0;
    while (n > MAX_OPERANDS - ROOM) {
        const size_t groups = n / GROUP;
        for (size_t i = 0; i < groups; i++) {
            in[i] = concat(c, in + i * GROUP, GROUP, dim, intern_f(c->cx, "%s.group%u", c->name, made++));
            if (in[i] == NO_VALUE)
                return NO_VALUE;
        }
        memmove(in + groups, in + groups * GROUP, (n - groups * GROUP) * sizeof *in);
        n -= (uint32_t)groups * (GROUP - 1);
    }
    return concat(c, in, n, dim, c->name);
}

/* One result; NO_VALUE after a diagnostic. */
static ValueId slice(LayerCall *c, const SliceAttrs *a, const char *name) {
    return graph_node(c->g, OP_slice, c->inputs, 1, a, name, c->loc);
}

static const ArgRow split_args[] = {
    {"split_size", ARG_LIST, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"dim", ARG_INT, .required = true},
};

/* How many parts a split has; 0 after a diagnostic. */
static uint32_t count_parts(LayerCall *c, int64_t size) {
    enum { MOST = 256 };
    const Arg *a = layer_arg(c, "split_size");
    Loc loc = layer_arg_loc(c, "split_size");
    int64_t sum = 0;
    if (a->at->kind == JSON_NUMBER) {
        const int64_t n = (size - 1) / a->v[0] + 1;
        if (n > MOST)
            diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc,
                       "it makes %" PRId64 " parts; a Split has at most %d", n, MOST);
        return n > MOST ? 0 : (uint32_t)n;
    }
    for (uint32_t i = 0; i < a->n; i++)
        sum += a->v[i];
    if (sum != size)
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc,
                   "the parts have %" PRId64 " elements together, but the dimension has %" PRId64, sum, size);
    return sum == size ? a->n : 0;
}

static ValueId build_split(LayerCall *c) {
    const Type in = graph_value(c->g, c->inputs[0])->type;
    const Arg *sizes = layer_arg(c, "split_size");
    SliceAttrs a = {.step = 1};
    if (!layer_dim(c, "dim", in.rank, true, &a.dim))
        return NO_VALUE;
    const int64_t size = in.dim[a.dim].size;
    c->n_results = count_parts(c, size);
    c->results = NEW_ARRAY(&c->cx->arena, ValueId, c->n_results + 1);
    c->results[0] = NO_VALUE;
    for (uint32_t i = 0; i < c->n_results; i++, a.start = a.end) {
        a.end = a.start + sizes->v[sizes->at->kind == JSON_NUMBER ? 0 : i];
        a.end = a.end < size ? a.end : size;
        c->results[i] = slice(c, &a, intern_f(c->cx, "%s.%u", c->name, i));
        if (c->results[i] == NO_VALUE)
            return NO_VALUE;
    }
    return c->results[0];
}

#define TO_THE_END 9007199254740992.0 /* 2^53 */
static const ArgRow slice_args[] = {
    {"dim", ARG_INT, .required = true},
    {"start", ARG_INT, .def = 0},
    {"end", ARG_INT, .def = TO_THE_END},
    {"step", ARG_INT, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
};

/* As Python counts: from the end if negative, and never beyond it. */
static int64_t clamped(int64_t at, int64_t size) {
    at = at < 0 ? at + size : at;
    return at < 0 ? 0 : at > size ? size : at;
}

static ValueId build_slice(LayerCall *c) {
    const Type in = graph_value(c->g, c->inputs[0])->type;
    SliceAttrs a = {.step = layer_int(c, "step")};
    if (!layer_dim(c, "dim", in.rank, true, &a.dim))
        return NO_VALUE;
    const int64_t size = in.dim[a.dim].size;
    a.start = clamped(layer_int(c, "start"), size);
    a.end = clamped(layer_int(c, "end"), size);
    if (a.start < a.end)
        return slice(c, &a, c->name);
    diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &c->loc,
               "it is empty: of %" PRId64 " elements it begins at %" PRId64 " and ends before %" PRId64, size,
               a.start, a.end);
    return NO_VALUE;
}

const LayerRow layer_Concat = {"Concat", .many_inputs = true, ARG_ROWS(concat_args), .build = build_concat};
const LayerRow layer_Split = {"Split", .many_results = true, ARG_ROWS(split_args), .build = build_split};
const LayerRow layer_Slice = {"Slice", ARG_ROWS(slice_args), .build = build_slice};
