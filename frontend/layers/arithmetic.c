/* Arithmetic of several inputs. */
#include "frontend/layers.h"

/* Left to right, as PyTorch has x + y + z; only the last result bears the layer's name. */
static ValueId chain(LayerCall *c, OpId op) {
    ValueId v = c->inputs[0];
    for (uint32_t i = 1; i < c->n_inputs && v != NO_VALUE; i++) {
        bool last = i + 1 == c->n_inputs;
        const char *name = last ? c->name : intern_f(c->cx, "%s.%u", c->name, i);
        v = graph_node(c->g, op, (ValueId[]){v, c->inputs[i]}, 2, NULL, name, c->loc);
    }
    return v;
}

static ValueId build_add(LayerCall *c) {
    return chain(c, OP_add);
}

static ValueId build_sub(LayerCall *c) {
    return chain(c, OP_sub);
}

static ValueId build_mul(LayerCall *c) {
    return chain(c, OP_mul);
}

static ValueId build_div(LayerCall *c) {
    return chain(c, OP_div);
}

const LayerRow layer_Add = {"Add", .many_inputs = true, .build = build_add};
const LayerRow layer_Sub = {"Sub", .many_inputs = true, .build = build_sub};
const LayerRow layer_Mul = {"Mul", .many_inputs = true, .build = build_mul};
const LayerRow layer_Div = {"Div", .many_inputs = true, .build = build_div};
