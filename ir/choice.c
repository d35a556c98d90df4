/* The rows of Choice: how the winner of `choose` stands in the text, and what each algorithm needs of it. */
#include "ir/op.h"
#include "ir/ops/winograd.h"

#include <stddef.h>

static const char *const algorithms[] = {"none", "direct", "product", "plain", "winograd", "depthwise", NULL};

#define COUNT(field, most)                                                                                   \
    {.name = #field,                                                                                         \
     .kind = ATTR_INT,                                                                                       \
     .offset = offsetof(Choice, field),                                                                      \
     .lo = 0,                                                                                                \
     .hi = (most),                                                                                           \
     .optional = true}

static const AttrRow rows[] = {
    {.name = "algorithm", .kind = ATTR_ENUM, .offset = offsetof(Choice, algorithm), .names = algorithms},
    COUNT(block, 64),
    COUNT(vectors, 64),
    COUNT(pixels, 256),
    COUNT(rows, 1 << 20),
    COUNT(ic_block, 1 << 20),
    COUNT(order, 1),
    COUNT(channels, 64),
    COUNT(kernel_rows, 64),
    COUNT(kernel_columns, 64),
    COUNT(images, INT32_MAX),
    COUNT(tile, WINOGRAD_OUT),
    COUNT(oc_block, 1 << 20),
};

const AttrTable choice_table = ATTR_TABLE(rows, Choice);

/* ---- What each algorithm needs ---- */

/* Tiles become straight code, so their sizes must stay bounded. */
enum { MAX_DIRECT_TILE = 64, MAX_PRODUCT_TILE = 256, MAX_PLANAR_CHANNELS = 64, MAX_PHASES = 4 };

static bool all_f32(const Graph *g, const Node *n) {
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (g->values.data[n->operands[i]].type.dtype != DT_F32)
            return false;
    return true;
}

bool choice_partial_fits(const Choice *c, const Type *weight, const Type *out) {
    double row = (double)out->dim[3].size; /* a 1x1 convolution may see the picture as one row */
    if (weight->dim[2].size == 1 && weight->dim[3].size == 1)
        row *= (double)out->dim[2].size;
    return (double)c->rows * row * (double)c->vectors <= 1 << 24;
}

static const char *direct_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    const Conv2dAttrs *at = n->attrs;
    const Type *y = &g->values.data[n->result].type;
    const Type *w = &g->values.data[n->operands[1]].type;
    int64_t channels = w->dim[1].size;
    Context *cx = g->cx;
    if (c->vectors * c->pixels > MAX_DIRECT_TILE)
        return intern_f(cx, "direct takes tiles of at most %d vectors, not %lld times %lld", MAX_DIRECT_TILE,
                        (long long)c->vectors, (long long)c->pixels);
    if (c->rows > y->dim[2].size)
        return intern_f(cx, "rows is %lld, but the result has %lld", (long long)c->rows,
                        (long long)y->dim[2].size);
    if (!c->block && (channels > MAX_PLANAR_CHANNELS || at->groups > 1 || c->ic_block))
        return intern_f(cx, "block=0 is for one group of at most %d channels, without ic_block",
                        MAX_PLANAR_CHANNELS);
    if (c->ic_block && (c->ic_block % c->block || channels % c->ic_block))
        return intern_f(cx, "ic_block must be a multiple of block that divides the %lld input channels",
                        (long long)channels);
    if (c->ic_block && !choice_partial_fits(c, w, y))
        return "the partial sums that ic_block asks for take too much memory: choose fewer rows";
    return NULL;
}

static const char *depthwise_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    const Type *y = &g->values.data[n->result].type;
    if (!conv2d_is_depthwise(n->attrs, &g->values.data[n->operands[1]].type))
        return "depthwise is for as many groups as input and output channels";
    if (!c->block || c->vectors != 1 || c->pixels > MAX_DIRECT_TILE)
        return intern_f(g->cx, "depthwise needs a block, vectors=1 and at most %d pixels", MAX_DIRECT_TILE);
    return c->rows <= y->dim[2].size ? NULL
                                     : intern_f(g->cx, "rows is %lld, but the result has %lld",
                                                (long long)c->rows, (long long)y->dim[2].size);
}

static const char *product_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    if (c->vectors * c->pixels > MAX_PRODUCT_TILE)
        return intern_f(g->cx, "product takes tiles of at most %d vectors, not %lld times %lld",
                        MAX_PRODUCT_TILE, (long long)c->vectors, (long long)c->pixels);
    return g->values.data[n->operands[0]].type.rank == 2 ? NULL : "product needs an input of two dimensions";
}

/* Of conv2d_backward_input: its rows are those of a phase. */
static const char *backward_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    const ConvGradAttrs *at = n->attrs;
    if (c->vectors * c->pixels > MAX_DIRECT_TILE)
        return intern_f(g->cx, "direct takes tiles of at most %d vectors, not %lld times %lld",
                        MAX_DIRECT_TILE, (long long)c->vectors, (long long)c->pixels);
    if (c->ic_block || !c->block || at->conv.groups > 1 || at->conv.dilation.v[0] > 1 ||
        at->conv.dilation.v[1] > 1 || at->conv.stride.v[0] > MAX_PHASES || at->conv.stride.v[1] > MAX_PHASES)
        return intern_f(g->cx,
                        "direct is for blocks of one group, without dilation and ic_block, and strides up "
                        "to %d",
                        MAX_PHASES);
    int64_t most = (at->size.v[0] + at->conv.stride.v[0] - 1) / at->conv.stride.v[0];
    return c->rows <= most ? NULL
                           : intern_f(g->cx, "rows is %lld, but a phase of the result has %lld",
                                      (long long)c->rows, (long long)most);
}

/* Of conv2d_backward_weight. */
static const char *weight_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    const Type *w = &g->values.data[n->result].type;
    const ConvGradAttrs *at = n->attrs;
    int64_t block = c->block ? c->block : w->dim[1].size;
    if (c->channels < 1 || c->kernel_rows < 1 || c->kernel_columns < 1 || c->images < 1)
        return "direct needs channels, kernel_rows, kernel_columns and images, each at least 1";
    if (c->channels * c->kernel_rows * c->kernel_columns > MAX_DIRECT_TILE / c->vectors)
        return intern_f(g->cx, "direct takes tiles of at most %d vectors", MAX_DIRECT_TILE);
    if (block % c->channels || c->kernel_rows > w->dim[2].size || c->kernel_columns > w->dim[3].size)
        return "channels must divide a block, and kernel_rows and kernel_columns be within the kernel";
    if (!c->block && (block > MAX_PLANAR_CHANNELS || at->conv.groups > 1))
        return intern_f(g->cx, "block=0 is for one group of at most %d channels", MAX_PLANAR_CHANNELS);
    const Dim batch = g->values.data[n->operands[0]].type.dim[0];
    double parts = (double)dim_at(batch, g->batch) / (double)c->images + 1;
    if (parts * (double)(w->dim[0].size + 4096) * (double)(w->dim[1].size + 64) * (double)w->dim[2].size *
            (double)w->dim[3].size >
        (double)TYPE_MAX_ELEMS)
        return "its parts take too much memory: choose more images";
    if (c->block && c->ic_block % c->block)
        return "ic_block must be a multiple of block";
    return NULL;
}

/* Of conv2d, and of conv2d_winograd that layout makes of it. */
static bool suits_winograd(const Graph *g, const Node *n) {
    const Type *w = &g->values.data[n->operands[1]].type;
    const int64_t tile = n->choice->tile;
    if (n->op == OP_conv2d_winograd)
        return winograd_of_weight(w, tile) && ((const Conv2dWinogradAttrs *)n->attrs)->tile == tile;
    return winograd_suits(n->attrs, w) && winograd_of(w->dim[2].size, tile);
}

static const char *winograd_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    const Type *w = &g->values.data[n->operands[1]].type;
    const int64_t group = c->vectors * c->block;
    if (!suits_winograd(g, n))
        return "winograd is for one group without stride and dilation: 3x3 kernels in tiles of 2 or 4, 5x5 "
               "in tiles of 2";
    if (!c->block || c->oc_block % group || c->rows % c->pixels)
        return "winograd needs a block, rows that are a multiple of pixels, and an oc_block that is one of "
               "vectors times block";
    if (c->vectors * c->pixels > MAX_DIRECT_TILE)
        return intern_f(g->cx, "winograd takes tiles of at most %d vectors, not %lld times %lld",
                        MAX_DIRECT_TILE, (long long)c->vectors, (long long)c->pixels);
    double channels = (double)(w->dim[0].size + w->dim[1].size + 2 * group);
    return (double)c->rows * channels <= 1 << 20
               ? NULL
               : "the scratch that winograd needs takes too much memory: choose fewer rows";
}

const char *choice_fault(const Graph *g, const Node *n) {
    const Choice *c = n->choice;
    const char *why = attr_fault(g->cx, &choice_table, c);
    bool direct = c->algorithm == ALGO_DIRECT, winograd = c->algorithm == ALGO_WINOGRAD;
    bool depthwise = c->algorithm == ALGO_DEPTHWISE;
    if (why || (!direct && !winograd && !depthwise && c->algorithm != ALGO_PRODUCT))
        return why;
    const char *name = algorithms[c->algorithm];
    bool weight = direct && n->op == OP_conv2d_backward_weight;
    bool input = direct && n->op == OP_conv2d_backward_input;
    bool transformed = winograd && n->op == OP_conv2d_winograd;
    if (n->op != (direct || winograd || depthwise ? OP_conv2d : OP_linear) && !weight && !input &&
        !transformed)
        return intern_f(g->cx, "%s is no algorithm of %s", name, op_desc(n->op)->name);
    if (n->prologue)
        return intern_f(g->cx, "%s takes no prologue", name);
    if (!all_f32(g, n))
        return intern_f(g->cx, "%s works on f32 only", name);
    if (weight && c->vectors > 0 && c->rows > 0)
        return weight_fault(g, n);
    if (c->vectors < 1 || c->pixels < 1 || c->rows < 1)
        return intern_f(g->cx, "%s needs vectors, pixels and rows, each at least 1", name);
    if (input)
        return backward_fault(g, n);
    if (winograd)
        return winograd_fault(g, n);
    if (depthwise)
        return depthwise_fault(g, n);
    return direct ? direct_fault(g, n) : product_fault(g, n);
}
