/* Questions about layouts that several lowerings ask. */
#include "ir/lower/shapes.h"

int shape_lane_dim(const Type *t) {
    PhysicalPart part[MAX_PARTS];
    for (int p = type_parts(t, part) - 1; p >= 0; p--)
        if (part[p].extent.size > 1)
            return part[p].dim;
    return t->rank ? t->rank - 1 : 0;
}

/* The factor of the innermost part of dimension d; 0: it is not blocked. */
static uint32_t inner_block(const Type *t, int d) {
    uint32_t block = 0;
    for (int p = 0; p < t->layout.nparts; p++)
        if (t->layout.part[p].dim == d && t->layout.part[p].factor)
            block = t->layout.part[p].factor;
    return block;
}

uint8_t shape_lanes(const Type *t, int d, uint8_t want) {
    if (d < 0 || d >= t->rank || (t->dim[d].size == 1 && !t->dim[d].by_n))
        return want;
    uint32_t block = inner_block(t, d);
    if (block && t->layout.lo[d])
        return 1; /* a border shifts the blocks */
    while (block && want > 1 && block % want)
        want /= 2;
    return want;
}

bool shape_even(const Type *t, int d, int64_t span) {
    int64_t block = inner_block(t, d), runs = (t->dim[d].size + span - 1) / span;
    if (!block)
        return true;
    /* All runs lie in one block, or each in one of its own. A border shifts the blocks. */
    return !t->layout.lo[d] && (runs * span <= block || block % span == 0);
}

bool shape_padded(const Type *t, int d, int64_t to) {
    PhysicalPart part[MAX_PARTS];
    int64_t physical = 1;
    for (int k = 0, parts = type_parts(t, part); k < parts; k++)
        physical *= part[k].dim == d ? part[k].extent.size : 1;
    return physical >= to && !t->layout.lo[d] && !t->layout.hi[d];
}
