/* unfold_depth and fold_depth: a plane is a run of elements in the volume, and of a dense picture. A task of
 * the first is a plane of the picture, one of the second a channel of the volume. */
#include "ir/ops/unfold_depth.h"
#include "ir/lower/lower.h"

typedef struct Unfold {
    LowerKernel *lk;
    const UnfoldDepthAttrs *a;
    bool fold;
    Type picture;          /* of one row, if it is dense */
    int64_t width;         /* of that type */
    int64_t depth, planes; /* of the volume; of the picture */
    int64_t size;          /* elements of a plane of the volume */
    int64_t above, below;  /* zeros around one of the picture */
    uint8_t lanes;
    /* Where the run being built begins: element of the volume; image, channel, element of the picture. */
    Idx volume, image, channel, element;
} Unfold;

typedef enum Run { RUN_ZERO, RUN_COPY, RUN_ADD } Run;

static Idx in_picture(Unfold *u, Idx e) {
    LBuild *b = &u->lk->b;
    const Idx at = lb_add(b, u->element, e);
    return lower_index(b, &u->picture,
                       (Idx[]){u->image, u->channel, lb_divc(b, at, u->width), lb_modc(b, at, u->width)});
}

/* One vector of the result, `e` elements from where the run begins. */
static void step(Unfold *u, Run kind, Idx e, uint8_t lanes) {
    LBuild *b = &u->lk->b;
    const LType t = {u->lk->out->dtype, lanes};
    const Idx volume = lb_add(b, u->volume, e), picture = in_picture(u, e);
    const Idx to = u->fold ? volume : picture, from = u->fold ? picture : volume;
    LVal v = kind == RUN_ZERO ? lb_const(b, t, 0) : lb_load(b, t, u->lk->in_buf[0], from);
    if (kind == RUN_ADD)
        v = lb_op2(b, LOP_ADD, lb_load(b, t, u->lk->out_buf, to), v);
    lb_store(b, u->lk->out_buf, to, v);
}

/* Elements [lo, hi) of the run, `lanes` at a time. */
static void elements(Unfold *u, Run kind, int64_t lo, int64_t hi, uint8_t lanes) {
    LBuild *b = &u->lk->b;
    if (lo == hi)
        return;
    step(u, kind, lb_for(b, FOR_SERIAL, "e", lb_c(b, lo), lb_c(b, hi), lanes), lanes);
    lb_end(b);
}

static void run(Unfold *u, Run kind, int64_t size) {
    const int64_t whole = size / u->lanes * u->lanes;
    elements(u, kind, 0, whole, u->lanes);
    elements(u, kind, whole, size, 1);
}

static Unfold begin(LowerKernel *lk, const UnfoldDepthAttrs *a, const Type *volume, const Type *picture) {
    const Type dense = type_dense(picture);
    const int64_t height = volume->dim[3].size, width = volume->dim[4].size;
    Unfold u = {.lk = lk, .a = a, .fold = volume == lk->out, .picture = *picture, .lanes = 1};
    u.depth = volume->dim[2].size;
    u.planes = picture->dim[2].size / (height + a->rows.v[0] + a->rows.v[1]);
    u.size = height * width;
    u.above = a->rows.v[0] * width;
    u.below = a->rows.v[1] * width;
    if (type_same_memory(picture, &dense)) {
        u.picture = dense;
        u.picture.dim[2].size = 1;
        u.picture.dim[3].size *= picture->dim[2].size;
        u.lanes = (uint8_t)lk->lanes;
    }
    u.width = u.picture.dim[3].size;
    u.volume = u.image = u.channel = u.element = lb_c(&lk->b, 0);
    return u;
}

/* A plane of the picture: zeros, the plane of the volume that the tap meets, or zeros, zeros. */
static void build_plane(Unfold *u, Idx plane) {
    LBuild *b = &u->lk->b;
    const UnfoldDepthAttrs *a = u->a;
    const int64_t channels = u->picture.dim[1].size / a->kernel_size;
    const Idx tap = lb_modc(b, u->channel, a->kernel_size), zero = lb_c(b, 0);
    const Idx first = lb_addc(b, lb_mulc(b, plane, a->stride), -a->padding.v[0]);
    const Idx z = lb_add(b, first, lb_mulc(b, tap, a->dilation));
    const Idx inside = lb_max(b, zero, lb_min(b, z, lb_c(b, u->depth - 1)));
    const Idx c = lb_add(b, lb_mulc(b, u->image, channels), lb_divc(b, u->channel, a->kernel_size));
    u->element = lb_mulc(b, plane, u->above + u->size + u->below);
    run(u, RUN_ZERO, u->above);
    u->element = lb_addc(b, u->element, u->above);
    u->volume = lb_mulc(b, lb_add(b, lb_mulc(b, c, u->depth), inside), u->size);
    lb_if(b, IF_EQ, z, inside);
    run(u, RUN_COPY, u->size);
    lb_else(b);
    run(u, RUN_ZERO, u->size);
    lb_end(b);
    u->element = lb_addc(b, u->element, u->size);
    run(u, RUN_ZERO, u->below);
}

bool lower_unfold_depth(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "unfold_depth");
    LBuild *b = &lk.b;
    Unfold u = begin(&lk, n->attrs, lk.in[0], lk.out);
    const int64_t channels = lk.out->dim[1].size;
    const Idx count = lb_mulc(b, lb_dim(b, lk.out->dim[0]), channels * u.planes);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    u.channel = lb_modc(b, lb_divc(b, t, u.planes), channels);
    u.image = lb_divc(b, t, u.planes * channels);
    build_plane(&u, lb_modc(b, t, u.planes));
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}

/* The first plane whose tap lies at plane z of the volume, or behind it. */
static Idx first_plane(Unfold *u, Idx tap, int64_t z) {
    LBuild *b = &u->lk->b;
    const UnfoldDepthAttrs *a = u->a;
    const Idx ahead = lb_addc(b, lb_mulc(b, tap, -a->dilation), z + a->padding.v[0] + a->stride - 1);
    return lb_max(b, lb_c(b, 0), lb_min(b, lb_c(b, u->planes), lb_divc(b, ahead, a->stride)));
}

/* Channel c of an image: zeros, to which the planes are added tap by tap. */
static void build_channel(Unfold *u, Idx c) {
    LBuild *b = &u->lk->b;
    const UnfoldDepthAttrs *a = u->a;
    const int64_t channels = u->picture.dim[1].size / a->kernel_size, pitch = u->above + u->size + u->below;
    const Idx volume = lb_mulc(b, lb_add(b, lb_mulc(b, u->image, channels), c), u->depth * u->size);
    u->volume = volume;
    run(u, RUN_ZERO, u->depth * u->size);
    const Idx k = lb_for(b, FOR_SERIAL, "k", lb_c(b, 0), lb_c(b, a->kernel_size), 1);
    const Idx lo = first_plane(u, k, 0), hi = first_plane(u, k, u->depth);
    const Idx p = lb_for(b, FOR_SERIAL, "p", lo, hi, 1);
    const Idx first = lb_addc(b, lb_mulc(b, p, a->stride), -a->padding.v[0]);
    const Idx z = lb_add(b, first, lb_mulc(b, k, a->dilation));
    u->channel = lb_add(b, lb_mulc(b, c, a->kernel_size), k);
    u->volume = lb_add(b, volume, lb_mulc(b, z, u->size));
    u->element = lb_addc(b, lb_mulc(b, p, pitch), u->above);
    run(u, RUN_ADD, u->size);
    lb_end(b);
    lb_end(b);
}

bool lower_fold_depth(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "fold_depth");
    LBuild *b = &lk.b;
    const FoldDepthAttrs *a = n->attrs;
    Unfold u = begin(&lk, &a->unfold, lk.out, lk.in[0]);
    const int64_t channels = lk.out->dim[1].size;
    lk.b.k->bufs.data[lk.out_buf].kind = LB_INOUT; /* read again once it is written */
    const Idx count = lb_mulc(b, lb_dim(b, lk.out->dim[0]), channels);
    const Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), count, 1);
    u.image = lb_divc(b, t, channels);
    build_channel(&u, lb_modc(b, t, channels));
    lb_end(b);
    return lower_end(&lk);
}
