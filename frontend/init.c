/* Random weights in PyTorch's initial distributions (not its random numbers). The generator is Philox4x32-10
 * (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011), a function of a key
 * and a counter: the key is the seed and a hash of the parameter's name, so that a parameter's values depend
 * neither on the other parameters nor on their order. Which distribution a parameter has is read from the
 * table of layers. */
#include "frontend/frontend.h"
#include "frontend/layers.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ten rounds of a multiplication-based bijection; four 32-bit numbers from a 128-bit counter. */
static void philox(uint64_t key, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32);
    uint32_t x2 = (uint32_t)stream, x3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

/* FNV-1a, 64 bits. */
static uint64_t hash_text(const char *s) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    return h;
}

/* Uniform in [-bound, bound), on a grid of 2^-23 * bound. */
static void fill_uniform(float *data, size_t n, double bound, uint64_t seed, const char *key) {
    uint64_t stream = hash_text(key);
    uint32_t r[4] = {0};
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            philox(seed, stream, i / 4, r);
        data[i] = (float)(((double)(r[i % 4] >> 8) * 0x1p-23 - 1) * bound);
    }
}

typedef struct Keyed {
    const char *key;
    const Value *value;
} Keyed;

static int by_key(const void *a, const void *b) {
    return strcmp(((const Keyed *)a)->key, ((const Keyed *)b)->key);
}

static Keyed *params_by_key(Context *cx, const Graph *g) {
    Keyed *sorted = NEW_ARRAY(&cx->arena, Keyed, g->params.len + 1);
    for (uint32_t i = 0; i < g->params.len; i++) {
        const Value *v = &g->values.data[g->params.data[i]];
        sorted[i] = (Keyed){v->key, v};
    }
    qsort(sorted, g->params.len, sizeof *sorted, by_key);
    return sorted;
}

/* The parameter "weight" of the layer that `key` belongs to, or NULL. `n` parameters are given by key. */
static const Value *weight_beside(Context *cx, const char *key, const Keyed *sorted, uint32_t n) {
    const char *dot = strrchr(key, '.');
    Keyed want = {.key = intern_f(cx, "%.*s.weight", dot ? (int)(dot - key) : 0, key)};
    const Keyed *found = bsearch(&want, sorted, n, sizeof *sorted, by_key);
    return found ? found->value : NULL;
}

/* By value: does a product by elements read it, perhaps as a view? The weights of norms are read so. */
static const bool *find_scales(Context *cx, const Graph *g) {
    bool *scale = NEW_ARRAY(&cx->arena, bool, g->values.len + 1);
    for (uint32_t i = g->nodes.len; i-- > 0;) {
        const Node *n = &g->nodes.data[i];
        for (uint32_t k = 0; k < n->n_operands; k++)
            scale[n->operands[k]] |= n->op == OP_mul || (op_desc(n->op)->flags & OP_VIEW && scale[n->result]);
    }
    return scale;
}

/* The row of the first layer whose weight has the rank of this one's; that of a norm has rank 1 there. */
static const ParamRow *row_of(const char *name, const Value *weight, bool scale) {
    const uint8_t rank = !weight ? 0 : scale ? 1 : weight->type.rank;
    for (uint32_t i = 0; i < layer_count; i++) {
        const LayerRow *l = layer_table[i];
        bool fits = false;
        for (uint32_t k = 0; k < l->n_params; k++)
            fits |= !weight || (strcmp(l->params[k].name, "weight") == 0 && l->params[k].rank == rank);
        for (uint32_t k = 0; k < l->n_params && fits; k++)
            if (strcmp(l->params[k].name, name) == 0)
                return &l->params[k];
    }
    return NULL;
}

/* By value: the prelu that a parameter is the weight of, as it is or seen in another shape. */
static const Node **find_prelus(const Graph *g) {
    const Node **of = NEW_ARRAY(&g->cx->arena, const Node *, g->values.len + 1);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (n->op != OP_prelu)
            continue;
        const Value *w = &g->values.data[n->operands[1]];
        const Node *view = w->kind == VK_RESULT ? &g->nodes.data[w->def] : NULL;
        of[view && view->op == OP_reshape ? view->operands[0] : n->operands[1]] = n;
    }
    return of;
}

static bool fill(float *data, size_t n, double value) {
    for (size_t i = 0; i < n; i++)
        data[i] = (float)value;
    return true;
}

static bool init_param(Context *cx, const Value *v, const Value *weight, bool scale, uint64_t seed,
                       float *data) {
    const char *dot = strrchr(v->key, '.');
    const ParamRow *row = dot ? row_of(dot + 1, weight, scale) : NULL;
    if (!row) {
        diag_error(&cx->diag, DIAG_NO_WEIGHTS, &v->loc,
                   "--init-seed knows no initial distribution for \"%s\"", v->key);
        return diag_hint(&cx->diag, "give a file with --weights");
    }
    size_t n = (size_t)type_elems(&v->type, 1);
    if (row->init == INIT_FAN_IN) {
        double fan_in = 1;
        const Type *t = weight ? &weight->type : &v->type;
        for (int i = 1; i < t->rank; i++)
            fan_in *= (double)t->dim[i].size;
        fill_uniform(data, n, 1 / sqrt(fan_in), seed, v->key);
        return true;
    }
    return fill(data, n, row->init == INIT_ONE);
}

bool weights_from_seed(Context *cx, const Graph *g, uint64_t seed, Weights *out) {
    *out = (Weights){0};
    return weights_alloc(cx, g, out) && weights_fill(cx, g, seed, out);
}

bool weights_fill(Context *cx, const Graph *g, uint64_t seed, Weights *out) {
    const Keyed *sorted = params_by_key(cx, g);
    const bool *scales = find_scales(cx, g);
    const Node **prelus = find_prelus(g);
    bool ok = true;
    for (uint32_t i = 0; i < g->params.len; i++) {
        if (out->data[i])
            continue;
        const Value *v = &g->values.data[g->params.data[i]];
        const Node *prelu = prelus[g->params.data[i]];
        float *data = arena_array(&cx->arena, (size_t)type_elems(&v->type, 1), sizeof *data);
        const Value *weight = weight_beside(cx, v->key, sorted, g->params.len);
        ok &= prelu ? fill(data, (size_t)type_elems(&v->type, 1), ((const PreluAttrs *)prelu->attrs)->init)
                    : init_param(cx, v, weight, weight && scales[weight - g->values.data], seed, data);
        out->data[i] = data;
    }
    return ok;
}
