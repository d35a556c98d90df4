/* Pixels of inputs: their rows of text, and what fits together. */
#include "ir/picture.h"

const char *const pixel_layout_names[] = {"nchw", "nhwc", NULL};
const char *const pixel_color_names[] = {"rgb", "bgr", NULL};

static const AttrRow rows[] = {
    {"layout", ATTR_ENUM, offsetof(Picture, layout), 0, 0, 0, pixel_layout_names, true, PIXELS_NCHW},
    {"color", ATTR_ENUM, offsetof(Picture, color), 0, 0, 0, pixel_color_names, true, PIXELS_RGB},
    {"resize", ATTR_INTS, offsetof(Picture, resize), 0, 1, PICTURE_MAX_SIDE, NULL, true, 0},
    {"center_crop", ATTR_INTS, offsetof(Picture, center_crop), 0, 1, PICTURE_MAX_SIDE, NULL, true, 0},
    {"mean", ATTR_STRING, offsetof(Picture, mean), 0, 1, 0, NULL, true, 0},
    {"std", ATTR_STRING, offsetof(Picture, std), 0, 1, 0, NULL, true, 0},
};
const AttrTable picture_table = ATTR_TABLE(rows, Picture);

PictureAxes picture_axes(int32_t layout) {
    return layout == PIXELS_NHWC ? (PictureAxes){3, 1, 2} : (PictureAxes){1, 2, 3};
}

void picture_print(StrBuf *sb, const Picture *p) {
    if (!p)
        return;
    sb_puts(sb, " picture ");
    attr_print(sb, &picture_table, p);
}

bool picture_parse(Lexer *lx, const Picture **out) {
    if (!lex_accept(lx, "picture"))
        return true;
    Picture *p = NEW_ARRAY(&lx->cx->arena, Picture, 1);
    *out = p;
    return attr_parse(lx, &picture_table, p, "a picture");
}

const char *picture_fault(Context *cx, const Picture *p, const Type *t) {
    const char *fault = attr_fault(cx, &picture_table, p);
    if (fault)
        return fault;
    if (p->resize.n > 2 || p->center_crop.n == 1 || p->center_crop.n > 2)
        return "resize has one number or two, and center_crop two";
    const bool plain = p->layout == PIXELS_NCHW && p->color == PIXELS_RGB;
    if (t->rank != 4 && (!plain || p->resize.n || p->center_crop.n))
        return "a picture has three dimensions beside the batch";
    if (p->color == PIXELS_BGR && t->dim[picture_axes(p->layout).channel].size != 3)
        return "bgr needs three channels";
    return NULL;
}
