/* The rows of Choice: how the winner of `choose` stands in the text. */
#include "ir/graph.h"

#include <stddef.h>

static const char *const algorithms[] = {"none", "direct", "product", "plain", NULL};

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
};

const AttrTable choice_table = ATTR_TABLE(rows, Choice);
