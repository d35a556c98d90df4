/* Pads: all are torch.nn.functional.pad with one mode. */
#include "frontend/layers.h"

static const ArgRow pad_args[] = {
    {"padding", ARG_LIST, .required = true, .lo = 0, .hi = SIZE_MAX_ARG},
};
static const ArgRow constant_pad_args[] = {
    {"padding", ARG_LIST, .required = true, .lo = 0, .hi = SIZE_MAX_ARG},
    {"value", ARG_FLOAT, .required = true},
};
static const ArgRow any_pad_args[] = {
    {"pad", ARG_LIST, .required = true, .lo = 0, .hi = SIZE_MAX_ARG},
    {"mode", ARG_WORD, .words = (const char *const[]){"constant", "reflect", "replicate", "circular", NULL}},
    {"value", ARG_FLOAT, .def = 0},
};

/* One number stands for all sides; else there are two for each spatial dimension, from the last one on. */
static bool read_pad(const LayerCall *c, const char *name, PadAttrs *a) {
    const Arg *arg = layer_arg(c, name);
    const uint32_t want = c->row->rank ? 2 * (c->row->rank - 2u) : 0, most = want ? want : MAX_INTS;
    const bool repeat = want && arg->n == 1;
    if (!repeat && (want ? arg->n != want : arg->n > most || arg->n % 2)) {
        Loc loc = layer_arg_loc(c, name);
        if (want)
            return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc,
                              "%s must be a whole number or a list of %u, not of %u", name, want, arg->n);
        return diag_error(&c->cx->diag, DIAG_WRONG_TYPE, &loc,
                          "%s must have two numbers for each of one to three dimensions, not %u", name,
                          arg->n);
    }
    a->pad.n = (uint8_t)(repeat ? want : arg->n);
    for (uint32_t i = 0; i < a->pad.n; i++)
        a->pad.v[i] = arg->v[repeat ? 0 : i];
    return true;
}

static ValueId build(LayerCall *c, PadKind mode, double value) {
    PadAttrs a = {.mode = mode, .value = value};
    return read_pad(c, "padding", &a) ? layer_unary(c, OP_pad, &a) : NO_VALUE;
}

static ValueId build_zero(LayerCall *c) {
    return build(c, PAD_CONSTANT, 0);
}

static ValueId build_constant(LayerCall *c) {
    return build(c, PAD_CONSTANT, layer_arg(c, "value")->f);
}

static ValueId build_reflection(LayerCall *c) {
    return build(c, PAD_REFLECT, 0);
}

static ValueId build_replication(LayerCall *c) {
    return build(c, PAD_REPLICATE, 0);
}

static ValueId build_any(LayerCall *c) {
    PadAttrs a = {.mode = (int32_t)layer_int(c, "mode")};
    a.value = a.mode == PAD_CONSTANT ? layer_arg(c, "value")->f : 0;
    return read_pad(c, "pad", &a) ? layer_unary(c, OP_pad, &a) : NO_VALUE;
}

const LayerRow layer_ZeroPad2d = {"ZeroPad2d", .rank = 4, ARG_ROWS(pad_args), .build = build_zero};
const LayerRow layer_ConstantPad1d = {"ConstantPad1d", .rank = 3, ARG_ROWS(constant_pad_args),
                                      .build = build_constant};
const LayerRow layer_ConstantPad2d = {"ConstantPad2d", .rank = 4, ARG_ROWS(constant_pad_args),
                                      .build = build_constant};
const LayerRow layer_ConstantPad3d = {"ConstantPad3d", .rank = 5, ARG_ROWS(constant_pad_args),
                                      .build = build_constant};
const LayerRow layer_ReflectionPad1d = {"ReflectionPad1d", .rank = 3, ARG_ROWS(pad_args),
                                        .build = build_reflection};
const LayerRow layer_ReflectionPad2d = {"ReflectionPad2d", .rank = 4, ARG_ROWS(pad_args),
                                        .build = build_reflection};
const LayerRow layer_ReflectionPad3d = {"ReflectionPad3d", .rank = 5, ARG_ROWS(pad_args),
                                        .build = build_reflection};
const LayerRow layer_ReplicationPad1d = {"ReplicationPad1d", .rank = 3, ARG_ROWS(pad_args),
                                         .build = build_replication};
const LayerRow layer_ReplicationPad2d = {"ReplicationPad2d", .rank = 4, ARG_ROWS(pad_args),
                                         .build = build_replication};
const LayerRow layer_ReplicationPad3d = {"ReplicationPad3d", .rank = 5, ARG_ROWS(pad_args),
                                         .build = build_replication};
const LayerRow layer_Pad = {"Pad", ARG_ROWS(any_pad_args), .build = build_any};
