/* What a recipe trains: its patterns over the parameters of the model. */
#include "passes/autodiff.h"

#include <string.h>

/* Names that a pattern could mean: the parameters, and the layers they are in. */
static const char *nearest(const Autodiff *ad, const char *pattern) {
    const Graph *g = ad->g;
    const char **names = NEW_ARRAY(&ad->cx->arena, const char *, 2 * (size_t)g->params.len + 1);
    size_t n = 0;
    for (uint32_t i = 0; i < g->params.len; i++) {
        const char *key = g->values.data[g->params.data[i]].key, *dot = strrchr(key, '.');
        names[n++] = key;
        if (dot)
            names[n++] = intern_n(ad->cx, key, (size_t)(dot - key));
    }
    return diag_nearest(pattern, names, n);
}

/* Each pattern names a parameter. */
static bool check_patterns(const Autodiff *ad, const char *const *patterns, uint32_t n, const Loc *loc) {
    const Graph *g = ad->g;
    for (uint32_t i = 0; i < n; i++) {
        bool found = false;
        for (uint32_t k = 0; k < g->params.len && !found; k++) {
            const Value *v = &g->values.data[g->params.data[k]];
            found = v->kind == VK_PARAM && train_matches(patterns[i], v->key);
        }
        if (found)
            continue;
        const char *near = nearest(ad, patterns[i]);
        diag_error(&ad->cx->diag, DIAG_NO_MATCH, loc, "no parameter is called \"%s\"", patterns[i]);
        return near && diag_hint(&ad->cx->diag, "did you mean \"%s\"?", near);
    }
    return true;
}

/* Patterns of all groups match something, and no parameter is in two of them. */
static bool check_groups(const Autodiff *ad) {
    const OptimizerSpec *o = &ad->spec->optimizer;
    for (uint32_t k = 1; k < o->n_groups; k++) {
        const GroupSpec *group = &o->groups[k];
        if (!check_patterns(ad, group->patterns, group->n_patterns, &group->loc))
            return false;
        for (uint32_t i = 0; i < ad->g->params.len; i++) {
            const Value *v = &ad->g->values.data[ad->g->params.data[i]];
            if (v->kind == VK_PARAM && train_matches_any(group->patterns, group->n_patterns, v->key) &&
                train_group(o, v->key) != k)
                return diag_error(&ad->cx->diag, DIAG_BAD_ARGUMENT, &group->loc,
                                  "parameter \"%s\" is in two parameter groups", v->key);
        }
    }
    return true;
}

/* Statistics are trained where a parameter of their batch norm is. One without parameters is trained unless
 * its statistics are frozen by name. */
static bool find_statistics(Autodiff *ad) {
    enum { WEIGHT = 1, BIAS, MEAN, VAR }; /* operands, as in ir/ops/batch_norm.c */
    const Graph *g = ad->g;
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        if (n->op != OP_batch_norm)
            continue;
        const ValueId *x = n->operands;
        bool trained = ad->trained[x[WEIGHT]] || ad->trained[x[BIAS]];
        if (g->values.data[x[WEIGHT]].kind != VK_PARAM && g->values.data[x[BIAS]].kind != VK_PARAM)
            trained = g->values.data[x[MEAN]].kind == VK_BUFFER &&
                      !train_matches_any(ad->spec->freeze, ad->spec->n_freeze, g->values.data[x[MEAN]].key);
        for (int k = MEAN; trained && k <= VAR; k++) {
            if (g->values.data[x[k]].kind != VK_BUFFER)
                return diag_error(&ad->cx->diag, DIAG_NO_GRADIENT, &n->loc,
                                  "batch_norm is trained, but its statistic %%%s is not a buffer",
                                  g->values.data[x[k]].name);
            ad->trained[x[k]] = true;
        }
    }
    return true;
}

bool autodiff_spec(Autodiff *ad) {
    const Graph *g = ad->g;
    const TrainSpec *spec = ad->spec;
    bool any = false;
    ad->trained = NEW_ARRAY(&ad->cx->arena, bool, g->values.len + 1);
    if (!check_patterns(ad, spec->freeze, spec->n_freeze, &spec->freeze_loc) || !check_groups(ad))
        return false;
    for (uint32_t i = 0; i < g->params.len; i++) {
        const Value *v = &g->values.data[g->params.data[i]];
        const bool trained = v->kind == VK_PARAM && !train_matches_any(spec->freeze, spec->n_freeze, v->key);
        ad->trained[g->params.data[i]] = trained;
        any |= trained;
    }
    if (!any)
        return diag_error(&ad->cx->diag, DIAG_NOTHING_TRAINED, &spec->freeze_loc,
                          g->params.len ? "every parameter is frozen" : "the model has no parameters");
    return find_statistics(ad);
}
