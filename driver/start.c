/* Where a training run starts from, as text: weights, and which layers are fresh or frozen. */
#include "driver/progress.h"
#include "ir/train.h"
#include <string.h>

enum { NAMED = 4 }; /* more layers than this are only counted */

static size_t layer_length(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot ? (size_t)(dot - key) : strlen(key);
}

static bool same_layer(const char *a, const char *b) {
    const size_t n = layer_length(a);
    return n == layer_length(b) && strncmp(a, b, n) == 0;
}

/* The layers whose parameters all match; of a layer where only some do, these. Where a layer has parameters,
 * its statistics do not count. Returns how many layers there are in all. */
static uint32_t matching(const Compile *c, const char *const *patterns, uint32_t n, TextList *out) {
    const Graph *g = c->source;
    uint32_t layers = 0;
    for (uint32_t first = 0, end; first < g->params.len; first = end, layers++) {
        const char *key = g->values.data[g->params.data[first]].key;
        uint32_t members = 0, matched = 0;
        for (end = first; end < g->params.len; end++) {
            const Value *v = &g->values.data[g->params.data[end]];
            if (!same_layer(v->key, key))
                break;
            if (v->kind == VK_BUFFER && members)
                continue;
            members++;
            if (!train_matches_any(patterns, n, v->key))
                continue;
            matched++;
            vec_push(&c->cx->arena, out, v->key);
        }
        if (!matched || matched < members)
            continue;
        out->len -= matched;
        vec_push(&c->cx->arena, out, intern_n(c->cx, key, layer_length(key)));
    }
    return layers;
}

/* "; frozen: conv1, bn1", or "; frozen: 53 of 62 layers". */
static void print_matching(const Compile *c, StrBuf *sb, const char *what, const char *const *patterns,
                           uint32_t n) {
    TextList names = {0};
    const uint32_t layers = matching(c, patterns, n, &names);
    if (!names.len)
        return;
    sb_printf(sb, "; %s: ", what);
    if (names.len > NAMED)
        sb_printf(sb, "%u of %u layers", names.len, layers);
    else
        for (uint32_t i = 0; i < names.len; i++)
            sb_printf(sb, "%s%s", i ? ", " : "", names.data[i]);
}

const char *training_start(const Compile *c, const char *checkpoint, int64_t epoch, bool amid) {
    const Recipe *r = c->recipe;
    const int64_t seed = c->o->init_seed;
    StrBuf sb = sb_new(&c->cx->arena);
    sb_printf(&sb, "training %s from ", compile_model_name(c));
    if (checkpoint)
        sb_printf(&sb, "checkpoint %s, %s epoch %lld", checkpoint, amid ? "amid" : "after",
                  (long long)epoch + amid);
    else if (c->weights.file)
        sb_printf(&sb, "weights %s", c->weights.file);
    else
        sb_printf(&sb, "fresh weights (seed %llu)",
                  (unsigned long long)(seed >= 0 ? (uint64_t)seed : r->fit.seed));
    if (!checkpoint && c->weights.file)
        print_matching(c, &sb, "fresh", r->init, r->n_init);
    print_matching(c, &sb, "frozen", r->train.freeze, r->train.n_freeze);
    return sb_str(&sb);
}
