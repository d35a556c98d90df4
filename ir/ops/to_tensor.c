/* to_tensor: torchvision's ToTensor of a batch, from pixels as a camera gives them: [N,C,H,W] or [N,H,W,C] of
 * u8 or f32, red or blue first. The result is f32[N,C,H,W] with red first, divided by `divisor`: 255 for
 * bytes. */
#include "ir/lower/lower.h"
#include "ir/ops/common.h"

static const AttrRow rows[] = {
    {"layout", ATTR_ENUM, offsetof(ToTensorAttrs, layout), 0, 0, 0, pixel_layout_names, true, PIXELS_NCHW},
    {"color", ATTR_ENUM, offsetof(ToTensorAttrs, color), 0, 0, 0, pixel_color_names, true, PIXELS_RGB},
    {"divisor", ATTR_FLOAT, offsetof(ToTensorAttrs, divisor), 0, 1, 65535, NULL, true, 1},
};

static bool verify(const OpCall *c) {
    const ToTensorAttrs *a = c->attrs;
    const Type *x = &c->operands[0];
    if (x->dtype != DT_U8 && x->dtype != DT_F32)
        return diag_error(&c->cx->diag, DIAG_DTYPE_MISMATCH, &c->loc,
                          "to_tensor works on u8 or f32, not on %s", op_operand_text(c, 0));
    if (!op_need_rank(c, 0, 4, "batch, and channels, height and width, or these with the channels last") ||
        !op_need_dense(c))
        return false;
    if (a->color == PIXELS_BGR && x->dim[picture_axes(a->layout).channel].size != 3)
        return diag_error(&c->cx->diag, DIAG_SHAPE_MISMATCH, &c->loc, "bgr needs three channels, not %s",
                          op_operand_text(c, 0));
    return true;
}

static bool infer_shape(const OpCall *c, Type *out) {
    const ToTensorAttrs *a = c->attrs;
    const PictureAxes axes = picture_axes(a->layout);
    const Dim *d = c->operands[0].dim;
    const Dim dims[4] = {d[0], d[axes.channel], d[axes.height], d[axes.width]};
    *out = type_make(DT_F32, 4, dims);
    return true;
}

static void eval(const void *attrs, const Tensor *in, uint32_t n, Tensor *out) {
    const ToTensorAttrs *a = attrs;
    const int64_t channels = out->dim[1], height = out->dim[2], width = out->dim[3];
    const double *x = in[0].data;
    (void)n;
    for (int64_t i = 0; i < tensor_elems(out); i++) {
        const int64_t column = i % width, row = i / width % height, image = i / width / height / channels;
        int64_t c = i / width / height % channels;
        c = a->color == PIXELS_BGR ? channels - 1 - c : c;
        const int64_t at = a->layout == PIXELS_NHWC
                               ? ((image * height + row) * width + column) * channels + c
                               : ((image * channels + c) * height + row) * width + column;
        out->data[i] = x[at] / a->divisor;
    }
}

#define BYTES(h, w, c)                                                                                       \
    {                                                                                                        \
        .dtype = DT_U8, .rank = 4, .dim = { {1, true}, {h, false}, {w, false}, {c, false} }                  \
    }
#define PIXELS(...)                                                                                          \
    .attrs = &(const ToTensorAttrs) {                                                                        \
        __VA_ARGS__                                                                                          \
    }
static const OpSample samples[] = {
    {PIXELS(PIXELS_NHWC, PIXELS_BGR, 255), .n = 1, .operands = {BYTES(5, 37, 3)}, .batch = 3},
    {PIXELS(PIXELS_NHWC, PIXELS_RGB, 255), .n = 1, .operands = {BYTES(7, 16, 3)}, .batch = 2},
    {PIXELS(PIXELS_NHWC, PIXELS_RGB, 255), .n = 1, .operands = {BYTES(3, 11, 1)}, .batch = 1},
    {PIXELS(PIXELS_NHWC, PIXELS_RGB, 255), .n = 1, .operands = {BYTES(1, 1, 5)}, .batch = 4},
    {PIXELS(PIXELS_NCHW, PIXELS_BGR, 255), .n = 1, .operands = {BYTES(3, 9, 19)}, .batch = 2},
    {PIXELS(PIXELS_NCHW, PIXELS_RGB, 255), .n = 1, .operands = {BYTES(2, 3, 33)}, .batch = 1},
    {PIXELS(PIXELS_NHWC, PIXELS_BGR, 1), .n = 1, .operands = {TN4(6, 21, 3)}, .batch = 2},
    {PIXELS(PIXELS_NCHW, PIXELS_BGR, 1), .n = 1, .operands = {TN4(3, 4, 17)}, .batch = 2},
};

const OpDesc op_to_tensor = {
    .name = "to_tensor",
    .min_operands = 1,
    .max_operands = 1,
    .operand_names = (const char *const[]){"input"},
    .attrs = ATTR_TABLE(rows, ToTensorAttrs),
    .flags = OP_ROOT | OP_ANY_DTYPE,
    .verify = verify,
    .infer_shape = infer_shape,
    .eval = eval,
    .lower = lower_to_tensor,
    SAMPLES(samples),
};
