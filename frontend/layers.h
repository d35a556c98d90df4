/* The table of layers: PyTorch's arguments, the parameters they bring, and the op they become. */
#ifndef FRONTEND_LAYERS_H
#define FRONTEND_LAYERS_H

#include "frontend/json.h"
#include "ir/op.h"

typedef enum ArgKind {
    ARG_INT,
    ARG_FLOAT,
    ARG_BOOL,
    ARG_PAIR,       /* 3 or [3, 5] */
    ARG_PAIR_OR_IN, /* the same; null is the input's own extent */
    ARG_PADDING,    /* 3, [3, 5], "same" or "valid" */
    ARG_WORD,       /* `word` and nothing else: PyTorch knows others, this compiler does not yet */
    ARG_NULL,       /* null and nothing else, likewise */
} ArgKind;

typedef struct ArgRow {
    const char *name;
    ArgKind kind;
    bool required;
    bool fixed;       /* ARG_BOOL: no other value than the default is supported yet */
    double def;       /* of each element, when missing */
    double lo, hi;    /* inclusive; both 0: no range */
    const char *from; /* when missing or null: the value of this argument, which stands before */
    const char *word; /* ARG_WORD */
    int dim;          /* not 0: must equal this dimension of the input, counted with the batch; -1 the last */
    const char *unit; /* what that dimension counts: "channels" */
} ArgRow;

typedef enum PadMode { PAD_NUMBERS, PAD_SAME, PAD_VALID } PadMode;

typedef struct Arg {
    const Json *at; /* where the file gives it; NULL: default */
    int64_t v[2];   /* ARG_INT, ARG_BOOL in v[0]; pairs: 0 stands for null */
    double f;
    PadMode mode;
} Arg;

typedef enum Init {
    INIT_FAN_IN, /* uniform in +-1/sqrt(fan_in of the layer's weight): kaiming_uniform with a = sqrt(5) */
    INIT_ONE,
    INIT_ZERO,
} Init;

typedef struct ParamRow {
    const char *name; /* "weight" */
    ValueKind kind;
    uint8_t rank;
    const char *dims[4]; /* "out_channels", "in_channels/groups", "kernel_size.1" */
    Init init;
    const char *when; /* the boolean argument that switches it; NULL: always */
} ParamRow;

#define SIZE_MAX_ARG 2147483647.0 /* the largest count or size */
enum { MAX_ARGS = 9, MAX_PARAMS = 4 };

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
} LayerCall;

struct LayerRow {
    const char *type;
    uint8_t rank;     /* of the input, with the batch; 0: any */
    bool many_inputs; /* two or more; else exactly one */
    const ArgRow *args;
    uint32_t n_args;
    const ParamRow *params;
    uint32_t n_params;
    ValueId (*build)(LayerCall *c); /* NO_VALUE after a diagnostic */
};

extern const LayerRow layer_table[];
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

#endif
