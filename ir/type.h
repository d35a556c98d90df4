/* Types of values: element type, dimensions, and how they lie in memory. */
#ifndef IR_TYPE_H
#define IR_TYPE_H

#include "ir/base/lexer.h"

typedef enum DType {
#define DTYPE(id, name, bytes) DT_##id,
#include "ir/dtype.def"
#undef DTYPE
    DT_COUNT
} DType;

const char *dtype_name(DType t); /* "f32" */
uint32_t dtype_bytes(DType t);
bool dtype_parse(const char *s, size_t n, DType *out);
bool dtype_is_float(DType t);

/* An extent: `size` elements, times the batch N when `by_n`. Prints as 64, N or 4N. */
typedef struct Dim {
    int64_t size;
    bool by_n;
} Dim;

/* How many runs of b elements cover a of them; a is not negative, b positive. */
static inline int64_t ceil_div(int64_t a, int64_t b) {
    return a / b + (a % b > 0);
}

enum { MAX_RANK = 6, MAX_PARTS = 10 };

/* How the elements of a tensor lie in memory: the dimensions cut into parts, outermost part first. A part is
 * (dimension, factor); factor 0 is what remains of the dimension and is its outermost part. A dimension
 * may be blocked several times. `lo` and `hi` are the border: physical elements before and after the
 * dimension, always zero. Blocked dimensions are rounded up; the padding lanes are zero too.
 * nparts == 0 is the dense row-major layout and implies no border... unless parts are given.
 *
 * Text (after oneDNN's tags): dimension d is the letter 'a'+d; an upper-case letter is a dimension that is
 * blocked further in, a number before a letter is a block's factor: aBcd8b is N, C/8, H, W, 8 of C.
 * A border follows in parentheses: aBcd8b(c1:1,d1:1). The dense layout prints as nothing. */
typedef struct LayoutPart {
    uint8_t dim;
    uint32_t factor;
} LayoutPart;

typedef struct Layout {
    uint8_t nparts;
    LayoutPart part[MAX_PARTS];
    uint16_t lo[MAX_RANK], hi[MAX_RANK];
} Layout;

typedef struct Type {
    DType dtype;
    uint8_t rank;
    Dim dim[MAX_RANK];
    Layout layout;
} Type;

bool type_equal(const Type *a, const Type *b);      /* layout and all */
bool type_same_shape(const Type *a, const Type *b); /* dtype and dimensions only */
bool layout_equal(const Layout *a, const Layout *b);
bool layout_is_dense(const Layout *l); /* row-major, no border */
/* The same bytes for the same tensor: equal once parts of extent 1 are dropped and adjacent parts merged. */
bool type_same_memory(const Type *a, const Type *b);
Type type_dense(const Type *t); /* t with the dense layout */
Type type_make(DType dtype, uint8_t rank, const Dim *dims);

int64_t dim_at(Dim d, int64_t n);
/* Elements as the user counts them, and as they lie in memory; -1 on overflow. For batch n. */
int64_t type_elems(const Type *t, int64_t n);
int64_t type_physical_elems(const Type *t, int64_t n);
int64_t type_physical_bytes(const Type *t, int64_t n);
bool type_has_n(const Type *t);

/* The parts as they lie in memory (dense layouts are expanded): the extent of each part and its stride in
 * elements, both for batch n. Returns the number of parts. */
typedef struct PhysicalPart {
    uint8_t dim;
    Dim extent;      /* by_n only on the outermost part */
    int64_t stride;  /* elements; never depends on N, since N lies outermost */
    int64_t divisor; /* product of the factors further in of the same dimension */
} PhysicalPart;
int type_parts(const Type *t, PhysicalPart out[MAX_PARTS]);
/* Flat physical offset of a logical coordinate (slow; for tests, eval and the host's copies). */
int64_t type_offset(const Type *t, const int64_t coord[MAX_RANK]);

void type_print(StrBuf *sb, const Type *t); /* f32[N,64,56,56]:aBcd8b(c1:1,d1:1) */
void layout_print(StrBuf *sb, const Type *t);

/* Reads what type_print wrote; reports and returns false when the text or the type is wrong. */
bool type_parse(Lexer *lx, Type *out);

/* Elements of a tensor, borders and padding included, stay below this. */
#define TYPE_MAX_ELEMS ((int64_t)1 << 40)

/* Rules: 0 <= rank <= MAX_RANK, positive dims, by_n only on dimension 0, parts cover each dimension once with
 * factor 0, N not blocked and outermost, sizes within int64. NULL or what is wrong. */
const char *type_fault(Context *cx, const Type *t);

#endif
