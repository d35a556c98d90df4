/* What the gradients of ops are built with. The pass `autodiff` first emits the forward nodes into a new
 * graph in training mode, then walks them backwards and calls each op's `grad`. All nodes and values here are
 * those of the new graph. */
#ifndef IR_GRAD_H
#define IR_GRAD_H

#include "ir/op.h"

struct Grad {
    Graph *g;
    bool *wanted;     /* by value: something that is trained depends on its gradient */
    ValueId *of;      /* by value: the gradient so far, NO_VALUE: none yet */
    uint32_t n;       /* values that the two arrays hold: the forward ones */
    ValueId seed;     /* state "seed", i64[1] */
    ValueId calls;    /* state "calls", i64[1] */
    uint32_t dropout; /* layers that draw random numbers so far: each has its own stream */
    bool training;    /* false: `train` hooks are not called (evaluation) */
};

/* All forward nodes are there: makes `wanted`, true for parameters that are trained, and `of`. */
void grad_begin(Grad *gr);
/* What depends on wanted values is wanted too. */
void grad_spread(Grad *gr);
/* From the gradient of n's result to those of its operands; nothing to do where there is none, or none is
 * wanted. False after a diagnostic: the op has no gradient. */
bool grad_through(Grad *gr, const Node *n);

/* For the hooks. Is the gradient of operand i of n wanted? Nodes for others must not be built. */
bool grad_wanted(const Grad *gr, const Node *n, uint32_t i);
/* `d`, of the shape of operand i, or of one to which that broadcasts, is added to the gradient of operand i:
 * what was repeated gets the sum over its copies. False, passing on that NO_VALUE means a reported fault,
 * when d is NO_VALUE. */
bool grad_add(Grad *gr, const Node *n, uint32_t i, ValueId d);
/* graph_node with the place and layer of n; the value is named after n's result: "conv1.grad_weight" for
 * suffix "grad_weight". */
ValueId grad_node(Grad *gr, const Node *n, OpId op, const ValueId *operands, uint32_t count,
                  const void *attrs, const char *suffix);
/* -d */
ValueId grad_negative(Grad *gr, const Node *n, ValueId d);
/* The gradient of views: dy in the shape of operand 0. */
bool grad_view(Grad *gr, const Node *n, ValueId dy);
/* Is state key `key` trained, as opposed to frozen? (For the `train` hook of batch norm: operand values.) */
static inline bool grad_is_state(const Grad *gr, ValueId v) {
    return gr->g->values.data[v].kind == VK_STATE;
}

#endif
