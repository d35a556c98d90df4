/* Arithmetic of several inputs. */
#include "frontend/layers.h"

/* Left to right, as PyTorch has x + y + z; only the last result bears the layer's name. */
static ValueId build_chain(LayerCall *c) {
    ValueId v = c->inputs[0];
    for (uint32_t i = 1; i < c->n_inputs && v != NO_VALUE; i++) {
        bool last = i + 1 == c->n_inputs;
        const char *name = last ? c->name : intern_f(c->cx, "%s.%u", c->name, i);
        v = graph_node(c->g, c->row->op, (ValueId[]){v, c->inputs[i]}, 2, NULL, name, c->loc);
    }
    return v;
}

const LayerRow layer_Add = {"Add", .many_inputs = true, .op = OP_add, .build = build_chain};
const LayerRow layer_Sub = {"Sub", .many_inputs = true, .op = OP_sub, .build = build_chain};
const LayerRow layer_Mul = {"Mul", .many_inputs = true, .op = OP_mul, .build = build_chain};
const LayerRow layer_Div = {"Div", .many_inputs = true, .op = OP_div, .build = build_chain};
