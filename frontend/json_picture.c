/* Inputs as cameras give them: dtype, layout and color of an input's pixels, and how files are made to fit.
 */
#include "frontend/frontend.h"
#include "ir/op.h"
#include <string.h>

/* The number of the word in `words`, which ends with NULL; the first when the key is missing. */
static int32_t read_word(const ModelImport *m, const Json *input, const char *key, const char *const *words,
                         const Loc *loc, bool *ok) {
    const Json *j = model_member(m, input, key, JSON_STRING, loc, ok);
    for (int32_t i = 0; j && words[i]; i++)
        if (strcmp(words[i], j->str) == 0)
            return i;
    if (!j)
        return 0;
    const Loc l = model_loc(m, loc, j->offset);
    *ok = diag_error(&m->cx->diag, DIAG_BAD_ARGUMENT, &l, "%s cannot be \"%s\"", key, j->str);
    diag_hint(&m->cx->diag, "it is \"%s\" or \"%s\"", words[0], words[1]);
    return 0;
}

static bool read_side(const ModelImport *m, const Json *j, const char *key, const Loc *loc, IntList *out) {
    const Loc l = model_loc(m, loc, j->offset);
    if (j->kind != JSON_NUMBER || !j->is_int)
        return diag_error(&m->cx->diag, DIAG_WRONG_TYPE, &l, "%s must be a whole number or a list of two",
                          key);
    if (!(j->num >= 1 && j->num <= PICTURE_MAX_SIDE))
        return diag_error(&m->cx->diag, DIAG_OUT_OF_RANGE, &l, "%s is %.17g; it must be from 1 to %d", key,
                          j->num, PICTURE_MAX_SIDE);
    out->v[out->n++] = (int64_t)j->num;
    return true;
}

/* One number or height and width, as torchvision has them. */
static IntList read_sides(const ModelImport *m, const Json *input, const char *key, const Loc *loc,
                          bool *ok) {
    IntList out = {0};
    const Json *j = json_get(input, key);
    if (!j)
        return out;
    if (j->kind != JSON_ARRAY || j->n != 2)
        *ok &= read_side(m, j, key, loc, &out);
    else
        *ok &= read_side(m, j->first, key, loc, &out) && read_side(m, j->first->next, key, loc, &out);
    return out;
}

/* "mean" or "std" for people; what is no list of numbers is reported by who computes with it. */
static const char *read_text(const ModelImport *m, const Json *input, const char *key) {
    const Json *list = json_get(input, key);
    if (!list || list->kind != JSON_ARRAY)
        return NULL;
    StrBuf sb = sb_new(&m->cx->arena);
    for (const Json *j = list->first; j; j = j->next) {
        if (j->kind != JSON_NUMBER)
            return NULL;
        attr_print_float(&sb, j->num);
        sb_puts(&sb, j->next ? ", " : "");
    }
    return intern(m->cx, sb_str(&sb));
}

static bool says_something(const Json *input) {
    static const char *const keys[] = {"dtype", "layout", "color", "resize", "center_crop", "mean", "std"};
    for (uint32_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_get(input, keys[i]) && (i || strcmp(json_get(input, keys[i])->str, "f32") != 0))
            return true;
    return false;
}

bool picture_read(const ModelImport *m, const Json *input, const Loc *loc, DType *dtype,
                  const Picture **out) {
    static const char *const dtypes[] = {"f32", "u8", NULL};
    Picture p = {0};
    bool ok = true;
    *dtype = read_word(m, input, "dtype", dtypes, loc, &ok) ? DT_U8 : DT_F32;
    p.layout = read_word(m, input, "layout", pixel_layout_names, loc, &ok);
    p.color = read_word(m, input, "color", pixel_color_names, loc, &ok);
    p.resize = read_sides(m, input, "resize", loc, &ok);
    p.center_crop = read_sides(m, input, "center_crop", loc, &ok);
    if (p.center_crop.n == 1)
        p.center_crop = (IntList){2, {p.center_crop.v[0], p.center_crop.v[0]}};
    p.mean = read_text(m, input, "mean");
    p.std = read_text(m, input, "std");
    if (ok && says_something(input))
        *out = arena_copy(&m->cx->arena, &p, sizeof p);
    return ok;
}

/* The size that files have when they are resized and cropped must be the input's. */
static bool check_size(const ModelImport *m, const Picture *p, const Type *t, const Loc *loc) {
    const PictureAxes a = picture_axes(p->layout);
    const int64_t h = t->dim[a.height].size, w = t->dim[a.width].size;
    const IntList *last = p->center_crop.n ? &p->center_crop : &p->resize;
    if (last->n != 2 || (last->v[0] == h && last->v[1] == w))
        return true;
    return diag_error(&m->cx->diag, DIAG_BAD_ARGUMENT, loc,
                      "%s makes pictures of %lldx%lld, but the input is %lldx%lld",
                      p->center_crop.n ? "center_crop" : "resize", (long long)last->v[0],
                      (long long)last->v[1], (long long)h, (long long)w);
}

bool picture_check(const ModelImport *m, const Picture *p, const Type *t, const Loc *loc) {
    if (!p && t->dtype == DT_F32)
        return true;
    if (t->rank != 4 && (t->dtype == DT_U8 || p->layout || p->color || p->resize.n || p->center_crop.n)) {
        diag_error(&m->cx->diag, DIAG_BAD_ARGUMENT, loc,
                   "u8, layout, color, resize and center_crop are for pictures, and the shape has %d "
                   "dimension%s",
                   t->rank - 1, t->rank == 2 ? "" : "s");
        return diag_hint(&m->cx->diag, "a picture has channels, height and width; with \"nhwc\" the "
                                       "channels come last");
    }
    const char *why = picture_fault(m->cx, p, t);
    if (!why)
        return t->rank != 4 || check_size(m, p, t, loc);
    diag_error(&m->cx->diag, DIAG_BAD_ARGUMENT, loc, "%s", why);
    return diag_hint(&m->cx->diag, "with \"nhwc\" the channels are the last number of the shape, else the "
                                   "first");
}

const Picture *picture_for_training(const ModelImport *m, const Picture *p, Type *t) {
    if (!m->o->trains || !p)
        return p;
    const Dim d[4] = {t->dim[0], t->dim[3], t->dim[1], t->dim[2]};
    *t = p->layout == PIXELS_NHWC ? type_make(DT_F32, 4, d) : type_make(DT_F32, t->rank, t->dim);
    const Picture plain = {.mean = p->mean, .std = p->std};
    return plain.mean || plain.std ? arena_copy(&m->cx->arena, &plain, sizeof plain) : NULL;
}

ValueId picture_to_tensor(ModelImport *m, ValueId x, const Picture *p, const Loc *loc) {
    const Value *v = graph_value(m->g, x);
    const bool bytes = v->type.dtype == DT_U8;
    if (!bytes && (!p || (p->layout == PIXELS_NCHW && p->color == PIXELS_RGB)))
        return x;
    const ToTensorAttrs a = {p->layout, p->color, bytes ? 255 : 1};
    Loc at = *loc;
    at.name = intern_f(m->cx, "%s.to_tensor", v->name);
    return graph_node(m->g, OP_to_tensor, &x, 1, &a, intern_f(m->cx, "%s.tensor", v->name), at);
}
