/* Pixels to planes: a parallel loop over the rows of all images, and in each row vectors of neighbours of one
 * channel after the other. The epilogue normalizes on the way, and the border is zeroed behind it. */
#include "ir/lower/lower.h"

/* The element of the result at `coord`, from where it lies in the input. */
static void convert_pixel(LowerKernel *lk, const Idx *coord) {
    const ToTensorAttrs *a = lk->n->attrs;
    const PictureAxes axes = picture_axes(a->layout);
    LBuild *b = &lk->b;
    Idx from[MAX_RANK] = {coord[0]};
    const int64_t last = lk->out->dim[1].size - 1;
    from[axes.channel] = a->color == PIXELS_BGR ? lb_sub(b, lb_c(b, last), coord[1]) : coord[1];
    from[axes.height] = coord[2];
    from[axes.width] = coord[3];
    const Pos in = {.coord = from, .lane_dim = axes.width, .lanes = 1};
    const Pos out = {.coord = coord, .lane_dim = 3, .lanes = 1};
    LVal v = lower_load(lk, 0, lk->in[0], &in);
    if (lk->in[0]->dtype != DT_F32)
        v = lb_convert(b, DT_F32, v);
    if (a->divisor != 1)
        v = lb_op2(b, LOP_DIV, v, lb_const(b, (LType){DT_F32, 1}, a->divisor));
    lower_store(lk, lower_epilogue(lk, v, &out), &out);
}

bool lower_to_tensor(Lower *lw, const Node *n) {
    LowerKernel lk = lower_begin(lw, n, "to_tensor");
    LBuild *b = &lk.b;
    const Dim *dim = lk.out->dim;
    Idx coord[MAX_RANK] = {0};
    Idx rows = lb_mul(b, lb_dim(b, dim[0]), lb_c(b, dim[2].size));
    Idx t = lb_for(b, FOR_PARALLEL, "t", lb_c(b, 0), rows, 1);
    coord[0] = lb_divc(b, t, dim[2].size);
    coord[2] = lb_modc(b, t, dim[2].size);
    coord[1] = lb_for(b, FOR_SERIAL, "c", lb_c(b, 0), lb_c(b, dim[1].size), 1);
    coord[3] = lb_for_vector(b, "x", lb_c(b, 0), lb_c(b, dim[3].size), (uint8_t)lk.lanes);
    convert_pixel(&lk, coord);
    lb_end(b);
    lb_end(b);
    lb_end(b);
    lower_zero_border(&lk);
    return lower_end(&lk);
}
