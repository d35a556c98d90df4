/* The table of layers: PyTorch's arguments, the parameters they bring, and the op they become. */
#ifndef FRONTEND_LAYERS_H
#define FRONTEND_LAYERS_H

#include "frontend/json.h"
#include "ir/op.h"

enum { MAX_SPATIAL = 3, MAX_LIST = 2 * MAX_RANK };

typedef enum ArgKind {
    ARG_INT,
    ARG_FLOAT,
    ARG_BOOL,
    ARG_SIZES,       /* one a spatial dimension of the row's rank: 3 or [3, 5] */
    ARG_SIZES_OR_IN, /* the same; null is the input's own extent */
    ARG_PADDING,     /* as ARG_SIZES, or "same" or "valid" */
    ARG_FLOATS,      /* one number or a list of up to MAX_SPATIAL */
    ARG_LIST,        /* one whole number or a list of up to MAX_LIST */
    ARG_WORD,        /* one of `words`; v[0] is its place among them */
} ArgKind;

typedef struct ArgRow {
    const char *name;
    ArgKind kind;
    bool required;
    bool may_null;            /* null is as good as missing */
    bool fixed;               /* ARG_BOOL: no other value than the default is supported yet */
    double def;               /* of each element, when missing */
    double lo, hi;            /* inclusive; both 0: no range */
    const char *from;         /* when missing or null: the value of this argument, which stands before */
    const char *const *words; /* ARG_WORD: the first is the default; NULL ends them */
    int dim;          /* not 0: must equal this dimension of the input, counted with the batch; -1 the last */
    const char *unit; /* what that dimension counts: "channels" */
} ArgRow;

typedef enum PadMode { PAD_NUMBERS, PAD_SAME, PAD_VALID } PadMode;

typedef struct Arg {
    const Json *at;      /* where the file gives it; NULL: default */
    uint32_t n;          /* elements of v */
    int64_t v[MAX_LIST]; /* ARG_INT, ARG_BOOL in v[0]; sizes: 0 stands for null */
    double f;
    double factors[MAX_SPATIAL]; /* ARG_FLOATS */
    PadMode mode;
} Arg;

typedef enum Init {
    INIT_FAN_IN, /* uniform in +-1/sqrt(fan_in of the layer's weight): kaiming_uniform with a = sqrt(5) */
    INIT_ONE,
    INIT_ZERO,
    INIT_PRELU, /* the `init` of the op that it is the weight of */
} Init;

typedef struct ParamRow {
    const char *name; /* "weight" */
    ValueKind kind;
    uint8_t rank;                      /* 0: the shape is the list that dims[0] names */
    const char *dims[2 + MAX_SPATIAL]; /* "out_channels", "in_channels/groups", "kernel_size.1" */
    Init init;
    const char *when; /* the boolean argument that switches it; NULL: always */
} ParamRow;

#define SIZE_MAX_ARG 2147483647.0 /* the largest count or size */
enum { MAX_ARGS = 10, MAX_PARAMS = 4 };

/* A layer being built. */
typedef struct LayerRow LayerRow;
typedef struct LayerCall {
    Context *cx;
    Graph *g;
    const JsonDoc *doc;
    const LayerRow *row;
    const Json *object;
    Loc loc;            /* of the layer */
    const char *name;   /* its result's name */
    Arg args[MAX_ARGS]; /* in the order of the table's rows */
    const ValueId *inputs;
    uint32_t n_inputs;
    ValueId params[MAX_PARAMS]; /* in the order of the table's rows; NO_VALUE when switched off */
    ValueId *results;           /* made by a row with many_results */
    uint32_t n_results;
} LayerCall;

struct LayerRow {
    const char *type;
    uint8_t rank;      /* of the input, with the batch; 0: any */
    bool many_inputs;  /* two or more; else exactly one */
    bool many_results; /* called name.0, name.1...; else one, called as the layer */
    const ArgRow *args;
    uint32_t n_args;
    const ParamRow *params;
    uint32_t n_params;
    OpId op;                        /* what a builder of several rows makes of this one */
    ValueId (*build)(LayerCall *c); /* NO_VALUE after a diagnostic; the first of many results */
};

#define LAYER(type) extern const LayerRow layer_##type;
#include "frontend/layers.def"
#undef LAYER
#define ARG_ROWS(rows) .args = (rows), .n_args = sizeof(rows) / sizeof *(rows)
#define PARAM_ROWS(rows) .params = (rows), .n_params = sizeof(rows) / sizeof *(rows)

extern const LayerRow *const layer_table[];
extern const uint32_t layer_count;

const LayerRow *layer_by_type(const char *type); /* NULL if unknown */
bool layer_is_torchs(const char *type);          /* PyTorch has it, whether this compiler knows it or not */

/* args.c: read `object` by the rows of c->row into c->args. Keys of every layer (type, name, inputs) are
 * skipped, all others must be arguments. All faults are reported. */
bool layer_read_args(LayerCall *c);
/* Arguments that repeat a dimension of the input must agree with it. */
bool layer_check_input(LayerCall *c);
/* The shape of a parameter from the arguments. */
bool layer_param_type(const LayerCall *c, const ParamRow *p, Type *out);
const Arg *layer_arg(const LayerCall *c, const char *name);
/* The location of the argument, or of the layer where the argument is not given. */
Loc layer_arg_loc(const LayerCall *c, const char *name);

/* For builders: an argument's value; sizes with one entry a spatial dimension; paddings as top, left, bottom,
 * right. */
int64_t layer_int(const LayerCall *c, const char *name);
IntList layer_sizes(const LayerCall *c, const char *name);
IntList layer_border(const LayerCall *c, const char *name);
/* The argument as a dimension of a tensor with so many, batch included: counted from the end if negative.
 * `inner`: it must not be the batch. False after a diagnostic. */
bool layer_dim(LayerCall *c, const char *name, int rank, bool inner, int64_t *dim);
/* The op on the input; on the input followed by the layer's parameters, as far as they are switched on. */
ValueId layer_unary(LayerCall *c, OpId op, const void *attrs);
ValueId layer_with_params(LayerCall *c, OpId op, const void *attrs);

#endif
