/* The graph IR: one static single assignment graph of tensor ops, in topological order.
 * Passes never edit a graph in place: they build a new one (rewrite.h). */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include "ir/picture.h"
#include "ir/type.h"

typedef uint32_t ValueId;
typedef uint32_t NodeId;
#define NO_VALUE UINT32_MAX
#define NO_NODE UINT32_MAX

enum {
    MAX_OPERANDS = 16, /* of one node, extra operands of its regions included */
    MAX_OUTPUTS = 256,
    MAX_BATCH = 65536,
};

typedef enum OpId {
#define OP(id) OP_##id,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} OpId;

typedef enum ValueKind {
    VK_INPUT,  /* given at each call */
    VK_PARAM,  /* weights: trainable in training */
    VK_BUFFER, /* weights that no optimizer touches: batch-norm statistics */
    VK_CONST,  /* known now; data in `data` */
    VK_STATE,  /* training: kept in the caller's state block from call to call; `role` and `key` say what */
    VK_HYPER,  /* training: the run-time numbers of a step, f64; ir/train.h says which */
    VK_RESULT, /* of a node */
    VK_ARG,    /* of a region: 0 is what the op produced, the others are further operands */
} ValueKind;

/* What a state value is. The text and the state block have them in this order. */
typedef enum StateRole {
    ROLE_PARAM,   /* a parameter that is trained */
    ROLE_BUFFER,  /* statistics of a batch norm that is trained */
    ROLE_SLOT,    /* of the optimizer; key "exp_avg/conv1.weight" */
    ROLE_GRAD,    /* key "grad/conv1.weight" */
    ROLE_COUNTER, /* i64[1]: keys "step" (of the optimizer), "calls" (of backward since state_init),
                     "accumulated" (calls of backward since zero_grad), "seed" */
} StateRole;
enum { ROLE_COUNT = ROLE_COUNTER + 1 };
extern const char *const state_role_names[ROLE_COUNT]; /* "param", "buffer", "slot", "grad", "counter" */

/* When a value is known. */
typedef enum BindTime { BIND_COMPILE, BIND_LOAD, BIND_STEP, BIND_CALL } BindTime;

typedef struct Value {
    const char *name; /* without '%'; unique in its graph; interned */
    Type type;
    ValueKind kind;
    NodeId def;      /* VK_RESULT */
    const char *key; /* VK_PARAM, VK_BUFFER, VK_STATE: name in the weights file, "layer1.0.conv1.weight" */
    StateRole role;  /* VK_STATE */
    bool target;     /* VK_INPUT in training: what the loss compares with; such inputs come last */
    const Picture *picture; /* VK_INPUT: what its pixels are; NULL: nothing is said */
    const char *origin;     /* name of the value of the imported graph that this one equals, or NULL */
    const void *data;       /* VK_CONST: dense elements of type.dtype */
    Loc loc;
} Value;

/* The choice of an algorithm, written by the pass `choose`, read by `layout` and `lower`.
 * Its rows are in choice.c; text: choice {algorithm=direct, vectors=2, pixels=6}. */
typedef enum Algorithm {
    ALGO_NONE,
    ALGO_DIRECT,
    ALGO_PRODUCT,
    ALGO_PLAIN,
    ALGO_WINOGRAD,
    ALGO_DEPTHWISE
} Algorithm;
typedef struct Choice {
    int32_t algorithm;
    int64_t block;    /* channel block: lanes of a vector; 0: planar */
    int64_t vectors;  /* output-channel vectors in registers */
    int64_t pixels;   /* output pixels (rows of a product) in registers */
    int64_t rows;     /* output rows a parallel task computes */
    int64_t ic_block; /* reduction block, 0: all */
    int64_t order;    /* 0: output channels outermost in a task, 1: rows outermost */
    /* Of a weight's gradient: what stays in registers beside `vectors`, and the images of a task. */
    int64_t channels, kernel_rows, kernel_columns, images;
    /* Of winograd, whose `pixels` and `rows` count tiles: outputs of a tile a side, and the output channels
     * of a task; 0: all. */
    int64_t tile, oc_block;
} Choice;
extern const AttrTable choice_table;

typedef struct Graph Graph;
typedef struct Node Node;
/* NULL, or what the node's choice lacks for its algorithm, whatever the target is. */
const char *choice_fault(const Graph *g, const Node *n);
/* Are the sums between reduction blocks (ic_block) small enough to wait in a thread's scratch? */
bool choice_partial_fits(const Choice *c, const Type *weight, const Type *out);

struct Node {
    OpId op;
    ValueId *operands;
    uint32_t n_operands;  /* the op's own, then the extra operands of prologue, then of epilogue */
    ValueId result;       /* ops have one result; several come with an array when an op needs it */
    const void *attrs;    /* the op's struct, or NULL */
    const Choice *choice; /* NULL until chosen */
    /* Regions of pointwise nodes. Argument 0 is the operand (prologue: operand 0) or the op's own result
     * (epilogue); argument k is extra operand k-1. The region's only output is its last value. */
    Graph *prologue, *epilogue;
    uint32_t n_prologue, n_epilogue; /* how many extra operands each has */
    Loc loc;
    const char *name; /* the layer's name, for messages, profiles and --print-filter; may be NULL */
};

typedef struct GraphOutput {
    const char *name; /* in the header; interned */
    ValueId value;
} GraphOutput;

struct Graph {
    Context *cx;
    const char *name;
    const char *entry; /* the entry of the loop module that it becomes: "infer", "backward", ... */
    Graph *next;       /* the graph of the unit's next entry, or NULL; same name, batch and classes */
    VEC(Value) values;
    VEC(Node) nodes; /* topological order */
    VEC(ValueId) inputs;
    VEC(ValueId) params; /* VK_PARAM and VK_BUFFER in order of declaration */
    VEC(ValueId) states; /* VK_STATE in order of declaration */
    ValueId hyper;       /* VK_HYPER, or NO_VALUE */
    VEC(GraphOutput) outputs;
    int64_t batch;        /* the compiled batch: what N is at most */
    bool n_fixed;         /* only n == batch is legal */
    const char **classes; /* NULL or names of the outputs' classes */
    uint32_t n_classes;
    bool derived; /* made by a pass: a new value has no origin unless it is given one; else it is its own */
    struct {
        struct GraphName *slots;
        uint32_t len, cap;
    } names; /* of values; graph.c */
};

Graph *graph_new(Context *cx, const char *name);
ValueId graph_input(Graph *g, const char *name, Type type, Loc loc);
ValueId graph_param(Graph *g, ValueKind kind, const char *name, const char *key, Type type, Loc loc);
/* The same role and key in several graphs of a unit is the same state. */
ValueId graph_state(Graph *g, StateRole role, const char *name, const char *key, Type type, Loc loc);
ValueId graph_hyper(Graph *g, const char *name, Type type);
/* `data`: dense elements, kept by reference; must live as long as the context. */
ValueId graph_const(Graph *g, const char *name, Type type, const void *data, Loc loc);
ValueId graph_arg(Graph *g, const char *name, Type type);
/* Append a node; its result type comes from the op's infer_shape (dense layout). `attrs` is copied.
 * Returns NO_VALUE after a diagnostic when the op refuses. `name` (may be NULL) becomes the value's name,
 * made unique. */
ValueId graph_node(Graph *g, OpId op, const ValueId *operands, uint32_t n, const void *attrs,
                   const char *name, Loc loc);
void graph_output(Graph *g, const char *name, ValueId v);
/* `want`, or want.1, want.2 ... when taken; letters, digits, '_' and '.' stay, the rest becomes '_'. */
const char *graph_unique_name(Graph *g, const char *want);
/* Was this name made up for lack of one? Such names are numbers, and give way to others. */
bool graph_is_number(const char *name);
/* Give a value another name, made unique. */
void graph_rename(Graph *g, ValueId v, const char *want);
/* For builders of graphs that push a Value themselves: name it, made unique; enter all names anew. */
void graph_name_value(Graph *g, ValueId v, const char *want);
void graph_index_names(Graph *g);
/* The value of that name, or NO_VALUE. */
ValueId graph_find(const Graph *g, const char *name);

static inline Value *graph_value(Graph *g, ValueId v) {
    return &g->values.data[v];
}
static inline Node *graph_def(Graph *g, ValueId v) {
    return g->values.data[v].kind == VK_RESULT ? &g->nodes.data[g->values.data[v].def] : NULL;
}
/* For each value, how many operands and outputs use it; in the context's arena. */
uint32_t *graph_use_counts(const Graph *g);
/* For each value its binding time: parameters are BIND_LOAD, state and hyper BIND_STEP, inputs BIND_CALL, the
 * rest follows. */
BindTime *graph_bind_times(const Graph *g);

/* print.c, parse.c, verify.c, dot.c */
typedef struct PrintOptions {
    bool locations;     /* loc "..." at the end of a node */
    const char *filter; /* only nodes whose layer name contains this, with their operands; NULL: all */
} PrintOptions;
/* All of them on the whole chain of graphs. */
void graph_print(StrBuf *sb, const Graph *g, const PrintOptions *o); /* o NULL: everything */
Graph *graph_parse(Context *cx, const char *file, const char *text, size_t size);
bool graph_verify(const Graph *g); /* reports DIAG_IR_INVALID */
void graph_dot(StrBuf *sb, const Graph *g);

#endif
