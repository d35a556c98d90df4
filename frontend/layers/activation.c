/* Activations: one value in, one out. */
#include "frontend/layers.h"
#include <inttypes.h>

/* What PyTorch calls a layer whose result may take its input's place: nothing to this compiler. */
#define ROW_INPLACE {"inplace", ARG_BOOL, .def = 0}
static const ArgRow inplace_args[] = {ROW_INPLACE};

static ValueId build_op(LayerCall *c) {
    return layer_unary(c, c->row->op, NULL);
}

static ValueId build_relu6(LayerCall *c) {
    return layer_unary(c, OP_hardtanh, &(const HardtanhAttrs){.min_val = 0, .max_val = 6});
}

static ValueId build_identity(LayerCall *c) {
    return c->inputs[0];
}

#define INPLACE ARG_ROWS(inplace_args)
const LayerRow layer_ReLU = {"ReLU", INPLACE, .op = OP_relu, .build = build_op};
const LayerRow layer_ReLU6 = {"ReLU6", INPLACE, .build = build_relu6};
const LayerRow layer_SiLU = {"SiLU", INPLACE, .op = OP_silu, .build = build_op};
const LayerRow layer_Mish = {"Mish", INPLACE, .op = OP_mish, .build = build_op};
const LayerRow layer_Hardswish = {"Hardswish", INPLACE, .op = OP_hardswish, .build = build_op};
const LayerRow layer_Hardsigmoid = {"Hardsigmoid", INPLACE, .op = OP_hardsigmoid, .build = build_op};
const LayerRow layer_Sigmoid = {"Sigmoid", .op = OP_sigmoid, .build = build_op};
const LayerRow layer_Tanh = {"Tanh", .op = OP_tanh, .build = build_op};
const LayerRow layer_Softsign = {"Softsign", .op = OP_softsign, .build = build_op};
const LayerRow layer_Identity = {"Identity", .build = build_identity};

/* ---- With numbers ---- */

static const ArgRow leaky_relu_args[] = {{"negative_slope", ARG_FLOAT, .def = 0.01}, ROW_INPLACE};

static ValueId build_leaky_relu(LayerCall *c) {
    LeakyReluAttrs a = {.negative_slope = layer_arg(c, "negative_slope")->f};
    return layer_unary(c, OP_leaky_relu, &a);
}

static const ArgRow elu_args[] = {{"alpha", ARG_FLOAT, .def = 1}, ROW_INPLACE};

static ValueId build_elu(LayerCall *c) {
    EluAttrs a = {.alpha = layer_arg(c, "alpha")->f, .scale = 1, .input_scale = 1};
    return layer_unary(c, OP_elu, &a);
}

/* Klambauer et al., "Self-normalizing neural networks", 2017: the numbers that keep mean 0 and variance 1. */
static ValueId build_selu(LayerCall *c) {
    EluAttrs a = {.alpha = 1.6732632423543772, .scale = 1.0507009873554805, .input_scale = 1};
    return layer_unary(c, OP_elu, &a);
}

static const ArgRow celu_args[] = {{"alpha", ARG_FLOAT, .def = 1, .lo = 1e-9, .hi = 1e9}, ROW_INPLACE};

static ValueId build_celu(LayerCall *c) {
    const double alpha = layer_arg(c, "alpha")->f;
    EluAttrs a = {.alpha = alpha, .scale = 1, .input_scale = 1 / alpha};
    return layer_unary(c, OP_elu, &a);
}

static const ArgRow gelu_args[] = {
    {"approximate", ARG_WORD, .words = (const char *const[]){"none", "tanh", NULL}}, /* GeluKind */
};

static ValueId build_gelu(LayerCall *c) {
    GeluAttrs a = {.approximate = (int32_t)layer_int(c, "approximate")};
    return layer_unary(c, OP_gelu, &a);
}

static const ArgRow hardtanh_args[] = {
    {"min_val", ARG_FLOAT, .def = -1},
    {"max_val", ARG_FLOAT, .def = 1},
    ROW_INPLACE,
};

static ValueId build_hardtanh(LayerCall *c) {
    HardtanhAttrs a = {.min_val = layer_arg(c, "min_val")->f, .max_val = layer_arg(c, "max_val")->f};
    if (a.min_val < a.max_val)
        return layer_unary(c, OP_hardtanh, &a);
    Loc loc = layer_arg_loc(c, "min_val");
    diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc, "min_val is %g; it must be below max_val, which is %g",
               a.min_val, a.max_val);
    return NO_VALUE;
}

static const ArgRow softplus_args[] = {
    {"beta", ARG_FLOAT, .def = 1, .lo = 1e-9, .hi = 1e9},
    {"threshold", ARG_FLOAT, .def = 20},
};

static ValueId build_softplus(LayerCall *c) {
    SoftplusAttrs a = {.beta = layer_arg(c, "beta")->f, .threshold = layer_arg(c, "threshold")->f};
    return layer_unary(c, OP_softplus, &a);
}

/* -softplus(-x) */
static ValueId build_log_sigmoid(LayerCall *c) {
    static const float zero = 0;
    const SoftplusAttrs a = {.beta = 1, .threshold = 20};
    ValueId operands[2] = {
        graph_const(c->g, intern_f(c->cx, "%s.zero", c->name), type_make(DT_F32, 0, NULL), &zero, c->loc),
        c->inputs[0]};
    operands[1] =
        graph_node(c->g, OP_sub, operands, 2, NULL, intern_f(c->cx, "%s.negative", c->name), c->loc);
    if (operands[1] != NO_VALUE)
        operands[1] = graph_node(c->g, OP_softplus, &operands[1], 1, &a,
                                 intern_f(c->cx, "%s.softplus", c->name), c->loc);
    return operands[1] == NO_VALUE ? NO_VALUE : graph_node(c->g, OP_sub, operands, 2, NULL, c->name, c->loc);
}

const LayerRow layer_LeakyReLU = {"LeakyReLU", ARG_ROWS(leaky_relu_args), .build = build_leaky_relu};
const LayerRow layer_ELU = {"ELU", ARG_ROWS(elu_args), .build = build_elu};
const LayerRow layer_SELU = {"SELU", INPLACE, .build = build_selu};
const LayerRow layer_CELU = {"CELU", ARG_ROWS(celu_args), .build = build_celu};
const LayerRow layer_GELU = {"GELU", ARG_ROWS(gelu_args), .build = build_gelu};
const LayerRow layer_Hardtanh = {"Hardtanh", ARG_ROWS(hardtanh_args), .build = build_hardtanh};
const LayerRow layer_Softplus = {"Softplus", ARG_ROWS(softplus_args), .build = build_softplus};
const LayerRow layer_LogSigmoid = {"LogSigmoid", .build = build_log_sigmoid};

/* ---- With a parameter ---- */

static const ArgRow prelu_args[] = {
    {"num_parameters", ARG_INT, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"init", ARG_FLOAT, .def = 0.25},
};
static const ParamRow prelu_params[] = {{"weight", VK_PARAM, 1, {"num_parameters"}, INIT_PRELU}};

/* The weight has one element, or one a channel; the op wants it in a shape that broadcasts. */
static ValueId build_prelu(LayerCall *c) {
    const PreluAttrs a = {.init = layer_arg(c, "init")->f};
    const Type *x = &graph_value(c->g, c->inputs[0])->type;
    const int64_t count = layer_int(c, "num_parameters"), channels = x->rank > 1 ? x->dim[1].size : 1;
    if (count != 1 && count != channels) {
        Loc loc = layer_arg_loc(c, "num_parameters");
        diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &loc,
                   "num_parameters is %" PRId64 ", but its input has %" PRId64 " channels", count, channels);
        diag_hint(&c->cx->diag, "a PReLU has one parameter, or one for each channel");
        return NO_VALUE;
    }
    ReshapeAttrs view = {{x->rank - 1u, {count, 1, 1, 1, 1}}};
    ValueId operands[2] = {c->inputs[0], c->params[0]};
    if (count > 1 && x->rank > 2)
        operands[1] = graph_node(c->g, OP_reshape, &operands[1], 1, &view,
                                 intern_f(c->cx, "%s.weight_view", c->name), c->loc);
    return operands[1] == NO_VALUE ? NO_VALUE : graph_node(c->g, OP_prelu, operands, 2, &a, c->name, c->loc);
}

const LayerRow layer_PReLU = {"PReLU", ARG_ROWS(prelu_args), PARAM_ROWS(prelu_params), .build = build_prelu};
