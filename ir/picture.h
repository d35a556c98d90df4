/* What the pixels of an input are as a camera or a file gives them. */
#ifndef IR_PICTURE_H
#define IR_PICTURE_H

#include "ir/attr.h"

enum { PICTURE_MAX_SIDE = 32768 };

typedef enum PixelLayout { PIXELS_NCHW, PIXELS_NHWC } PixelLayout;
typedef enum PixelColor { PIXELS_RGB, PIXELS_BGR } PixelColor;
extern const char *const pixel_layout_names[]; /* "nchw", "nhwc", NULL */
extern const char *const pixel_color_names[];  /* "rgb", "bgr", NULL */

typedef struct Picture {
    int32_t layout, color;  /* PixelLayout, PixelColor */
    IntList resize;         /* of files: the shorter side, or height and width; n 0: none */
    IntList center_crop;    /* after that: height and width; n 0: none */
    const char *mean, *std; /* what the model normalizes with, for people: "0.485, 0.456, 0.406"; or NULL */
} Picture;
extern const AttrTable picture_table;

/* Where channels, height and width stand in the type of a picture of that layout. */
typedef struct PictureAxes {
    int channel, height, width;
} PictureAxes;
PictureAxes picture_axes(int32_t layout);

/* " picture {layout=nhwc}", nothing for NULL; and its reading, which sets *out where the word stands. */
void picture_print(StrBuf *sb, const Picture *p);
bool picture_parse(Lexer *lx, const Picture **out);

/* NULL, or why an input of this type cannot be such a picture. */
const char *picture_fault(Context *cx, const Picture *p, const Type *t);

#endif
