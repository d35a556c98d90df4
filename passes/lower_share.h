/* What the graphs of a unit share in the module that `lower` makes of them. */
#ifndef PASSES_LOWER_SHARE_H
#define PASSES_LOWER_SHARE_H

#include "ir/loops/loops.h"
#include "ir/op.h"

#define NO_BUF UINT32_MAX

typedef struct LowerShare {
    LoopModule *m;
    struct ShareSlot *slots; /* lower_share.c */
    uint32_t len, cap;
} LowerShare;

/* `want`, or want.ENTRY, want.ENTRY.2 ... when a buffer of the module has that name. */
const char *share_name(LowerShare *sh, const char *want, const char *entry);
/* The parameter, state or hyper buffer of b's kind, role, key and type: one that another value had made, or a
 * new one, which is b under a name made unique. */
uint32_t share_leaf(LowerShare *sh, ModBuf b, const char *entry);
/* The constant that another graph has by this name, if its contents are the same; else a new one. */
uint32_t share_const(LowerShare *sh, ModBuf b, const char *entry);
/* Where to note which buffer holds what node n (NULL: a plain copy) of graph g makes of the buffers `args`;
 * NO_BUF if no other graph has such a node yet. Good until the next call. */
uint32_t *share_load(LowerShare *sh, const Graph *g, const Node *n, const uint32_t *args);

#endif
