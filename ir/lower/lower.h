/* Lowering a graph to loops: what the `lower` functions of ops and the shared builders see. */
#ifndef IR_LOWER_LOWER_H
#define IR_LOWER_LOWER_H

#include "ir/loops/build.h"
#include "ir/op.h"

struct Lower {
    Context *cx;
    const Graph *g;
    const Target *target;
    LoopModule *m;
    Entry *entry;  /* steps go here */
    uint32_t *buf; /* graph value -> module buffer */
    bool contract; /* multiply-add may round once (false in prepare) */
};

/* A kernel for node `n` under construction. Parameters are made in the order: operands (all of them, extra
 * ones too), then the result. Operands that the op writes are LB_INOUT; such a kernel has no parameter for
 * the result, and out_buf is that of operand 0. */
typedef struct LowerKernel {
    Lower *lw;
    const Node *n;
    LBuild b;
    const Type *in[16];  /* operand types with layout */
    uint32_t in_buf[16]; /* kernel buffer of operand i */
    const Type *out;
    uint32_t out_buf;
    uint32_t lanes; /* f32 lanes of the target */
} LowerKernel;

LowerKernel lower_begin(Lower *lw, const Node *n, const char *kernel_name);
/* Add kernel and step to the module. */
bool lower_end(LowerKernel *lk);

/* A step that copies buffer `from` to `to`, both of the same physical extent. */
bool lower_copy(Lower *lw, uint32_t from, uint32_t to, const char *name);

/* Physical element index of logical coordinates; simplifies where a coordinate is block*i + lane. */
Idx lower_index(LBuild *b, const Type *t, const Idx *coord);

/* Layouts that algorithms read. One dimension rounded up to blocks: vectors that are read whole, such as a
 * bias. */
Type lower_padded(Type t, int dim, int64_t block);
/* Weights of a direct convolution, and of its input's gradient. */
Type lower_packed_weight(Type t, const Choice *c, int64_t lanes);
Type lower_packed_backward(Type t, const Choice *c, int64_t lanes);
/* Of winograd: [tile + r - 1][tile + r - 1][oc group][ic][vectors * lanes]. */
Type lower_packed_winograd(Type t, const Choice *c, int64_t lanes);
/* Do layouts and lanes suit the algorithm that was chosen? Else DIAG_NO_LOWERING. Asks nothing of nodes
 * without a choice. */
bool lower_choice_fits(const Lower *lw, const Node *n);

/* Elements between neighbours along dimension d (within a block, where it is blocked). */
int64_t lower_lane_stride(const Type *t, int d);

/* Vectors along channels that lie side by side in all pictures: `whole` of `lanes` channels, of which the
 * last may reach into padding lanes, then `rest` channels one by one. */
typedef struct ChannelSplit {
    uint8_t lanes; /* 1: there are none */
    int64_t whole, rest;
} ChannelSplit;
ChannelSplit lower_channel_split(const LowerKernel *lk);

/* A position for regions: logical coordinates of the first lane, and the dimension along which lanes run. */
typedef struct Pos {
    const Idx *coord; /* of the node's result (epilogue) or of operand 0 (prologue) */
    int lane_dim;
    uint8_t lanes;
} Pos;

/* The epilogue of the node applied to `v`, which stands at `pos` of the result; v itself if there is none. */
LVal lower_epilogue(LowerKernel *lk, LVal v, const Pos *pos);
/* Load operand 0 at `pos` of operand 0 and apply the prologue. */
LVal lower_load0(LowerKernel *lk, const Pos *pos);
/* Load operand i (any broadcastable shape) for position `pos` of a tensor of type `like`. */
LVal lower_load(LowerKernel *lk, uint32_t i, const Type *like, const Pos *pos);
/* Store v at `pos` of the result. */
void lower_store(LowerKernel *lk, LVal v, const Pos *pos);
/* Zero the border and whatever physical elements of the result no store reaches, as a parallel sweep of its
 * own. */
void lower_zero_border(LowerKernel *lk);

/* Shared builders, one file each. */
bool lower_pointwise(Lower *lw, const Node *n);      /* pointwise.c: sweep with any layout, broadcast */
bool lower_permute(Lower *lw, const Node *n);        /* permute.c: dimensions in another order */
bool lower_reorder(Lower *lw, const Node *n);        /* reorder.c: one layout to another, padding zeroed */
bool lower_conv_direct(Lower *lw, const Node *n);    /* conv_direct.c: register tiles over blocked channels */
bool lower_conv_depthwise(Lower *lw, const Node *n); /* conv_depthwise.c: as many groups as channels */
/* May the picture be seen as one row of pixels? (1x1, stride 1, no padding, no border around input and
 * result) */
bool conv_is_flat(const Conv2dAttrs *at, const Type *input, const Type *weight, const Type *out);
/* The border of dy, top, left, bottom, right, that the direct gradient of the input reads. */
void conv_input_border(const ConvGradAttrs *a, const Type *dy, const Type *weight, int64_t border[4]);
bool lower_conv_winograd(Lower *lw, const Node *n);   /* conv_winograd.c: transformed tiles */
bool lower_winograd_weight(Lower *lw, const Node *n); /* winograd_weight.c: the weights for them */
/* The border of the input, top, left, bottom, right, that tiles of `tile` outputs a side read for kernels of
 * `taps` a side. */
void conv_winograd_border(const IntList *padding, int64_t taps, int64_t tile, const Type *x,
                          int64_t border[4]);
bool lower_conv_plain(Lower *lw, const Node *n);             /* conv_plain.c: the plain nest, anything goes */
bool lower_conv_weight_direct(Lower *lw, const Node *n);     /* conv_weight.c: the weight's gradient */
bool lower_conv_weight_plain(Lower *lw, const Node *n);      /* conv_backward_plain.c: anything goes */
bool lower_conv_input_plain(Lower *lw, const Node *n);       /* the same */
bool lower_pad(Lower *lw, const Node *n);                    /* pad.c: pad and its gradient */
bool lower_unfold_depth(Lower *lw, const Node *n);           /* unfold_depth.c */
bool lower_fold_depth(Lower *lw, const Node *n);             /* the same */
bool lower_to_tensor(Lower *lw, const Node *n);              /* to_tensor.c: pixels to planes */
bool lower_dilate(Lower *lw, const Node *n);                 /* dilate.c */
bool lower_linear_backward_weight(Lower *lw, const Node *n); /* linear_backward.c: both gradients */
bool lower_linear_backward_input(Lower *lw, const Node *n);
bool lower_product(Lower *lw, const Node *n);       /* product.c: rows x packed columns */
bool lower_pool(Lower *lw, const Node *n);          /* pool.c: max and average windows */
bool lower_pool_backward(Lower *lw, const Node *n); /* pool_backward.c */
bool lower_upsample(Lower *lw, const Node *n);      /* upsample.c */
bool lower_upsample_backward(Lower *lw, const Node *n);
bool lower_linear_plain(Lower *lw, const Node *n);     /* conv_plain.c: rows times columns, nothing packed */
bool lower_reduce(Lower *lw, const Node *n);           /* reduce.c: sum, mean and amax */
bool lower_softmax(Lower *lw, const Node *n);          /* softmax.c */
bool lower_softmax_backward(Lower *lw, const Node *n); /* softmax_backward.c */
bool lower_dropout(Lower *lw, const Node *n);          /* philox.c: dropout_train */

/* class_loss.c: cross_entropy and nll_loss, and their gradients. */
bool lower_class_loss(Lower *lw, const Node *n);
bool lower_class_loss_backward(Lower *lw, const Node *n);
/* element_loss.c: losses that are a mean or sum of f(input, target) over all elements. `f` builds it, or its
 * derivative by the input; `extra` are the elements of the weight operands, in order. */
typedef LVal (*ElementLoss)(LBuild *b, const ElementLossAttrs *a, LVal input, LVal target, const LVal *extra);
bool lower_element_loss(Lower *lw, const Node *n, ElementLoss f);
bool lower_element_loss_backward(Lower *lw, const Node *n, ElementLoss f);

#endif
