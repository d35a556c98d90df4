/* Arithmetic of several inputs. */
#include "frontend/layers.h"

/* Left to right, as PyTorch adds x + y + z; only the last sum bears the layer's name. */
static ValueId build_add(LayerCall *c) {
    ValueId sum = c->inputs[0];
    for (uint32_t i = 1; i < c->n_inputs && sum != NO_VALUE; i++) {
        bool last = i + 1 == c->n_inputs;
        const char *name = last ? c->name : intern_f(c->cx, "%s.%u", c->name, i);
        sum = graph_node(c->g, OP_add, (ValueId[]){sum, c->inputs[i]}, 2, NULL, name, c->loc);
    }
    return sum;
}

const LayerRow layer_Add = {"Add", .many_inputs = true, .build = build_add};
