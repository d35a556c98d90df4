/* The op table: one const descriptor per op, in ir/ops/<op>.c. */
#ifndef IR_OP_H
#define IR_OP_H

#include "ir/graph.h"

typedef struct Lower Lower;   /* ir/lower/lower.h */
typedef struct LBuild LBuild; /* ir/loops/build.h */
typedef struct Grad Grad;     /* ir/grad.h */
typedef uint32_t LVal;

enum {
    OP_POINTWISE = 1 << 0, /* out[i] = f(in0[i], in1[i]...) with broadcast; has `emit` */
    OP_COMMUTATIVE = 1 << 1,
    OP_VIEW = 1 << 2,       /* the result is operand 0's bytes under another shape (dense only) */
    OP_INPLACE = 1 << 3,    /* the result may overwrite operand 0 */
    OP_KEEPS_ZERO = 1 << 4, /* pointwise with f(0,...,0) == 0: padding lanes stay zero */
    OP_INTERNAL = 1 << 5,   /* made by passes only; the importers never make it */
    OP_POOL = 1 << 6,       /* windows of operand 0, whose layout the result follows */
    OP_FOLLOWS = 1 << 7, /* all operands of rank 4, and a result of rank 4, lie alike: in channel blocks when
                            one of the operands does; all else is dense */
    OP_ANY_DTYPE = 1 << 8, /* `verify` looks at element types itself; else all operands are f32 */
    OP_CHECK = 1 << 9,     /* the result is i32[1], a status: not 0 ends the call with it, before any state is
                              written; never dropped */
    OP_ROOT = 1 << 10,     /* not one of the above or a product, but takes an epilogue too */
};

/* What a node with OP_CHECK may give: CNNRT_E_... of the runtime. */
enum {
    STATUS_LABEL = 13,
    STATUS_BATCH_NORM = 14,
};

/* What verify, infer_shape and flops see: an op with its operands' types. */
typedef struct OpCall {
    Context *cx;
    OpId op;
    const void *attrs;
    const Type *operands; /* the op's own operands, in order */
    uint32_t n;
    Loc loc;
    /* The operands' names, for messages. NULL, or NULL for one: it is called by its role. */
    const char *const *names;
} OpCall;

/* A dense tensor of doubles in logical order, for the evaluator. */
typedef struct Tensor {
    uint8_t rank;
    int64_t dim[MAX_RANK];
    double *data;
} Tensor;

/* A case for the generated tests: attributes and operand shapes (f32, dense, N = dim 0 where by_n). */
typedef struct OpSample {
    const void *attrs;
    uint32_t n;
    Type operands[5];
    int64_t batch;
} OpSample;

typedef struct OpDesc {
    const char *name; /* "conv2d" */
    uint8_t min_operands, max_operands;
    const char *const *operand_names; /* max_operands of them: "input", "weight", "bias" */
    AttrTable attrs;                  /* count 0: none */
    uint32_t flags;
    /* Shapes and attributes fit together; reports DIAG_SHAPE_MISMATCH and the like. May be NULL. */
    bool (*verify)(const OpCall *c);
    /* The one authority on shapes: the dense result type. Called after verify. */
    bool (*infer_shape)(const OpCall *c, Type *out);
    /* Plain loops in double: test oracle and constant folder. `out` has shape and zeroed data. */
    void (*eval)(const void *attrs, const Tensor *in, uint32_t n, Tensor *out);
    /* Pointwise ops: the loop-IR arithmetic on operands of one type (scalar or vector). */
    LVal (*emit)(LBuild *b, const void *attrs, const LVal *in);
    /* The others: build the kernel(s) and steps of this node from the shared builders in ir/lower. */
    bool (*lower)(Lower *lw, const Node *n);
    /* Bit i: operand i is a state value that the node updates in place. The result is operand 0 after that,
     * in the same memory; no later node may use an operand that was written. Such nodes are never dropped nor
     * shared. `eval` writes into the data of those operands, and the result. */
    uint32_t writes;
    /* Gradient: builds the nodes that give each wanted operand its part, from `dy`, the gradient of the
     * result. NULL: none; grad.h tells a path that needs one from one that does not. */
    bool (*grad)(Grad *gr, const Node *n, ValueId dy);
    /* The node in training mode where that is another computation (batch norm, dropout): emits it into gr->g
     * with operands mapped already. NULL: a copy. */
    ValueId (*train)(Grad *gr, const Node *n, const ValueId *operands);
    /* Multiplications and additions for batch n; NULL: one per output element. */
    double (*flops)(const OpCall *c, const Type *out, int64_t n);
    const OpSample *samples;
    uint32_t n_samples;
} OpDesc;

extern const OpDesc *const op_table[OP_COUNT];
#define OP(id) extern const OpDesc op_##id;
#include "ir/ops.def"
#undef OP

static inline const OpDesc *op_desc(OpId id) {
    return op_table[id];
}
bool op_by_name(const char *name, size_t len, OpId *out);

/* op.c: what descriptors share. */
bool op_verify(const OpCall *c);                     /* counts, attribute ranges, then the op's own verify */
bool op_infer(const OpCall *c, Type *out);           /* op_verify, then infer_shape */
bool op_broadcast_shape(const OpCall *c, Type *out); /* NumPy's rule over all operands */
bool op_same_shape(const OpCall *c, Type *out);      /* the shape of operand 0 */
/* How an operand is called in a message: "conv1" f32[N,4,6,6], or without a name: input f32[N,4,6,6]. */
const char *op_operand_text(const OpCall *c, uint32_t i);

/* Attribute structs, shared by importers, passes and lowering. */
typedef struct Conv2dAttrs {
    IntList stride;   /* 2 */
    IntList padding;  /* 4: top, left, bottom, right */
    IntList dilation; /* 2 */
    int64_t groups;
} Conv2dAttrs;

/* Has it as many groups as input and as output channels? */
bool conv2d_is_depthwise(const Conv2dAttrs *a, const Type *weight);

/* The gradient of conv2d's input, and so a transposed convolution: true, it is conv2d with attributes *at of
 * y, spread by the stride (`dilate`) where that is not 1, with the flipped weight (`flip_weight`); false, it
 * is conv2d_backward_input. x, w, y: input, weight and result of the convolution with attributes a. */
bool conv2d_input_plan(const Conv2dAttrs *a, const Type *x, const Type *w, const Type *y, Conv2dAttrs *at);

typedef struct Pool2dAttrs {     /* max_pool2d and avg_pool2d */
    IntList kernel_size, stride; /* 2 */
    IntList padding;             /* 4: top, left, bottom, right */
    IntList dilation;            /* 2; max_pool2d only */
    bool ceil_mode;
    bool count_include_pad;   /* avg_pool2d only */
    int64_t divisor_override; /* avg_pool2d only: what sums are divided by; 0: the elements that count */
} Pool2dAttrs;

typedef struct PoolBackwardAttrs { /* avg_pool2d_backward */
    Pool2dAttrs pool;
    IntList input_size; /* 2: height and width of the pool's input */
} PoolBackwardAttrs;

typedef struct AdaptivePoolBackwardAttrs {
    IntList input_size; /* 2 */
} AdaptivePoolBackwardAttrs;

typedef struct AdaptivePoolAttrs { /* adaptive_avg_pool2d and adaptive_max_pool2d */
    IntList output_size;           /* 2 */
} AdaptivePoolAttrs;

typedef struct UpsampleAttrs { /* upsample_nearest2d, upsample_bilinear2d and their gradients */
    IntList size;              /* 2: of the result; its ratio to the other size is the scale, but where scales
                                  are given */
    double scales[2];          /* 0, or the factors that the larger picture's size was made with */
    bool align_corners;        /* bilinear only: corner elements stay at the corners */
} UpsampleAttrs;

typedef struct BatchNormAttrs {
    double eps;
    double momentum;
} BatchNormAttrs;

typedef struct ReduceAttrs { /* sum, mean and amax */
    IntList dim;             /* counted with the batch as dimension 0; negative from the end */
} ReduceAttrs;

typedef struct ExpandAttrs {
    IntList shape; /* as of reshape */
    double scale;
} ExpandAttrs;

typedef struct PowerAttrs { /* factor * (shift + scale * x)^exponent */
    double exponent, factor, scale, shift;
} PowerAttrs;

typedef struct SelectAttrs {
    int64_t index; /* of the slice of dimension 0 */
} SelectAttrs;

typedef struct RsqrtAttrs {
    double eps; /* 1 / sqrt(x + eps) */
} RsqrtAttrs;

typedef struct HardtanhAttrs {
    double min_val, max_val;
} HardtanhAttrs;

typedef struct LeakyReluAttrs {
    double negative_slope;
} LeakyReluAttrs;

typedef struct PreluAttrs {
    double init; /* what its weight begins with */
} PreluAttrs;

typedef struct EluAttrs { /* scale * (x > 0 ? x : alpha * (exp(input_scale * x) - 1)) */
    double alpha, scale, input_scale;
} EluAttrs;

typedef struct GeluAttrs {
    int32_t approximate; /* GeluKind */
} GeluAttrs;
enum GeluKind { GELU_NONE, GELU_TANH };

typedef struct SoftplusAttrs {
    double beta, threshold;
} SoftplusAttrs;

typedef struct FlattenAttrs {
    int64_t start_dim, end_dim; /* counted with the batch as dimension 0; end_dim -1: last */
} FlattenAttrs;

typedef struct ReshapeAttrs {
    IntList shape; /* new dimensions; the batch, if operand 0 has it, stays in front and is not listed */
} ReshapeAttrs;

typedef struct PermuteAttrs {
    IntList dims; /* dimension i of the result is dimension dims[i] of the operand */
} PermuteAttrs;

typedef struct ConcatAttrs {
    int64_t dim; /* counted with the batch as dimension 0 */
} ConcatAttrs;

typedef struct SliceAttrs { /* elements start, start + step... below end, which is within the dimension */
    int64_t dim, start, end, step;
} SliceAttrs;

typedef struct SliceBackwardAttrs {
    SliceAttrs slice;
    int64_t size; /* of the dimension before the slice */
} SliceBackwardAttrs;

typedef struct DropoutAttrs {
    double p;
    bool channels; /* dimension 1 is kept or dropped whole */
} DropoutAttrs;

typedef enum PadKind { PAD_CONSTANT, PAD_REFLECT, PAD_REPLICATE, PAD_CIRCULAR } PadKind;
typedef struct PadAttrs { /* pad and pad_backward */
    IntList pad;          /* before and after, of the last dimension, then of the one before it ... */
    int32_t mode;         /* PadKind */
    double value;         /* PAD_CONSTANT */
} PadAttrs;

typedef struct UnfoldDepthAttrs {
    int64_t kernel_size, stride;
    IntList padding; /* 2: planes before and after */
    int64_t dilation;
    IntList rows; /* 2: rows of zeros above and below each plane */
} UnfoldDepthAttrs;

typedef struct FoldDepthAttrs {
    UnfoldDepthAttrs unfold;
    IntList input_size; /* 2: depth and height of the volume */
} FoldDepthAttrs;

typedef struct SoftmaxAttrs {
    int64_t dim; /* counted with the batch as dimension 0; negative from the end */
} SoftmaxAttrs;

typedef struct ConvGradAttrs { /* conv2d_backward_weight and conv2d_backward_input */
    Conv2dAttrs conv;          /* of the convolution itself */
    IntList size;              /* 2: the size that its operands do not tell: kernel_size or input_size */
} ConvGradAttrs;

typedef struct FlipWeightAttrs {
    int64_t groups;
} FlipWeightAttrs;

typedef struct WinogradWeightAttrs {
    int64_t tile; /* outputs of a tile a side: 2 or 4 */
    bool flip;
} WinogradWeightAttrs;

typedef struct Conv2dWinogradAttrs {
    int64_t tile;
    IntList padding; /* 4: top, left, bottom, right */
} Conv2dWinogradAttrs;

typedef struct DilateAttrs {
    IntList stride; /* 2 */
} DilateAttrs;

typedef struct ClassLossAttrs { /* cross_entropy, nll_loss and their gradients */
    int32_t reduction;          /* Reduction of ir/train.h */
    int64_t ignore_index;
    double label_smoothing; /* cross_entropy only */
    bool probabilities;     /* cross_entropy only: targets are f32, a probability of each class */
} ClassLossAttrs;

typedef struct ElementLossAttrs { /* mse_loss, l1_loss, smooth_l1_loss, bce_with_logits and their gradients */
    int32_t reduction;
    double beta;             /* smooth_l1_loss */
    bool weight, pos_weight; /* bce_with_logits: which of the two operands there are */
} ElementLossAttrs;

typedef struct CheckLabelAttrs {
    int64_t classes, ignore_index;
} CheckLabelAttrs;

typedef struct DropoutTrainAttrs {
    double p;
    int64_t layer; /* each layer draws from a stream of its own */
    bool channels;
} DropoutTrainAttrs;

typedef struct ToTensorAttrs {
    int32_t layout, color; /* PixelLayout, PixelColor of the input */
    double divisor;        /* of each element: 255 makes 0..1 of bytes */
} ToTensorAttrs;

typedef struct ReorderAttrs {
    Type to; /* same shape, another layout */
} ReorderAttrs;

/* What optimizer ops share: which numbers of VK_HYPER are theirs, and what its number HYPER_CLIP is. */
typedef struct UpdateAttrs {
    int64_t group;
    int32_t clip; /* ClipKind; CLIP_NORM: the number is the factor that clip_scale made of the limit */
} UpdateAttrs;

typedef struct SgdAttrs {
    UpdateAttrs update;
    double dampening;
    bool nesterov;
} SgdAttrs;

typedef struct AdamAttrs {
    UpdateAttrs update;
    double beta2, eps;
    bool decoupled; /* AdamW: weight decay does not pass through the averages */
} AdamAttrs;

typedef struct RmspropAttrs {
    UpdateAttrs update;
    double alpha, eps;
    bool centered; /* grad_avg is the second slot */
} RmspropAttrs;

typedef struct AdagradAttrs {
    UpdateAttrs update;
    double lr_decay, eps;
} AdagradAttrs;

#endif
