/* The layers of model JSON. A new layer is one group of rows here and a builder that names its op; arguments
 * have PyTorch's names, order and defaults (torch.nn, version 1.13). */
#include "frontend/layers.h"
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define ARG_ROWS(rows) .args = (rows), .n_args = COUNT(rows)
#define PARAM_ROWS(rows) .params = (rows), .n_params = COUNT(rows)

static int64_t arg_int(const LayerCall *c, const char *name) {
    return layer_arg(c, name)->v[0];
}

static IntList arg_pair(const LayerCall *c, const char *name) {
    const Arg *a = layer_arg(c, name);
    return (IntList){.n = 2, .v = {a->v[0], a->v[1]}};
}

/* A pair of paddings as top, left, bottom, right. */
static IntList arg_border(const LayerCall *c, const char *name) {
    const Arg *a = layer_arg(c, name);
    return (IntList){.n = 4, .v = {a->v[0], a->v[1], a->v[0], a->v[1]}};
}

static ValueId unary(LayerCall *c, OpId op, const void *attrs) {
    return graph_node(c->g, op, c->inputs, 1, attrs, c->name, c->loc);
}

/* The op on the input followed by the layer's parameters, as far as they are switched on. */
static ValueId with_params(LayerCall *c, OpId op, const void *attrs) {
    ValueId operands[1 + MAX_PARAMS] = {c->inputs[0]};
    uint32_t n = 1;
    for (uint32_t i = 0; i < c->row->n_params; i++)
        if (c->params[i] != NO_VALUE)
            operands[n++] = c->params[i];
    return graph_node(c->g, op, operands, n, attrs, c->name, c->loc);
}

/* ---- Conv2d ---- */

static const ArgRow conv2d_args[] = {
    {"in_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"out_channels", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"kernel_size", ARG_PAIR, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_PAIR, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_PADDING, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"dilation", ARG_PAIR, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"groups", ARG_INT, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"bias", ARG_BOOL, .def = 1},
    {"padding_mode", ARG_WORD, .word = "zeros"},
};
static const ParamRow conv2d_params[] = {
    {"weight",
     VK_PARAM,
     4,
     {"out_channels", "in_channels/groups", "kernel_size.0", "kernel_size.1"},
     INIT_FAN_IN},
    {"bias", VK_PARAM, 1, {"out_channels"}, INIT_FAN_IN, .when = "bias"},
};

/* "same" splits dilation * (kernel - 1) into two halves; the odd one goes to the bottom and right. */
static bool same_padding(const LayerCall *c, IntList *padding) {
    const Arg *k = layer_arg(c, "kernel_size"), *d = layer_arg(c, "dilation"), *s = layer_arg(c, "stride");
    if (s->v[0] != 1 || s->v[1] != 1) {
        Loc loc = layer_arg_loc(c, "padding");
        diag_error(&c->cx->diag, DIAG_BAD_ARGUMENT, &loc, "padding \"same\" needs stride 1");
        return diag_hint(&c->cx->diag, "give the padding in numbers");
    }
    for (int i = 0; i < 2; i++) {
        int64_t total = d->v[i] * (k->v[i] - 1); /* both below 2^31 */
        padding->v[i] = total / 2;
        padding->v[i + 2] = total - total / 2;
    }
    return true;
}

static ValueId build_conv2d(LayerCall *c) {
    Conv2dAttrs a = {.stride = arg_pair(c, "stride"),
                     .padding = arg_border(c, "padding"),
                     .dilation = arg_pair(c, "dilation"),
                     .groups = arg_int(c, "groups")};
    if (layer_arg(c, "padding")->mode == PAD_SAME && !same_padding(c, &a.padding))
        return NO_VALUE;
    return with_params(c, OP_conv2d, &a);
}

/* ---- Linear ---- */

static const ArgRow linear_args[] = {
    {"in_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = -1, .unit = "features"},
    {"out_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"bias", ARG_BOOL, .def = 1},
};
static const ParamRow linear_params[] = {
    {"weight", VK_PARAM, 2, {"out_features", "in_features"}, INIT_FAN_IN},
    {"bias", VK_PARAM, 1, {"out_features"}, INIT_FAN_IN, .when = "bias"},
};

static ValueId build_linear(LayerCall *c) {
    return with_params(c, OP_linear, NULL);
}

/* ---- BatchNorm2d ---- */

static const ArgRow batch_norm_args[] = {
    {"num_features", ARG_INT, .required = true, .lo = 1, .hi = SIZE_MAX_ARG, .dim = 1, .unit = "channels"},
    {"eps", ARG_FLOAT, .def = 1e-5, .lo = 0, .hi = 1e30},
    {"momentum", ARG_FLOAT, .def = 0.1, .lo = 0, .hi = 1},
    {"affine", ARG_BOOL, .def = 1},
    {"track_running_stats", ARG_BOOL, .def = 1, .fixed = true},
};
static const ParamRow batch_norm_params[] = {
    {"weight", VK_PARAM, 1, {"num_features"}, INIT_ONE, .when = "affine"},
    {"bias", VK_PARAM, 1, {"num_features"}, INIT_ZERO, .when = "affine"},
    {"running_mean", VK_BUFFER, 1, {"num_features"}, INIT_ZERO},
    {"running_var", VK_BUFFER, 1, {"num_features"}, INIT_ONE},
};

/* affine = false is a weight of ones and a bias of zeros. */
static ValueId filled(LayerCall *c, const char *what, float value) {
    int64_t n = arg_int(c, "num_features");
    Type t = type_make(DT_F32, 1, &(Dim){n, false});
    float *data = NEW_ARRAY(&c->cx->arena, float, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        data[i] = value;
    return graph_const(c->g, intern_f(c->cx, "%s.%s", c->name, what), t, data, c->loc);
}

static ValueId build_batch_norm(LayerCall *c) {
    BatchNormAttrs a = {.eps = layer_arg(c, "eps")->f, .momentum = layer_arg(c, "momentum")->f};
    if (c->params[0] == NO_VALUE) {
        c->params[0] = filled(c, "weight", 1);
        c->params[1] = filled(c, "bias", 0);
    }
    return with_params(c, OP_batch_norm, &a);
}

/* ---- Pools ---- */

static const ArgRow max_pool_args[] = {
    {"kernel_size", ARG_PAIR, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_PAIR, .from = "kernel_size", .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_PAIR, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"dilation", ARG_PAIR, .def = 1, .lo = 1, .hi = SIZE_MAX_ARG},
    {"return_indices", ARG_BOOL, .def = 0, .fixed = true},
    {"ceil_mode", ARG_BOOL, .def = 0},
};
static const ArgRow avg_pool_args[] = {
    {"kernel_size", ARG_PAIR, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
    {"stride", ARG_PAIR, .from = "kernel_size", .lo = 1, .hi = SIZE_MAX_ARG},
    {"padding", ARG_PAIR, .def = 0, .lo = 0, .hi = SIZE_MAX_ARG},
    {"ceil_mode", ARG_BOOL, .def = 0},
    {"count_include_pad", ARG_BOOL, .def = 1},
    {"divisor_override", ARG_NULL},
};

static ValueId build_max_pool(LayerCall *c) {
    Pool2dAttrs a = {.kernel_size = arg_pair(c, "kernel_size"),
                     .stride = arg_pair(c, "stride"),
                     .padding = arg_border(c, "padding"),
                     .dilation = arg_pair(c, "dilation"),
                     .ceil_mode = arg_int(c, "ceil_mode"),
                     .count_include_pad = true};
    return unary(c, OP_max_pool2d, &a);
}

static ValueId build_avg_pool(LayerCall *c) {
    Pool2dAttrs a = {.kernel_size = arg_pair(c, "kernel_size"),
                     .stride = arg_pair(c, "stride"),
                     .padding = arg_border(c, "padding"),
                     .dilation = {.n = 2, .v = {1, 1}},
                     .ceil_mode = arg_int(c, "ceil_mode"),
                     .count_include_pad = arg_int(c, "count_include_pad")};
    return unary(c, OP_avg_pool2d, &a);
}

static const ArgRow adaptive_pool_args[] = {
    {"output_size", ARG_PAIR_OR_IN, .required = true, .lo = 1, .hi = SIZE_MAX_ARG},
};

static ValueId build_adaptive_pool(LayerCall *c) {
    AdaptivePoolAttrs a = {.output_size = arg_pair(c, "output_size")};
    const Type *in = &graph_value(c->g, c->inputs[0])->type;
    for (int i = 0; i < 2 && in->rank == 4; i++)
        if (a.output_size.v[i] == 0)
            a.output_size.v[i] = in->dim[2 + i].size;
    return unary(c, OP_adaptive_avg_pool2d, &a);
}

/* ---- The rest ---- */

static const ArgRow relu_args[] = {{"inplace", ARG_BOOL, .def = 0}};
static const ArgRow flatten_args[] = {
    {"start_dim", ARG_INT, .def = 1, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
    {"end_dim", ARG_INT, .def = -1, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
};
static const ArgRow dropout_args[] = {
    {"p", ARG_FLOAT, .def = 0.5, .lo = 0, .hi = 1},
    {"inplace", ARG_BOOL, .def = 0},
};
static const ArgRow softmax_args[] = {
    {"dim", ARG_INT, .required = true, .lo = -MAX_RANK, .hi = MAX_RANK - 1},
};

static ValueId build_relu(LayerCall *c) {
    return unary(c, OP_relu, NULL);
}

static ValueId build_flatten(LayerCall *c) {
    FlattenAttrs a = {.start_dim = arg_int(c, "start_dim"), .end_dim = arg_int(c, "end_dim")};
    return unary(c, OP_flatten, &a);
}

static ValueId build_dropout(LayerCall *c) {
    DropoutAttrs a = {.p = layer_arg(c, "p")->f};
    return unary(c, OP_dropout, &a);
}

static ValueId build_softmax(LayerCall *c) {
    SoftmaxAttrs a = {.dim = arg_int(c, "dim")};
    return unary(c, OP_softmax, &a);
}

/* Left to right, as PyTorch adds x + y + z; only the last sum bears the layer's name. */
static ValueId build_add(LayerCall *c) {
    ValueId sum = c->inputs[0];
    for (uint32_t i = 1; i < c->n_inputs && sum != NO_VALUE; i++) {
        bool last = i + 1 == c->n_inputs;
        const char *name = last ? c->name : intern_f(c->cx, "%s.%u", c->name, i);
        sum = graph_node(c->g, OP_add, (ValueId[]){sum, c->inputs[i]}, 2, NULL, name, c->loc);
    }
    return sum;
}

const LayerRow layer_table[] = {
    {"Conv2d", .rank = 4, ARG_ROWS(conv2d_args), PARAM_ROWS(conv2d_params), .build = build_conv2d},
    {"Linear", ARG_ROWS(linear_args), PARAM_ROWS(linear_params), .build = build_linear},
    {"BatchNorm2d", .rank = 4, ARG_ROWS(batch_norm_args), PARAM_ROWS(batch_norm_params),
     .build = build_batch_norm},
    {"ReLU", ARG_ROWS(relu_args), .build = build_relu},
    {"MaxPool2d", .rank = 4, ARG_ROWS(max_pool_args), .build = build_max_pool},
    {"AvgPool2d", .rank = 4, ARG_ROWS(avg_pool_args), .build = build_avg_pool},
    {"AdaptiveAvgPool2d", .rank = 4, ARG_ROWS(adaptive_pool_args), .build = build_adaptive_pool},
    {"Flatten", ARG_ROWS(flatten_args), .build = build_flatten},
    {"Dropout", ARG_ROWS(dropout_args), .build = build_dropout},
    {"Softmax", ARG_ROWS(softmax_args), .build = build_softmax},
    {"Add", .many_inputs = true, .build = build_add},
};
const uint32_t layer_count = COUNT(layer_table);

const LayerRow *layer_by_type(const char *type) {
    for (uint32_t i = 0; i < layer_count; i++)
        if (strcmp(layer_table[i].type, type) == 0)
            return &layer_table[i];
    return NULL;
}

/* Layers of torch.nn that networks for images use and that are not in the table: their names are no
 * misspellings, however near to one of it. */
static const char *const torch_types[] = {
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool2d",
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm3d",
    "Bilinear",
    "CELU",
    "ConstantPad2d",
    "Conv1d",
    "Conv3d",
    "ConvTranspose2d",
    "CosineSimilarity",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "ELU",
    "Embedding",
    "GELU",
    "GLU",
    "GRU",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "InstanceNorm2d",
    "LSTM",
    "LPPool2d",
    "LayerNorm",
    "LeakyReLU",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool3d",
    "MaxUnpool2d",
    "Mish",
    "MultiheadAttention",
    "PReLU",
    "PixelShuffle",
    "PixelUnshuffle",
    "RNN",
    "RReLU",
    "ReLU6",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "SyncBatchNorm",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
};

bool layer_is_torchs(const char *type) {
    for (size_t i = 0; i < COUNT(torch_types); i++)
        if (strcmp(torch_types[i], type) == 0)
            return true;
    return layer_by_type(type);
}
